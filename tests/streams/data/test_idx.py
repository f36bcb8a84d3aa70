"""MNIST and Fashion-MNIST: the idx format, and the real files where they are."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import DataUnavailable
from perdure.streams import load, split
from perdure.streams.data import fashion_mnist, mnist
from perdure.streams.idx import idx_files, load_idx, parse_idx

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
NAMES = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]


def idx(array):
    """The array as an idx file of bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write(folder, arrays):
    """The four packed files in a folder, and their description."""
    raw = [idx(array) for array in arrays]
    for name, unpacked in zip(NAMES, raw, strict=True):
        (folder / name).write_bytes(gzip.compress(unpacked))
    digests = tuple(hashlib.sha256(unpacked).hexdigest() for unpacked in raw)
    return idx_files("http://127.0.0.1:9/", digests)


@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_an_array_of_bytes_survives_the_format(shape):
    """Of any number of dimensions."""
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert torch.equal(torch.from_numpy(array), parse_idx(idx(array), "x"))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "x is no idx file"),
        (b"\0\0\x0d\1\0\0\0\0", "begins with 00000d01"),
        (b"PK\3\4", "x is no idx file"),
        (b"\0\0\x08\1\0\0\0\5four", r"should hold 5 bytes for an array of \(5,\) and holds 4"),
        (b"\0\0\x08\3\0\0\0\1", "should hold"),
        (b"\0\0\x08\1\0\0\0\1many", "holds 4"),
    ],
    ids=["empty", "floats", "zip", "short", "no shape", "long"],
)
def test_what_is_no_idx_file_is_refused(raw, message):
    """With what stands there instead."""
    with pytest.raises(DataUnavailable, match=message):
        parse_idx(raw, "x")


def test_four_files_are_a_data_set(tmp_path):
    """Images get a channel and stay bytes; labels become int64."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (n, 28, 28), np.uint8) for n in (30, 10)]
    labels = [np.arange(n, dtype=np.uint8) % 10 for n in (30, 10)]
    files = write(tmp_path, [images[0], labels[0], images[1], labels[1]])
    data = load_idx("small", files, tuple("0123456789"), tmp_path)
    assert torch.equal(torch.from_numpy(images[0])[:, None], data.train_x)
    assert torch.equal(torch.from_numpy(images[1])[:, None], data.test_x)
    assert data.test_y.tolist() == list(range(10))
    assert (torch.uint8, torch.int64) == (data.train_x.dtype, data.train_y.dtype)
    assert (1, 28, 28) == data.shape


@pytest.mark.parametrize("loader", [mnist, fashion_mnist])
def test_files_that_are_not_those_of_the_data_set_are_refused(tmp_path, loader):
    """Well-formed, but with another checksum."""
    images, labels = np.zeros((10, 28, 28), np.uint8), np.arange(10, dtype=np.uint8)
    write(tmp_path, [images, labels, images, labels])
    with pytest.raises(DataUnavailable, match=r"train-images-idx3-ubyte.gz has SHA-256"):
        loader(tmp_path)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_real_fashion_mnist_is_loaded_and_split():
    """60,000 and 10,000 images, as many of each class, all bytes; the first is an ankle boot."""
    data = load("fashion-mnist", DEBIAN)
    assert (60_000, 10_000) == (len(data.train_y), len(data.test_y))
    assert [6_000] * 10 == data.train_y.bincount().tolist()
    assert [1_000] * 10 == data.test_y.bincount().tolist()
    assert "Ankle boot" == data.classes[data.train_y[0]]
    assert torch.uint8 == data.train_x.dtype
    assert abs(float(data.train_x.double().mean()) - 72.940) < 0.001  # the published mean, 0.2860
    stream = split(data, order=[3, 1, 5, 6, 0, 2, 7, 4, 9, 8])
    assert "Dress+Trouser" == stream.tasks[0].name
    assert [12_000] * 5 == [len(task.train) for task in stream]
    assert data.train_x.data_ptr() == stream.tasks[4].train.x.data_ptr()
