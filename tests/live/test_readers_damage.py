"""Files that cannot be read are refused with their name, the place and what to do."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from perdure.errors import InvalidValue, MissingExtra
from perdure.live.readers import count_rows, read_records, read_rows
from perdure.live.schema import Schema

IMAGE = Schema(kind="image", channels=3, height=4, width=4, open=True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the header is empty"),
        (b"a,,b\n", "has an empty name"),
        (b"a,b,a\n1,2,3\n", "holds 'a' more than once"),
        (b"a,b\n1,2\n1\n", "line 3: 1 cells where the header has 2"),
        (b"a,b\n1,2,3\n", "line 2: 3 cells where the header has 2"),
        (b'a,b\n1,"2\n3,4\n', "no CSV file that can be read"),
        (b"a,b\n\xff,2\n", "is not UTF-8"),
        (b"\xff,b\n1,2\n", "is not UTF-8"),
    ],
)
def test_a_damaged_csv_file_is_refused(tmp_path, content, said):
    """By name and line; nothing is guessed."""
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InvalidValue, match=said) as refused:
        list(read_records(tmp_path / "a.csv"))
    assert "a.csv" in str(refused.value)


def test_a_spreadsheets_csv_file_is_read(tmp_path):
    """With a byte order mark, semicolons, and lines that end as on Windows."""
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfa;b\r\n1;x,y\r\n\r\n2;z\r\n")
    assert [{"a": "1", "b": "x,y"}, {"a": "2", "b": "z"}] == list(read_records(tmp_path / "a.csv"))
    assert 2 == count_rows(tmp_path / "a.csv")


def test_a_file_without_rows_has_none(tmp_path):
    """A header alone is no error."""
    (tmp_path / "a.csv").write_text("a,b\n")
    assert ([], 0) == (list(read_records(tmp_path / "a.csv")), count_rows(tmp_path / "a.csv"))
    assert [] == list(read_rows(tmp_path / "a.csv", IMAGE))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a": 1}\n{"a": \n', "line 2 is no JSON"),
        ('{"a": 1}\n\n[1]\n', "line 3 is no object"),
        ("[" * 100_000, "line 1 is no JSON"),
    ],
    ids=["cut off", "no object", "too deep"],
)
def test_damaged_json_lines_are_refused(tmp_path, content, said):
    """By line."""
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(InvalidValue, match=said):
        list(read_records(tmp_path / "a.jsonl"))


def test_a_damaged_parquet_file_is_refused(tmp_path):
    """With what the library found."""
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing else PAR1")
    with pytest.raises(InvalidValue, match="no Parquet file that can be read"):
        list(read_records(tmp_path / "a.parquet"))


def test_a_damaged_archive_is_refused(tmp_path):
    """No zip file, a zip file that is cut, arrays that would run code, arrays of two lengths."""
    held = tmp_path / "a.npz"
    held.write_bytes(b"nothing")
    with pytest.raises(InvalidValue, match="is no archive"):
        list(read_records(held))
    np.savez_compressed(held, x=np.arange(1000), y=np.arange(1000))
    whole = bytearray(held.read_bytes())
    whole[60:100] = bytes(40)
    held.write_bytes(whole)
    with pytest.raises(InvalidValue, match="is damaged"):
        list(read_records(held))
    np.savez(held, x=np.array([{}], dtype=object))
    with pytest.raises(InvalidValue, match="is damaged, or holds Python objects"):
        list(read_records(held))
    np.savez(held, x=np.zeros(3), y=np.zeros(2))
    with pytest.raises(InvalidValue, match=r"arrays of one length; it has {'x': 3, 'y': 2}"):
        count_rows(held)
    np.savez(held, x=np.float32(3))
    with pytest.raises(InvalidValue, match="arrays of one length"):
        count_rows(held)


@pytest.mark.parametrize("name", ["rows.xls", "rows"])
def test_an_unknown_format_is_refused(tmp_path, name):
    """The message names those that are known."""
    (tmp_path / name).touch()
    with pytest.raises(InvalidValue, match=r"must be a folder of images or end in \.csv, \.tsv"):
        list(read_records(tmp_path / name))


def test_a_path_that_is_not_there_is_refused(tmp_path):
    """Before anything else is said about it."""
    with pytest.raises(InvalidValue, match="is not there"):
        count_rows(tmp_path / "a.csv")


def test_parquet_asks_for_its_extra(tmp_path, monkeypatch):
    """CSV needs nothing."""
    (tmp_path / "a.parquet").touch()
    (tmp_path / "a.csv").write_text("a\n1\n")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"perdure\[tables\]"):
        list(read_records(tmp_path / "a.parquet"))
    assert [{"a": "1"}] == list(read_records(tmp_path / "a.csv"))


# -- folders of images ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Two cats, a dog, and one that nobody has named yet."""
    for name, grey in (("cat/1.png", 10), ("cat/2.PNG", 20), ("dog/1.jpg", 30), ("3.png", 40)):
        file = tmp_path / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (grey, grey, grey)).save(file)
    (tmp_path / "images" / "cat" / "notes.txt").touch()
    return tmp_path / "images"


def test_a_folder_of_images_is_rows(folder):
    """The sub-folder is the class."""
    (rows,) = read_rows(folder, IMAGE)
    greys = [IMAGE.encode(row.features)[0] for row in rows]
    assert [(40, None), (10, "cat"), (20, "cat"), (30, "dog")] == [
        (grey, row.label) for grey, row in zip(greys, rows, strict=True)
    ]
    assert 4 == count_rows(folder)


def test_an_image_is_the_same_row_under_another_name(folder):
    """Moved to its class, it keeps its id."""
    (before,) = read_rows(folder, IMAGE)
    (folder / "3.png").rename(folder / "dog" / "third.png")
    (after,) = read_rows(folder, IMAGE)
    assert {row.id for row in before} == {row.id for row in after}
    assert ["cat", "cat", "dog", "dog"] == [row.label for row in after]


def test_a_folder_without_images_is_refused(tmp_path):
    """With the endings that count."""
    with pytest.raises(InvalidValue, match=r"holds no image; put files that end in \.jpeg"):
        list(read_records(tmp_path))
