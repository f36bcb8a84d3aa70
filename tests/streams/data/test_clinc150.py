"""CLINC150: files of its layout."""

import json

import pytest
import torch

from perdure.errors import DataUnavailable
from perdure.streams import load
from perdure.streams.data.clinc150 import FILE, read_clinc150


def written(**changes):
    """A small file of the official layout, as bytes."""
    held = {
        "oos_val": [["who won", "oos"]],
        "val": [["hej", "greeting"]],
        "train": [["what time is it", "time"], ["hello", "greeting"], ["hi", "greeting"]],
        "oos_test": [["how far is mars", "oos"], ["¿qué?", "oos"]],
        "test": [["the time please", "time"]],
        "oos_train": [["is it art", "oos"]],
    }
    return json.dumps({**held, **changes}).encode()


def text(row):
    """What stands in a row of bytes."""
    return bytes(row.tolist()).rstrip(b"\0").decode()


def test_texts_are_rows_of_bytes_with_classes_in_alphabetical_order():
    """Both parts as long as the longest text of either; validation rows are left out."""
    data = read_clinc150(written())
    assert ("greeting", "time") == data.classes
    assert [1, 0, 0] == data.train_y.tolist()
    assert ["what time is it", "hello", "hi"] == [text(row) for row in data.train_x]
    assert [1] == data.test_y.tolist()
    assert torch.uint8 == data.train_x.dtype
    assert (15,) == data.shape == tuple(data.test_x.shape[1:])


def test_texts_out_of_scope_are_a_last_class_where_asked_for():
    """In both parts, after the others."""
    data = read_clinc150(written(), out_of_scope=True)
    assert ("greeting", "time", "oos") == data.classes
    assert [1, 0, 0, 2] == data.train_y.tolist()
    assert ["the time please", "how far is mars", "¿qué?"] == [text(row) for row in data.test_x]


@pytest.mark.parametrize("raw", [b"[", written(train=3), b'{"train": []}', b"[]"])
def test_a_file_of_another_layout_is_refused(raw):
    """The message says where the true one is."""
    with pytest.raises(DataUnavailable, match=r"data_full.json is not the CLINC150 of https://raw"):
        read_clinc150(raw)


def test_it_is_loaded_by_its_name_and_only_if_it_is_the_true_one(tmp_path):
    """A file in the folder of another content is not read."""
    (tmp_path / FILE.name).write_bytes(written())
    with pytest.raises(DataUnavailable, match="should have 36923c3705a59e08"):
        load("clinc150", tmp_path)
