"""Rows in main memory."""

from __future__ import annotations

import torch
from torch import Tensor

from perdure.memory.columns import ColumnStorage
from perdure.memory.storage import Layout


class RamStorage(ColumnStorage):
    """Rows in main memory: the storage that every memory begins with.

    Args:
        capacity: slots, >= 1.
    """

    def _empty(self, layout: Layout, rows: int) -> dict[str, Tensor]:
        return {n: torch.empty((rows, *shape), dtype=d) for n, (d, shape) in layout.items()}

    def _adopt(self, columns: dict[str, Tensor], filled: int) -> None:
        self.columns, self.filled = columns, filled
