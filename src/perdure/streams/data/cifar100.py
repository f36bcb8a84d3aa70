"""CIFAR-100: 60,000 colour photographs of 32 by 32 pixels in a hundred classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from perdure.streams.dataset import Data
from perdure.streams.records import Archive
from perdure.streams.source import RemoteFile, content

# The binary version: the "python version" is a pickle, which runs code when it is read.
FILE = RemoteFile(
    "cifar-100-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
)
INSIDE = "cifar-100-binary"


def cifar100(folder: str | Path | None = None) -> Data:
    """Images uint8 (n, 3, 32, 32): 50,000 to learn from, 10,000 to measure on.

    The column "superclass" names which of twenty groups a class belongs to, such as "fish".

    Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html.

    Args:
        folder: where the archive of the binary version is looked for first.

    Raises:
        DataUnavailable: it is in no local folder and cannot be downloaded, or is damaged.
    """
    archive = Archive(content(FILE, "cifar-100", folder), FILE.name)
    return read_cifar100(archive)


def read_cifar100(archive: Archive) -> Data:
    """The data set in an archive of its layout: a coarse and a fine label before each image."""
    train_x, train_y = archive.records([f"{INSIDE}/train.bin"], labels=2)
    test_x, test_y = archive.records([f"{INSIDE}/test.bin"], labels=2)
    coarse = np.array(archive.lines(f"{INSIDE}/coarse_label_names.txt"))
    return Data(
        "cifar-100",
        train_x,
        train_y[:, 1],
        test_x,
        test_y[:, 1],
        archive.lines(f"{INSIDE}/fine_label_names.txt"),
        {"superclass": (coarse[train_y[:, 0].numpy()], coarse[test_y[:, 0].numpy()])},
    )
