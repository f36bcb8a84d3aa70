"""The tidy file: a row a run, durable, resumable, and read back as it was written."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.bench import Experiment, NoResult, Result, Results
from perdure.bench.results import COLUMNS, record_of, row_of
from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.measure import AccuracyMatrix, Cost


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "bench")


def test_records_are_read_as_they_were_written(
    results: Results, naive: Result, few: list[Result]
) -> None:
    """Matrix, curves, cost, None where nothing was measured: all of it, by key."""
    refused = NoResult(Experiment(method="ewc"), "refused", "an impossible wish")
    for record in (naive, few[2], refused):
        results.append(record)
    back = results.read()
    assert [naive.experiment.key, few[2].experiment.key, refused.experiment.key] == list(back)
    assert [naive.matrix, naive.cost] == [back[naive.experiment.key].matrix, naive.cost]
    assert few[2].curves == back[few[2].experiment.key].curves
    assert few[2].measures() == back[few[2].experiment.key].measures()
    assert refused.reason == back[refused.experiment.key].reason


def test_the_file_is_tidy(results: Results, naive: Result) -> None:
    """One physical line a run, one column a measure, for any program that reads CSV."""
    results.append(naive)
    results.append(NoResult(Experiment(method="er"), "failed", "two\nlines, and a \u2028 third"))
    lines = results.path.read_text("utf-8").splitlines()
    assert 3 == len(lines)
    rows = list(csv.DictReader(lines))
    assert list(COLUMNS) == list(rows[0])
    assert [str(naive.matrix.accuracy()), "naive", "task", "digits", "0", "done"] == [
        rows[0][name] for name in ("accuracy", "method", "scenario", "data", "seed", "status")
    ]
    assert ["", "failed", "two lines, and a third"] == [
        rows[1][name] for name in ("accuracy", "status", "reason")
    ]


@pytest.mark.parametrize("torn", [1, 20, -1])
def test_a_torn_last_line_is_ignored_and_then_replaced(
    results: Results, naive: Result, few: list[Result], torn: int
) -> None:
    """A crash in the middle of a write loses that row and no other, and nothing is glued to it."""
    results.append(naive)
    whole = results.path.read_bytes()
    results.append(few[1])
    line = results.path.read_bytes()[len(whole) :]
    results.path.write_bytes(whole + line[:torn])
    assert [naive.experiment.key] == list(results.read())
    results.append(few[2])
    assert [naive.experiment.key, few[2].experiment.key] == list(results.read())


def test_a_torn_heading_begins_anew(results: Results, naive: Result) -> None:
    """The very first write may be the one that was torn."""
    results.append(naive)
    results.path.write_bytes(results.path.read_bytes()[:11])
    assert {} == results.read()
    results.append(naive)
    assert [naive.experiment.key] == list(results.read())


def test_the_last_record_of_a_run_counts(results: Results, naive: Result) -> None:
    """A run that failed and was done again has its result."""
    results.append(NoResult(naive.experiment, "failed", "the weather"))
    results.append(naive)
    (record,) = results.read().values()
    assert isinstance(record, Result)


def test_nothing_is_read_where_nothing_is(results: Results) -> None:
    """And no folder is made by looking."""
    assert {} == results.read()
    assert not results.folder.exists()


def test_a_damaged_line_is_named(results: Results, naive: Result, few: list[Result]) -> None:
    """Nothing is skipped in silence."""
    results.append(naive)
    results.append(few[1])
    text = results.path.read_text("utf-8").replace(",done,", ",dome,", 1)
    results.path.write_text(text, "utf-8")
    with pytest.raises(CheckpointMismatch, match=r"line 2 of .* 'dome'"):
        results.read()


def test_a_file_with_other_columns_is_refused(results: Results) -> None:
    """Rather than appended to."""
    results.folder.mkdir()
    results.path.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(CheckpointMismatch, match="name another folder"):
        results.read()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """Said at once."""
    (tmp_path / "x").write_text("", "utf-8")
    with pytest.raises(InvalidValue, match="is a file"):
        Results(tmp_path / "x")


def test_one_process_at_a_time_writes(results: Results, naive: Result) -> None:
    """The second is told so; when the first is through, the way is free."""
    with results.locked(), pytest.raises(InvalidValue, match="another process"), results.locked():
        pass
    with results.locked():
        results.append(replace(naive, curves=()))
    assert 1 == len(results.read())


FRACTIONS = st.none() | st.floats(0, 1)
COSTS = st.builds(
    Cost,
    flops=st.integers(0, 2**60),
    flops_counted=st.integers(0, 2**60),
    seconds=st.floats(0, 1e9),
    cpu_seconds=st.floats(0, 1e9),
    rows=st.integers(0, 2**40),
    updates=st.integers(0, 2**40),
    peak_memory_bytes=st.none() | st.integers(0, 2**50),
    state_bytes=st.integers(0, 2**50),
    parameters=st.integers(0, 2**40),
)


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.tuples(
            st.lists(st.lists(FRACTIONS, min_size=n, max_size=n), min_size=n, max_size=n),
            st.lists(FRACTIONS, min_size=n, max_size=n),
        )
    ),
    COSTS,
    st.lists(st.tuples(st.integers(0, 10**6), FRACTIONS), max_size=4).map(tuple),
)
def test_any_result_survives_its_row(
    matrix: tuple[list, list], cost: Cost, curve: tuple[tuple[int, float | None], ...]
) -> None:
    """Whatever was or was not measured, to the last digit."""
    values, before = matrix
    result = Result(
        Experiment(), AccuracyMatrix(values, baseline=before), cost, (curve, ()), {"torch": "2"}
    )
    back = record_of(row_of(result))
    assert result == back


@given(st.text(max_size=60))
def test_any_reason_is_one_line_of_the_file(reason: str) -> None:
    """And means the same when it is read, but for the white space."""
    row = row_of(NoResult(Experiment(method="er"), "failed", reason))
    assert 1 >= len(row["reason"].splitlines())
    assert " ".join(reason.split()) == record_of(row).reason
