"""The end of an update: what follows from a verdict, all of it or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.live import tiny

from perdure.live import conclusion, evaluation, ledger, spans, update, updater
from perdure.live.conclusion import conclude
from perdure.live.gate import Verdict
from perdure.live.jobs import Job
from perdure.live.project import Project
from perdure.live.registry import STATE
from perdure.live.repair import interpolate, movement
from perdure.live.rows import Row

COUNT = {"triggers": {"count": 20}}
UNSURE = {**COUNT, "gate": {"min_rows": 50}}
REFUSING = {**COUNT, "gate": {"max_step": 1e-12}}
QUICK = {"lr": 0.2, "methods": []}


@pytest.fixture(autouse=True)
def _quick():
    with tiny.quick_gate():
        yield


def turned(project: Project, first: int, count: int = 40) -> Verdict | None:
    """Send rows and let the updater take a turn; what the gate said."""
    project.log.append(tiny.rows(first, count)).result()
    job = updater.turn(project)
    return None if job is None else conclusion.verdict_of(project, job)


def judged_by(monkeypatch: pytest.MonkeyPatch, meanwhile) -> None:
    """Let something happen between the examination and what follows from it."""
    before = conclusion.examine

    def examined(*arguments):
        found = before(*arguments)
        meanwhile()
        return found

    monkeypatch.setattr(conclusion, "examine", examined)


def states(project: Project) -> list[str]:
    return [version.state for version in project.registry.all()]


# -- the three words -----------------------------------------------------------------------------


def test_all_that_follows_is_written_together(tmp_path: Path) -> None:
    """Verdict, accuracies, state, alias, ledger and the job's end."""
    with tiny.project(tmp_path, COUNT) as project:
        verdict = turned(project, 0)
        job = project.jobs.latest(1)[0]
        assert ("promote", 1) == (verdict.word, verdict.version)
        assert ("done", 1) == (job.state, job.version)
        assert ["blessed"] == states(project)
        assert 1 == project.registry.champion().version
        assert [(job.id, 1)] == [(entry.job, entry.version) for entry in ledger.entries(project)]
        cells = project.database.read("SELECT rows, correct FROM accuracy WHERE slice = ''")
        assert [verdict.rows] == [row["rows"] for row in cells]
        assert verdict.accuracy == cells[0]["correct"] / cells[0]["rows"]
        assert [40] == [span.last for span in spans.closed(project)]


def test_a_version_without_enough_evidence_waits_for_rows(tmp_path: Path) -> None:
    """It is not tried again without new ones; with them, all that the champion lacks is learnt."""
    with tiny.project(tmp_path, UNSURE) as project:
        turned(project, 0)
        assert "not enough evidence" == turned(project, 40).word
        assert ["blessed", "undecided"] == states(project)
        assert updater.turn(project) is None
        assert 0 == project.log.count(0, use="quarantine")
        assert "not enough evidence" == turned(project, 80).word
        last = project.registry.get(3)
        assert (1, 40, 120) == (last.parent, last.after, last.upto)
        assert project.log.count(40) == last.note["rows"]
        assert [40] == [span.last for span in spans.closed(project)]


def test_rows_of_a_refused_version_are_set_aside(tmp_path: Path) -> None:
    """Those that it learnt and those held out with them; the champion's own stay."""
    with tiny.project(tmp_path, REFUSING) as project:
        turned(project, 0)
        held = evaluation.read(project).rows.keys.tolist()
        verdict = turned(project, 40)
        assert "refuse" == verdict.word
        assert ["blessed", "refused"] == states(project)
        assert 40 == project.log.count(40, use="quarantine")
        assert 0 == project.log.count(0, 40, use="quarantine")
        assert held == evaluation.read(project).rows.keys.tolist()
        said = project.database.one("SELECT * FROM audit WHERE action = 'quarantine'")
        assert {"version": 2, "rows": 40, "reason": verdict.summary} == json.loads(said["detail"])
        assert updater.turn(project) is None


def test_rows_that_cannot_be_learnt_are_set_aside(tmp_path: Path) -> None:
    """One on which the model overflows does not have every later update fail, for ever."""
    with tiny.project(tmp_path, COUNT) as project:
        turned(project, 0)
        huge = np.full(4, 3e38, np.float32)
        sent = [Row(f"huge-{n}", huge, "red", source="broken") for n in range(5)]
        project.log.append(sent).result()
        assert turned(project, 40) is None
        job = project.jobs.latest(1)[0]
        assert "failed" == job.state
        assert "45 rows are set aside; `perdure update --release`" in job.error
        assert 45 == project.log.count(0, use="quarantine")
        said = project.database.one("SELECT detail FROM audit WHERE action = 'quarantine'")
        assert {"job": 2, "rows": 45} == {k: json.loads(said[0])[k] for k in ("job", "rows")}
        conclusion.release(project, "me", "honest ones", but=["broken"])
        project.jobs.ask("update", "by hand", "me")
        assert "done" == updater.turn(project).state
        assert 5 == project.log.count(0, use="quarantine")


def test_rows_that_cannot_be_learnt_stay_where_nothing_is_set_aside(tmp_path: Path) -> None:
    """The settings decide."""
    with tiny.project(tmp_path, {**COUNT, "abuse": {"quarantine": False}}) as project:
        project.log.append([Row("huge", np.full(4, 3e38, np.float32), "red")]).result()
        assert turned(project, 0) is None
        assert "set aside" not in project.jobs.latest(1)[0].error
        assert 0 == project.log.count(0, use="quarantine")


def test_rows_of_an_undecided_version_are_set_aside_with_the_refused_ones(tmp_path: Path) -> None:
    """The refused version had learnt them too."""
    with tiny.project(tmp_path, UNSURE) as project:
        turned(project, 0)
        turned(project, 40)
    with tiny.project(tmp_path, {**UNSURE, **REFUSING}) as project:
        assert "refuse" == turned(project, 80).word
        assert 80 == project.log.count(0, use="quarantine")


def test_release_gives_rows_back_in_their_order(tmp_path: Path) -> None:
    """As new examples: of their part of the split again, and said in the audit."""
    with tiny.project(tmp_path, REFUSING) as project:
        turned(project, 0)
        before = project.log.examples(0, 40).positions.tolist()
        new = [project.log.count(0, use=use) for use in ("train", "evaluate")]
        project.log.append(tiny.rows(40, 40)).result()
        trained = project.log.examples(40, 80).positions.tolist()
        both = [project.log.count(0, use=use) for use in ("train", "evaluate")]
        updater.turn(project)
        assert new == [project.log.count(0, use=use) for use in ("train", "evaluate")]
        assert 40 == conclusion.release(project, "me", "they are right")
        assert both == [project.log.count(0, use=use) for use in ("train", "evaluate")]
        assert before == project.log.examples(0, 80).positions.tolist()
        assert trained == project.log.examples(80, project.log.head()).positions.tolist()
        assert 0 == conclusion.release(project, "me", "again")
        said = project.database.read("SELECT actor, detail FROM audit WHERE action = 'release'")
        assert [("me", 40), ("me", 0)] == [
            (row["actor"], json.loads(row["detail"])["rows"]) for row in said
        ]


# -- what happens meanwhile ----------------------------------------------------------------------


def test_a_challenger_replaces_only_whom_it_was_compared_with(tmp_path: Path, monkeypatch) -> None:
    """Where somebody promotes another one meanwhile, that one stays."""
    with tiny.project(tmp_path, {**COUNT, "update": {"mode": "recommend"}}) as project:
        for first in (0, 40):
            turned(project, first)
        project.registry.promote(1, actor="me", reason="first")
    with tiny.project(tmp_path, COUNT) as project:
        judged_by(
            monkeypatch, lambda: project.registry.promote(2, actor="me", reason="no, this one")
        )
        assert "promote" == turned(project, 80).word
        assert ["blessed"] * 3 == states(project)
        assert 2 == project.registry.champion().version


def test_a_job_that_was_cancelled_while_it_was_judged_changes_nothing(
    tmp_path: Path, monkeypatch
) -> None:
    """No verdict, no promotion, no ledger: it ends as cancelled."""
    with tiny.project(tmp_path, COUNT) as project:
        judged_by(monkeypatch, lambda: project.jobs.cancel(1, "me"))
        assert turned(project, 0) is None
        assert "cancelled" == project.jobs.get(1).state
        assert (["candidate"], []) == (states(project), ledger.entries(project))
        assert {"challenger": 1} == project.registry.aliases()


def test_a_verdict_is_of_its_job(tmp_path: Path) -> None:
    """None before the gate has spoken."""
    with tiny.project(tmp_path) as project:
        assert conclusion.verdict_of(project, project.jobs.ask("update", "soon", "me")) is None


# -- a version between ---------------------------------------------------------------------------


def taught(project: Project) -> Job:
    """A champion that knows one colour, and a job that has learnt the others, not yet judged."""
    project.log.append([tiny.row(3 * n) for n in range(30)]).result()
    tiny.updated(project)
    project.log.append(tiny.rows(100, 150)).result()
    job = update.plan(project, project.jobs.ask("update", "to test", "me"))
    made = update.fold(project, job)
    project.registry.create(
        made.learner.state_dict(),
        parent=job.parent,
        job=job.id,
        after=job.after,
        upto=job.upto,
        note=ledger.cost_note(made),
    )
    return project.jobs.get(job.id)


@pytest.fixture
def between(tmp_path: Path) -> Project:
    """A project that lets a step pass that is a little shorter than the one that comes."""
    with tiny.project(tmp_path / "measured", {"learner": QUICK}) as project:
        taught(project)
        moved = movement(*(project.registry.load(version) for version in (1, 2)))
    said = {"learner": QUICK, "gate": {"max_step": 0.8 * moved}}
    with tiny.project(tmp_path / "between", said) as project:
        yield project


def test_a_version_between_takes_the_refused_ones_place(between: Project) -> None:
    """Its weights lie on the way from the champion; the refused one stays to be looked at."""
    job = taught(between)
    verdict = conclude(between, job)
    assert ("promote", 0.75) == (verdict.word, verdict.share)
    assert ["blessed", "refused", "blessed"] == states(between)
    assert {"champion": 3, "previous": 1, "challenger": 3} == between.registry.aliases()
    made = between.registry.get(3)
    assert {"from": 2, "share": 0.75} == made.note["interpolated"]
    assert (1, job.after, job.upto) == (made.parent, made.after, made.upto)
    assert 3 == between.jobs.get(job.id).version == ledger.entries(between)[-1].version
    expected = interpolate(between.registry.load(1), between.registry.load(2), 0.75)["model"]
    found = between.registry.load(3)["model"]
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert 0 == between.log.count(0, use="quarantine")


def test_a_version_between_that_a_crash_came_after_is_not_made_twice(
    between: Project, monkeypatch
) -> None:
    """The next process judges again, and goes on with the version that is there."""
    job = taught(between)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conclusion, "record", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            conclude(between, job)
    assert ["blessed", "candidate", "candidate"] == states(between)
    assert 1 == between.registry.champion().version
    verdict = conclude(between, between.jobs.get(job.id))
    assert ("promote", 0.75) == (verdict.word, verdict.share)
    assert ["blessed", "refused", "blessed"] == states(between)
    assert 3 == between.registry.champion().version


def test_a_damaged_version_is_refused_and_the_champion_serves_on(tmp_path: Path) -> None:
    """In the updater's turn as by hand."""
    with tiny.project(tmp_path) as project:
        job = taught(project)
        path = project.registry.path(project.registry.get(2)) / STATE
        path.write_bytes(path.read_bytes()[:-8])
        assert "refuse" == conclude(project, job).word
        assert 1 == project.registry.champion().version
