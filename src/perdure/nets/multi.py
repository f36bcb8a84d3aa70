"""A head for each task, chosen by task id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import ClassVar

from torch import Tensor, nn

from perdure.batch import Batch
from perdure.errors import check_range
from perdure.nets.blocks import Blocks, distinct, missing
from perdure.nets.columns import Grown, TaskColumns


class MultiHead(nn.Module):
    """Linear outputs from features (n, d) for each task's own labels, in columns by label id.

    A batch may mix tasks: all heads are one matrix product, and one gather gives each row the
    outputs of its task; the columns of labels that are not its task's hold MASKED. Heads of tasks
    absent from a batch get no gradient at all (None, not zero), so that neither momentum nor
    weight decay moves them. A new label or task appends a block; old blocks are untouched.

    Args:
        features: d, the width of the representation.
        tasks: labels by task id that have outputs from the start; a number k stands for 0 to k - 1.

    Raises:
        InvalidValue: a width below 1, or a negative label or task id.

    Example:
        >>> MultiHead(400, tasks={0: 2, 1: [2, 3]}).labels
        {0: [0, 1], 1: [2, 3]}
    """

    takes_task: ClassVar[bool] = True

    def __init__(
        self, features: int, tasks: Mapping[int, int | Iterable[int]] | None = None
    ) -> None:
        super().__init__()
        check_range("MultiHead", "features", features, 1, float("inf"))
        self.in_features = features
        self.blocks = Blocks(features)
        self.columns = TaskColumns("MultiHead")
        for task, labels in (tasks or {}).items():
            self._add(task, distinct(labels))

    @property
    def labels(self) -> dict[int, list[int]]:
        """The labels of each task, in the order in which they came."""
        return {task: list(labels) for task, labels in self.columns.labels.items()}

    def forward(self, features: Tensor, task: Tensor | None = None) -> Tensor:  # (n, width)
        """The outputs of features (n, d) for rows of the tasks `task` (n,).

        Raises:
            InvalidValue: `task` is None.
            UnseenTask: a task without a head; the message names those that have one.
        """
        present = self.columns.present(task)
        learning = [block["task"] in present for block in self.columns.blocks]
        outputs: Tensor = self.columns(self.blocks(features, learning), task)
        return outputs

    def grow(self, batch: Batch) -> bool:
        """Append a block for each task that brings labels without an output.

        Raises:
            InvalidValue: no task ids, or labels that are not one integer from 0 a row.
        """
        new = self.columns.unseen(batch)
        for task, labels in new.items():
            self._add(task, labels)
        return bool(new)

    def plan(self) -> list[Grown]:
        """Each block with its task and labels, in the order in which they grew."""
        return deepcopy(self.columns.blocks)

    def rebuild(self, plan: list[Grown]) -> None:
        """Append the blocks of `plan` that are not here yet.

        Raises:
            CheckpointMismatch: what has grown here is not how the plan begins.
        """
        for block in missing(self.columns.blocks, plan):
            self._add(block["task"], block["labels"])

    def by_task(self) -> dict[int, list[nn.Parameter]]:
        """The parameters that serve one task alone."""
        found: dict[int, list[nn.Parameter]] = {}
        for grown, block in zip(self.columns.blocks, self.blocks, strict=True):
            found.setdefault(grown["task"], []).extend(block.parameters())
        return found

    def _add(self, task: int, labels: list[int]) -> None:
        self.columns.add(task, labels)
        self.blocks.add(len(labels))
