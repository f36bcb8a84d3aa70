"""A tracker that fails costs nobody anything; one that works has what the project has.

The tracker here is a stand-in that keeps what it is told and fails where it is told to.
"""

from __future__ import annotations

import fcntl
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.image import imread
from tests.live import tiny

from perdure.live import accuracy, tracking
from perdure.live.project import Project
from perdure.track import Model, Run

TO = ("mlflow", "mlflow:second")
WISH = {"tracking": {"to": [*TO], "models": True}}


@dataclass
class Shelf:
    """Keeps what it takes; `fails` names what it cannot do."""

    fails: str = ""
    registers: bool = True
    runs: dict[str, Run] = field(default_factory=dict)
    models: dict[int, list[str]] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)

    def _do(self, what: str) -> None:
        self.sent.append(what)
        if what == self.fails:
            raise ConnectionError(f"cannot {what}")

    def send(self, run: Run) -> bool:
        self._do("send")
        self.runs.setdefault(run.key, run)
        return True

    def register(self, model: Model) -> bool:
        self._do("register")
        self.models[model.version] = sorted(path.name for path in model.folder.iterdir())
        return True

    def point(self, name: str, aliases: Mapping[str, int]) -> None:
        self._do("point")
        self.aliases = dict(aliases)


Shelves = dict[str, Shelf]


@pytest.fixture
def shelves(monkeypatch: pytest.MonkeyPatch) -> Shelves:
    """One of each name; no process is started, so that a test says when something is sent."""
    made = {name: Shelf() for name in TO}
    monkeypatch.setattr(tracking, "opened", lambda said, directory: made[said])
    monkeypatch.setattr(tracking, "begin", lambda project: False)
    return made


@pytest.fixture
def project(tmp_path: Path, shelves: Shelves) -> Iterator[Project]:
    with tiny.project(tmp_path / "state", WISH) as held:
        yield held


def learnt(project: Project, part: int) -> None:
    project.log.append(tiny.rows(40 * part, 40)).result()
    tiny.updated(project)


@pytest.mark.parametrize("fails", ["send", "register", "point"])
def test_updates_are_the_same_bits_with_a_tracker_that_fails(
    project: Project, shelves: Shelves, tmp_path: Path, fails: str
) -> None:
    """As without any: state, verdicts and aliases; and what failed is said."""
    shelves["mlflow"].fails = fails
    with tiny.project(tmp_path / "alone") as alone:
        for part in range(2):
            learnt(project, part)
            told = tracking.send(project)
            assert f"mlflow: ConnectionError: cannot {fails}" == told.problem
            learnt(alone, part)
        for version in (1, 2):
            mine, theirs = (held.registry.load(version) for held in (project, alone))
            assert tiny.digest(mine["model"]) == tiny.digest(theirs["model"])
            assert tiny.digest(mine["methods"]) == tiny.digest(theirs["methods"])
        verdicts = [
            [row["verdict"] for row in held.database.read("SELECT verdict FROM verdicts")]
            for held in (project, alone)
        ]
        assert verdicts[0] == verdicts[1]
        assert project.registry.aliases() == alone.registry.aliases()


def test_one_that_fails_takes_nothing_from_another(project: Project, shelves: Shelves) -> None:
    """The second is told all; the first is told later what it missed, and nothing twice."""
    first, second = (shelves[name] for name in TO)
    first.fails = "send"
    learnt(project, 0)
    tracking.send(project)
    assert (0, 1) == (len(first.runs), len(second.runs))
    assert second.aliases == project.registry.aliases()
    first.fails = ""
    assert tracking.send(project).problem is None
    assert first.runs.keys() == second.runs.keys()
    assert ["send", "register", "point"] == second.sent


def test_what_was_told_before_a_failure_is_not_told_again(
    project: Project, shelves: Shelves
) -> None:
    """Jobs are noted one by one, so that aliases alone are left."""
    shelf = shelves["mlflow"]
    learnt(project, 0)
    learnt(project, 1)
    shelf.fails = "point"
    tracking.send(project)
    assert 2 == shelf.sent.count("send")
    shelf.fails, shelf.sent[:] = "", []
    tracking.send(project)
    assert "send" not in shelf.sent
    assert shelf.aliases == project.registry.aliases()


def test_while_another_process_sends_nothing_is_done(project: Project, shelves: Shelves) -> None:
    """Two would both tell the same; what waits is told by whoever has the lock."""
    learnt(project, 0)
    with (project.directory / tracking.LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert tracking.Told() == tracking.send(project)
    assert [] == shelves["mlflow"].sent
    assert tracking.waits(project)
    tracking.send(project)
    assert not tracking.waits(project)


def test_aliases_there_are_those_here_after_every_change(
    project: Project, shelves: Shelves
) -> None:
    """Whatever moved them; each version that one names has its files there."""
    shelf = shelves["mlflow"]
    for part in range(3):
        learnt(project, part)
    seen = []
    for _ in range(3):
        tracking.send(project)
        seen.append(project.registry.champion().version)
        assert project.registry.aliases() == shelf.aliases
        assert {*shelf.aliases.values()} <= set(shelf.models)
        if seen[-1] > 1:
            project.registry.rollback(actor="me", reason="a test")
    assert [3, 2, 1] == seen


def test_no_row_and_no_memory_leaves_with_a_model(project: Project, shelves: Shelves) -> None:
    """Tensors of the model, its file and its settings; nothing that a method keeps."""
    learnt(project, 0)
    tracking.send(project)
    assert [["export.json", "model.py", "model.safetensors", "perdure.toml"]] == [
        *shelves["mlflow"].models.values()
    ]


def test_models_stay_here_where_the_settings_say_so(tmp_path: Path, shelves: Shelves) -> None:
    """Runs go, versions do not."""
    wish = {"tracking": {"to": ["mlflow"], "models": False}}
    with tiny.project(tmp_path / "state", wish) as project:
        learnt(project, 0)
        tracking.send(project)
        assert ["send"] == shelves["mlflow"].sent
        assert not tracking.waits(project)


def test_directories_of_one_name_are_told_apart(shelves: Shelves, tmp_path: Path) -> None:
    """Their runs have other keys, so that a server that has one takes the other."""
    for name in ("a", "b"):
        with tiny.project(tmp_path / name, WISH) as project:
            learnt(project, 0)
            tracking.send(project)
    runs = shelves["mlflow"].runs
    assert 2 == len(runs)
    assert 1 == len({(run.name, run.group, run.series) for run in runs.values()})


def test_numbers_are_those_of_verdict_ledger_and_matrix(project: Project, shelves: Shelves) -> None:
    """Each at the step of its version; the last run's picture is the matrix as it stands."""
    for part in range(3):
        learnt(project, part)
    tracking.send(project)
    runs = [*shelves["mlflow"].runs.values()]
    steps = [{metric.step for metric in run.metrics} for run in runs]
    assert [{1}, {2}, {3}] == steps
    for version, run in enumerate(runs, 1):
        found = {m.name: m.value for m in run.metrics if m.name.startswith("span/")}
        cells = [c for c in accuracy.cells(project) if c.version == version and c.span >= 0]
        assert {f"span/{c.span}": c.correct / c.rows for c in cells if c.rows} == found
        assert all(np.isfinite(metric.value) for metric in run.metrics)
    png = runs[-1].pictures["accuracy matrix"]
    assert 3 == imread(io.BytesIO(png)).ndim


@given(st.lists(st.sampled_from(["", "send", "register", "point"]), min_size=1, max_size=6))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_failures_one_success_tells_all(
    project: Project, shelves: Shelves, course: list[str]
) -> None:
    """Each update once, and the aliases as they are."""
    shelf = shelves["mlflow"]
    if project.registry.champion() is None:
        learnt(project, 0)
    for fails in (*course, ""):
        shelf.fails = fails
        tracking.send(project)
    assert 1 == len(shelf.runs)
    assert project.registry.aliases() == shelf.aliases
    assert tracking.problem(project) is None
