"""CIFAR-10: 60,000 colour photographs of 32 by 32 pixels in ten classes."""

from __future__ import annotations

from pathlib import Path

from perdure.streams.dataset import Data
from perdure.streams.records import Archive
from perdure.streams.source import RemoteFile, content

# The binary version: the "python version" is a pickle, which runs code when it is read.
FILE = RemoteFile(
    "cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
INSIDE = "cifar-10-batches-bin"


def cifar10(folder: str | Path | None = None) -> Data:
    """Images uint8 (n, 3, 32, 32): 50,000 to learn from, 10,000 to measure on.

    Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html.

    Args:
        folder: where the archive of the binary version is looked for first.

    Raises:
        DataUnavailable: it is in no local folder and cannot be downloaded, or is damaged.
    """
    archive = Archive(content(FILE, "cifar-10", folder), FILE.name)
    return read_cifar10(archive)


def read_cifar10(archive: Archive) -> Data:
    """The data set in an archive of its layout: one label byte before each image."""
    batches = [f"{INSIDE}/data_batch_{number}.bin" for number in range(1, 6)]
    train_x, train_y = archive.records(batches, labels=1)
    test_x, test_y = archive.records([f"{INSIDE}/test_batch.bin"], labels=1)
    classes = archive.lines(f"{INSIDE}/batches.meta.txt")
    return Data("cifar-10", train_x, train_y[:, 0], test_x, test_y[:, 0], classes)
