"""Advice on a terminal: nothing lost, nothing broken."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from perdure.advise.advice import Advice, advise
from perdure.advise.architecture import NAMES
from perdure.advise.catalogue import catalogue
from perdure.advise.compatibility import table
from perdure.advise.questions import Situation
from perdure.advise.records import Columns
from perdure.advise.render import LETTERS, print_advice, print_table
from perdure.advise.sample import Sample, measure
from perdure.scenario import Scenario

SITUATIONS = [
    Situation(),
    Situation(task_known=True, zero_forgetting=True, tasks=20),
    Situation(task_known=False, boundaries=False, keep_raw=False),
    Situation(past_matters=False),
    Situation(growing=False, retrain=60.0, budget=600.0, rows=1000, new_rows=100),
]


def printed(advice: Advice, sample: Sample | None = None, width: int = 80) -> str:
    out = io.StringIO()
    print_advice(advice, sample, Console(file=out, width=width, highlight=False))
    return out.getvalue()


def words(text: str) -> list[str]:
    return text.split()


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("width", [60, 80, 160])
def test_every_word_of_the_advice_is_printed(situation: Situation, width: int) -> None:
    """Whatever the width: long lines are wrapped, none is cut."""
    advice = advise(situation)
    found = printed(advice, width=width)
    assert "…" not in found
    said = [advice.because, *advice.reasons, *advice.notes]
    said += [text for one in advice.tries for text in (one.method, one.reason)]
    said += [text for one in advice.impossible for text in (one.what, one.reason, one.instead)]
    said += [text for one in advice.depends for text in (one.question, one.otherwise)]
    missing = {word for text in said for word in words(text)} - set(words(found))
    assert set() == missing


@pytest.mark.parametrize("situation", SITUATIONS)
def test_commands_and_code_can_be_copied_from_a_narrow_terminal(situation: Situation) -> None:
    """They are not wrapped, indented or coloured."""
    advice = advise(situation)
    found = printed(advice, width=40)
    assert advice.code in found
    assert all(command in found.splitlines() for command in advice.commands)


def test_sections_come_in_the_order_in_which_one_reads() -> None:
    """What it is, what to do, what to try, what cannot be, what is missing, what next."""
    found = printed(advise(Situation()))
    titles = [
        "Scenario: class-incremental (class)",
        "What to do: learn continually",
        "Try, in this order",
        "See to it",
        "What cannot work here",
        "You did not say",
        "Next",
        "In code",
    ]
    places = [found.index(title) for title in titles]
    assert sorted(places) == places


def test_sections_with_nothing_in_them_are_left_out() -> None:
    """An empty heading is a question."""
    found = printed(advise(Situation(past_matters=False)))
    assert "What cannot work here" not in found
    assert "You did not say" not in found
    assert "In the sample" not in found


def test_a_column_that_looks_like_markup_is_printed_as_it_is(tmp_path: Path) -> None:
    """Names come from a stranger's file."""
    frame = pd.DataFrame({"day": range(600), "[red]heat": range(600), "kind": ["a", "b"] * 300})
    frame.to_parquet(tmp_path / "parts.parquet")
    sample = measure(tmp_path / "parts.parquet", Columns("kind", time="day"))
    assert "'[red]heat'" in printed(advise(Situation(), sample), sample)


def test_what_was_and_was_not_found_in_a_sample_comes_first(tmp_path: Path) -> None:
    """It is what the rest stands on."""
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").touch()
    (tmp_path / "cat" / "b.png").touch()
    sample = measure(tmp_path, Columns())
    found = printed(advise(Situation(), sample), sample)
    assert found.index("In the sample") < found.index("Not in the sample") < found.index("Scenario")


@pytest.mark.parametrize("retention", [True, False])
def test_the_table_has_a_letter_for_each_architecture_that_is_possible(retention: bool) -> None:
    """And a dot for each that is not, method by method and scenario by scenario."""
    cells = table(retention=retention)
    out = io.StringIO()
    print_table(cells, Console(file=out, width=100))
    rows = {row[0]: row[1:] for row in map(words, out.getvalue().splitlines()) if row}
    for place, scenario in enumerate(Scenario):
        for method in catalogue(scenario):
            expected = "".join(
                LETTERS[cell.architecture] if cell.verdict.possible else "·"
                for cell in cells
                if (cell.scenario, cell.method) == (scenario, method)
            )
            assert expected == rows[method][place]
    for architecture, letter in LETTERS.items():
        assert NAMES[architecture] == " ".join(rows[letter])
