"""Hugging Face data sets become ours, whatever their columns hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from perdure.errors import InvalidValue
from perdure.streams import by_column, split
from perdure.streams.adapters import hugging_face

datasets = pytest.importorskip("datasets")
Image = pytest.importorskip("PIL.Image")


def texts(rows: int = 40) -> object:
    return datasets.Dataset.from_dict(
        {
            "text": [f"word {i}é" for i in range(rows)],
            "label": [("no", "yes")[i % 2] for i in range(rows)],
            "day": list(range(rows)),
        }
    )


def test_texts_become_bytes_and_strings_classes() -> None:
    """Each row is its text's UTF-8, padded; classes are the sorted labels."""
    data = hugging_face(texts(), "text", test=0.5, keep=["day"])
    assert ("no", "yes") == data.classes
    assert torch.uint8 == data.train_x.dtype
    row = int(data.columns["day"][0][0])
    said = bytes(data.train_x[0].tolist()).rstrip(b"\0").decode()
    assert f"word {row}é" == said
    assert row % 2 == int(data.train_y[0])
    assert 3 == len(by_column(data, "day", tasks=3))


def test_a_dict_of_splits_keeps_them_apart() -> None:
    """Rows of "test" are measured on, in their order; ClassLabel names are the classes."""
    features = datasets.Features(
        {
            "x": datasets.Sequence(datasets.Value("float64")),
            "label": datasets.ClassLabel(names=["a", "b"]),
        }
    )
    rows = {"x": [[0.0, 1.0], [2.0, 3.0]], "label": [1, 0]}
    parts = {
        name: datasets.Dataset.from_dict({k: v[:size] for k, v in rows.items()}, features=features)
        for name, size in (("train", 2), ("test", 1))
    }
    data = hugging_face(datasets.DatasetDict(parts), "x")
    assert ("a", "b") == data.classes
    assert [1, 0] == data.train_y.tolist()
    assert [[0.0, 1.0]] == data.test_x.tolist()
    assert torch.float32 == data.train_x.dtype


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_images_become_pixels(mode: str, channels: int) -> None:
    """uint8 (n, channels, height, width), and the pixels are those of the image."""
    pixels = np.arange(4 * 6 * channels, dtype=np.uint8).reshape(4, 6, channels)
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels, mode=None)
    whole = datasets.Dataset.from_dict(
        {"image": [picture] * 8, "label": [0, 1] * 4},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")}),
    )
    data = hugging_face(whole, "image", test=0.5)
    assert (channels, 4, 6) == data.shape
    assert np.array_equal(data.train_x[0].permute(1, 2, 0).numpy(), pixels)
    assert 2 == len(split(data, 2))


def test_columns_of_numbers_stand_side_by_side() -> None:
    """In the order in which they are named; floats as labels are a regression."""
    held = datasets.Dataset.from_dict(
        {"a": [1, 2, 3, 4], "b": [0.5] * 4, "y": [0.1, 0.2, 0.3, 0.4]}
    )
    data = hugging_face(held, ["b", "a"], "y", test=0.25)
    assert () == data.classes
    assert {0.5} == set(data.train_x[:, 0].tolist())
    assert torch.allclose(data.train_x[:, 1] / 10, data.train_y)


def test_what_is_not_there_is_named() -> None:
    """Columns, splits and columns of other kinds."""
    with pytest.raises(InvalidValue, match="no column 'body'"):
        hugging_face(texts(), "body", test=0.2)
    with pytest.raises(InvalidValue, match=r"one split was given .*test=0\.2"):
        hugging_face(texts(), "text")
    with pytest.raises(InvalidValue, match="no split 'test'"):
        hugging_face(datasets.DatasetDict({"train": texts()}), "text")
    ragged = datasets.Dataset.from_dict({"x": [[1.0], [1.0, 2.0]], "label": [0, 1]})
    with pytest.raises(InvalidValue, match="column 'x'"):
        hugging_face(ragged, "x", test=0.5)
