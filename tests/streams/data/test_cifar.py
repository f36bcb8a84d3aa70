"""CIFAR-10 and CIFAR-100: archives of records in the true layout."""

import io
import tarfile

import numpy as np
import pytest
import torch

from perdure.errors import DataUnavailable
from perdure.streams import by_column, load
from perdure.streams.data.cifar10 import read_cifar10
from perdure.streams.data.cifar100 import read_cifar100
from perdure.streams.records import Archive

TEN = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def archive(members):
    """A packed tar archive of files by name, as bytes."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, held in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(held)
            tar.addfile(info, io.BytesIO(held))
    return raw.getvalue()


def records(labels, seed):
    """Records of label bytes and a random image, with what they hold."""
    labels = np.atleast_2d(np.array(labels, np.uint8).T).T
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072), np.uint8)
    return np.concatenate((labels, images), axis=1).tobytes(), images.reshape(-1, 3, 32, 32)


def cifar10_members():
    members, images = {"cifar-10-batches-bin/batches.meta.txt": "\n".join([*TEN, ""]).encode()}, []
    for number in range(1, 6):
        raw, shown = records([number, 9 - number], seed=number)
        members[f"cifar-10-batches-bin/data_batch_{number}.bin"] = raw
        images.append(shown)
    members["cifar-10-batches-bin/test_batch.bin"], test = records([3, 0, 9], seed=9)
    return members, np.concatenate(images), test


def test_the_batches_of_cifar_10_are_one_data_set():
    """One label byte, then red, green and blue planes of 32 by 32."""
    members, train, test = cifar10_members()
    data = read_cifar10(Archive(archive(members), "small.tar.gz"))
    assert torch.equal(torch.from_numpy(train), data.train_x)
    assert torch.equal(torch.from_numpy(test), data.test_x)
    assert [1, 8, 2, 7, 3, 6, 4, 5, 5, 4] == data.train_y.tolist()
    assert [3, 0, 9] == data.test_y.tolist()
    assert tuple(TEN) == data.classes
    assert torch.uint8 == data.train_x.dtype


def test_cifar_100_has_fine_labels_and_a_column_of_superclasses():
    """Two label bytes, the coarse one first; a stream may go by superclass."""
    coarse, fine = ("fish", "people"), ("boy", "shark", "trout")
    members = {
        "cifar-100-binary/coarse_label_names.txt": "\n".join(coarse).encode(),
        "cifar-100-binary/fine_label_names.txt": "\n".join(fine).encode(),
    }
    members["cifar-100-binary/train.bin"], train = records([[0, 1], [1, 0], [0, 2]], seed=1)
    members["cifar-100-binary/test.bin"], _ = records([[1, 0], [0, 2]], seed=2)
    data = read_cifar100(Archive(archive(members), "small.tar.gz"))
    assert torch.equal(torch.from_numpy(train), data.train_x)
    assert [1, 0, 2] == data.train_y.tolist()
    assert [0, 2] == data.test_y.tolist()
    assert fine == data.classes
    stream = by_column(data, "superclass", scenario="class")
    assert ["superclass fish", "superclass people"] == [task.name for task in stream]
    assert [(1, 2), (0,)] == [task.classes for task in stream]


def test_an_archive_without_a_batch_is_refused():
    """By the name of what is missing."""
    members, _, _ = cifar10_members()
    del members["cifar-10-batches-bin/data_batch_4.bin"]
    with pytest.raises(DataUnavailable, match=r"small.tar.gz has no member .*data_batch_4.bin"):
        read_cifar10(Archive(archive(members), "small.tar.gz"))


def test_a_batch_cut_short_is_refused():
    """Rather than shifting every pixel after it."""
    members, _, _ = cifar10_members()
    members["cifar-10-batches-bin/test_batch.bin"] += b"?"
    with pytest.raises(DataUnavailable, match="hold 9220 bytes, no multiple of a record's 3073"):
        read_cifar10(Archive(archive(members), "small.tar.gz"))


def test_what_is_no_archive_is_refused():
    """A page that says sorry, or a folder where a file should be."""
    with pytest.raises(DataUnavailable, match=r"small.tar.gz is no tar archive"):
        Archive(b"<html>moved</html>", "small.tar.gz")
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        folder = tarfile.TarInfo("inside")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    with pytest.raises(DataUnavailable, match=r"inside in small.tar is no file"):
        Archive(raw.getvalue(), "small.tar").read("inside")


@pytest.mark.parametrize("name", ["cifar-10", "cifar-100"])
def test_an_archive_that_is_not_the_official_one_is_refused(tmp_path, name):
    """A well-formed one too: the checksum is that of the official page's file."""
    members, _, _ = cifar10_members()
    (tmp_path / f"{name}-binary.tar.gz").write_bytes(archive(members))
    with pytest.raises(DataUnavailable, match=f"{name}-binary.tar.gz has SHA-256"):
        load(name, tmp_path)
