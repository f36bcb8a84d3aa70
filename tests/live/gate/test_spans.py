"""Spans and R[version, span]: what is told apart, what merges, and what the matrix then says."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from perdure.live import accuracy, evaluation, spans
from perdure.live.answers import Cell
from perdure.measure.flips import count_flips


def grown(one, counts):
    """A span for each number of rows."""
    first = 0
    for count in counts:
        evaluation.take(one.project, one.send(one.rows(first, count)))
        spans.close(one.project, one.project.log.head())
        first += count


def test_rows_belong_to_the_span_in_which_they_came(line):
    """Closing a span opens the next; closing it again, or without a row, does nothing."""
    one = line(capacity=1000)
    evaluation.take(one.project, one.send(one.rows(0, 60)))
    first = spans.close(one.project, 60)
    assert (first.span, first.name, first.first, first.last) == (1, "1", 1, 60)
    assert spans.close(one.project, 60) is None
    evaluation.take(one.project, one.send(one.rows(60, 30)))
    second = spans.close(one.project, 90, "march")
    assert (second.span, second.name, second.first, second.last) == (2, "march", 61, 90)
    rows = evaluation.read(one.project).rows
    assert [(rows.called(span), int(mask.sum())) for span, mask in rows.by_span()] == [
        ("1", one.project.log.count(0, 60, "evaluate")),
        ("march", one.project.log.count(60, 90, "evaluate")),
    ]


def test_the_two_smallest_neighbours_merge(line):
    """Four spans at most: the third and fourth are the smallest pair, in the accuracies too."""
    one = line(capacity=1000, max_spans=4)
    grown(one, [90, 60, 12, 15])
    cells = [Cell(5, 2, "", 30, 20), Cell(5, 3, "", 6, 5), Cell(5, 4, "", 8, 2)]
    cells += [Cell(5, 4, "class:red", 3, 1), Cell(6, 3, "", 6, 6)]
    one.project.database.transact(lambda c: accuracy.write(c, cells))
    grown(one, [])
    evaluation.take(one.project, one.send(one.rows(500, 60)))
    spans.close(one.project, one.project.log.head())
    assert [span.name for span in spans.closed(one.project)] == ["1", "2", "3..4", "5"]
    assert accuracy.cells(one.project) == [
        Cell(5, 2, "", 30, 20),
        Cell(5, 4, "", 14, 7),
        Cell(6, 4, "", 6, 6),
    ]
    assert accuracy.cells(one.project, "class:red") == [Cell(5, 4, "class:red", 3, 1)]
    rows = evaluation.read(one.project).rows
    assert [span for span, _ in rows.by_span()] == [1, 2, 4, 5]


def test_there_are_never_more_spans_than_allowed(line):
    """However many updates end; names tell what a span came to hold, and none is lost."""
    one = line(capacity=1000, max_spans=3)
    grown(one, [6] * 9)
    held = spans.closed(one.project)
    assert len(held) == 3
    assert held[0].first == 1
    assert held[-1].last == 54
    assert all(a.last + 1 == b.first for a, b in pairwise(held))
    assert held[0].name.startswith("1")
    assert held[-1].name.endswith("9")


def test_the_matrix_is_that_of_the_versions_that_served(line):
    """A column is the first champion that had learnt the span; nothing measured is None."""
    one = line(capacity=1000)
    assert accuracy.matrix(one.project) is None
    versions = []
    for first in (0, 60):
        evaluation.take(one.project, one.send(one.rows(first, 60)))
        one.keep(one.project.learner().state_dict())  # never serves, and has no column
        versions.append(one.serve(one.make()).version)
        spans.close(one.project, one.project.log.head())
    cells = [Cell(versions[0], 1, "", 20, 18), Cell(versions[1], 1, "", 20, 15)]
    cells += [Cell(versions[1], 2, "", 10, 9), Cell(versions[0] + 1, 1, "", 20, 1)]
    one.project.database.transact(lambda c: accuracy.write(c, cells))
    R = accuracy.matrix(one.project)
    assert R.tasks == ("1", "2")
    assert R.values == ((0.9, 0.75), (None, 0.9))
    assert R.bwt() == pytest.approx(-0.15)


def test_only_versions_that_served_are_history(line):
    """Forgetting is from what people had, not from what a refused version could have been."""
    one = line()
    one.send(one.rows(0, 30))
    served, other = one.serve(one.make(steps=1)), one.make(steps=1)
    cells = [Cell(v.version, 1, "", 20, 10) for v in (served, other)]
    one.project.database.transact(lambda c: accuracy.write(c, cells))
    assert len(accuracy.cells(one.project)) == 2
    assert accuracy.cells(one.project, served=True) == cells[:1]


def test_a_diff_counts_what_changed_in_every_cell(line):
    """In all, by span and slice, the flips are those of the answers."""
    one = line(capacity=1000)
    grown(one, [120, 90])
    a, b = one.make(steps=1), one.make(steps=60)
    one.serve(b)
    found = accuracy.diff(one.project, a.version, "champion")
    whole = found[0]
    questions = evaluation.read(one.project)
    before, after = (one.project.load(v.version).predict(questions.x).argmax(1) for v in (a, b))
    y = torch.from_numpy(questions.rows.y)
    assert whole.flips == count_flips(before, after, y)
    assert whole.before == float((before == y).double().mean())
    assert [(d.rule, d.name) for d in found[1:3]] == [("span", "1"), ("span", "2")]
    assert sum(d.flips.rows for d in found if d.rule == "slice") == whole.flips.rows
