"""Who answers: loading beside, switching at once, and never one version for another."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter

import numpy as np
import pytest

from perdure.live import splits
from perdure.live.project import Project
from perdure.live.refusals import NotFound
from perdure.live.service.metrics import resident_bytes
from perdure.live.service.refusing import Unavailable
from perdure.live.service.serving import Server

pytestmark = pytest.mark.anyio
A = [0.5, -1.0, 2.0, 0.25]
INFER = "/v2/models/flowers/infer"


async def until(condition, seconds: float = 10.0) -> None:
    """Wait for what another process or thread is about to do."""
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


async def test_swaps_under_load_fail_no_request(
    begin, add_version, serve, question, outputs, expected
) -> None:
    """Twenty promotions while four callers ask: each answer is that of the version it names."""
    await swap(begin, add_version, serve, question, outputs, expected, times=20)


@pytest.mark.slow
async def test_two_hundred_swaps_leave_no_memory_behind(
    begin, add_version, serve, question, outputs, expected
) -> None:
    """The same two hundred times: versions that nobody asks any more are freed, and the process
    is hardly larger after the last hundred than before them.
    """
    sizes = await swap(begin, add_version, serve, question, outputs, expected, times=200)
    assert sizes[-1] - sizes[len(sizes) // 2] < 20e6


async def swap(begin, add_version, serve, question, outputs, expected, times: int) -> list[int]:
    """Swap so many times; the resident bytes after each."""
    project = begin('[log]\npredictions = "off"')
    for _ in range(3):
        add_version(project)
    project.registry.promote(1, actor="tester", reason="first")
    right = {version: expected(project, version, [A]) for version in (1, 2, 3)}
    seen: Counter[int] = Counter()
    sizes: list[int] = []
    async with serve(project) as client:

        async def call() -> None:
            while len(sizes) < times:
                answer = await client.post(INFER, json=question(A))
                version = int(answer.headers["X-Model-Version"])
                assert right[version] == outputs(answer)["probabilities"]
                seen[version] += 1

        callers = [asyncio.create_task(call()) for _ in range(4)]
        for number in range(times):
            target = (2, 3, 1)[number % 3]
            body = {"version": target, "reason": f"swap {number}"}
            moved = (await client.post("/v1/models/flowers/promote", json=body)).json()
            assert target == moved["version"] == moved["serving"]
            answer = await client.post(INFER, json=question(A))
            assert str(target) == answer.headers["X-Model-Version"]
            sizes.append(resident_bytes())
        await asyncio.gather(*callers)
        server = client.service.server
        assert ({1, 2, 3}, times) == (set(seen), server.switches)
        gc.collect()
        assert len(server.living) == 1
    return sizes


async def test_a_request_finishes_under_the_version_that_it_began_with(
    client, service, question
) -> None:
    """A switch between its forward pass and its answer changes nothing about the answer."""
    go = threading.Event()
    service.thread.submit(go.wait)
    try:
        asked = asyncio.create_task(client.post(INFER, json=question(A)))
        await until(lambda: service.batcher._busy)
        body = {"version": 2, "reason": "better"}
        assert 2 == (await client.post("/v1/models/flowers/promote", json=body)).json()["serving"]
    finally:
        go.set()
    assert "1" == (await asked).headers["X-Model-Version"]
    assert "2" == (await client.post(INFER, json=question(A))).headers["X-Model-Version"]


async def test_what_another_process_promotes_serves_here_soon(client, service, project) -> None:
    """A second opening of the directory stands for the command line: nothing is said to us."""
    with Project(project.directory) as elsewhere:
        elsewhere.registry.promote(3, actor="operator", reason="by hand")
        await until(lambda: service.server.champion.version == 3)
        elsewhere.registry.rollback(actor="operator", reason="a mistake")
        await until(lambda: service.server.champion.version == 1)


async def test_a_version_that_was_rewritten_is_loaded_again(client, service, project) -> None:
    """An erasure changes a version's memory without moving an alias: the old one must leave."""
    old = service.server.champion
    await client.get("/v2/models/flowers")
    registry = project.registry
    held = registry.get(1)
    path = registry.path(held) / "manifest.json"
    path.write_text(path.read_text() + "\n")
    from perdure.live.registry import digest_of

    digest = digest_of(path)
    project.database.transact(
        lambda c: c.execute("UPDATE versions SET digest = ? WHERE version = 1", (digest,))
    )
    await until(lambda: service.server.champion.digest == digest)
    assert old is not service.server.champion


async def test_two_loads_of_one_version_load_once(project) -> None:
    """Ten callers at once share one load and one copy in memory."""
    server = Server(project)
    found = await asyncio.gather(*(server.get(2) for _ in range(10)))
    assert 1 == len({id(served) for served in found}) == len(server.living)
    await server.stop()


async def test_a_load_that_fails_leaves_the_old_version_serving(
    client, service, project, question
) -> None:
    """The failure is reported, in the status and the index; answers go on."""
    held = project.registry.get(2)
    body = {"version": 2, "reason": "hope"}
    file = project.registry.path(held) / "learner.safetensors"
    whole = file.read_bytes()
    registry = project.registry
    original = registry.verify
    registry.verify = lambda version: {}  # the damage comes after promotion has looked
    file.write_bytes(whole[: len(whole) // 2])
    moved = (await client.post("/v1/models/flowers/promote", json=body)).json()
    registry.verify = original
    assert (2, 1) == (moved["version"], moved["serving"])
    assert "1" == (await client.post(INFER, json=question(A))).headers["X-Model-Version"]
    status = (await client.get("/v1/models/flowers/status")).json()
    assert ["2"] == list(status["service"]["failures"])
    index = (await client.post("/v2/repository/index", json={})).json()
    assert [e["version"] for e in index if e["reason"]] == ["2"]
    answer = await client.post(
        "/v2/repository/models/flowers/load", json={"parameters": {"version": 2}}
    )
    assert 503 == answer.status_code
    assert 503 == (await client.get("/v2/models/flowers/versions/2/ready")).status_code
    assert 200 == (await client.get("/v2/models/flowers/versions/3/ready")).status_code
    file.write_bytes(whole)
    service.server._retry_at = 0.0
    await until(lambda: service.server.champion.version == 2)
    assert {} == service.server.failures


async def test_there_is_nothing_to_load_before_the_first_version(begin) -> None:
    """And nobody to choose."""
    server = Server(begin())
    await server.start()
    with pytest.raises(NotFound, match="no champion yet"):
        await server.load()
    with pytest.raises(Unavailable, match="no version serves yet"):
        server.choose("x")
    await server.stop()


async def test_versions_beside_the_one_that_serves_are_bounded(project, add_version) -> None:
    """Requests that name a version keep at most two of them in memory."""
    for _ in range(3):
        add_version(project)
    server = Server(project, others=2)
    await server.start()
    for version in range(1, 7):
        assert version == (await server.get(version)).version
    assert {1, 5, 6} == server.loaded()
    await server.stop()


async def test_a_version_that_was_removed_cannot_be_asked(client, project, question) -> None:
    """404, as for one that never was."""
    project.registry.alias("challenger", 1, actor="tester")
    project.registry.prune(keep=0)
    answer = await client.post("/v2/models/flowers/versions/2/infer", json=question(A))
    assert 404 == answer.status_code
    assert ["1"] == (await client.get("/v2/models/flowers")).json()["versions"]


async def test_answers_do_not_depend_on_the_company(client, service, project, question) -> None:
    """Bit for bit: a row alone, among few, among many, in any place of the batch."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(64, 4)).astype(np.float32)
    served = service.server.champion
    encoded = project.schema.encode_many(rows)
    together = served.answer(encoded, None)
    for size in (1, 2, 3, 4, 5, 7, 16, 33):
        for start in range(0, 64 - size, 11):
            part = served.answer(encoded[start : start + size], None)
            assert np.array_equal(together[start : start + size], part)
    bodies = [question(row.tolist()) for row in rows]
    answers = await asyncio.gather(*(client.post(INFER, json=body) for body in bodies))
    alone = [(await client.post(INFER, json=body)).json()["outputs"][0] for body in bodies]
    assert alone == [answer.json()["outputs"][0] for answer in answers]


# -- shadow, canary, baseline --------------------------------------------------------------------


async def test_the_shadow_is_asked_and_never_answers(client, service, project, question) -> None:
    """Its agreement is counted; what callers get is the champion's."""
    project.registry.alias("shadow", 2, actor="tester")
    await service.server.follow()
    rows = np.random.default_rng(0).normal(size=(20, 4))
    answers = [await client.post(INFER, json=question(row.tolist())) for row in rows]
    assert {"1"} == {answer.headers["X-Model-Version"] for answer in answers}
    await service.answering.settle()
    shadow = await service.server.get(2)
    encoded = project.schema.encode_many(rows)
    ours, theirs = service.server.champion.answer(encoded, None), shadow.answer(encoded, None)
    same = int((ours.argmax(1) == theirs.argmax(1)).sum())
    counted = {
        agrees: service.metrics.shadow.labels(2, agrees)._value.get()
        for agrees in ("true", "false")
    }
    assert {"true": same, "false": 20 - same} == counted


async def test_a_shadow_that_fails_harms_nobody(client, service, project, question) -> None:
    """Callers are answered, and the failures are counted."""
    project.registry.alias("shadow", 2, actor="tester")
    await service.server.follow()
    shadow = service.server.serving.roles["shadow"]
    shadow.learner.model[0].weight.data = shadow.learner.model[0].weight.data[:, :2]
    assert 200 == (await client.post(INFER, json=question(A))).status_code
    await service.answering.settle()
    assert 1 == service.metrics.shadow.labels(2, "failed")._value.get()


@pytest.mark.parametrize(
    ("settings", "alias", "state"),
    [("canary_share = 0.3", "challenger", "blessed"), ("baseline_share = 0.2", "baseline", "")],
)
async def test_a_share_of_subjects_is_answered_by_another_version(
    begin, add_version, serve, question, settings, alias, state
) -> None:
    """The same subjects each time, about as many as the settings say, by a hash of their names."""
    project = begin(f"[serve]\n{settings}")
    first, other = add_version(project), add_version(project)
    project.registry.promote(first, actor="tester", reason="first")
    project.registry.alias(alias, other, actor="tester")
    if state:
        sql = "UPDATE versions SET state = ? WHERE version = ?"
        project.database.transact(lambda c: c.execute(sql, (state, other)))
    share = float(settings.split("=")[1])
    async with serve(project) as client:
        for _ in range(2):
            for number in range(100):
                name = f"subject {number}"
                answer = await client.post(INFER, json=question(A, subject=name))
                place = splits.bucket(name, project.settings.seed)
                chosen = place >= 1 - share if alias == "challenger" else place < share
                assert str(other if chosen else first) == answer.headers["X-Model-Version"]
        counted = client.service.metrics.predictions.labels(other, alias)._value.get()
    assert abs(counted / 200 - share) < 0.15


async def test_a_challenger_that_the_gate_has_not_blessed_gets_no_traffic(
    begin, add_version, serve
) -> None:
    """Whatever share the settings give to canaries."""
    project = begin("[serve]\ncanary_share = 1.0")
    first = add_version(project)
    project.registry.promote(first, actor="tester", reason="first")
    project.registry.alias("challenger", add_version(project), actor="tester")
    async with serve(project) as client:
        assert first == client.service.server.choose("x").version


TASKS = """
kind = "tensor"
shape = [4]
classes = ["no", "yes"]
tasks = true
"""
TASKED = """
import torch
from torch import nn


class Model(nn.Module):
    takes_task = True

    def __init__(self):
        super().__init__()
        self.heads = nn.Parameter(torch.zeros(2, 4, 2))

    def forward(self, x, task=None):
        chosen = self.heads[0 if task is None else task]
        return (x[:, None] @ chosen)[:, 0] if task is not None else x @ chosen


def build(schema, classes):
    return Model()
"""


async def test_questions_carry_their_task_where_the_schema_has_tasks(
    begin, add_version, serve, question, outputs
) -> None:
    """Tasks differ in their answers; a request without is counted, and an unknown one refused."""
    project = begin(schema=TASKS, model=TASKED)
    project.registry.promote(add_version(project), actor="tester", reason="first")
    async with serve(project) as client:
        said = [outputs(await client.post(INFER, json=question(A, task=t))) for t in (0, 1)]
        assert said[0]["probabilities"] != said[1]["probabilities"]
        both = question(A, A)
        task = {"name": "task", "shape": [2], "datatype": "INT64", "data": [0, 1]}
        both["inputs"].append(task)
        together = outputs(await client.post(INFER, json=both))["probabilities"]
        assert said[0]["probabilities"] + said[1]["probabilities"] == together
        await client.post(INFER, json=question(A))
        assert 1 == client.service.metrics.taskless._value.get()
    tasks = [row["task"] for row in project.database.read("SELECT task FROM rows")]
    assert [0, 1, 0, 1] == tasks[:4]
