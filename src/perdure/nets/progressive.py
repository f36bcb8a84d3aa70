"""A column of layers for each task, which sees the frozen columns before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import ClassVar, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure.batch import Batch
from perdure.errors import InvalidValue, UnseenClass, check_range
from perdure.nets.blocks import Blocks, distinct, integers, missing
from perdure.nets.columns import Grown, TaskColumns


class ProgressiveNet(nn.Module):
    """Progressive networks: a task's column learns while all columns before it are frozen.

        h_i^(k) = relu(W_i^(k) h_{i-1}^(k) + b_i^(k)
                       + sum_{j<k} U_i^(k:j) relu(V_i^(k:j) h_{i-1}^(j)))        for i >= 2

    Source: Rusu et al. 2016, eq. 2, https://arxiv.org/abs/1606.04671.
    Differs: each earlier column has an adapter of its own (V, then U, no biases), where eq. 2 joins
        them into one; no scale alpha, which V can hold; and the outputs, like the first layer,
        see their own column alone. So k columns of 784-[256, 256]-2 have 267,266 k parameters and
        131,072 for each of the k (k - 1) / 2 adapters, which are two matrices of 256 x 256.
    Needs: the task id of every row, in training and at inference, and tasks one after another.

    A task id that a batch brings for the first time adds a column and freezes those before it:
    they stay byte for byte the same, so nothing is forgotten. The outputs are (n, 1 + largest
    label); the columns of labels that are not of a row's task hold MASKED. Rows of one task
    compute that task's column and those before it, no later ones.

    Args:
        inputs: the number of values in one row's input.
        hidden: the width of each hidden layer, two or more: adapters enter from the second on.
        classes: the labels of every task, a number k standing for 0 to k - 1; None lets the
            batches of a task bring them.

    Raises:
        InvalidValue: a width below 1, fewer than two hidden layers, or a negative label.
    """

    takes_task: ClassVar[bool] = True
    like: Tensor

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int] = (256, 256),
        classes: int | Iterable[int] | None = None,
    ) -> None:
        super().__init__()
        for width in (inputs, *hidden):
            check_range("ProgressiveNet", "a width", width, 1, float("inf"))
        if len(hidden) < 2:
            raise InvalidValue(
                f"ProgressiveNet: hidden is {tuple(hidden)}; give it two layers or more, since "
                "what earlier columns learned enters from the second on"
            )
        self.widths = (inputs, *hidden)
        self.classes = None if classes is None else distinct(classes)
        self.columns = nn.ModuleList()
        self.places = TaskColumns("ProgressiveNet")
        # An empty tensor follows .to(), so that even the first column knows where to go.
        self.register_buffer("like", torch.empty(0), persistent=False)

    @property
    def labels(self) -> dict[int, list[int]]:
        """The labels of each task, tasks in the order of their columns."""
        return {task: list(labels) for task, labels in self.places.labels.items()}

    def features(self, x: Tensor) -> Tensor:  # (n, hidden[-1])
        """The last hidden layer of the newest column."""
        return self._last_layers(x, len(self.columns))[-1]

    def forward(self, x: Tensor, task: Tensor | None = None) -> Tensor:  # (n, width)
        """The outputs of inputs (n, ...) for rows of the tasks `task` (n,).

        Raises:
            InvalidValue: `task` is None.
            UnseenTask: a task without a column; the message names those that have one.
        """
        present = self.places.present(task)
        depth = max((k for k, t in enumerate(self.places.labels, 1) if t in present), default=1)
        hidden = self._last_layers(x, depth)
        each = [column.outputs(h) for column, h in zip(self._columns, hidden, strict=False)]
        outputs: Tensor = self.places(torch.cat(each, 1), task)
        return outputs

    def grow(self, batch: Batch) -> bool:
        """Add a column for a task that is new, and outputs for labels new to the newest task.

        Raises:
            InvalidValue: no task ids, two new tasks at once, or no row of the newest task.
            UnseenClass: labels outside `classes`, or new ones for a frozen column.
        """
        new = self.places.unseen(batch)
        began = [task for task in new if task not in self.places.labels]
        tasks = integers(cast("Tensor", batch.task), "task")
        current = self._learning(tasks, new, began)
        if not new:
            return False
        outside = sorted(set(new[current]) - set(self.classes or new[current]))
        if outside:
            raise UnseenClass(
                f"task {current} brings labels {outside} and ProgressiveNet has "
                f"classes={self.classes} for every task; name them all, or leave classes out"
            )
        self._add(current, self.classes if self.classes and began else new[current])
        return True

    def add_column(self, task: int, classes: int | Iterable[int] | None = None) -> None:
        """Begin a task before its first batch: a new column, all earlier ones frozen.

        Args:
            task: its id.
            classes: its labels, a number k standing for 0 to k - 1; None takes the net's `classes`.

        Raises:
            InvalidValue: the task has a column, or no labels are given here or to the net.
        """
        labels = self.classes if classes is None else distinct(classes)
        if task in self.places.labels or not labels:
            raise InvalidValue(
                f"add_column({task}, {classes}): a task has one column, and a column at least one "
                f"label; there are columns for tasks {list(self.places.labels)}"
            )
        self._add(task, labels)

    def plan(self) -> list[Grown]:
        """Each block of outputs with its task and labels, in the order in which they grew."""
        return deepcopy(self.places.blocks)

    def rebuild(self, plan: list[Grown]) -> None:
        """Append the columns and blocks of `plan` that are not here yet; the newest one learns.

        Raises:
            CheckpointMismatch: what has grown here is not how the plan begins.
        """
        for block in missing(self.places.blocks, plan):
            self._add(block["task"], block["labels"])

    def by_task(self) -> dict[int, list[nn.Parameter]]:
        """The parameters of each task's column, adapters included."""
        columns = zip(self.places.labels, self.columns, strict=True)
        return {task: list(column.parameters()) for task, column in columns}

    def train(self, mode: bool = True) -> Self:
        """Set training mode; frozen columns stay in evaluation mode."""
        super().train(mode)
        for column in self._columns[:-1]:
            column.eval()
        return self

    @property
    def _columns(self) -> list[_Column]:
        return cast("list[_Column]", list(self.columns))

    def _last_layers(self, x: Tensor, depth: int) -> list[Tensor]:
        """The last hidden layer (n, hidden[-1]) of each of the first `depth` columns."""
        layers: list[list[Tensor]] = []
        for column in self._columns[:depth]:
            layers.append(column(x.flatten(1), layers))
        return [hidden[-1] for hidden in layers]

    def _add(self, task: int, labels: list[int]) -> None:
        starts = task not in self.places.labels
        self.places.add(task, labels)
        if starts:
            for column in self._columns:
                column.freeze()
            self.columns.append(_Column(self.widths, len(self.columns)).to(self.like))
        self._columns[-1].outputs.add(len(labels))

    def _learning(self, tasks: list[int], new: dict[int, list[int]], began: list[int]) -> int:
        """The one task whose column may learn from rows of `tasks`."""
        if len(began) > 1:
            raise InvalidValue(
                f"the batch brings tasks {began} at once; ProgressiveNet learns one after another, "
                "since a new column freezes those before it: let each batch bring one"
            )
        current = [*self.places.labels, *began][-1]
        late = sorted(new.keys() - {current})
        if late:
            raise UnseenClass(
                f"tasks {late} bring labels {[new[task] for task in late]}, and their columns are "
                f"frozen since task {current} began: name all labels first, with classes="
            )
        if current not in tasks:
            raise InvalidValue(
                f"the batch has rows of tasks {sorted(set(tasks))}, whose columns are frozen since "
                f"task {current} began; ProgressiveNet cannot return to a task"
            )
        return current


class _Column(nn.Module):
    """One task's layers, with an adapter from each earlier column into all but the first."""

    def __init__(self, widths: Sequence[int], earlier: int) -> None:
        super().__init__()
        inputs, *hidden = widths
        self.first = nn.Linear(inputs, hidden[0])
        self.rest = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(hidden))
        self.adapters = nn.ModuleList(
            nn.ModuleList(_adapter(a, b) for _ in range(earlier)) for a, b in pairwise(hidden)
        )
        self.outputs = Blocks(hidden[-1])

    def forward(self, x: Tensor, earlier: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """Each hidden layer (n, width), given those of the columns before."""
        layers = [F.relu(self.first(x))]
        for i, (layer, adapters) in enumerate(zip(self.rest, self.adapters, strict=True)):
            own = layer(layers[i])
            below = zip(cast("nn.ModuleList", adapters), earlier, strict=True)
            layers.append(F.relu(sum((adapter(h[i]) for adapter, h in below), own)))
        return layers

    def freeze(self) -> None:
        """Take no gradient from now on; the last one goes, or it would still move the weights."""
        self.requires_grad_(False).eval()
        for parameter in self.parameters():
            parameter.grad = None


def _adapter(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(before, before, bias=False), nn.ReLU(), nn.Linear(before, after, bias=False)
    )
