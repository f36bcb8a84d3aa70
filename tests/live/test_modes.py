"""What becomes of an update: four modes, and four stages of maturity, as settings of one file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.live import tiny

from perdure.live import conclusion, ledger, triggers, updater
from perdure.live.project import Project

COUNT = {"triggers": {"count": 20}}


@pytest.fixture(autouse=True)
def _quick():
    with tiny.quick_gate():
        yield


def turned(project: Project, first: int, count: int = 40) -> int | None:
    """Send rows and let the updater take a turn; the version that it made, if it made one."""
    project.log.append(tiny.rows(first, count)).result()
    job = updater.turn(project)
    assert job is None or job.state == "done", job.error
    return None if job is None else job.version


# -- modes ---------------------------------------------------------------------------------------


def test_observing_scores_and_learns_nothing(tmp_path: Path) -> None:
    """Whatever the triggers say; asked by hand, it says so."""
    with tiny.project(tmp_path) as project:
        assert 1 == turned_by_hand(project, 0)
    with tiny.project(tmp_path, {**COUNT, "update": {"mode": "observe"}}) as project:
        assert turned(project, 40) is None
        project.jobs.ask("update", "by hand", "me")
        assert "the mode is observe" in updater.turn(project).error
        assert [1] == [version.version for version in project.registry.all()]
        assert "the mode is observe" in triggers.explain(project, time.time())["reason"]
        scored = project.database.value("SELECT count(*) FROM outcomes WHERE version = 1")
        assert scored == project.log.count(40) + project.log.count(40, use="evaluate")


def turned_by_hand(project: Project, first: int) -> int | None:
    project.jobs.ask("update", "by hand", "me")
    return turned(project, first)


def test_an_apprentice_answers_in_the_shadow(tmp_path: Path) -> None:
    """What it learnt answers beside the champion, and never in its place."""
    with tiny.project(tmp_path, {**COUNT, "update": {"mode": "apprentice"}}) as project:
        assert 1 == turned(project, 0)
        assert {"shadow": 1, "challenger": 1} == project.registry.aliases()
        assert 2 == turned(project, 40)
        assert {"shadow": 2, "challenger": 2} == project.registry.aliases()


def test_a_recommendation_waits_for_a_person(tmp_path: Path) -> None:
    """Judged and blessed, it serves once somebody promotes it; the next goes on from there."""
    with tiny.project(tmp_path, {**COUNT, "update": {"mode": "recommend"}}) as project:
        assert 1 == turned(project, 0)
        made = project.registry.get(1)
        assert ("blessed", None) == (made.state, project.registry.champion())
        assert turned(project, 40, 0) is None
        project.registry.promote("challenger", actor="me", reason="I looked at it")
        assert 2 == turned(project, 40)
        assert (1, made.upto) == (project.registry.get(2).parent, project.registry.get(2).after)
        assert 1 == project.registry.champion().version


def test_auto_promotes_what_the_gate_lets_through(tmp_path: Path) -> None:
    """Champion and previous move on by themselves, and the audit says why."""
    with tiny.project(tmp_path, COUNT) as project:
        assert 1 == turned(project, 0)
        assert 2 == turned(project, 40)
        assert {"champion": 2, "previous": 1, "challenger": 2} == project.registry.aliases()
        last = project.database.one("SELECT * FROM audit ORDER BY id DESC LIMIT 1")
        verdict = conclusion.verdict_of(project, project.jobs.latest(1)[0])
        assert ("updater", "promote") == (last["actor"], last["action"])
        assert verdict.summary in last["detail"]


# -- stages of maturity --------------------------------------------------------------------------


def test_manual_retraining_from_scratch(tmp_path: Path) -> None:
    """No trigger: rows wait until somebody asks, and then all of them are learnt anew."""
    with tiny.project(tmp_path, {"update": {"start": "scratch"}}) as project:
        for first in (0, 40):
            assert turned(project, first) is None
            project.jobs.ask("update", "by hand", "me")
            assert "done" == updater.turn(project).state
            made = project.registry.champion()
            assert (None, 0, first + 40) == (made.parent, made.after, made.upto)
            assert project.log.count(0) == made.note["rows"]


def test_from_scratch_the_newest_rows_are_learnt(tmp_path: Path) -> None:
    """Where the log keeps more than one update may learn; and once, not over and over."""
    said = {**COUNT, "update": {"start": "scratch", "max_rows": 25}}
    with tiny.project(tmp_path, said) as project:
        for version in (1, 2):
            assert version == turned(project, 60 * version, 60)
            assert turned(project, 0, 0) is None
            made = project.registry.champion()
            assert (None, 25, project.log.head()) == (made.parent, made.note["rows"], made.upto)


@pytest.mark.parametrize(("start", "parent"), [("scratch", None), ("champion", 1)])
def test_scheduled_updates(tmp_path: Path, monkeypatch, start: str, parent: int | None) -> None:
    """When the clock says so: all of it from scratch, or what is new on top of the champion."""
    said = {"triggers": {"schedule": "0 3 * * *"}, "update": {"start": start}}
    real, days = time.time, 0
    monkeypatch.setattr(time, "time", lambda: real() + 86400 * days)
    with tiny.project(tmp_path, said) as project:
        for version in (1, 2):
            assert turned(project, 40 * version) is None
            days += 1
            job = updater.turn(project)
            assert version == job.version
            assert "the schedule" in job.reason
        assert parent == project.registry.champion().parent
        rows = [entry.rows for entry in ledger.entries(project)]
        new = project.log.count(40)
        assert [project.log.count(0) - new, project.log.count(0) if parent is None else new] == rows


def test_continual_learning(tmp_path: Path) -> None:
    """So many new rows call for the next update, a drift does too."""
    with tiny.project(tmp_path, {"triggers": {"count": 20, "drift": True}}) as project:
        assert 1 == turned(project, 0)
        assert turned(project, 40, 9) is None
        assert 2 == turned(project, 49)
        assert turned(project, 89, 9) is None
        drift = "INSERT INTO drifts (at, seq, detector, detail) VALUES (?, ?, 'adwin', '{}')"
        project.database.transact(lambda c: c.execute(drift, (time.time(), project.log.head())))
        assert 3 == turned(project, 98, 1)
        assert "adwin found a drift" == project.jobs.latest(1)[0].reason
