"""A schema read off a sample, and the sentences that say how."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from perdure.errors import InvalidValue
from perdure.live.discovery import discover
from perdure.live.readers import read_rows


def lines(path, *text):
    path.write_text("\n".join(text) + "\n")
    return path


def people(path, rows=60):
    """Numbers with gaps, categories, a comment that never comes again, an empty column."""
    said = [
        f"{i},{i % 7 + 0.5 if i % 5 else ''},{i},{('Oslo', 'Bergen', '')[i % 3]},"
        f"remark {i},,{'yes' if i % 2 else 'no'}"
        for i in range(rows)
    ]
    return lines(path, "row_id,age,visits,town,remark,nothing,target", *said)


def fits(path, schema):
    """Every row of the file is taken by the schema that was read off it."""
    for rows in read_rows(path, schema):
        schema.encode_many([row.features for row in rows])
        for row in rows:
            assert row.label is None or schema.check_label(row.label) in schema.classes


def pixels(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_columns_are_told_apart_by_what_they_hold(tmp_path):
    """Numbers and categories; gaps make a column optional; the middle number fills them."""
    schema, said = discover(people(tmp_path / "a.csv"))
    age, visits, town = schema.columns
    assert ("age", "number", False, 3.5) == (age.name, age.type, age.required, age.default)
    assert ("visits", "number", True, None) == (
        visits.name,
        visits.type,
        visits.required,
        visits.default,
    )
    assert ("town", "category", False, 64) == (town.name, town.type, town.required, town.buckets)
    assert ("no", "yes") == schema.classes
    assert ("remark", "nothing") == schema.fields.ignore
    assert schema.open
    assert not schema.tasks
    text = "\n".join(said)
    assert "holds rows of 2 numbers and 1 category, 2 classes and whatever comes" in text
    assert "'row_id' is the id" in text
    assert "row_id" == schema.fields.id
    assert "'target' is the label" in text
    assert "column 'remark' is ignored: every row has another text there" in text
    assert "column 'nothing' is ignored: it is empty" in text
    assert "not every row has age, town" in text
    fits(tmp_path / "a.csv", schema)


def test_a_parquet_file_says_the_same_as_a_csv_file(tmp_path):
    """Though its numbers are numbers already."""
    frame = pd.read_csv(people(tmp_path / "a.csv"))
    frame.to_parquet(tmp_path / "a.parquet")
    of_csv, of_parquet = (discover(tmp_path / f"a.{end}")[0] for end in ("csv", "parquet"))
    assert of_csv == of_parquet
    fits(tmp_path / "a.parquet", of_parquet)


def test_the_label_may_be_named(tmp_path):
    """The schema remembers, so that later files are read in the same way."""
    held = lines(tmp_path / "a.csv", "age,species,class", "1,cat,x", "2,dog,y")
    schema, _ = discover(held, label="species")
    assert ("species", ("cat", "dog")) == (schema.fields.label, schema.classes)
    assert ["age", "class"] == [column.name for column in schema.columns]
    fits(held, schema)


def test_without_a_label_there_are_no_classes_yet(tmp_path):
    """That is said, and new ones may come."""
    schema, said = discover(lines(tmp_path / "a.csv", "age,town", "1,Oslo", "2,Oslo"))
    assert ((), True) == (schema.classes, schema.open)
    assert any("rows have no label yet" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "9", "-1"], ("-1", "9", "10")),
        (["b", "10", "9"], ("10", "9", "b")),
        (["2", "", "1"], ("1", "2")),
    ],
)
def test_classes_are_sorted(tmp_path, labels, classes):
    """As numbers where they all are."""
    held = lines(tmp_path / "a.csv", "age,label", *(f"1,{label}" for label in labels))
    assert classes == discover(held)[0].classes


def test_a_column_of_tasks_makes_a_schema_with_tasks(tmp_path):
    """The column is no feature."""
    schema, said = discover(lines(tmp_path / "a.csv", "age,task,label", "1,0,a", "2,1,b"))
    assert schema.tasks
    assert ["age"] == [column.name for column in schema.columns]
    assert any("'task' is the task" in sentence for sentence in said)


def test_many_categories_have_room(tmp_path):
    """Sixteen buckets for each, rounded up to a power of two."""
    rows = [f"{i % 100}x,a" for i in range(300)]
    (column,) = discover(lines(tmp_path / "a.csv", "code,label", *rows))[0].columns
    assert ("category", 2048) == (column.type, column.buckets)


def test_columns_may_lie_under_features(tmp_path):
    """In JSON lines as in a request; numbers may have gaps."""
    held = lines(
        tmp_path / "a.jsonl",
        '{"features": {"age": 1, "town": "Oslo"}, "label": "a"}',
        '{"features": {"age": 2.5}, "label": "b"}',
    )
    schema, _ = discover(held)
    assert [("age", True), ("town", False)] == [(c.name, c.required) for c in schema.columns]
    fits(held, schema)


# -- texts -----------------------------------------------------------------------------------------


def test_a_column_of_sentences_is_text(tmp_path):
    """With twice the room that the longest needs, as a power of two."""
    held = lines(
        tmp_path / "a.csv", "message,label", *(f"hello there, number {i},a" for i in range(9))
    )
    held.write_text(held.read_text().replace("hello there,", "hello there and welcome"))
    schema, _ = discover(held)
    assert ("text", 64, ("a",)) == (schema.kind, schema.length, schema.classes)
    fits(held, schema)
    longer = lines(tmp_path / "b.csv", "text,label", f"{'é' * 100},a")
    assert 512 == discover(longer)[0].length


def test_among_several_columns_the_longest_texts_are_taken(tmp_path):
    """Where text is asked for; the schema remembers which column."""
    held = lines(tmp_path / "a.csv", "title,body,label", "one,two three four,a", "five,six seven,b")
    schema, said = discover(held, "text")
    assert "body" == schema.fields.features
    assert any("'body' holds the longest texts" in sentence for sentence in said)
    fits(held, schema)


# -- tensors and images ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "dtype", "shape"),
    [
        (np.zeros((5, 3)), "float32", (3,)),
        (np.zeros((5, 3, 2), np.float16), "float32", (3, 2)),
        (np.zeros((5, 3), np.uint8), "uint8", (3,)),
        (np.zeros((5, 3), np.int32), "int64", (3,)),
        (np.zeros((5, 7, 3, 2), np.uint8), "uint8", (7, 3, 2)),
    ],
)
def test_an_array_is_a_tensor(tmp_path, x, dtype, shape):
    """Of the dtype that holds it."""
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(5) % 2)
    schema, _ = discover(tmp_path / "a.npz")
    assert ("tensor", dtype, shape) == (schema.kind, schema.dtype, schema.shape)
    assert ("0", "1") == schema.classes
    fits(tmp_path / "a.npz", schema)


@pytest.mark.parametrize(("shape", "channels"), [((28, 20), 1), ((1, 28, 20), 1), ((3, 28, 20), 3)])
def test_an_array_of_bytes_may_be_images(tmp_path, shape, channels):
    """Grey without channels, or one, three or four of them in front."""
    np.savez(tmp_path / "a.npz", x=pixels((4, *shape)), y=np.arange(4))
    schema, _ = discover(tmp_path / "a.npz")
    assert ("image", channels, 28, 20) == (
        schema.kind,
        schema.channels,
        schema.height,
        schema.width,
    )
    fits(tmp_path / "a.npz", schema)


def test_lists_are_a_tensor_of_floats(tmp_path):
    """JSON writes 1.0 as 1, so whole numbers say nothing about those to come."""
    held = lines(tmp_path / "a.jsonl", '{"features": [[1, 2], [3, 4]], "label": "a"}')
    schema, _ = discover(held)
    assert ("tensor", "float32", (2, 2)) == (schema.kind, schema.dtype, schema.shape)
    fits(held, schema)


def test_columns_of_numbers_may_be_a_tensor(tmp_path):
    """Where that is asked for."""
    held = lines(tmp_path / "a.csv", "a,b,c,label", "1,2,3,x")
    schema, _ = discover(held, "tensor")
    assert ("float32", (3,)) == (schema.dtype, schema.shape)
    fits(held, schema)


def test_a_folder_is_images_by_class(tmp_path):
    """Of the middle size, in colour if any of them has it."""
    for i, (label, mode, size) in enumerate(
        [("cat", "L", (20, 10)), ("cat", "RGB", (20, 12)), ("dog", "L", (40, 12))]
    ):
        (tmp_path / label).mkdir(exist_ok=True)
        Image.new(mode, size).save(tmp_path / label / f"{i}.png")
    schema, said = discover(tmp_path)
    assert ("image", 3, 12, 20) == (schema.kind, schema.channels, schema.height, schema.width)
    assert ("cat", "dog") == schema.classes
    assert any("differ in size or colours" in sentence for sentence in said)
    fits(tmp_path, schema)


def test_large_images_are_made_smaller(tmp_path):
    """To 64 pixels on the longer side; how to keep more is said."""
    Image.new("L", (300, 150)).save(tmp_path / "1.png")
    schema, said = discover(tmp_path)
    assert (1, 32, 64) == (schema.channels, schema.height, schema.width)
    assert any("150 x 300 pixels" in sentence for sentence in said)


def test_images_may_lie_in_json_lines(tmp_path):
    """As base64, as in a request."""
    file = io.BytesIO()
    Image.fromarray(pixels((9, 8, 3))).save(file, "PNG")
    text = base64.b64encode(file.getvalue()).decode()
    held = lines(tmp_path / "a.jsonl", json.dumps({"image": text, "label": "a"}))
    schema, _ = discover(held)
    assert ("image", 3, 9, 8) == (schema.kind, schema.channels, schema.height, schema.width)
    fits(held, schema)


# -- samples that tell nothing ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "label", "said"),
    [
        ("a,label", None, None, "holds no row"),
        ("a,label\n1,x", None, "species", "has no column 'species'; it has a, label"),
        ("a,label\n1,0.5", None, None, "label holds 0.5: a quantity"),
        ("label\nx", None, None, "no column is left for the features"),
        ("a,label\n,x", None, None, "no column is left for the features"),
        ("a,label\n1,x", "image", None, "holds no image that can be read"),
        ("a,label\nb,x", "tensor", None, "the first row holds no numbers"),
        ("a,b,label\nb,c,x", "tensor", None, "the first row holds no numbers"),
        ("label\nx", "text", None, "no column holds text"),
    ],
    ids=range(9),
)
def test_a_sample_that_tells_no_schema_is_refused(tmp_path, text, kind, label, said):
    """With the reason."""
    with pytest.raises(InvalidValue, match=said):
        discover(lines(tmp_path / "a.csv", text), kind, label)


def test_a_quantity_is_no_label(tmp_path):
    """More classes than a model can start with, or fractions, are something to be measured."""
    many = [f"1,{i}" for i in range(1001)]
    with pytest.raises(InvalidValue, match="1,001 different labels"):
        discover(lines(tmp_path / "a.csv", "a,label", *many))
    pd.DataFrame({"a": [1.0], "label": [0.5]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InvalidValue, match="a quantity, which becomes classes by bounds"):
        discover(tmp_path / "a.parquet")


def test_what_makes_no_schema_is_an_error_of_ours(tmp_path):
    """A row of more bytes than a schema allows."""
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((1, 2**26 + 1), np.uint8))
    with pytest.raises(InvalidValue, match="makes no schema"):
        discover(tmp_path / "a.npz")
