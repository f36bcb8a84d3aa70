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
    Differs: tasks share the capacity equally, each by a reservoir; the paper fixes each one's share
        in advance and keeps its last rows. The task in progress has its share too: in the fifth
        task the past has a fifth less than in Mammoth, which is worth one point on Split
        Fashion-MNIST. The program's ridge is relative, not 1e-3, which changes nothing there.
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
        >>> learner = Learner(torch.nn.Linear(4, 2), GEM(capacity=100))
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]), task=0))
    """

    keeps = ("memory",)
    needs = Needs(task_in_training=True, raw_rows=True, labels=False)

    def __init__(self, capacity: int = 500, strength: float = 0.5, rows: int | None = None) -> None:
        check_range("GEM", "strength", strength, 0, float("inf"))
        check_range("GEM", "rows", 1 if rows is None else rows, 1, float("inf"))
        self.capacity, self.strength, self.rows = capacity, strength, rows
        self.memory = Balanced(capacity, by="task")

    def project(self, step: Step, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        """The nearest gradient that points away from no past task's."""
        learner, slopes = step.learner, []
        for rows in self._past(step):
            outputs = learner.forward(learner.prepare(rows.x), rows.task)
            slopes.append(step.grads(learner.loss(outputs, rows.y)))
        if not slopes:
            return grads
        unused = {name: p for name, p in learner.params.items() if name not in grads}
        inner = _gram([{**tree.zeros(unused), **grads}, *slopes])
        # Where half precision overflowed there is no direction to turn to.
        if not np.isfinite(inner).all() or (inner[0, 1:] >= 0).all():
            return grads
        for share, slope in zip(least_turn(inner, self.strength), slopes, strict=True):
            grads = tree.combine(grads, slope, float(share))
        return grads

    def settle(self, step: Step) -> None:
        """Remember the rows seen for the first time."""
        self.memory.add(step.incoming.fresh())

    def _past(self, step: Step) -> list[Batch]:
        """What the memory holds of each task that the incoming rows do not belong to."""
        current = step.incoming.task
        if current is None:
            raise InvalidValue("GEM got a batch without task ids; observe Batch(x, y, task=...)")
        past = sorted({*self.memory.groups()} - {*current.tolist()})
        return [step.learner.engine.place(self.memory.group(t, self.rows)) for t in past]


def least_turn(inner: Array, least: float) -> Array:  # (1 + t, 1 + t) -> (t,)
    """The v of `GEM`, given the inner products of g and the rows of G with one another, g first."""
    size = np.sqrt(inner.diagonal()[1:]).clip(1e-30)
    gram = inner[1:, 1:] / np.outer(size, size) + 1e-9 * np.eye(len(size))  # for dependent rows
    factor, slope = np.linalg.cholesky(gram), inner[0, 1:] / size + gram @ (least * size)
    above, _ = nnls(factor.T, -solve_triangular(factor, slope, lower=True))
    return np.asarray(above / size + least)


def _gram(trees: list[dict[str, Tensor]]) -> Array:
    """Inner products of every two trees over the same names, (t, t)."""
    rows = [torch.stack([t[name].flatten() for t in trees]).double() for name in trees[0]]
    return np.asarray(sum((r @ r.T).cpu().numpy() for r in rows))
