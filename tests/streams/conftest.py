"""A small data set whose every input says which row it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from perdure.batch import Batch
from perdure.streams import Data


def numbered(rows: int, first: int = 0) -> torch.Tensor:
    """Inputs (rows, 1, 4, 4) float: the first pixel is the row's number, the others are noise."""
    x = torch.rand(rows, 1, 4, 4, generator=torch.Generator().manual_seed(first))
    x[:, 0, 0, 0] = torch.arange(first, first + rows)
    return x


@pytest.fixture
def toy() -> Callable[..., Data]:
    """Makes a data set of so many classes; labels go round, so that classes are even."""

    def make(classes: int = 6, train: int = 60, test: int = 24) -> Data:
        return Data(
            "toy",
            numbered(train),
            torch.arange(train) % classes,
            numbered(test, first=1000),
            torch.arange(test) % classes,
            tuple("abcdefghij"[:classes]),
        )

    return make


@pytest.fixture
def ids() -> Callable[..., list[int]]:
    """The numbers of the rows in one batch, or in many."""

    def read(batches) -> list[int]:
        batches = [batches] if isinstance(batches, Batch) else batches
        return [int(x[0, 0, 0]) for batch in batches for x in batch.x]

    return read
