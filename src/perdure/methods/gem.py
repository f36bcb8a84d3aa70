from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import nnls
from torch import Tensor

from perdure import tree
from perdure.batch import Batch
from perdure.errors import InvalidValue, check_range
from perdure.memory import Balanced
from perdure.method import Method, Needs
from perdure.step import Step

Array = NDArray[np.float64]


class GEM(Method):
    """Turn each gradient g by the least that keeps it from raising the loss of any past task.

        applied = g + G^T v        G: (t, parameters), one past task's gradient a row
        v = argmin over v >= strength of 1/2 v^T G G^T v + (G g)^T v

    Source: Lopez-Paz & Ranzato 2017, eq. 8-11, https://arxiv.org/abs/1706.08840.
    Differs: past tasks share the capacity equally, each by a reservoir; the paper fixes each task's
        share in advance and keeps its last rows. The program's ridge is relative, not 1e-3.
    Needs: task ids in training. Costs a forward and a backward pass a past task in each step.
    Keeps: `capacity` raw rows.

    Args:
        capacity: rows of all tasks together, >= 1.
        strength: >= 0, the paper's margin: the least share of each past task's gradient that is
            added in a step that would hurt one of them. 0 is the exact projection.
        rows: >= 1 rows that stand for a past task in a step, drawn anew each time; None is all
            that the memory holds of it, as in the paper.

    Raises:
        InvalidValue: an argument out of range, or a batch without task ids.

    Example:
        >>> from perdure import Learner
        >>> learner = Learner(torch.nn.Linear(4, 2), GEM(capacity=100))
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]), task=0))
        >>> len(learner.methods[0].memory)
        4
    """

    keeps = ("memory",)
    needs = Needs(task_in_training=True, raw_rows=True, labels=False)

    def __init__(
        self, capacity: int = 1000, strength: float = 0.5, rows: int | None = None
    ) -> None:
        check_range("GEM", "strength", strength, 0, float("inf"))
        check_range("GEM", "rows", 1 if rows is None else rows, 1, float("inf"))
        self.capacity, self.strength, self.rows = capacity, strength, rows
        self.memory = Balanced(capacity, by="task")

    def project(self, step: Step, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        """The nearest gradient that points away from no past task's."""
        slopes = [self._slope(step, rows) for rows in self._past(step)]
        inner = _gram([{**tree.zeros(step.learner.params), **grads}, *slopes])
        # An overflow in half precision has no direction to turn.
        if not np.isfinite(inner).all() or (inner[0, 1:] >= 0).all():
            return grads
        shares = least_turn(inner[1:, 1:], inner[0, 1:], self.strength)
        for share, slope in zip(shares, slopes, strict=True):
            grads = tree.combine(grads, slope, float(share))
        return grads

    def settle(self, step: Step) -> None:
        """Remember the rows seen for the first time."""
        self.memory.add(step.batch.fresh())

    def _past(self, step: Step) -> list[Batch]:
        """What the memory holds of each task that the incoming rows do not belong to."""
        rows, current = self.memory.rows(), step.current_rows()[0].task
        if current is None:
            raise InvalidValue("GEM got a batch without task ids; observe Batch(x, y, task=...)")
        if rows is None or rows.task is None:
            return []
        past = [rows[rows.task == t] for t in sorted({*rows.task.tolist()} - {*current.tolist()})]
        shuffled = [torch.randperm(len(rows), generator=self.rng)[: self.rows] for rows in past]
        return [rows[order] for rows, order in zip(past, shuffled, strict=True)]

    def _slope(self, step: Step, rows: Batch) -> dict[str, Tensor]:
        """The gradient of a past task's loss by parameter name."""
        rows = step.learner.engine.place(rows)
        outputs = step.learner.forward(step.learner.prepare(rows.x), rows.task)
        return step.grads(step.learner.loss(outputs, rows.y))


def least_turn(gram: Array, inner: Array, least: float) -> Array:
    """argmin over v >= least of 1/2 v^T gram v + inner^T v (t,), as non-negative least squares."""
    gram = gram + 1e-9 * gram.trace() / len(gram) * np.eye(len(gram))  # dependent rows: a factor
    factor = np.linalg.cholesky(gram)
    above, _ = nnls(factor.T, -solve_triangular(factor, inner + gram.sum(1) * least, lower=True))
    return np.asarray(above + least)


def _gram(trees: list[dict[str, Tensor]]) -> Array:
    """Inner products of every two trees over the same names, (t, t)."""
    rows = {name: torch.stack([tree[name].flatten() for tree in trees]) for name in trees[0]}
    return np.asarray(sum((r.double() @ r.double().T).cpu().numpy() for r in rows.values()))
