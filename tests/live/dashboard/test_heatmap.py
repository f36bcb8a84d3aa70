"""Accuracy of versions on spans."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.live.dashboard import story

from perdure.live import accuracy
from perdure.live.answers import ANCHOR, Cell
from perdure.live.project import Project
from perdure.live.service.dashboard.views import heatmap as views
from perdure.live.service.dashboard.views.heatmap import heatmap


def test_versions_are_lines_newest_first_and_spans_columns_oldest_first(lived: Project) -> None:
    """With the accuracies that were written, and None where nothing was measured."""
    found = heatmap(lived)
    assert [4, 3, 2, 1] == [line.version for line in found.lines]
    assert ["1", "2", "3"] == [span.name for span in found.spans]
    for line in found.lines:
        wanted = [story.CORRECT[line.version].get(span) for span in (1, 2, 3)]
        assert wanted == [None if cell is None else cell.correct for cell in line.cells]


def test_the_whole_is_the_sum_of_the_spans_without_the_anchor(lived: Project) -> None:
    """The anchor stands apart."""
    for line in heatmap(lived).lines:
        assert line.overall is not None
        assert line.anchor is not None
        assert line.overall.correct == sum(story.CORRECT[line.version].values())
        assert 0.9 == line.anchor.accuracy


def test_aliases_are_named(lived: Project) -> None:
    """Champion, challenger and previous."""
    names = {line.version: line.aliases for line in heatmap(lived).lines}
    assert {4: ("challenger",), 3: ("champion",), 2: ("previous",), 1: ()} == names


def test_a_drop_is_measured_from_the_best_older_version(lived: Project) -> None:
    """On the first span: 9, then 7, then 8, then 9 of ten."""
    drops = [line.cells[0].drop for line in heatmap(lived).lines if line.cells[0] is not None]
    assert [0.0, 0.1, 0.2, 0.0] == pytest.approx(drops)


def test_what_never_served_is_no_measure(project: Project) -> None:
    """Version 4 is better than version 5 everywhere, and nobody was ever answered by it."""
    assert 5 == story.version(project)
    write(project, {(5, 1): (10, 9), (5, 2): (10, 9), (5, 3): (10, 9)})
    (line,) = (line for line in heatmap(project).lines if line.version == 5)
    assert [0.0, 0.0, 0.0] == [cell.drop for cell in line.cells if cell is not None]


def test_a_slice_can_be_chosen_and_an_unknown_one_is_none(lived: Project) -> None:
    """Only slices that the newest version was measured on are offered."""
    found = heatmap(lived, "class:red")
    assert ("class:red",) == found.slices
    assert "class:red" == found.slice
    assert {4} == {cell.rows for line in found.lines for cell in line.cells if cell is not None}
    assert "" == heatmap(lived, "class:pink").slice


def test_the_number_of_versions_is_limited_and_the_rest_counted(lived: Project) -> None:
    """The latest are shown."""
    found = heatmap(lived, limit=3)
    assert [4, 3, 2] == [line.version for line in found.lines]
    assert 1 == found.more


def test_few_rows_are_marked(project: Project) -> None:
    """Those of cells under `gate.min_rows`, which is 5 here."""
    write(project, {(4, 1): (4, 4), (4, 2): (5, 5)})
    (first,) = (line for line in heatmap(project).lines if line.version == 4)
    assert [True, False] == [cell.few for cell in first.cells if cell is not None]


def test_anchors_that_are_gone_are_not_compared(project: Project) -> None:
    """Versions that were measured on other pinned rows have no number there."""
    project.database.transact(
        lambda c: accuracy.write(c, [Cell(4, ANCHOR, "anchor:new", 20, 20), Cell(4, 1, "", 9, 9)])
    )
    anchors = {line.version: line.anchor for line in heatmap(project).lines}
    assert anchors[4] is not None
    assert [None] * 3 == [anchors[version] for version in (1, 2, 3)]


def test_the_open_span_has_a_column(project: Project) -> None:
    """Rows that came after the last span had closed."""
    write(project, {(4, 3): (10, 9), (4, 4): (10, 6)})
    assert ["1", "2", "3", "open"] == [span.name for span in heatmap(project).spans]


def test_before_the_first_verdict_the_map_is_empty(fresh: Project) -> None:
    """And has a scale all the same."""
    found = heatmap(fresh)
    assert () == found.lines
    assert not found.has_anchor
    assert (0.0, 1.0) == (found.low, found.high)


@given(
    st.dictionaries(
        st.tuples(st.integers(1, 4), st.integers(1, 3)),
        st.integers(1, 50).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
        min_size=1,
    )
)
def test_shades_keep_the_order_of_accuracies_and_small_differences_small(
    counts: Mapping[tuple[int, int], tuple[int, int]],
) -> None:
    """The scale holds every accuracy, spans at least a tenth, and lies within 0 and 1."""
    low, high = views._ends(list(counts.values()))
    assert 0 <= low < high <= 1
    assert high - low >= views.NARROWEST - 1e-9
    painter = views._Painter(low, high, 1)
    cells = sorted(
        (cell for held in counts.values() if (cell := painter.cell(held)) is not None),
        key=lambda cell: cell.accuracy,
    )
    levels = [cell.level for cell in cells]
    assert sorted(levels) == levels
    assert set(levels) <= set(range(views.LEVELS + 1))


def write(project: Project, counts: Mapping[tuple[int, int], tuple[int, int]]) -> None:
    cells = [Cell(v, span, "", rows, right) for (v, span), (rows, right) in counts.items()]
    project.database.transact(lambda c: accuracy.write(c, cells))
