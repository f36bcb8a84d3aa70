"""The bench's plots: every number said, bands over seeds, ticks that can be read."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from perdure.bench import Result, lines
from perdure.bench.report.colours import colours
from perdure.bench.report.heatmap import heatmap
from perdure.bench.report.tradeoff import tradeoff
from perdure.bench.report.trajectory import accuracy_so_far, forgetting_so_far, newest
from perdure.measure import AccuracyMatrix


def test_a_heat_map_says_every_accuracy_in_percent(naive: Result) -> None:
    """Before any training, then after each task: 5 times 6 numbers; the diagonal stands out."""
    svg = heatmap("map", [naive])
    said = [text for text in texts(svg) if text.isdigit()]
    held = np.hstack((np.array(naive.matrix.baseline)[:, None], naive.matrix.array))
    assert sorted(f"{100 * value:.0f}" for value in held.flatten()) == sorted(said)
    assert 5 == svg.count("font-weight: 700")


def test_a_cell_that_was_not_measured_has_no_colour(few: list[Result]) -> None:
    """A dash on the bare page, not the colour of zero."""
    svg = heatmap("columns", few[2:3])
    assert 5 + 10 == texts(svg).count("\N{EN DASH}")


def test_a_map_of_many_tasks_names_a_few_of_them(naive: Result) -> None:
    """Thirty names would lie over one another, and thirty numbers a row could not be read."""
    many = replace(naive, matrix=AccuracyMatrix(np.full((30, 30), 0.5), baseline=[0.1] * 30))
    shown = texts(heatmap("thirty", [many]))
    assert [f"t{i}" for i in range(0, 30, 3)] == [text for text in shown if text[0] == "t"][-10:]
    assert "50" not in shown


def test_a_course_has_a_band_where_there_are_seeds(few: list[Result]) -> None:
    """One standard deviation; a single seed has none."""
    for draw in (accuracy_so_far, forgetting_so_far, newest):
        several, one = lines(few), lines([few[0], few[2]])
        colour = colours([line.label for line in several])
        assert 2 == draw("several", several, colour).count("FillBetweenPolyCollection")
        assert 0 == draw("single", one, colour).count("FillBetweenPolyCollection")


def test_a_point_stands_for_each_method_that_spent_something(few: list[Result]) -> None:
    """A logarithmic axis has no place for nothing."""
    found = lines(few)
    colour = colours([line.label for line in found])
    assert {"naive", "progressive"} <= set(texts(tradeoff("all", found, colour, "flops")))
    free = [replace(r, cost=replace(r.cost, flops=0)) for r in few[:2]]
    shown = texts(tradeoff("some", lines([*free, *few[2:]]), colour, "flops"))
    assert "naive" not in shown
    assert "progressive" in shown


@pytest.mark.parametrize(("low", "high", "ticks"), [(2e9, 1e10, "5 G"), (1e3, 1e9, "1 M")])
def test_costs_have_ticks_that_can_be_read(
    few: list[Result], low: float, high: float, ticks: str
) -> None:
    """1, 2 and 5 where the methods are near each other, powers of ten where they are not."""
    cheap, dear = (
        replace(r, cost=replace(r.cost, flops=int(flops)))
        for r, flops in ((few[0], low), (few[2], high))
    )
    found = lines([cheap, dear])
    shown = texts(tradeoff("ticks", found, colours([line.label for line in found]), "flops"))
    assert ticks in shown
    assert not any("10^" in text or "\N{MULTIPLICATION SIGN}" in text for text in shown)


def texts(svg: str) -> list[str]:
    tree = ET.fromstring(svg)  # noqa: S314  our own
    return ["".join(t.itertext()).strip() for t in tree.iter("text")]
