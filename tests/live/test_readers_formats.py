"""The same table in any format: the same rows, whatever its cells hold."""

from __future__ import annotations

import csv
import io
import json
import math
from itertools import chain

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.live.discovery import discover
from perdure.live.readers import count_rows, read_records, read_rows
from perdure.live.readers.cells import integer, name, number, plain, seconds
from perdure.live.refusals import RowRefused

# Spaces around a name are not part of it, and what is no letter may be a file's own mark.
words = st.text(st.characters(codec="utf-8", categories=["Lu", "Ll", "Nd"]), min_size=1, max_size=6)
finite = st.floats(-1e6, 1e6, width=32)
tables = st.lists(
    st.fixed_dictionaries(
        {
            "size": finite,
            "gap": finite | st.none(),
            "town": words.map(lambda word: f"town {word}"),
            "label": st.sampled_from(["yes", "no"]),
        }
    ),
    min_size=1,
    max_size=6,
)


def written(folder, records):
    """The records as a CSV, a JSON lines and a Parquet file."""
    frame = pd.DataFrame(records).astype({"size": float, "gap": float})
    frame.to_csv(folder / "a.csv", index=False)
    (folder / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    frame.to_parquet(folder / "a.parquet")
    return [folder / f"a.{end}" for end in ("csv", "jsonl", "parquet")]


@given(tables)
def test_three_formats_give_one_set_of_rows(tmp_path_factory, records):
    """Features, labels and ids; and the same schema is read off each of them."""
    paths = written(tmp_path_factory.mktemp("formats"), records)
    schema, _ = discover(paths[0], "table")
    assert [schema] * 2 == [discover(path, "table")[0] for path in paths[1:]]
    first, *others = (list(chain.from_iterable(read_rows(path, schema))) for path in paths)
    assert [first, first] == others
    assert [len(records)] * 3 == [count_rows(path) for path in paths]
    assert [record["label"] for record in records] == [row.label for row in first]


@given(tables)
def test_a_schema_read_off_a_file_takes_every_row_of_it(tmp_path_factory, records):
    """With the numbers that stood there, gaps filled with their middle."""
    path = written(tmp_path_factory.mktemp("fits"), records)[1]
    schema, _ = discover(path, "table")
    (rows,) = read_rows(path, schema)
    decoded = schema.decode(schema.encode_many([row.features for row in rows]))
    places = {column.name: place for place, column in enumerate(schema.columns)}
    assert [record["size"] for record in records] == decoded[:, places["size"]].tolist()
    if "gap" in places:  # an empty column is left out
        filled = schema.columns[places["gap"]].default
        gaps = [filled if record["gap"] is None else record["gap"] for record in records]
        assert np.allclose(gaps, decoded[:, places["gap"]])


@given(
    st.lists(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\r")), min_size=2, max_size=2
        ).filter(any),
        max_size=4,
    ),
    st.sampled_from(",;\t|"),
)
def test_quoted_cells_hold_anything(tmp_path_factory, rows, delimiter):
    """Delimiters, quotes and line breaks, with each of the delimiters."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([["first", "second"], *rows])
    path = tmp_path_factory.mktemp("quoted") / "a.csv"
    path.write_bytes(text.getvalue().encode())
    assert rows == [[record["first"], record["second"]] for record in read_records(path)]
    assert len(rows) == count_rows(path)


# -- cells -----------------------------------------------------------------------------------------


@given(st.floats(allow_nan=False))
def test_a_number_is_itself_as_text(value):
    """Written out in full it comes back bit for bit."""
    assert value == number(repr(value)) == number(f" {value!r} ") == number(np.float64(value))


@pytest.mark.parametrize("cell", [math.nan, np.float32("nan"), "nan", "", None, " "], ids=repr)
def test_what_is_not_there_is_none(cell):
    """Six ways in which libraries and people write it."""
    assert number(cell) is None


@pytest.mark.parametrize("cell", [2**60, [1], {"a": 1}, "abc", b"1"], ids=repr)
def test_what_is_no_number_stays_what_it_is(cell):
    """So that the schema's refusal shows it; an integer that a float cannot hold is one."""
    assert cell == number(cell)


@pytest.mark.parametrize(
    ("cell", "read"),
    [(" a ", "a"), (3.0, 3), (3.5, 3.5), (np.int64(3), 3), (np.str_("a"), "a"), (math.nan, None)],
    ids=repr,
)
def test_a_name_is_text_or_a_whole_number(cell, read):
    """What a label, a category or an id is made of."""
    assert read == name(cell)


def test_a_cell_of_numpy_is_pythons_own():
    """As JSON wants it."""
    assert (int, float, bool) == tuple(
        type(plain(cell)) for cell in (np.int8(1), np.float16(1), np.bool_(1))
    )


@given(st.integers(-(2**52), 2**52))
def test_a_task_is_a_whole_number(task):
    """As a number, as text, and as pandas writes it where rows are missing."""
    assert {task} == {integer("task", cell) for cell in (task, str(task), float(task))}


@given(st.datetimes(min_value=pd.Timestamp("1971-01-01"), max_value=pd.Timestamp("2200-01-01")))
def test_a_time_is_the_same_as_text_and_as_an_object(time):
    """And without a zone it is UTC."""
    said = pd.Timestamp(time, tz="UTC").timestamp()
    assert math.isclose(said, seconds("time", time))
    assert seconds("time", time) == seconds("time", time.isoformat())
    assert seconds("time", time) == seconds("time", time.isoformat() + "Z")


@pytest.mark.parametrize("cell", ["12:00", "soon", [1], b"1", 2**60], ids=repr)
def test_what_is_no_time_is_refused(cell):
    """With the column's name."""
    with pytest.raises(RowRefused) as refused:
        seconds("when", cell)
    assert "when" == refused.value.field
