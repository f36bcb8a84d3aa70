"""The client against a real service: what it sends arrives once, and what is refused it raises."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
import uvicorn

from perdure.client import Client, Refused, Unreachable
from perdure.errors import InvalidValue, PerdureError
from perdure.live.project import Project
from perdure.live.service import run
from perdure.live.service.app import create
from perdure.live.tokens import Tokens

SETTINGS = """
name = "flowers"
[learner]
methods = []
[schema]
kind = "tensor"
shape = [4]
classes = ["rose", "lily", "iris"]
"""
MODEL = (
    "from torch.nn import Linear\n\n\ndef build(schema, classes):\n    return Linear(4, classes)\n"
)
A, B = [0.5, -1.0, 2.0, 0.25], [1.5, 0.0, -2.0, 3.25]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Two versions; the first one serves."""
    (tmp_path / "perdure.toml").write_text(SETTINGS)
    (tmp_path / "model.py").write_text(MODEL)
    with Project(tmp_path) as opened:
        for number in range(2):
            job = opened.jobs.ask("update", "a test", "tester")
            opened.jobs.start(job.id, None, 0, 0)
            learner = opened.learner()
            with torch.no_grad():
                learner.model.bias[number] += 10.0
            state = learner.state_dict()
            opened.registry.create(state, parent=None, job=job.id, after=0, upto=0, note={})
            opened.jobs.cancel(job.id, "tester")
        opened.registry.promote(1, actor="tester", reason="first")
        yield opened


@pytest.fixture
def url(project: Project) -> Iterator[str]:
    """Of a service of `project` on loopback."""
    with run.listen("127.0.0.1", 0) as socket:
        config = uvicorn.Config(create(project), log_level="error", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield run.url_of(socket)
        server.should_exit = True
        thread.join()


@pytest.fixture
def token(project: Project) -> str:
    """With all roles."""
    return Tokens(project.database).create("ada", ["admin"])


@pytest.fixture
def client(url: str, token: str) -> Iterator[Client]:
    """Of the service at `url`."""
    with Client(url, token, patience=5.0) as opened:
        yield opened


def stored(project: Project) -> list[str]:
    return [row["id"] for row in project.database.read("SELECT id FROM rows ORDER BY position")]


# -- predictions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows",
    [
        [A, B],
        np.array([A, B]),
        np.array([A, B], np.float32),
        torch.tensor([A, B]),
        [[1, 2, 3, 4]] * 2,
    ],
    ids=["lists", "float64", "float32", "tensor", "integers"],
)
def test_rows_of_any_shape_of_number_are_answered(client: Client, rows: object) -> None:
    """An answer a row: label, probabilities that add up, an id, and the version."""
    answers = client.predict(rows)
    assert ["rose"] * 2 == [answer.label for answer in answers]
    assert [1.0, 1.0] == pytest.approx([sum(a.probabilities.values()) for a in answers])
    assert [a.probabilities["rose"] for a in answers] == [a.confidence for a in answers]
    assert {1} == {answer.version for answer in answers}
    assert 2 == len({answer.id for answer in answers})


def test_lists_and_arrays_are_the_same_question(client: Client) -> None:
    """Numbers travel as bytes, to the last bit."""
    a, b = client.predict([A, B]), client.predict(np.array([A, B], np.float32))
    assert [one.probabilities for one in a] == [one.probabilities for one in b]


def test_ids_subject_and_version_are_passed_on(client: Client, project: Project) -> None:
    """The rows are in the log under the caller's ids and about the subject."""
    answers = client.predict([A, B], ids=["a", "b"], subject="bob", version=2)
    assert (["a", "b"], [2, 2]) == ([a.id for a in answers], [a.version for a in answers])
    assert {"lily"} == {answer.label for answer in answers}
    rows = project.database.read("SELECT id, subject FROM rows ORDER BY id")
    assert [("a", "bob"), ("b", "bob")] == [tuple(row) for row in rows]
    with pytest.raises(InvalidValue, match="1 ids for 2 rows"):
        client.predict([A, B], ids=["a"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one row"),
        ([[1, 2, 3]], "shape"),
        ([[1, 2, 3, float("nan")]], "finite number"),
        ([[1, 2], [3]], "give"),
        (["text"], "give"),
        ([{"a": 1}], "give"),
    ],
)
def test_what_does_not_fit_raises_the_services_own_words(
    client: Client, rows: list[object], message: str
) -> None:
    """`Refused` is a perdure error with status, code and sentence."""
    with pytest.raises(Refused, match=message) as refused:
        client.predict(rows)
    assert isinstance(refused.value, PerdureError)
    assert (422, "invalid") == (refused.value.status, refused.value.code)


# -- learning ------------------------------------------------------------------------------------


def test_rows_are_stored_chunk_by_chunk(client: Client, project: Project) -> None:
    """Whatever iterable they come from; an array is a list, and sending again is a duplicate."""
    rows = ({"id": str(i), "features": np.array(A), "label": "rose"} for i in range(25))
    held = client.ingest(rows, chunk=10)
    assert [str(i) for i in range(25)] == [one.id for one in held] == stored(project)
    again = client.ingest([{"id": "3", "features": A, "label": "rose"}])
    assert ["duplicate"] == [one.status for one in again]
    assert 25 == project.log.head()


def test_a_refused_chunk_names_its_row(client: Client, project: Project) -> None:
    """And stores none of it."""
    with pytest.raises(Refused) as refused:
        client.ingest([{"features": A}, {"features": [1, 2, 3, "x"]}])
    assert (1, "features[3]", "'x'") == (
        refused.value.row,
        refused.value.field,
        refused.value.value,
    )
    assert [] == stored(project)


def test_labels_find_their_answers(client: Client, project: Project) -> None:
    """By the ids of the answers."""
    answers = client.predict([A, B])
    joined = client.label({answer.id: "iris" for answer in answers})
    assert ["joined", "joined"] == [one.status for one in joined]
    assert 2 == project.log.head()


def test_an_update_is_waited_for(client: Client, project: Project) -> None:
    """Until whoever does it has ended it; patience has an end too."""

    def work() -> None:
        while (job := project.jobs.open()) is None:
            time.sleep(0.01)
        time.sleep(0.1)
        project.jobs.cancel(job.id, "tester")

    worker = threading.Thread(target=work)
    worker.start()
    job = client.update("new rows", wait=True)
    worker.join()
    assert ("cancelled", "new rows", "ada") == (job.state, job.reason, job.actor)
    with pytest.raises(Unreachable, match="queued after 0 seconds"):
        client.update("more", wait=True, timeout=0)


# -- operating -----------------------------------------------------------------------------------


def test_versions_move_and_the_client_says_who_serves(client: Client) -> None:
    """Promotion, compare-and-swap, rollback; each is true when it returns."""
    before = client.status()["generation"]
    moved = client.promote(2, "better", if_generation=before)
    assert (2, 2) == (moved.version, moved.serving)
    assert 2 == client.predict([A])[0].version
    with pytest.raises(Refused, match="somebody else was faster") as refused:
        client.promote(1, "no, this", if_generation=before)
    assert (409, "conflict") == (refused.value.status, refused.value.code)
    assert 1 == client.rollback("worse").version
    assert [2, 1] == [one.version for one in client.versions()]
    assert "champion" in client.version("champion").aliases
    assert ["rollback", "promote"] == [entry["action"] for entry in client.audit(limit=2)]


def test_freezing_and_erasing_go_through(client: Client, project: Project) -> None:
    """Frozen, an update is refused; an erased subject leaves nothing."""
    client.freeze("a fire")
    with pytest.raises(Refused, match="ada froze the project: a fire"):
        client.update("now")
    client.unfreeze("it is out")
    client.ingest([{"id": "a", "features": A, "subject": "bob"}])
    assert "dry run" == client.erase("bob", dry_run=True)["state"]
    assert "done" == client.erase("bob")["state"]
    assert [] == stored(project)
    with pytest.raises(Refused) as refused:
        client.ingest([{"features": A, "subject": "bob"}])
    assert 410 == refused.value.status


def test_lists_are_given_as_they_are(client: Client) -> None:
    """Empty ones at the beginning."""
    assert ([], []) == (client.verdicts(), client.drifts())
    assert {"spans": [], "cells": []} == client.matrix()


def test_a_token_without_the_role_is_refused(url: str, project: Project) -> None:
    """And one that is none."""
    token = Tokens(project.database).create("camera", ["predict"])
    with Client(url, token) as camera, pytest.raises(Refused, match="no role 'ingest'"):
        camera.ingest([{"features": A}])
    with Client(url, "pdr_0_0") as stranger, pytest.raises(Refused) as refused:
        stranger.status()
    assert (401, "unauthorized") == (refused.value.status, refused.value.code)


# -- a bad network -------------------------------------------------------------------------------


class Flaky(httpx.BaseTransport):
    """Does to each request in turn what a list says, then passes requests on."""

    def __init__(self, url: str, *troubles: str) -> None:
        self.real = httpx.HTTPTransport()
        self.troubles = list(troubles)
        self.sent: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        trouble = self.troubles.pop(0) if self.troubles else ""
        if trouble == "unsent":
            raise httpx.ConnectError("nobody listens")
        if trouble.isdigit():
            body = {"error": {"code": "full", "message": "later"}}
            return httpx.Response(int(trouble), json=body, headers={"Retry-After": "0"})
        answer = self.real.handle_request(request)
        if trouble == "lost":
            answer.read()
            answer.close()
            raise httpx.ReadError("the answer was lost")
        return answer

    def close(self) -> None:
        self.real.close()


Opens = Callable[..., tuple[Client, Flaky]]


@pytest.fixture
def flaky(url: str, token: str, client: Client) -> Iterator[Opens]:
    """Opens a client on a bad network; it knows the model's name already."""
    opened: list[Client] = []

    def make(*troubles: str, patience: float = 5.0) -> tuple[Client, Flaky]:
        transport = Flaky(url, *troubles)
        opened.append(Client(url, token, patience=patience, transport=transport))
        opened[-1]._model = client.model
        return opened[-1], transport

    yield make
    for one in opened:
        one.close()


def test_rows_whose_answer_was_lost_are_stored_once(flaky: Opens, project: Project) -> None:
    """The key is made once and kept, so the service knows the request again."""
    client, network = flaky("lost", "unsent", "503", "429", "lost")
    held = client.ingest([{"features": A}, {"features": B}])
    assert [one.id for one in held] == stored(project)
    assert 6 == len(network.sent)
    assert 1 == len({request.headers["Idempotency-Key"] for request in network.sent})


def test_questions_whose_answer_was_lost_are_logged_once(flaky: Opens, project: Project) -> None:
    """The ids are made once and kept."""
    client, _ = flaky("lost", "lost")
    (answer,) = client.predict([A])
    assert [answer.id] == stored(project)


def test_a_rollback_that_may_have_happened_is_not_sent_again(flaky: Opens, client: Client) -> None:
    """It could go back two versions; one that was never sent, or was put off, is sent again."""
    client.promote(2, "better")
    bad, network = flaky("unsent", "503", "lost")
    with pytest.raises(Unreachable, match="the answer was lost"):
        bad.rollback("worse")
    assert 3 == len(network.sent)
    assert 1 == client.version("champion").version


def test_patience_has_an_end(flaky: Opens) -> None:
    """The last trouble is what is raised: the service's words, or the network's."""
    client, _ = flaky(*["503"] * 99, patience=0.3)
    with pytest.raises(Refused, match="later") as refused:
        client.status()
    assert 503 == refused.value.status
    client, _ = flaky(*["unsent"] * 99, patience=0.3)
    with pytest.raises(Unreachable, match="nobody listens"):
        client.status()


def test_what_is_wrong_is_not_tried_again(flaky: Opens) -> None:
    """422 stays 422, however often it is sent."""
    client, network = flaky()
    with pytest.raises(Refused):
        client.predict([[1, 2, 3]])
    assert 1 == len(network.sent)
