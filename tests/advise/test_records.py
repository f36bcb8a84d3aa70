"""Reading a sample: tables, arrays, folders, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from perdure.advise.records import AS_IN_FILE, COLUMNS, Columns, read
from perdure.errors import DataUnavailable, InvalidValue

LABEL = Columns(label="kind")
VISITS = pd.DataFrame(
    {
        "week": [3, 1, 2, 1],
        "site": ["b", "a", "a", "b"],
        "age": [30.0, 40.0, None, 20.0],
        "ward": ["x", "y", "x", None],
        "kind": ["new", "old", "old", "new"],
    }
)


@pytest.fixture(params=["csv", "parquet"])
def visits(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same table in each format."""
    return written(VISITS, tmp_path / f"visits.{request.param}")


def written(table: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    return path


def test_a_table_is_read_in_the_order_of_its_file(visits: Path) -> None:
    """Numbers as numbers, categories as strings, and the label apart."""
    found = read(visits, LABEL)
    assert ["new", "old", "old", "new"] == found.labels.tolist()
    assert ["week", "site", "age", "ward"] == list(found.inputs)
    assert ["b", "a", "a", "b"] == found.inputs["site"].tolist()
    assert AS_IN_FILE == found.order
    assert {} == found.groups


def test_a_missing_number_stays_missing_and_a_missing_category_is_one(visits: Path) -> None:
    """Nothing is invented, and nothing gets lost."""
    found = read(visits, LABEL)
    assert [False, False, True, False] == np.isnan(found.inputs["age"]).tolist()
    assert 3 == len(set(found.inputs["ward"].tolist()))


def test_rows_are_put_in_the_order_of_their_times(visits: Path) -> None:
    """All columns together; rows of one time keep the file's order."""
    found = read(visits, Columns("kind", time="week"))
    assert ["old", "new", "old", "new"] == found.labels.tolist()
    assert ["a", "b", "a", "b"] == found.inputs["site"].tolist()
    assert "in order of week" == found.order
    assert "week" not in found.inputs


def test_a_task_and_a_source_are_groups_and_no_inputs(visits: Path) -> None:
    """In the order of the rows."""
    found = read(visits, Columns("kind", task="week", source="site"))
    assert ["3", "1", "2", "1"] == found.groups["task"].tolist()
    assert ["b", "a", "a", "b"] == found.groups["source"].tolist()
    assert ["age", "ward"] == list(found.inputs)


@pytest.mark.parametrize(
    "times",
    [
        ["2026-03-01", "2025-12-31", "2026-01-15", "2025-12-30"],
        pd.to_datetime(["2026-03-01", "2025-12-31", "2026-01-15", "2025-12-30"]),
        [2.5, -1.0, 0.0, -3.0],
    ],
    ids=["ISO 8601", "times", "numbers"],
)
def test_times_may_be_numbers_or_dates(times, tmp_path: Path) -> None:
    """All with the same order."""
    table = VISITS.assign(when=times)
    found = read(written(table, tmp_path / "visits.parquet"), Columns("kind", time="when"))
    assert [1, 1, 2, 3] == found.inputs["week"].tolist()
    assert ["b", "a", "a", "b"] == found.inputs["site"].tolist()


def test_a_column_of_names_or_times_is_set_aside(tmp_path: Path) -> None:
    """It could not be compared, and no model should see it."""
    table = pd.DataFrame(
        {
            "name": [f"visit {i}" for i in range(60)],
            "seen": pd.date_range("2026-01-01", periods=60),
            "age": range(60),
            "kind": ["new", "old"] * 30,
        }
    )
    found = read(written(table, tmp_path / "visits.parquet"), LABEL)
    assert ("name", "seen") == found.aside
    assert ["age"] == list(found.inputs)


def test_arrays_are_read_with_their_inputs_as_columns(tmp_path: Path) -> None:
    """Those that vary most, at most COLUMNS of them, and the rest is said to be left out."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 1, 10, 10)) * np.arange(100).reshape(1, 1, 10, 10)
    np.savez(tmp_path / "digits.npz", x=x, y=np.arange(40) % 3, when=-np.arange(40))
    found = read(tmp_path / "digits.npz", Columns(time="when"))
    assert COLUMNS == len(found.inputs)
    assert "x[99]" in found.inputs
    assert "x[0]" not in found.inputs
    assert found.skipped is not None
    assert found.skipped.startswith("36 entries")
    assert (np.arange(40) % 3)[::-1].astype(str).tolist() == found.labels.tolist()
    assert np.array_equal(found.inputs["x[99]"], x[::-1, 0, 9, 9])


def test_few_arrays_entries_are_all_looked_at(tmp_path: Path) -> None:
    """Then nothing is said to be left out."""
    np.savez(tmp_path / "few.npz", x=np.eye(4), y=np.arange(4))
    found = read(tmp_path / "few.npz", Columns())
    assert 4 == len(found.inputs)
    assert found.skipped is None


def test_a_folder_has_classes_and_no_order(tmp_path: Path) -> None:
    """Pictures are counted by sub-folder, other files are not; nothing is decoded."""
    for name in ("cat/a.png", "cat/deep/b.JPG", "dog/c.webp", "dog/notes.txt", "stray.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = read(tmp_path, Columns())
    assert ["cat", "cat", "dog"] == found.labels.tolist()
    assert found.order is None
    assert {} == found.inputs


# -- what is wrong ---------------------------------------------------------------------------------


def test_a_path_to_nothing_is_refused(tmp_path: Path) -> None:
    """With the whole path."""
    with pytest.raises(DataUnavailable, match=r"there is no /.*nowhere\.csv"):
        read(tmp_path / "nowhere.csv", LABEL)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    """It says how they should lie."""
    with pytest.raises(DataUnavailable, match="one sub-folder a class"):
        read(tmp_path, Columns())


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    """It says which kinds there are."""
    (tmp_path / "visits.xlsx").touch()
    with pytest.raises(InvalidValue, match=r"'\.xlsx'.*\.csv, \.parquet or \.npz"):
        read(tmp_path / "visits.xlsx", LABEL)


@pytest.mark.parametrize(
    "columns", [Columns(), Columns("sort"), Columns("kind", time="when")], ids=["none", "a", "b"]
)
def test_a_column_that_is_not_there_is_refused(visits: Path, columns: Columns) -> None:
    """It says which columns there are."""
    with pytest.raises(InvalidValue, match=r"\['week', 'site', 'age', 'ward', 'kind'\]"):
        read(visits, columns)


def test_a_quantity_is_no_class(tmp_path: Path) -> None:
    """This advice is for classes, and says so."""
    table = VISITS.assign(kind=[0.5, 1.0, 2.0, 3.0])
    with pytest.raises(InvalidValue, match=r"such as 0\.5, a quantity to predict"):
        read(written(table, tmp_path / "visits.parquet"), LABEL)


def test_whole_numbers_stored_as_floats_are_classes(tmp_path: Path) -> None:
    """As a table with a gap elsewhere often has them."""
    table = VISITS.assign(kind=[0.0, 1.0, 1.0, 0.0])
    found = read(written(table, tmp_path / "visits.csv"), LABEL)
    assert ["0", "1", "1", "0"] == found.labels.tolist()


@pytest.mark.parametrize("labels", [[1.0, None, 2.0, 1.0], ["a", None, "b", "a"]])
def test_missing_labels_are_refused(labels, tmp_path: Path) -> None:
    """Numbers and strings alike."""
    with pytest.raises(InvalidValue, match="missing labels; leave those rows out"):
        read(written(VISITS.assign(kind=labels), tmp_path / "visits.parquet"), LABEL)


def test_a_single_row_is_no_sample(tmp_path: Path) -> None:
    """There is nothing to compare."""
    with pytest.raises(InvalidValue, match="two labels or more"):
        read(written(VISITS[:1], tmp_path / "visits.csv"), LABEL)


def test_a_time_that_is_none_is_refused(visits: Path) -> None:
    """With its value and the form that is understood."""
    with pytest.raises(InvalidValue, match=r"'site' holds 'b'.*2026-03-31"):
        read(visits, Columns("kind", time="site"))


@pytest.mark.parametrize(
    "held",
    [{"x": np.eye(3)}, {"x": np.eye(3), "y": np.arange(4)}],
    ids=["no labels", "of other lengths"],
)
def test_arrays_that_do_not_fit_together_are_refused(held, tmp_path: Path) -> None:
    """It says what there is and what is needed."""
    np.savez(tmp_path / "odd.npz", **held)
    with pytest.raises(InvalidValue, match=r"has arrays .* needs x, y"):
        read(tmp_path / "odd.npz", Columns())


def test_arrays_of_objects_are_never_unpickled(tmp_path: Path) -> None:
    """A file may not run code."""
    np.savez(tmp_path / "odd.npz", x=np.array([{}, {}]), y=np.arange(2))
    with pytest.raises(InvalidValue, match="holds no plain arrays"):
        read(tmp_path / "odd.npz", Columns())
