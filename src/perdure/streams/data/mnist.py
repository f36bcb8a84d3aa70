"""MNIST: 70,000 handwritten digits of 28 by 28 pixels."""

from __future__ import annotations

from pathlib import Path

from perdure.streams.dataset import Data
from perdure.streams.idx import idx_files, load_idx

FILES = idx_files(
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)


def mnist(folder: str | Path | None = None) -> Data:
    """Images uint8 (n, 1, 28, 28): 60,000 to learn from, 10,000 to measure on.

    Source: LeCun, Bottou, Bengio & Haffner 1998, from the mirror that torchvision uses.

    Args:
        folder: where the four files are looked for first.

    Raises:
        DataUnavailable: a file is in no local folder and cannot be downloaded, or is damaged.
    """
    return load_idx("mnist", FILES, tuple(map(str, range(10))), folder)
