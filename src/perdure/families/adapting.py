"""What methods with adapters have in common: a part a task, its own labels, and who answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from perdure.batch import Batch, weighted_mean
from perdure.errors import Impossible, InvalidValue
from perdure.families.moments import Moments
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.nets import MASKED
from perdure.nets.adapters import Adapter, adapters, answering
from perdure.step import Step

Route = Literal["task", "nearest", "merged"]


class Local(Method):
    """Base of methods that learn the labels of a task against each other alone.

        loss = mean over rows of loss(outputs, y), outputs of incoming rows among labels of the task

    So the outputs of earlier tasks stay as they are. Rows that other methods recall see all.
    """

    keeps: ClassVar[tuple[str, ...]] = ("own",)

    def __init__(self) -> None:
        self.own = torch.zeros(0, dtype=torch.bool)  # (classes,), the labels of this task

    def loss(self, step: Step) -> Tensor:
        """The weighted mean over incoming and recalled rows."""
        logits = step.outputs.clone()
        logits[: step.current].masked_fill_(~self._own(step), MASKED)
        each = step.learner.loss(logits, step.batch.y, reduction="none")
        return weighted_mean(each, step.batch.weights())

    def settle(self, step: Step) -> None:
        """Note the task's labels."""
        self.own = self._own(step)

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """The next task has labels of its own."""
        self.own = self.own.new_zeros(0)

    def _own(self, step: Step) -> Tensor:
        own = self.own.to(step.outputs.device)
        own = F.pad(own, (0, step.outputs.shape[1] - len(own)))
        return own.index_fill(0, step.whole.y, True)


class Adapting(Local):
    """Base of methods that give each task a part of an adapted model, frozen after its task.

    A task begins at a task id that was not seen, or, without ids, after a boundary.
    """

    keeps: ClassVar[tuple[str, ...]] = ("own", "order", "closed")
    kind: type[Adapter]
    """The adapters that the method works on."""
    alone = False
    """Whether a task's part answers without those of the tasks before it."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[int] = []
        self.closed = False

    def grow(self, learner: Learner, batch: Batch) -> bool:
        """Begin a part where a task begins.

        Raises:
            InvalidValue: rows of several tasks, or of one whose part is frozen, where parts answer
                alone.
        """
        new = self._new(batch)
        if not new:
            return False
        if not self.order:
            self.check(learner)
        else:
            for adapter in adapters(learner.model).values():
                adapter.begin(alone=self.alone)
        self.order, self.closed, self.own = [*self.order, *new], False, self.own.new_zeros(0)
        return True

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Without task ids the next batch begins a task."""
        super().consolidate(learner, data)
        self.closed = bool(self.order)

    def check(self, learner: Learner) -> None:
        """Raise `Impossible` where the model lacks adapters of the kind, or they served before."""
        found = list(adapters(learner.model).values())
        if not found or not all(type(a) is self.kind and a.count() == 1 for a in found):
            raise Impossible(
                f"{type(self).__name__} works on a new {self.kind.__name__} and the model has "
                f"{sorted({type(a).__name__ for a in found}) or 'no adapters'}, of up to "
                f"{max((a.count() for a in found), default=0)} parts; see its card"
            )

    def _new(self, batch: Batch) -> list[int]:
        """The tasks that begin with this batch."""
        if batch.task is None:
            return [len(self.order)] if self.closed or not self.order else []
        found = batch.task.unique().tolist()
        new = [task for task in found if task not in self.order]
        if self.alone and found != (new or self.order[-1:])[:1]:
            raise InvalidValue(
                f"{self} learns one task after another, each with a part of its own; it got rows "
                f"of tasks {found} after {self.order}"
            )
        return new


class Routed(Adapting):
    """Base of methods whose parts answer by the task id, by the nearest task, or all together."""

    keeps = ("own", "order", "closed", "moments")

    def __init__(self, route: Route) -> None:
        super().__init__()
        if route not in ("task", "nearest", "merged"):
            raise InvalidValue(
                f"{type(self).__name__}: route is {route!r}; it must be task, nearest or merged"
            )
        self.route, self.alone = route, route != "merged"
        told, nearest = route == "task", route == "nearest"
        self.needs = Needs(
            boundaries=nearest,
            features=nearest,
            task_at_inference=told,
            task_in_training=told,
            architecture=type(self).needs.architecture,
        )
        self.moments = Moments("spherical", per_task=True)  # of bare features, by place and label

    def settle(self, step: Step) -> None:
        """Note the task's labels, and where its new rows lie before adaptation."""
        super().settle(step)
        rows, learner = step.incoming.fresh(), step.learner
        if self.route == "nearest" and len(rows):
            found = Moments("spherical", per_task=True)
            place = torch.full_like(rows.y, len(self.order) - 1)
            found.add(_bare(learner, rows.x), rows.y, place)
            self.moments.merge(found.over(learner.engine))

    def decide(self, learner: Learner, x: Tensor, out: Tensor, task: Tensor | None) -> Tensor:
        """Each row's answer by its task's part; `out` where that is not known."""
        if self.route == "task" and task is None:
            raise InvalidValue(f"{self} answers by task; ask with predict(x, task=...)")
        if self.route == "merged" or (self.route == "nearest" and not len(self.moments)):
            return out
        place = self._place(learner, x, task)
        for k in range(len(self.order)):
            rows = (place == k).nonzero().flatten()
            if len(rows):
                with answering(learner.model, k, k + 1):
                    ids = None if task is None else task[rows]
                    out[rows] = self._among(k, learner.forward(learner.prepare(x[rows]), ids))
        return out

    def _place(self, learner: Learner, x: Tensor, task: Tensor | None) -> Tensor:  # (n,)
        """The place of each row's task in the order; -1 where it is not known."""
        if self.route == "task" and task is not None:
            place = torch.full_like(task, -1)
            for k, known in enumerate(self.order):
                place[task == known] = k
            return place
        bare, means = _bare(learner, x), F.normalize(self.moments.means, dim=1)
        return self.moments.tasks[(bare @ means.T).argmax(1)]

    def _among(self, place: int, outputs: Tensor) -> Tensor:
        """Outputs (n, classes) with those MASKED that are no labels of the task at `place`."""
        if self.route == "task":
            return outputs
        labels = self.moments.labels[self.moments.tasks == place]
        closed = torch.full_like(outputs, MASKED)
        return closed.index_copy(1, labels, outputs[:, labels])


def _bare(learner: Learner, x: Tensor) -> Tensor:
    """Features (n, d) float64 of raw inputs without any adapter."""
    with answering(learner.model, 0, 0):
        return learner.features(x).double()
