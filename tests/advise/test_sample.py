"""What a sample says of a problem, and what it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from perdure.advise.questions import Situation
from perdure.advise.records import Columns
from perdure.advise.sample import Sample, measure

ROWS = 1200
WEEKS = np.repeat(np.arange(12), 100)


def table(seed: int = 0, *, grows: bool = False, drifts: bool = False) -> pd.DataFrame:
    """Twelve weeks of 100 rows, shuffled."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["ok", "scratch"], ROWS)
    if grows:
        kind[(WEEKS >= 6) & (rng.random(ROWS) < 0.5)] = "dent"
    held = {
        "week": WEEKS,
        "site": rng.choice(["north", "south", "west"], ROWS),
        "heat": rng.normal(size=ROWS) + (WEEKS / 4 if drifts else 0),
        "weight": rng.normal(size=ROWS),
        "kind": kind,
    }
    return pd.DataFrame(held).sample(frac=1, random_state=seed)


def measured(frame: pd.DataFrame, folder: Path, **columns: str) -> Sample:
    frame.to_parquet(folder / "parts.parquet")
    return measure(folder / "parts.parquet", Columns("kind", **columns))


@pytest.mark.parametrize("grows", [True, False])
@pytest.mark.parametrize("drifts", [True, False])
def test_growth_and_drift_are_told_apart(tmp_path: Path, grows: bool, drifts: bool) -> None:
    """Each is found where it is and only there, though the file is shuffled."""
    found = measured(table(grows=grows, drifts=drifts), tmp_path, time="week", source="site")
    assert (grows, drifts) == (found.growing, found.drifting)
    assert ROWS == found.rows
    assert {"ok", "scratch"} <= set(found.classes)


def test_findings_name_the_class_the_column_and_the_size(tmp_path: Path) -> None:
    """So that one can look for oneself."""
    said = " ".join(measured(table(grows=True, drifts=True), tmp_path, time="week").measured)
    assert "1,200 rows of 3 classes" in said
    assert "1 of 3 classes came later than chance allows; the last, 'dent'" in said
    assert "rows in order of week" in said
    assert "'heat' by 0." in said
    assert "in the later half" in said


def test_a_shuffled_file_without_times_proves_nothing(tmp_path: Path) -> None:
    """What is not found there may well be there: it is left open, and the advice is to name it."""
    found = measured(table(grows=True, drifts=True).drop(columns="week"), tmp_path)
    assert found.growing is None
    assert found.drifting is None
    assert 2 == " ".join(found.unmeasured).count("name the time column")


def test_a_file_that_stands_in_order_shows_it(tmp_path: Path) -> None:
    """Classes that arrive late in the file's own order are evidence."""
    ordered = table(grows=True).sort_values("week").drop(columns="week")
    assert measured(ordered, tmp_path).growing is True


def test_sources_that_differ_are_a_drift(tmp_path: Path) -> None:
    """Found between places, without any times."""
    frame = table()
    frame["weight"] += frame["site"] == "west"
    found = measured(frame.drop(columns="week"), tmp_path, source="site")
    assert found.drifting is True
    assert "'weight' by" in " ".join(found.measured)
    assert "in source west" in " ".join(found.measured)


def test_too_few_rows_leave_a_large_gap_open(tmp_path: Path) -> None:
    """Not evidence of a change, and not evidence of none."""
    found = measured(table()[:24], tmp_path, time="week")
    assert found.drifting is None
    assert "may be chance in so few rows" in " ".join(found.unmeasured)


def test_where_no_class_stays_no_input_can_be_compared(tmp_path: Path) -> None:
    """Classes one after another: they grow, and drift is left open."""
    frame = table().assign(kind=lambda frame: frame["week"].astype(str))
    found = measured(frame, tmp_path, source="week")
    assert found.drifting is None
    assert "no class is on both sides" in " ".join(found.unmeasured)


def test_a_column_that_counts_is_pointed_out(tmp_path: Path) -> None:
    """A time that was left among the inputs would look like the largest drift of all."""
    frame = table().assign(number=lambda frame: frame["week"] * 100.0)
    said = " ".join(measured(frame, tmp_path, time="week").measured)
    assert "a time or a counter?" in said


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (["a", "b", "c", "d"], "each with labels of its own"),
        (["a", "a", "a", "a"], "all with the same labels"),
        (["a", "a", "b", "b"], "with some labels in common"),
    ],
)
def test_tasks_are_counted_and_their_labels_compared(
    tmp_path: Path, kinds: list[str], words: str
) -> None:
    """Whether their ids will be known later, no sample can say."""
    frame = pd.DataFrame({"task": [0, 1, 2, 3] * 20, "kind": kinds * 20, "x": range(80)})
    found = measured(frame, tmp_path, task="task")
    assert 4 == found.tasks
    assert f"4 task ids, {words}" in " ".join(found.measured)
    assert "only you know" in " ".join(found.unmeasured)


def test_a_folder_says_what_it_cannot_say(tmp_path: Path) -> None:
    """Classes and counts are all that it has."""
    for name in ("cat/a.png", "cat/b.png", "dog/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = measure(tmp_path, Columns())
    assert (None, None, None) == (found.growing, found.drifting, found.tasks)
    assert "3 rows of 2 classes, the rarest with 1 and the commonest with 2" in found.measured
    assert 3 == len(found.unmeasured)


def test_names_and_times_among_the_columns_are_said_to_be_set_aside(tmp_path: Path) -> None:
    """And handed on, so that no model is shown them."""
    frame = table().assign(part=lambda frame: [f"part {i}" for i in range(len(frame))])
    found = measured(frame, tmp_path, time="week")
    assert ("part",) == found.aside
    assert "column 'part': it holds times, names or texts" in found.unmeasured


def test_a_sample_answers_what_was_left_open_and_nothing_else(tmp_path: Path) -> None:
    """Whoever said otherwise is believed; how much there is in all is not taken from a sample."""
    found = measured(table(grows=True, drifts=True), tmp_path, time="week", task="site")
    filled = found.fill(Situation())
    assert Situation(growing=True, drifting=True, boundaries=True) == filled
    told = Situation(growing=False, drifting=False, boundaries=False)
    assert told == found.fill(told)
