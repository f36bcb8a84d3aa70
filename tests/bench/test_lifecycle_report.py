"""The page of life cycles holds everything, and says what was saved with what was given up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from perdure.bench import write_life_cycles
from perdure.bench.report.lifecycle import PANELS, row
from perdure.errors import InvalidValue
from perdure.measure import Cost, LifeCycle, Moment


def cycle(name: str, spent: list[int], accuracy: float, held: int) -> LifeCycle:
    moments = [
        Moment(
            10 * i, 2, accuracy, accuracy, held, Cost(flops, flops, cpu_seconds=flops / 1e6, rows=i)
        )
        for i, flops in enumerate(spent, 1)
    ]
    return LifeCycle(name, tuple(moments))


CHEAP = cycle("er capacity=2", [10**6] * 4, 0.9, 5000)
DEAR = cycle("joint", [10**6 * (i + 1) for i in range(4)], 0.92, 20000)


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "made" / "report.html"
    notes = {"torch": "2 <b>"}
    return write_life_cycles([CHEAP, DEAR], "joint", path, "A & B", "Lead.", notes).read_text()


def test_the_page_refers_to_nothing_outside_itself(html: str) -> None:
    """It can be sent by mail and opened in ten years."""
    assert "http" not in html.lower()
    targets = re.findall(r'(?:href|src)="([^"]*)"|url\(([^)]*)\)', html)
    assert all((a or b).startswith("#") for a, b in targets)
    assert "<script" not in html


def test_the_page_has_every_curve_and_both_lives(html: str) -> None:
    """Six plots, named for those who hear the page read; words of others are escaped."""
    assert list(PANELS) == re.findall(r'role="img" aria-label="([^"]*)"', html)
    assert 'scope="row">er capacity=2<' in html
    assert "<title>A &amp; B</title>" in html
    assert "2 &lt;b&gt;" in html
    assert "--paper" in html


def test_a_line_names_what_was_saved_beside_the_gap() -> None:
    """1 + 1 + 1 + 1 against 1 + 2 + 3 + 4: 60 percent; at the last batch 75."""
    cells = row(CHEAP, DEAR)
    assert "60.00 / 75.00" == cells["FLOPs saved"] == cells["seconds saved"]
    assert "2.0" == cells["final gap"] == cells["mean gap"]
    assert "90.0" == cells["final accuracy"]
    assert "75.0" == cells["memory saved"]
    assert "0" == cells["bytes a row"]
    assert "5 kB" == cells["memory"]


def test_the_reference_is_held_against_nothing() -> None:
    """Its line has no gap and saves nothing."""
    assert "final gap" not in row(DEAR, DEAR)


def test_a_page_needs_its_reference(tmp_path: Path) -> None:
    """The message names the life cycles that there are."""
    with pytest.raises(InvalidValue, match=r"no life cycle of 'cumulative'; .* 'joint'"):
        write_life_cycles([CHEAP, DEAR], "cumulative", tmp_path / "report.html")


def test_a_life_that_was_looked_at_now_and_then_has_a_curve_through_those_looks(
    tmp_path: Path,
) -> None:
    """Moments without an accuracy are left out of its curve, and the table still has a line."""
    blind = [
        Moment(m.rows, 2, None if i == 1 else 0.5, None if i == 1 else 0.5, m.held_bytes, m.cost)
        for i, m in enumerate(DEAR.moments)
    ]
    life = LifeCycle("naive", tuple(blind))
    text = write_life_cycles([life, DEAR], "joint", tmp_path / "r.html").read_text()
    assert 'scope="row">naive<' in text
    assert "42.0" == row(life, DEAR)["mean gap"]


def test_spending_over_many_powers_of_ten_has_a_tick_a_power(tmp_path: Path) -> None:
    """And small numbers are told whole: 5e-3 seconds, not 0.00."""
    wide = cycle("naive", [10**3, 10**5, 10**7, 10**9], 0.5, 100)
    text = write_life_cycles([wide, wide], "naive", tmp_path / "r.html").read_text()
    flops = text.split('aria-label="FLOPs of each batch"')[1].split("</svg>")[0]
    assert {"1 k", "1 M", "1 G"} <= set(re.findall(r">([\d.]+ ?[kMGTP]?)</text>", flops))
    times = text.split('aria-label="CPU seconds of each batch"')[1].split("</svg>")[0]
    assert "1e-3" in times
    assert ">0.00<" not in times


def test_nothing_spent_has_no_place_on_a_logarithmic_scale(tmp_path: Path) -> None:
    """A frozen model costs nothing after its first batch: its curve ends there."""
    free = cycle("frozen", [10**6, 0, 0, 0], 0.5, 100)
    text = write_life_cycles([free, DEAR], "joint", tmp_path / "r.html").read_text()
    assert 'scope="row">frozen<' in text
    assert "90.00 / 100.00" == row(free, DEAR)["FLOPs saved"]
