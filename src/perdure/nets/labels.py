"""What heads over one growing label space share: blocks that join, in columns by label id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Protocol, cast, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure.batch import Batch
from perdure.errors import check_range
from perdure.nets.blocks import MASKED, Blocks, distinct, integers, missing


@runtime_checkable
class ByLabel(Protocol):
    """A head that knows which weights lead to each label's output."""

    def by_label(self) -> dict[int, Tensor]:
        """Views of the weights (d,) of each label's output, by label."""
        ...


class LabelHead(nn.Module):
    """A head that gains outputs as labels arrive; a subclass says what an output is.

    New labels of a batch append one block; old blocks keep their tensors bit for bit, and their
    place in the optimiser. Labels may come in any order: the outputs are (n, 1 + largest label),
    and a column whose label was never seen holds MASKED.

    Args:
        features: d, the width of the representation.
        classes: labels to have outputs for from the start; a number k stands for 0 to k - 1.
        bias: whether an output has one.

    Raises:
        InvalidValue: a width below 1, or a negative label.
    """

    takes_task: ClassVar[bool] = False
    columns: Tensor  # (width,) int64: 1 + the position among the outputs; 0 is MASKED

    def __init__(self, features: int, classes: int | Iterable[int] = (), bias: bool = True) -> None:
        super().__init__()
        check_range(type(self).__name__, "features", features, 1, float("inf"))
        self.in_features = features
        self.blocks = Blocks(features, bias)
        self._plan: list[list[int]] = []
        self._seen: set[int] = set()
        self._ordered = True
        # A buffer, so that a teacher's snapshot answers in the columns that it knew.
        self.register_buffer("columns", torch.empty(0, dtype=torch.int64), persistent=False)
        self._add(distinct(classes))

    @property
    def labels(self) -> list[int]:
        """The labels that have outputs, in the order of the blocks' rows."""
        return [label for labels in self._plan for label in labels]

    def by_label(self) -> dict[int, Tensor]:
        """Views of the weights (d,) of each label's output, by label."""
        blocks = cast("Iterator[nn.Linear]", iter(self.blocks))
        return dict(zip(self.labels, (row for b in blocks for row in b.weight), strict=True))

    def arranged(self, outputs: Tensor) -> Tensor:  # (n, labels) -> (n, width)
        """Outputs in the order of `labels`, each in its own column."""
        if not self._ordered:
            return F.pad(outputs, (1, 0), value=MASKED).index_select(1, self.columns)
        width = len(self.columns)
        return outputs if width == outputs.shape[1] else outputs[:, :width]

    def grow(self, batch: Batch) -> bool:
        """Append a block for the labels that have no output yet.

        Raises:
            InvalidValue: `y` is not one integer from 0 a row.
        """
        return self._add(distinct(set(integers(batch.y, "y")) - self._seen))

    def plan(self) -> list[list[int]]:
        """The labels of each block, in the order in which they grew."""
        return [list(labels) for labels in self._plan]

    def rebuild(self, plan: list[list[int]]) -> None:
        """Append the blocks of `plan` that are not here yet.

        Raises:
            CheckpointMismatch: what has grown here is not how the plan begins.
        """
        for labels in missing(self._plan, plan):
            self._add(labels)

    def _add(self, labels: list[int]) -> bool:
        if not labels:
            return False
        self.blocks.add(len(labels))
        self._plan.append(labels)
        self._seen.update(labels)
        columns = torch.zeros(1 + max(self._seen), dtype=torch.int64)
        columns[self.labels] = torch.arange(1, 1 + len(self._seen))
        self.columns = columns.to(self.columns.device)
        # Where labels came as 0, 1, 2, ... the outputs stand in their columns already.
        self._ordered = self.labels == list(range(len(self._seen)))
        return True


def columns_of(labels: Iterable[int], outputs: Tensor) -> Tensor:
    """Mask (width,) of the columns of outputs (n, width) that belong to these labels."""
    width = outputs.shape[1]
    mask = torch.zeros(width, dtype=torch.bool, device=outputs.device)
    mask[[label for label in labels if label < width]] = True
    return mask
