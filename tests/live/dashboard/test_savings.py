"""The savings ledger."""

from __future__ import annotations

import json

import pytest

from perdure.live.project import Project
from perdure.live.service.dashboard.views.savings import savings


def test_entries_come_newest_first(lived: Project) -> None:
    """As the ledger has them."""
    found = savings(lived)
    assert [4, 3, 2, 1] == [entry.version for entry in found.entries]
    assert [False, True, False, True] == [entry.twin.measured for entry in found.entries]


def test_the_total_adds_up_updates_and_their_twins(lived: Project) -> None:
    """1000 + 2000 + 3000 + 4000 FLOPs beside four times as many."""
    total = savings(lived).total
    assert (4, 2) == (total.updates, total.measured)
    assert (10_000, 40_000) == (total.flops, total.twin_flops)
    assert 0.75 == total.saved
    assert (2.0, 8.0) == (total.seconds, total.twin_seconds)
    assert (320, 2000) == (total.rows, total.twin_rows)


def test_the_gap_is_the_mean_over_twins_with_an_accuracy(lived: Project) -> None:
    """The twins have 92%, the updates 90%."""
    assert 0.02 == pytest.approx(savings(lived).total.gap)


def test_an_update_without_a_twin_is_left_out_of_the_total(project: Project) -> None:
    """There is nothing to compare it with."""
    report = json.loads(project.database.value("SELECT report FROM ledger WHERE version = 4"))
    said = json.dumps({**report, "twin": None})
    project.database.transact(
        lambda c: c.execute("UPDATE ledger SET report = ? WHERE version = 4", (said,))
    )
    found = savings(project)
    assert 4 == len(found.entries)
    assert (3, 6000) == (found.total.updates, found.total.flops)


def test_before_the_first_twin_there_is_no_total(fresh: Project) -> None:
    """Nor an entry before the first update."""
    found = savings(fresh)
    assert ((), None, 0) == (found.entries, found.total, found.twin_every)
