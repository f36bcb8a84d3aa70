"""Fashion-MNIST: 70,000 pieces of clothing of 28 by 28 pixels."""

from __future__ import annotations

from pathlib import Path

from perdure.streams.dataset import Data
from perdure.streams.idx import idx_files, load_idx

FILES = idx_files(
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def fashion_mnist(folder: str | Path | None = None) -> Data:
    """Images uint8 (n, 1, 28, 28): 60,000 to learn from, 10,000 to measure on.

    Debian's package dataset-fashion-mnist has them too, and is looked in before a download.

    Source: Xiao, Rasul & Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist.

    Args:
        folder: where the four files are looked for first.

    Raises:
        DataUnavailable: a file is in no local folder and cannot be downloaded, or is damaged.
    """
    return load_idx("fashion-mnist", FILES, CLASSES, folder)
