"""The emergency brake: it serves and stores, and learns nothing by itself."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.live import tiny

from perdure.live import conclusion, status, triggers, update, updater
from perdure.live.freezing import freeze, frozen, unfreeze
from perdure.live.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    with tiny.quick_gate(), tiny.project(tmp_path, {"triggers": {"count": 20}}) as opened:
        opened.log.append(tiny.rows(0, 40)).result()
        updater.turn(opened)
        yield opened


def test_rows_are_stored_and_no_update_begins(project: Project) -> None:
    """However many come; once it goes on, all of them are learnt."""
    freeze(project.database, "me", "an outage upstream")
    project.log.append(tiny.rows(40, 40)).result()
    assert updater.turn(project) is None
    assert "frozen by me: an outage upstream" in triggers.explain(project, time.time())["reason"]
    assert 1 == project.registry.champion().version
    unfreeze(project.database, "you", "it is over")
    assert 2 == updater.turn(project).version
    assert 80 == project.registry.champion().upto


def test_an_update_that_was_asked_for_says_why_it_does_not_begin(project: Project) -> None:
    """One that waits when the brake is pulled does not begin either."""
    project.log.append(tiny.rows(40, 40)).result()
    project.jobs.ask("update", "by hand", "me")
    freeze(project.database, "me", "wait")
    job = updater.turn(project)
    assert "failed" == job.state
    assert "frozen by me: wait; `perdure unfreeze` goes on" == job.error


def test_an_update_that_runs_is_judged_and_not_promoted(project: Project) -> None:
    """A person may promote it, then or later."""
    project.log.append(tiny.rows(40, 40)).result()
    job = update.plan(project, project.jobs.ask("update", "to test", "me"))
    freeze(project.database, "me", "wait")
    done = updater.perform(project, job)
    assert ("done", "promote") == (done.state, conclusion.verdict_of(project, done).word)
    assert ("blessed", 1) == (project.registry.get(2).state, project.registry.champion().version)
    unfreeze(project.database, "me", "go on")
    assert updater.turn(project) is None
    assert 1 == project.registry.champion().version
    freeze(project.database, "me", "wait again")
    project.registry.promote(2, actor="me", reason="I looked at it")
    assert 2 == project.registry.champion().version


def test_who_froze_it_and_why_is_known_until_it_goes_on(project: Project) -> None:
    """In every process; the last one who said so, and both in the audit."""
    assert frozen(project.database) is None
    freeze(project.database, "me", "first")
    held = freeze(project.database, "you", "second")
    with Project(project.directory) as other:
        assert held == frozen(other.database)
        assert {"actor": "you", "reason": "second"} == status.status(other)["frozen"]
        assert status.warnings(other) == ["frozen by you: second; `perdure unfreeze` goes on"]
    unfreeze(project.database, "me", "third")
    assert (frozen(project.database), []) == (None, status.warnings(project))
    unfreeze(project.database, "me", "again")
    said = project.database.read("SELECT actor, action FROM audit WHERE action LIKE '%freeze'")
    expected = [("me", "freeze"), ("you", "freeze"), ("me", "unfreeze"), ("me", "unfreeze")]
    assert expected == [tuple(row) for row in said]
