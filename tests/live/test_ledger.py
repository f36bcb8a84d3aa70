"""What updates cost beside training from scratch: measured, or extrapolated and marked so."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from tests.live import tiny

from perdure.live import conclusion, evaluation, ledger
from perdure.live.labels import Label
from perdure.live.ledger import Entry, Twin
from perdure.live.project import Project

TWINS = {"update": {"twin_every": 2}, "learner": {"methods": [{"name": "ER", "capacity": 500}]}}


def fed(project: Project, first: int, count: int = 40) -> Entry:
    """Send rows and learn them; what the ledger says."""
    project.log.append(tiny.rows(first, count)).result()
    assert "done" == tiny.updated(project).state
    return ledger.entries(project)[-1]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    with tiny.project(tmp_path, TWINS) as opened:
        yield opened


def test_every_update_is_entered_once(project: Project) -> None:
    """With its version, its rows, and what the meter counted."""
    for number in range(3):
        entry = fed(project, 40 * number)
        made = project.registry.champion()
        assert (number + 1, made.version) == (entry.job, entry.version)
        assert (made.note["rows"], made.bytes) == (entry.rows, entry.bytes_stored)
        assert made.note["cost"]["flops"] == entry.flops > 0
        verdict = conclusion.verdict_of(project, project.jobs.get(entry.job))
        assert verdict.accuracy == entry.accuracy
    assert [1, 2, 3] == [entry.job for entry in ledger.entries(project)]
    assert [2, 3] == [entry.job for entry in ledger.entries(project, limit=2)]


def test_rows_read_hold_those_that_were_recalled(project: Project) -> None:
    """Replay is work too: from the second batch on there are rows to recall."""
    entry = fed(project, 0)
    assert entry.rows < entry.rows_read <= 2 * entry.rows


def test_a_twin_is_measured_every_so_often_and_extrapolated_in_between(project: Project) -> None:
    """By the number of rows; and each says which of both it is."""
    entries = [fed(project, 0), fed(project, 40), fed(project, 80, 20), fed(project, 100)]
    assert [True, False, True, False] == [entry.twin.measured for entry in entries]
    first, second, third, fourth = (entry.twin for entry in entries)
    assert [project.log.count(0, upto) for upto in (40, 80, 100, 140)] == [
        twin.rows for twin in (first, second, third, fourth)
    ]
    for measured, guessed in ((first, second), (third, fourth)):
        ratio = guessed.rows / measured.rows
        for name in ("flops", "seconds", "rows_read"):
            assert getattr(measured, name) * ratio == pytest.approx(getattr(guessed, name))
        assert (None, None) == (guessed.accuracy, guessed.peak_memory_bytes)
    assert first.rows < third.rows
    assert third.flops == pytest.approx(first.flops * third.rows / first.rows, rel=0.01)


def test_no_twin_is_trained_where_nobody_asked(tmp_path: Path) -> None:
    """And none is made up before the first was measured."""
    with tiny.project(tmp_path) as project:
        entry = fed(project, 0)
        assert entry.twin is None
        assert (None, None) == (entry.saved, entry.gap)
        assert not ledger.twin_is_due(project)


def test_a_twin_is_trained_from_scratch_without_any_method(project: Project) -> None:
    """On all rows that the log keeps, each with its last label; the same one every time."""
    fed(project, 0)
    fed(project, 40)
    number = project.database.value("SELECT id FROM rows WHERE part = 'train'")
    given = next(
        name for name in tiny.CLASSES if name != tiny.row(int(number.removeprefix("row-"))).label
    )
    project.labels.give([Label(number, given)]).result()
    head = project.log.head()
    learner, cost, rows = ledger.train_twin(project, head)
    assert () == tuple(learner.methods)
    assert project.log.count(0) - 1 == rows == cost.rows
    again, _, _ = ledger.train_twin(project, head)
    ours, other = learner.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(ours[name], other[name]) for name in ours)


def test_the_gap_stands_beside_the_savings(project: Project) -> None:
    """Savings mean nothing without what they cost in accuracy."""
    fed(project, 0)
    entry = ledger.entries(project)[-1]
    assert 1 - entry.flops / entry.twin.flops == entry.saved
    assert entry.twin.accuracy - entry.accuracy == entry.gap
    learner, _, _ = ledger.train_twin(project, 40)
    assert evaluation.accuracy(project, learner) == entry.twin.accuracy
    said = entry.to_dict()
    assert (entry.saved, entry.gap) == (said["saved"], said["gap"])
    assert asdict(entry.twin) == said["twin"]


def test_what_was_not_measured_makes_no_gap() -> None:
    """By hand: an extrapolated twin has no accuracy, and an update may have none."""
    twin = Twin(100, 200.0, 2.0, 100, None, None, measured=False)
    entry = Entry(1, 1, 10, 50.0, 0.5, 20, None, 1000, 0.9, twin)
    assert (0.75, None) == (entry.saved, entry.gap)
    measured = replace(twin, accuracy=0.95, measured=True)
    assert pytest.approx(0.05) == replace(entry, twin=measured).gap
    assert replace(entry, twin=measured, accuracy=None).gap is None
    assert replace(entry, twin=None).saved is None


def test_an_update_that_cost_more_than_its_twin_saved_less_than_nothing() -> None:
    """It is told as it is."""
    twin = Twin(10, 100.0, 1.0, 10, None, 0.5, measured=True)
    assert -1.0 == Entry(1, 1, 10, 200.0, 2.0, 20, None, 1000, 0.5, twin).saved
