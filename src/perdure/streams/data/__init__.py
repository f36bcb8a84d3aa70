"""Data sets: public ones by name, and one's own from arrays, tables, folders or torch."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from perdure.errors import InvalidValue
from perdure.streams.data.arrays import arrays
from perdure.streams.data.cifar10 import cifar10
from perdure.streams.data.cifar100 import cifar100
from perdure.streams.data.clinc150 import clinc150
from perdure.streams.data.digits import digits
from perdure.streams.data.fashion_mnist import fashion_mnist
from perdure.streams.data.image_folder import image_folder
from perdure.streams.data.mnist import mnist
from perdure.streams.data.tables import tables
from perdure.streams.data.torch_dataset import torch_dataset
from perdure.streams.dataset import Data

__all__ = [
    "Data",
    "arrays",
    "as_data",
    "cifar10",
    "cifar100",
    "clinc150",
    "digits",
    "fashion_mnist",
    "image_folder",
    "load",
    "mnist",
    "tables",
    "torch_dataset",
]

FROM_FILES: dict[str, Callable[[str | Path | None], Data]] = {
    "fashion-mnist": fashion_mnist,
    "mnist": mnist,
    "cifar-10": cifar10,
    "cifar-100": cifar100,
    "clinc150": clinc150,
}


def load(name: str, folder: str | Path | None = None) -> Data:
    """A public data set by its name.

    Args:
        name: "digits", "fashion-mnist", "mnist", "cifar-10", "cifar-100" or "clinc150".
        folder: where its files are looked for first; digits come with scikit-learn and need none.

    Raises:
        InvalidValue: the name is unknown; the message names the nearest.
        DataUnavailable: a file is in no local folder and cannot be downloaded, or is damaged.
        MissingExtra: digits without scikit-learn.
    """
    if name == "digits":
        return digits()
    if name not in FROM_FILES:
        known = ["digits", *FROM_FILES]
        near = get_close_matches(name.lower(), known, n=1, cutoff=0)[0]
        raise InvalidValue(
            f"there is no data set {name!r}; did you mean {near!r}? Known: {', '.join(known)}"
        )
    return FROM_FILES[name](folder)


def as_data(dataset: str | Data) -> Data:
    """The data itself, loaded where only its name is given."""
    return load(dataset) if isinstance(dataset, str) else dataset
