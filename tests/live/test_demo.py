"""The demo: its scenes, its rivals, its questions, and, slowly, all of it."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from perdure import cli
from perdure.client import Client
from perdure.errors import MissingExtra, PerdureError
from perdure.live.demo import play
from perdure.live.demo.beginning import MARK, begin, served
from perdure.live.demo.comparison import comparison
from perdure.live.demo.play import REST, Played
from perdure.live.demo.rivals import Rival, fine_tuned, from_scratch, of_versions
from perdure.live.demo.scenes import ERASED, POISONER, VISITORS, Scene, scenes
from perdure.live.demo.traffic import Traffic
from perdure.live.project import Project
from perdure.live.report import Section
from perdure.live.rows import Row
from perdure.live.tokens import Tokens

verb = importlib.import_module("perdure.cli.demo")  # the package has the verb under this name
SECONDS = 100.0
"""That a service of the demo may take to come up where much else runs."""


@pytest.fixture(scope="module")
def staged() -> tuple[list[Scene], Scene]:
    return scenes()


@pytest.fixture(scope="module")
def few(staged: tuple[list[Scene], Scene]) -> list[Scene]:
    """A row in four of two scenes."""
    return [
        replace(scene, x=scene.x[::4], y=scene.y[::4], test_x=scene.test_x, test_y=scene.test_y)
        for scene in staged[0][:2]
    ]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    begin(tmp_path / "demo")
    with Project(tmp_path / "demo") as project:
        yield project


# -- scenes --------------------------------------------------------------------------------------


def test_each_digit_comes_in_one_scene_and_in_the_inverted_one(
    staged: tuple[list[Scene], Scene],
) -> None:
    """New classes first, then the same ones in another light; nobody's test rows come in."""
    *classes, inverted = staged[0]
    assert [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]] == [sorted(set(s.y.tolist())) for s in classes]
    assert set(range(10)) == set(inverted.y.tolist()) == set(inverted.test_y.tolist())
    assert sum(len(scene.y) for scene in classes) == len(inverted.y)
    bright = np.concatenate([scene.x for scene in classes]).mean()
    assert inverted.x.mean() == pytest.approx(1 - bright, abs=0.05)
    for scene in staged[0]:
        coming = {row.tobytes() for row in scene.x}
        assert coming.isdisjoint(row.tobytes() for row in scene.test_x)
        assert len(scene.y) > 2 * REST


def test_the_poison_is_wrong_in_every_row(staged: tuple[list[Scene], Scene]) -> None:
    """Rows that came in before, with the next digit's label, from somebody else."""
    learnt, poison = staged
    true = {
        row.tobytes(): label
        for scene in learnt
        for row, label in zip(scene.x, scene.y.tolist(), strict=True)
    }
    wrong = [(true[x.tobytes()] + 1) % 10 for x in poison.x]
    assert wrong == poison.y.tolist()
    assert POISONER == poison.source


def test_rows_are_as_the_service_takes_them(staged: tuple[list[Scene], Scene]) -> None:
    """Ids of their own, labels as words, and everybody's rows in every scene."""
    learnt, poison = staged
    rows = [row for scene in (*learnt, poison) for row in scene.rows()]
    assert len(rows) == len({row["id"] for row in rows})
    assert json.loads(json.dumps(rows[0])) == rows[0]
    for scene in (*learnt, poison):
        subjects = {row["subject"] for row in scene.rows()}
        assert VISITORS == len(subjects)
        assert ERASED in subjects


def test_scenes_are_the_same_every_time(staged: tuple[list[Scene], Scene]) -> None:
    """A seed decides."""
    again, other = scenes()[0], scenes(seed=1)[0]
    for a, b, c in zip(staged[0], again, other, strict=True):
        assert np.array_equal(a.x, b.x)
        assert not np.array_equal(a.x, c.x)


# -- the state directory -------------------------------------------------------------------------


def test_a_demo_takes_the_place_of_an_earlier_one_alone(tmp_path: Path) -> None:
    """What lies elsewhere is safe; the token opens everything."""
    out = tmp_path / "demo"
    begin(out)
    (out / "left.txt").touch()
    token = begin(out)
    assert not (out / "left.txt").exists()
    with Project(out) as project:
        known = Tokens(project.database).check(token)
        assert known is not None
        assert known.allows("admin")
    (out / MARK).unlink()
    with pytest.raises(PerdureError, match="no demo"):
        begin(out)
    assert (out / "perdure.toml").exists()


@pytest.mark.slow
def test_a_service_that_does_not_come_up_is_said_to(tmp_path: Path) -> None:
    """Where its settings are wrong, for one; its words are in a file."""
    (tmp_path / "perdure.toml").write_text("nonsense = 1\n")
    with pytest.raises(PerdureError, match=r"service\.log"), served(tmp_path, "token"):
        pass
    assert "nonsense" in (tmp_path / "service.log").read_text("utf-8")


# -- rivals --------------------------------------------------------------------------------------


def test_fine_tuning_forgets_and_training_from_scratch_does_not(
    project: Project, few: list[Scene]
) -> None:
    """The first scene's digits, once the second one's have come."""
    naive, scratch = fine_tuned(project, few), from_scratch(project, few)
    names = [scene.name for scene in few]
    assert naive.accuracy[0][0] > 0.9
    assert naive.accuracy[1][0] < 0.3
    assert scratch.accuracy[1][0] > 0.9
    assert naive.matrix(names).forgetting() == pytest.approx(
        naive.accuracy[0][0] - naive.accuracy[1][0]
    )


def test_rivals_make_as_many_passes_as_the_loop_and_pay_for_what_they_read(
    project: Project, few: list[Scene]
) -> None:
    """From scratch reads the first scene twice: its FLOPs are fine-tuning's and that once more."""
    once = fine_tuned(project, few[:1])
    naive, scratch = fine_tuned(project, few), from_scratch(project, few)
    assert 10 == project.settings.learner.epochs
    assert scratch.flops == pytest.approx(naive.flops + once.flops, rel=0.05)
    again = from_scratch(project, few)
    assert (again.flops, again.accuracy) == (scratch.flops, scratch.accuracy)


def test_versions_are_asked_by_the_names_of_their_classes(
    project: Project, few: list[Scene]
) -> None:
    """The loop numbers classes as they come, and digits do not come in order."""
    first = few[0]
    order = np.argsort(-first.y, kind="stable")
    rows = [Row(f"r{i}", first.x[i], str(first.y[i])) for i in order]
    project.log.append(rows).result()
    assert ["3", "2", "1", "0"] == project.classes()
    learner = project.learner()
    batch = project.log.examples(0, project.log.head()).batch
    for _ in range(60):
        learner.observe(batch)
    job = project.jobs.ask("update", "to test", "me")
    project.jobs.start(job.id, None, 0, project.log.head())
    version = project.registry.create(
        learner.state_dict(), parent=None, job=job.id, after=0, upto=project.log.head(), note={}
    )
    found = of_versions("loop", project, [version, version], few, 5.0)
    assert (2, 5.0) == (len(found.accuracy), found.flops)
    assert found.accuracy[0] == found.accuracy[1]
    assert found.accuracy[0][0] > 0.9
    said = learner.predict(torch.from_numpy(first.test_x)).argmax(1).tolist()
    right = np.mean(
        [project.classes()[k] == str(y) for k, y in zip(said, first.test_y, strict=True)]
    )
    assert right == found.accuracy[0][0]


def test_the_comparison_is_honest_about_its_budgets(project: Project, few: list[Scene]) -> None:
    """A line each, in percent; passes, held-out share and unlearnt rows are said."""
    names = ["left alone", "naive fine-tuning", "perdure, live", "from scratch"]
    found = [Rival(name, [[1.0, 0.0], [0.25, 0.5]], 1.5e9) for name in names]
    made = comparison(project, found, few)
    assert ("", "0 to 3", "4 to 6", "mean", "forgetting", "GFLOP") == tuple(made.columns)
    assert ("naive fine-tuning", "25.0", "50.0", "37.5", "75.0", "1.50") == made.rows[1]
    assert "perdure, live" == made.rows[made.emphasis or 0][0]
    for said in ("10 passes", "25% out", f"last {REST} rows", "neither the gate nor the twins"):
        assert said in made.note


# -- questions -----------------------------------------------------------------------------------


def answered(request: httpx.Request) -> httpx.Response:
    """What a service says to one question; every fourth time, that it will not."""
    if request.url.path == "/v2":
        return httpx.Response(200, json={"model": "digits"})
    answered.asked += 1
    if answered.asked % 4 == 0:
        return httpx.Response(422, json={"error": "not this one"})
    outputs = {"classes": ["0", "1"], "probabilities": [0.2, 0.8], "label": ["1"],
               "prediction_id": ["p"]}  # fmt: skip
    body = [{"name": name, "data": data} for name, data in outputs.items()]
    return httpx.Response(200, json={"outputs": body, "model_version": "3"})


def test_questions_never_stop_and_every_failure_counts() -> None:
    """From entering to leaving; the rows may change meanwhile."""
    answered.asked = 0
    with Client("http://service", "token", transport=httpx.MockTransport(answered)) as client:
        with Traffic(client, np.zeros((3, 64), np.float32), pause=0.001) as traffic:
            wait_until(lambda: answered.asked >= 10)
            traffic.x = np.ones((1, 64), np.float32)
            wait_until(lambda: answered.asked >= 20)
        stopped = answered.asked
        time.sleep(0.02)
        assert stopped == answered.asked
    assert stopped == traffic.answered[3] + len(traffic.failures)
    assert stopped // 4 == len(traffic.failures)
    assert all("not this one" in failure for failure in traffic.failures)
    assert 0 < traffic.slowest(0.5) <= traffic.slowest()


def test_nothing_asked_has_no_latency() -> None:
    """Not zero: that would be the best one."""
    with Client("http://service", "token", transport=httpx.MockTransport(answered)) as client:
        assert np.isnan(Traffic(client, np.zeros((1, 64), np.float32)).slowest())


# -- telling -------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["sklearn.datasets", "matplotlib"])
def test_what_is_not_installed_is_said_before_anything_begins(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that brings it; no folder is made."""
    monkeypatch.setitem(sys.modules, module, None)
    done = invoke("demo", "--out", str(tmp_path / "demo"))
    assert isinstance(done.exception, MissingExtra)
    assert "pip install 'perdure[lab]'" in str(done.exception)
    assert not (tmp_path / "demo").exists()


def test_no_line_is_broken_where_it_is_written_to_a_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """However long; brackets are no markup, and a table is no wider than a terminal."""
    told: list[tuple[str, str, str]] = []
    tell = verb._teller(told)
    tell("digits", "word " * 60)
    tell("", "a difference of [-0.2, 0.1] [bold]")
    names = ("0 to 3", "4 to 6", "7 to 9", "inverted", "mean", "forgetting", "GFLOP")
    cells = ("perdure, live", *["100.0"] * 6, "12.34")
    verb._show(Section("Title", ("", *names), [("naive fine-tuning", *cells[1:]), cells],
                       "note " * 60, emphasis=1))  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].count("word") == 60
    assert lines[1].endswith("a difference of [-0.2, 0.1] [bold]")
    assert ["digits", ""] == [event for _, event, _ in told]
    table = [line for line in lines if line.lstrip().startswith(("0 to 3", "naive", "perdure,"))]
    assert 3 == len(table)
    assert max(map(len, table)) <= 80
    assert lines[-1].count("note") == 60


def test_what_the_demo_concludes_is_what_was_played() -> None:
    """Nothing is said that was not measured."""
    said = verb._conclusion(Played([1, 2], 2, 1234, ["no"], 0.0345, "promote", 0.5))
    for words in ("1234 questions", "1 failed", "within 34 ms", "promote", "0.50 s"):
        assert words in said


def test_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """But one line and the exit code that shells expect."""

    def stopped(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(play, "play", stopped)
    done = invoke("demo", "--out", str(tmp_path / "demo"))
    assert 130 == done.exit_code
    assert "Stopped, and the service with it." in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_ctrl_c_ends_the_service_too(tmp_path: Path) -> None:
    """Of the demo's own process alone, as a terminal's would not be: no child is left."""
    out = tmp_path / "demo"
    command = (sys.executable, "-m", "perdure", "demo", "--out", str(out))
    demo = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    log = out / "service.log"
    wait_until(lambda: log.exists() and "serving" in log.read_text("utf-8"))
    (url,) = re.findall(r"http://[\d.:]+", log.read_text("utf-8"))
    demo.send_signal(signal.SIGINT)
    said, _ = demo.communicate(timeout=SECONDS)
    assert 130 == demo.returncode, said
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/v2/health/live")
    with Project(out) as project:  # nobody holds the updater's lock
        assert project.log.head() >= 0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_whole_demo_lives_through_everything(tmp_path: Path) -> None:
    """Drifts are noticed, the past is kept, the poison refused, nobody's question fails."""
    out = tmp_path / "demo"
    command = (sys.executable, "-m", "perdure", "demo", "--out", str(out))
    begun = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert 0 == done.returncode, done.stdout + done.stderr
    assert time.monotonic() - begun < 240
    said = done.stdout
    assert 4 == said.count("gate: promote")
    assert 1 == said.count("gate: refuse")
    assert said.count("drift: ") >= 4
    assert "nothing called for an update" not in said
    assert "files that still name the visitor: none" in said
    assert re.search(r"\d+ questions were answered meanwhile, 0 failed", said)
    means = {
        name: float(
            re.search(rf"^{name} .*?(\d+\.\d) +-?\d+\.\d +\d+\.\d\d$", said, re.MULTILINE)[1]
        )
        for name in ("left alone", "naive fine-tuning", "perdure, live", "from scratch")
    }
    assert means["perdure, live"] > 80
    assert means["perdure, live"] > means["naive fine-tuning"] + 40
    assert means["perdure, live"] > means["left alone"] + 40
    report = (out / "report.html").read_text("utf-8")
    assert ["part-1", "part-2", "serving"] == re.findall(r'<h2 id="([\w-]+)"', report)[:3]
    assert ERASED not in report
    assert ">refusal<" in report
    with Project(out) as project:
        champion = project.registry.champion()
    assert champion is not None
    assert 4 == champion.version


def wait_until(true: object) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.002)


def invoke(*arguments: str):
    """Run a command in this process, as wide as no terminal is."""
    return CliRunner(env={"COLUMNS": "300", "TERM": "dumb"}).invoke(cli.app, list(arguments))
