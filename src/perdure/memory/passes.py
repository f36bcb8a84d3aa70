"""Learning remembered rows as if they were a stream of their own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Generator

from perdure.batch import Batch


def passes(rows: Batch, size: int, steps: int, rng: Generator) -> Iterator[Batch]:
    """`steps` batches of `size` rows from one shuffled pass after another, none of them new.

    What is left over at the end of a pass is left out of it, so that every update is as large as
    the others and as many as on the other ranks. Fewer rows than `size` are one batch.
    """
    for step in range(steps):
        at = step % max(1, len(rows) // size)
        if at == 0:
            order = torch.randperm(len(rows), generator=rng).split(size)
        yield rows[order[at]]
