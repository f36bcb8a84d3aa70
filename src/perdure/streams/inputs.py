"""Inputs that are read when they are drawn, for data that does not lie in one tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from perdure.errors import InvalidValue


class Inputs(Protocol):
    """What `Rows` may hold instead of a tensor."""

    def __len__(self) -> int: ...

    def gather(self, index: Tensor) -> Tensor:
        """The inputs (n, ...) at the positions (n,), read now."""
        ...

    def draw(self, indices: Iterable[Tensor]) -> Iterator[Tensor]:
        """The inputs of one batch after another; a later one may be read ahead."""
        ...


class DatasetInputs:
    """The inputs of a map-style torch `Dataset`, read through a `DataLoader`.

    Args:
        dataset: `dataset[i]` is a tensor or an array, or a tuple that begins with one; all of one
            shape.
        workers: processes that read ahead; 0 reads in this process.

    Raises:
        InvalidValue: the data set has no length, or an item is no tensor.
    """

    def __init__(self, dataset: Dataset[Any], workers: int = 0) -> None:
        self.items = _Items(dataset)
        self.workers = workers

    def __len__(self) -> int:
        return len(self.items)

    def gather(self, index: Tensor) -> Tensor:
        """The inputs (n, ...) at the positions (n,), read in this process."""
        return torch.stack([self.items[position] for position in index.tolist()])

    def draw(self, indices: Iterable[Tensor]) -> Iterator[Tensor]:
        """The inputs of one batch after another, read ahead by the workers."""
        loader = DataLoader(
            self.items,
            batch_sampler=(index.tolist() for index in indices),
            num_workers=self.workers,
            # Its own generator: the global one belongs to the run and must not move here.
            generator=Generator().manual_seed(0),
        )
        return iter(loader)


class _Items(Dataset[Tensor]):
    """The input of each item alone, as a tensor."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        if not callable(getattr(dataset, "__len__", None)):
            raise InvalidValue(
                f"{type(dataset).__name__} has no length; give a map-style data set with "
                "__len__ and __getitem__"
            )
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, position: int) -> Tensor:
        item = self.dataset[position]
        x = item[0] if isinstance(item, tuple | list) else item
        if isinstance(x, Tensor):
            return x
        if isinstance(x, np.ndarray):
            return torch.from_numpy(x)
        raise InvalidValue(
            f"item {position} of {type(self.dataset).__name__} begins with a {type(x).__name__}; "
            "give the data set a transform that makes tensors"
        )
