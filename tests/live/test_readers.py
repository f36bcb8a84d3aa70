"""Rows out of files: every format gives the same ones, and twice the same ids."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime
from itertools import chain

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import InvalidValue
from perdure.live.readers import count_rows, read_records, read_rows
from perdure.live.refusals import RowRefused
from perdure.live.schema import Column, Fields, Schema

TABLE = Schema(
    kind="table",
    columns=(
        Column(name="age", required=False, default=30.0),
        Column(name="town", type="category", required=False),
    ),
    open=True,
)
TENSOR = Schema(kind="tensor", shape=(2, 2), open=True)
TEXT = Schema(kind="text", length=100, open=True)

RECORDS = [
    {"age": 41.0, "town": "Oslo", "label": "yes"},
    {"age": 20.5, "town": "Bergen", "label": "no"},
    {"age": None, "town": "Oslo", "label": None},
    {"age": 41.0, "town": None, "label": "yes"},
]
FEATURES = [
    {"age": 41.0, "town": "Oslo"},
    {"age": 20.5, "town": "Bergen"},
    {"town": "Oslo"},
    {"age": 41.0},
]


def csv_of(path, frame, **options):
    frame.to_csv(path, index=False, **options)


def jsonl_of(path, frame):
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    path.write_text("\n".join(map(json.dumps, records)) + "\n\n")


WRITERS = {
    "rows.csv": csv_of,
    "rows.tsv": lambda path, frame: csv_of(path, frame, sep="\t"),
    "rows.parquet": lambda path, frame: frame.to_parquet(path),
    "rows.jsonl": jsonl_of,
}


def all_rows(path, schema, fields=None, **options):
    return list(chain.from_iterable(read_rows(path, schema, fields, **options)))


def lines(path, *text):
    path.write_text("\n".join(text) + "\n")
    return path


@pytest.fixture(params=WRITERS)
def path(request, tmp_path):
    """The same four rows in each of the formats."""
    WRITERS[request.param](tmp_path / request.param, pd.DataFrame(RECORDS))
    return tmp_path / request.param


def test_every_format_gives_the_same_rows(path):
    """Features, labels, and even the ids made from them: the first is written down here."""
    rows = all_rows(path, TABLE)
    assert FEATURES == [row.features for row in rows]
    assert ["yes", "no", None, "yes"] == [row.label for row in rows]
    assert ["5112-0"] == [row.id[:4] + row.id[-2:] for row in rows][:1]
    assert 4 == count_rows(path) == len(list(read_records(path)))


def test_rows_come_in_chunks(path):
    """Of the size that was asked for, the last one smaller."""
    assert [3, 1] == [len(chunk) for chunk in read_rows(path, TABLE, size=3)]
    assert all_rows(path, TABLE, size=3) == all_rows(path, TABLE)


def test_rows_fit_the_schema_that_they_were_read_for(path):
    """A default stands where a cell was empty."""
    encoded = TABLE.encode_many([row.features for row in all_rows(path, TABLE)])
    assert [41.0, 20.5, 30.0, 41.0] == TABLE.decode(encoded)[:, 0].tolist()


def test_everything_that_is_known_about_a_row_is_read(tmp_path):
    """Columns by their customary names."""
    held = lines(
        tmp_path / "a.csv",
        "id,age,town,label,event_time,subject,source,task",
        "r1,1,Oslo,yes,2026-01-31T12:00:00Z,ann,web,3",
        "17,2,Bergen,,,,,",
    )
    first, second = all_rows(held, TABLE)
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
    assert ("r1", "yes", noon, "ann", "web", 3) == (
        first.id,
        first.label,
        first.event_time,
        first.subject,
        first.source,
        first.task,
    )
    assert ("17", None, None, None, None, None) == (
        second.id,
        second.label,
        second.event_time,
        second.subject,
        second.source,
        second.task,
    )


def test_columns_may_be_named(tmp_path):
    """By the caller, or by the schema where the caller names none."""
    held = lines(tmp_path / "a.csv", "who,when,age,species,junk", "ann,7,1,cat,zzz")
    fields = Fields(subject="who", time="when", label="species", ignore=("junk",))
    (row,) = all_rows(held, TABLE, fields)
    assert ("ann", 7.0, "cat", {"age": 1.0}) == (
        row.subject,
        row.event_time,
        row.label,
        row.features,
    )
    assert [row] == all_rows(held, TABLE.model_copy(update={"fields": fields}))


def test_a_column_that_is_named_and_not_there_is_an_error(tmp_path):
    """The message has the part, the name and the columns that there are."""
    held = lines(tmp_path / "a.csv", "age,town", "1,Oslo")
    with pytest.raises(InvalidValue, match=r"no column 'species' for the label; it has age, town"):
        all_rows(held, TABLE, Fields(label="species"))


def test_a_column_that_the_schema_does_not_know_is_left_for_it_to_refuse(tmp_path):
    """A misspelled column never passes for a missing one."""
    held = lines(tmp_path / "a.csv", "agee,town", "1,Oslo")
    (row,) = all_rows(held, TABLE)
    with pytest.raises(RowRefused, match="'agee' is '1'; the schema has no such column"):
        TABLE.encode(row.features)


# -- ids -----------------------------------------------------------------------------------------

names = st.lists(st.sampled_from(["1,Oslo", "2,Oslo", "1,Bergen"]), max_size=8)


@given(names, names)
def test_a_file_that_grew_keeps_the_ids_of_its_old_rows(tmp_path_factory, old, new):
    """And no two rows ever share one, however often the same line stands there."""
    held = tmp_path_factory.mktemp("grown") / "a.csv"
    before = [row.id for row in all_rows(lines(held, "age,town", *old), TABLE)]
    after = [row.id for row in all_rows(lines(held, "age,town", *old, *new), TABLE)]
    assert before == after[: len(old)]
    assert len(old) + len(new) == len(set(after))


@given(st.permutations(["1,Oslo", "2,Oslo", "1,Bergen", "1,Oslo"]))
def test_ids_do_not_depend_on_the_order(tmp_path_factory, order):
    """Sorting a file makes no new rows."""
    held = lines(tmp_path_factory.mktemp("sorted") / "a.csv", "age,town", *order)
    kept = lines(held.with_name("b.csv"), "age,town", "1,Oslo", "1,Oslo", "2,Oslo", "1,Bergen")
    assert {row.id for row in all_rows(kept, TABLE)} == {row.id for row in all_rows(held, TABLE)}


def test_a_label_that_is_filled_in_later_belongs_to_the_row_that_is_there(tmp_path):
    """The label is no part of what a row is known by; its subject and time are."""
    header = "age,town,label,subject"
    (empty,) = all_rows(lines(tmp_path / "a.csv", header, "1,Oslo,,ann"), TABLE)
    (filled,) = all_rows(lines(tmp_path / "a.csv", header, "1,Oslo,yes,ann"), TABLE)
    (other,) = all_rows(lines(tmp_path / "a.csv", header, "1,Oslo,yes,bob"), TABLE)
    assert empty.id == filled.id != other.id


def test_equal_rows_of_two_files_can_be_set_apart(tmp_path):
    """By an origin for each."""
    held = lines(tmp_path / "a.csv", "age,town", "1,Oslo")
    monday, tuesday = (all_rows(held, TABLE, origin=day)[0].id for day in ("mon", "tue"))
    assert monday != tuesday
    assert monday == all_rows(held, TABLE, origin="mon")[0].id


# -- cells ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["", "  ", "NA", "n/a", "NaN", "null", "None", "?"])
def test_a_number_that_is_not_there_is_left_out(tmp_path, cell):
    """However the file writes that."""
    (row,) = all_rows(lines(tmp_path / "a.csv", "age,town", f"{cell},Oslo"), TABLE)
    assert {"town": "Oslo"} == row.features


def test_a_category_may_be_called_na(tmp_path):
    """Only a number is missing where the cell says so: Namibia's code is NA."""
    (row,) = all_rows(lines(tmp_path / "a.csv", "age,town", "1,NA"), TABLE)
    assert {"age": 1.0, "town": "NA"} == row.features


def test_a_number_that_is_none_is_left_for_the_schema_to_refuse(tmp_path):
    """With what stood there."""
    (row,) = all_rows(lines(tmp_path / "a.csv", "age,town", "old,Oslo"), TABLE)
    with pytest.raises(RowRefused, match="'age' is 'old'; give a number"):
        TABLE.encode(row.features)


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("1769860800", 1769860800.0),
        ("1769860800.5", 1769860800.5),
        ("2026-01-31T12:00:00Z", 1769860800.0),
        ("2026-01-31T13:00:00+01:00", 1769860800.0),
        ("2026-01-31 12:00:00", 1769860800.0),
        ("2026-01-31", 1769817600.0),
    ],
)
def test_a_time_is_seconds_or_iso_8601_in_utc_unless_said(tmp_path, cell, seconds):
    """Six ways to write two moments."""
    (row,) = all_rows(lines(tmp_path / "a.csv", "age,timestamp", f"1,{cell}"), TABLE)
    assert seconds == row.event_time


def test_a_parquet_file_has_times_of_its_own(tmp_path):
    """With and without a time zone, and dates."""
    moment = pd.Timestamp("2026-01-31T12:00:00")
    for time in (moment, moment.tz_localize("UTC"), moment.date()):
        pd.DataFrame({"age": [1.0], "timestamp": [time]}).to_parquet(tmp_path / "a.parquet")
        (row,) = all_rows(tmp_path / "a.parquet", TABLE)
        assert row.event_time in (1769860800.0, 1769817600.0)


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("timestamp", "yesterday", "row 1: 'timestamp' is 'yesterday'; give seconds since 1970"),
        ("task", "3.5", "row 1: 'task' is '3.5'; give an integer"),
        ("task", "first", "row 1: 'task' is 'first'; give an integer"),
    ],
)
def test_what_is_no_time_or_task_is_named(tmp_path, column, cell, said):
    """By its position in the file, whatever the chunk."""
    held = lines(tmp_path / "a.csv", f"age,{column}", "1,3", f"2,{cell}")
    with pytest.raises(RowRefused, match=said):
        all_rows(held, TABLE, size=1)


@pytest.mark.parametrize(
    ("label", "name"), [("3", "3"), (3, 3), (3.0, 3), (" cat ", "cat"), (None, None)], ids=repr
)
def test_labels_are_read_as_they_are_meant(tmp_path, label, name):
    """Pandas writes integers with gaps as floats."""
    held = lines(tmp_path / "a.jsonl", json.dumps({"age": 1, "label": label}))
    (row,) = all_rows(held, TABLE)
    assert name == row.label


# -- the other kinds -----------------------------------------------------------------------------


def test_a_tensor_may_be_spread_over_columns(tmp_path):
    """In the file's order, in the schema's shape."""
    (row,) = all_rows(lines(tmp_path / "a.csv", "a,b,c,d,label", "1,2,3,4,yes"), TENSOR)
    assert ([[1.0, 2.0], [3.0, 4.0]], "yes") == (row.features, row.label)


def test_a_tensor_may_be_nested_lists(tmp_path):
    """In JSON lines as in a request."""
    held = lines(tmp_path / "a.jsonl", '{"features": [[1, 2], [3, 4]], "id": "r", "label": 2}')
    (row,) = all_rows(held, TENSOR)
    assert ("r", [[1, 2], [3, 4]], 2) == (row.id, row.features, row.label)


def test_a_table_may_lie_under_features(tmp_path):
    """In JSON lines as in a request."""
    held = lines(tmp_path / "a.jsonl", '{"features": {"age": 3, "town": null}, "label": "yes"}')
    (row,) = all_rows(held, TABLE)
    assert ({"age": 3.0}, "yes") == (row.features, row.label)


@pytest.mark.parametrize("column", ["text", "comment"])
def test_a_text_is_the_one_column_that_is_left(tmp_path, column):
    """Whatever its name; quotes and line breaks are its own."""
    held = lines(tmp_path / "a.csv", f"{column},label", '"one, two\nthree ""four""",yes')
    (row,) = all_rows(held, TEXT)
    assert 'one, two\nthree "four"' == row.features
    assert 1 == count_rows(held)


def test_among_several_columns_the_text_is_named(tmp_path):
    """By custom, by the caller, or not at all, which is an error."""
    held = lines(tmp_path / "a.csv", "title,body", "a,b")
    assert "b" == all_rows(held, TEXT, Fields(features="body"))[0].features
    with pytest.raises(InvalidValue, match="of the columns title, body, none is called features"):
        all_rows(held, TEXT)
    assert "b" == all_rows(lines(tmp_path / "b.csv", "title,text", "a,b"), TEXT)[0].features


def test_arrays_are_rows_too(tmp_path):
    """x and y of a NumPy archive; equal rows are told apart by their number."""
    x = np.arange(8, dtype=np.float32).reshape(2, 2, 2)[[0, 1, 0]]
    np.savez(tmp_path / "a.npz", x=x, y=np.array([5, 6, 5]))
    rows = all_rows(tmp_path / "a.npz", TENSOR)
    assert np.array_equal(x, TENSOR.decode(TENSOR.encode_many([row.features for row in rows])))
    assert [5, 6, 5] == [row.label for row in rows]
    assert 3 == len({row.id for row in rows}) == count_rows(tmp_path / "a.npz")
    assert rows[0].id.removesuffix("-0") == rows[2].id.removesuffix("-1")


def test_arrays_may_hold_names(tmp_path):
    """Of classes and of rows."""
    np.savez(tmp_path / "a.npz", x=np.zeros((1, 2, 2)), label=np.array(["cat"]), id=np.array(["r"]))
    (row,) = all_rows(tmp_path / "a.npz", TENSOR)
    assert ("r", "cat") == (row.id, row.label)


def test_a_file_is_read_as_it_is_asked_for(tmp_path):
    """One chunk of a large file costs no more memory than one of a small one."""

    def peak(rows):
        held = tmp_path / f"{rows}.csv"
        with held.open("w") as file:
            file.write("age,town,id\n")
            file.writelines(f"{i},town {i},r{i}\n" for i in range(rows))
        tracemalloc.start()
        for chunk in read_rows(held, TABLE, size=100):
            assert len(chunk) == 100
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(200)  # what is loaded once
    assert peak(10_000) < 1.5 * peak(1_000)


def test_a_file_that_lost_a_column_is_refused(tmp_path):
    """Without its subject a row would be stored again, as nobody's; a label may come later, and a
    JSON line says only what it knows.
    """
    fields = Fields(id="number", subject="who", label="species")
    schema = TABLE.model_copy(update={"fields": fields})
    text = "number,who,species,age,town"
    for lost in ("number", "who", "species"):
        left = [name for name in text.split(",") if name != lost]
        (tmp_path / "a.csv").write_text(f"{','.join(left)}\n{','.join('1' * len(left))}\n")
        if lost == "species":
            assert all_rows(tmp_path / "a.csv", schema)[0].label is None
        else:
            with pytest.raises(InvalidValue, match=f"no column '{lost}' for the .*schema.fields"):
                all_rows(tmp_path / "a.csv", schema)
    (tmp_path / "a.jsonl").write_text('{"number": 1, "age": 2}\n')
    assert all_rows(tmp_path / "a.jsonl", schema)[0].subject is None
