"""Data sets and streams of features: the same rows, labels and tasks, each row encoded once."""

from __future__ import annotations

import pytest
import torch

from perdure.cache import FeatureCache
from perdure.errors import InvalidValue
from perdure.streams import encoded, gradual, load, nic, permuted, split


class Halves:
    """Every other pixel, and how many rows were asked for."""

    def __init__(self):
        self.rows = 0

    def __call__(self, x):
        self.rows += len(x)
        return x.flatten(1)[:, ::2].float() / 16


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def whole(rows):
    """All rows at once: inputs, labels and task ids."""
    batch = rows.batch(torch.arange(len(rows)))
    return batch.x, batch.y, batch.task


def test_a_data_set_keeps_all_but_its_inputs(digits):
    """Labels, classes and columns stay; float32 features take the inputs' place."""
    encode = Halves()
    made = encoded(digits, encode)
    assert torch.equal(Halves()(digits.test_x), made.test_x)
    assert made.train_x.dtype == torch.float32
    assert torch.equal(digits.train_y, made.train_y)
    assert ((32,), digits.classes, "digits features") == (made.shape, made.classes, made.name)
    assert len(digits.train_x) + len(digits.test_x) == encode.rows


@pytest.mark.parametrize(
    "make",
    [
        lambda d: split(d, 5),
        lambda d: split(d, 5).holdout(0.2),
        lambda d: split(d, 5, "task"),
        lambda d: gradual(split(d, 5, "free")),
        lambda d: nic(d, batches=40),
        lambda d: permuted(d, 3, "domain"),
    ],
    ids=["split", "holdout", "task", "gradual", "nic", "permuted"],
)
def test_a_stream_shows_features_of_what_its_tasks_show(digits, make):
    """Batch for batch, in the same order, whether rows are turned on the way or not."""
    raw = make(digits)
    made = encoded(raw, Halves())
    assert (len(raw), raw.scenario, raw.classes) == (len(made), made.scenario, made.classes)
    for before, after in zip(raw, made, strict=True):
        for part in ("train", "test", "valid"):
            if getattr(before, part) is None:
                assert getattr(after, part) is None
                continue
            (x, y, task), found = whole(getattr(before, part)), whole(getattr(after, part))
            assert torch.equal(Halves()(x), found[0])
            assert torch.equal(y, found[1])
            assert (task is None and found[2] is None) or torch.equal(task, found[2])
    ours, theirs = (stream.sequence(32, seed=3) for stream in (raw, made))
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(Halves()(a.x), b.x)


def test_rows_that_tasks_share_are_encoded_once(digits):
    """Forty tasks of one test set do not encode it forty times."""
    encode = Halves()
    encoded(nic(digits, batches=40), encode)
    assert len(digits.train_x) + len(digits.test_x) == encode.rows


def test_what_is_on_the_disk_is_not_encoded_again(digits, tmp_path):
    """The next process pays for reading alone."""
    encode = Halves()
    first = encoded(digits, encode, FeatureCache(tmp_path, "halves", 32))
    distinct = encode.rows
    again = encoded(digits, encode, FeatureCache(tmp_path, "halves", 32))
    assert distinct == encode.rows
    assert torch.equal(first.train_x, again.train_x)


def test_what_cannot_be_is_refused(digits):
    """An encoder that keeps the shape of pictures, and data of another kind."""
    with pytest.raises(InvalidValue, match=r"encoded as \(256, 1, 8, 8\)"):
        encoded(digits, lambda x: x)
    with pytest.raises(InvalidValue, match="was given str"):
        encoded("digits", Halves())
