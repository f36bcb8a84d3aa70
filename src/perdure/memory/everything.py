"""Every row that ever came."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import torch

from perdure.batch import Batch
from perdure.memory.memory import Memory


class Everything(Memory):
    """All rows ever added, in the order in which they came: a memory without a bound.

    It is what continual learning does without, and so what it is compared with.

    Example:
        >>> memory = Everything()
        >>> memory.add(Batch(torch.arange(10), torch.arange(10)))
        >>> len(memory)
        10
    """

    def __init__(self) -> None:
        super().__init__(sys.maxsize)

    def add(self, batch: Batch) -> None:
        """Keep rows, each of them given for the first time."""
        rows = torch.arange(len(batch))
        self.storage.write(len(self) + rows, batch, rows)


def gathered(data: Iterable[Batch]) -> Batch | None:
    """All rows of the batches as one; None where there are none."""
    memory = Everything()
    for batch in data:
        memory.add(batch)
    return memory.rows()
