"""The frame of methods that learn in closed form from features that stay as they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import InvalidValue, NonFinite
from perdure.families.moments import Kind, Moments
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.nets import MASKED
from perdure.step import Step

Write = Literal["step", "boundary"]
Scores = Callable[[Tensor], Tensor]


class Analytic(Method, ABC):
    """Sums of features while learning; a solution of them when asked, kept until they change.

    A subclass says what it sums (`embed`) and how the sums answer (`solve`). The answers are log
    probabilities: (n, 1 + largest label), or as wide as the model's own outputs, and MASKED for
    labels that were never seen. Before the first row they are the model's own.

    Args:
        kind: which second moments to keep.
        write: "step" counts new rows at each update, "boundary" a task's rows when it ends.
        per_task: labels are local to a task; an answer chooses among the asked task's.

    Raises:
        InvalidValue: an unknown `write`.
        NonFinite: by `settle` and `consolidate`, where features are NaN or infinite.
    """

    keeps: ClassVar[tuple[str, ...]] = ("moments",)
    answers = True

    def __init__(self, kind: Kind, write: Write, *, per_task: bool) -> None:
        if write not in get_args(Write):
            raise InvalidValue(
                f"{type(self).__name__}: write is {write!r}; it must be 'step' or 'boundary'"
            )
        self.write, self.per_task = write, per_task
        ends = write == "boundary"
        self.needs = Needs(ends, ends, per_task, per_task, features=True, frozen=True)
        self.moments = Moments(kind, per_task=per_task)
        self._solution: Scores | None = None

    @abstractmethod
    def solve(self) -> Scores:
        """The function from what `embed` gave (n, e) to scores (n, groups), float64."""

    def embed(self, features: Tensor) -> Tensor:
        """What is summed in place of the features (n, d), float64 (n, e)."""
        return features.double()

    def settle(self, step: Step) -> None:
        """Count the rows seen for the first time."""
        if self.write == "step":
            self._count(step.learner, [step.incoming.fresh()])

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Count the rows of the task that ended."""
        if self.write == "boundary":
            self._count(learner, data)

    def decide(self, learner: Learner, x: Tensor, out: Tensor, task: Tensor | None) -> Tensor:
        """Log probabilities from the sums, once there are any."""
        if not len(self.moments):
            return out
        if self._solution is None:
            self._solution = self.solve()
        scores = self._solution(self.embed(learner.features(x)))  # (n, groups)
        return self._by_label(scores, task, out.shape[1])

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        """Restore what `state_dict` gave; it is solved anew when asked."""
        super().load_state_dict(state, device)
        self._solution = None

    def _count(self, learner: Learner, data: Iterable[Batch]) -> None:
        fresh = Moments(self.moments.kind, per_task=self.per_task)
        for batch in data:
            if len(batch):
                features = learner.features(batch.x, fixed=True)
                self._check_finite(features)
                fresh.add(self.embed(features), batch.y, batch.task)
        fresh = fresh.over(learner.engine)
        if len(fresh):
            self.moments.merge(fresh)
            self._solution = None

    def _check_finite(self, features: Tensor) -> None:
        bad = int((~features.isfinite()).any(1).sum())
        if bad:
            raise NonFinite(
                f"{self}: the features of {bad} of {len(features)} rows are not finite; the sums "
                "are as before this update. Look for NaN in the inputs"
            )

    def _by_label(self, scores: Tensor, task: Tensor | None, width: int) -> Tensor:
        """Scores (n, groups) as log probabilities in columns by label."""
        labels = self.moments.labels.to(scores.device)
        if self.per_task:
            if task is None:
                raise InvalidValue(f"{self} answers by task; call predict(x, task=...)")
            others = self.moments.tasks.to(scores.device) != task.to(scores.device)[:, None]
            told = scores.masked_fill(others, -torch.inf).log_softmax(1).masked_fill(others, MASKED)
        else:
            told = scores.log_softmax(1)
        told = told.clamp(min=MASKED).float()
        out = told.new_full((told.shape[0], max(width, self.moments.width)), MASKED)
        return out.scatter_reduce(1, labels.expand_as(told), told, "amax")
