"""Rows of one task, drawn in batches: shared, never copied, and resumable at any batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import tee

import torch
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.streams.draws import seeded
from perdure.streams.inputs import Inputs

Transform = Callable[[Tensor], Tensor]


class Rows:
    """Rows over a tensor that others may share; iterating yields them in order, none of them new.

    Args:
        x: inputs (n, ...), raw (uint8 stays uint8), or `Inputs` that are read when drawn.
        y: labels (n,) int64, or targets (n, ...).
        task: the task id of all rows, or one a row (n,) int64, or None where none is known.
        index: positions (m,) of the rows that these are; None means all.
        transform: applied to the inputs (b, ...) of each batch drawn, such as a rotation.
        ordered: the order of the rows is part of the stream, so that no pass shuffles them.
        size: rows a batch where the rows are iterated over.

    Raises:
        InvalidValue: the columns differ in length.
    """

    def __init__(
        self,
        x: Tensor | Inputs,
        y: Tensor,
        *,
        task: int | Tensor | None = None,
        index: Tensor | None = None,
        transform: Transform | None = None,
        ordered: bool = False,
        size: int = 1024,
    ) -> None:
        if len(x) != len(y) or (isinstance(task, Tensor) and len(task) != len(y)):
            raise InvalidValue(f"columns differ in length: x has {len(x)} rows, y {len(y)}")
        self.x = x
        self.y = y
        self.task = task.to(y.device) if isinstance(task, Tensor) else task
        self.index = None if index is None else index.to(y.device)
        self.transform = transform
        self.ordered = ordered
        self.size = size

    def __len__(self) -> int:
        return len(self.y if self.index is None else self.index)

    def __iter__(self) -> Iterator[Batch]:
        order = self._positions(torch.arange(len(self)))
        return self._drawn((index, False) for index in order.split(self.size))

    def labels(self) -> Tensor:
        """The labels (n,) or targets (n, ...) of these rows, in order."""
        return self.y if self.index is None else self.y[self.index]

    def take(self, index: Tensor, *, ordered: bool | None = None) -> Rows:
        """The rows at these positions (m,), in this order; `ordered` as here unless given.

        A mask (n,) of booleans takes the rows where it is true.
        """
        if index.dtype == torch.bool:
            index = index.nonzero().flatten()
        return Rows(
            self.x,
            self.y,
            task=self.task,
            index=self._positions(index),
            transform=self.transform,
            ordered=self.ordered if ordered is None else ordered,
            size=self.size,
        )

    def batch(self, index: Tensor, *, new: bool = True) -> Batch:
        """The rows at these positions (m,), all of them new or none."""
        where = self._positions(index)
        x = self.x.index_select(0, where) if isinstance(self.x, Tensor) else self.x.gather(where)
        return self._batch(x, where, new)

    def batches(
        self,
        size: int,
        *,
        seed: int,
        epochs: int | None = None,
        steps: int | None = None,
        start: int = 0,
    ) -> Iterator[Batch]:
        """Shuffled passes over the rows; those of the first pass are new, later ones are not.

        A pass depends on (seed, its number) alone, so `start` costs nothing. By `epochs`, a pass
        ends with what is left over, if smaller than `size`. By `steps`, passes go on until so many
        batches were drawn and leave out what is left over (van de Ven et al. 2022): a row left out
        of the first pass is not new when it is drawn later. Fewer rows than `size` are one batch.

        Args:
            size: rows a batch.
            seed: of the order.
            epochs: passes, or
            steps: batches; exactly one of the two.
            start: batches to skip without reading them.

        Raises:
            InvalidValue: not exactly one of `epochs` and `steps`, a number out of range, no rows.
        """
        asked = steps if epochs is None else epochs
        if asked is None or (epochs is not None and steps is not None):
            raise InvalidValue(f"give epochs or steps, one of them: {epochs=}, {steps=}")
        if min(size, asked) < 1 or start < 0:
            raise InvalidValue(
                "size, epochs and steps are at least 1, start at least 0: "
                f"{size=}, {epochs=}, {steps=}, {start=}"
            )
        if len(self) == 0:
            raise InvalidValue("there are no rows to draw batches from")
        drops = steps is not None and len(self) >= size
        per_pass = len(self) // size if drops else -(-len(self) // size)
        total = asked if epochs is None else asked * per_pass
        return self._drawn(self._passes(size, seed, range(start, total), per_pass))

    def _passes(
        self, size: int, seed: int, span: range, per_pass: int
    ) -> Iterator[tuple[Tensor, bool]]:
        """The positions in x of each batch, and whether they are new."""
        current, order = -1, ()
        for number in span:
            epoch, batch = divmod(number, per_pass)
            if epoch != current:
                current, order = epoch, self._order(seed, epoch).split(size)
            yield order[batch], epoch == 0

    def _order(self, seed: int, epoch: int) -> Tensor:  # (n,)
        if self.ordered:
            return self._positions(torch.arange(len(self)))
        return self._positions(torch.randperm(len(self), generator=seeded(seed, epoch)))

    def _positions(self, index: Tensor) -> Tensor:
        """From positions among these rows to positions in x."""
        index = index.to(self.y.device)
        return index if self.index is None else self.index[index]

    def _drawn(self, draws: Iterator[tuple[Tensor, bool]]) -> Iterator[Batch]:
        if isinstance(self.x, Tensor):
            for where, new in draws:
                yield self._batch(self.x.index_select(0, where), where, new)
            return
        ahead, draws = tee(draws)
        inputs = self.x.draw(where for where, _ in ahead)
        for (where, new), x in zip(draws, inputs, strict=False):
            yield self._batch(x, where, new)

    def _batch(self, x: Tensor, where: Tensor, new: bool) -> Batch:
        task = self.task
        if isinstance(task, Tensor):
            task = task.index_select(0, where)
        elif task is not None:
            task = torch.full((len(where),), task, device=where.device)
        return Batch(
            x if self.transform is None else self.transform(x),
            self.y.index_select(0, where),
            task,
            new=len(where) if new else 0,
        )
