"""Where the outputs of each task's blocks stand among the columns, which are label ids."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure.batch import Batch
from perdure.errors import InvalidValue, UnseenTask
from perdure.nets.blocks import MASKED, distinct, integers


class Grown(TypedDict):
    """One block: whose it is, and the label of each of its outputs."""

    task: int
    labels: list[int]


class TaskColumns(nn.Module):
    """Puts the outputs (n, k) of blocks in the columns of their labels, each row by its task.

    Args:
        owner: the class whose outputs they are, for messages.
    """

    ids: Tensor  # (t,) int64: the task ids
    table: Tensor  # (1 + t, width) int64: 1 + the position among the outputs; 0 is MASKED

    def __init__(self, owner: str) -> None:
        super().__init__()
        self.owner = owner
        self.blocks: list[Grown] = []
        self.labels: dict[int, list[int]] = {}
        self._pairs: dict[tuple[int, int], int] = {}
        # Buffers, so that a teacher's snapshot answers in the columns that it knew. Row 0 of the
        # table is of a task that the snapshot did not know yet.
        self.register_buffer("ids", torch.empty(0, dtype=torch.int64), persistent=False)
        self.register_buffer("table", torch.empty(1, 0, dtype=torch.int64), persistent=False)

    def add(self, task: int, labels: list[int]) -> None:
        """Take the next outputs as those of `labels` in `task`."""
        if task < 0:
            raise InvalidValue(f"task id is {task}; map tasks to 0, 1, 2, ...")
        self.blocks.append({"task": task, "labels": labels})
        self.labels.setdefault(task, []).extend(labels)
        for label in labels:
            self._pairs[task, label] = 1 + len(self._pairs)
        rows = {known: row for row, known in enumerate(self.labels, 1)}
        width = 1 + max((label for _, label in self._pairs), default=-1)
        table = torch.zeros(1 + len(rows), width, dtype=torch.int64)
        for (owner, label), position in self._pairs.items():
            table[rows[owner], label] = position
        self.table = table.to(self.table.device)
        self.ids = torch.tensor(list(rows), device=self.ids.device)

    def unseen(self, batch: Batch) -> dict[int, list[int]]:
        """The batch's labels by task, both ascending, that no block has yet.

        Raises:
            InvalidValue: a row has no task id, or labels and ids are not integers from 0.
        """
        tasks, labels = integers(self._given(batch.task), "task"), integers(batch.y, "y")
        new: dict[int, list[int]] = {}
        for task, label in sorted(set(zip(tasks, labels, strict=True)) - self._pairs.keys()):
            new.setdefault(task, []).append(label)
        return {task: distinct(found) for task, found in new.items()}

    def present(self, task: Tensor | None) -> Collection[int]:
        """The tasks that the rows belong to.

        Raises:
            InvalidValue: there are no task ids.
            UnseenTask: a task that has no outputs; the message names those that do.
        """
        task = self._given(task)
        if torch._C._functorch.is_functorch_wrapped_tensor(task):  # noqa: SLF001  no public name
            return self.labels.keys()  # vmap hides the values: any task may be there
        found = set(integers(task, "task"))
        unknown = sorted(found - self.labels.keys())
        if unknown:
            raise UnseenTask(
                f"{self.owner} has no outputs for task {_said(unknown)}; it knows tasks "
                f"{_said(self.labels) or '(none yet)'}. Observe rows of that task first, or ask "
                "with the id of a task that it learned"
            )
        return found

    def forward(self, outputs: Tensor, task: Tensor) -> Tensor:  # (n, width)
        """Each row's own outputs in their columns; every other column is MASKED."""
        match = (task[:, None] == self.ids).to(torch.int64)  # (n, t)
        row = (match * torch.arange(1, 1 + len(self.ids), device=task.device)).sum(1)  # (n,)
        return F.pad(outputs, (1, 0), value=MASKED).gather(1, self.table[row])

    def _given(self, task: Tensor | None) -> Tensor:
        if task is None:
            raise InvalidValue(
                f"{self.owner} needs the task id of each row and got none: observe batches with "
                "task=..., ask with predict(x, task=...), or, where tasks are not known, use a "
                "GrowingHead"
            )
        return task


def _said(ids: Collection[int]) -> str:
    return ", ".join(map(str, sorted(ids)))
