from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from perdure import tree
from perdure.batch import Batch
from perdure.errors import check_range
from perdure.families.fisher import distance, importance
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.step import Step


class MAS(Method):
    """Hold each parameter by how much the outputs would change if it moved; labels are not asked.

        penalty = strength * sum_i omega_i (theta_i - anchor_i)^2
        omega_i <- omega_i + mean over rows x of |d ||f(x)||^2 / d theta_i|,
        anchor <- theta                                               at the end of a task

    Source: Aljundi et al. 2018, eq. 3 and 4, https://arxiv.org/abs/1711.09601.
    Differs: nothing known. Gradients are of single rows, where other programs take a batch's mean.
    Needs: boundaries with the task's inputs, any others of its kind will do. A boundary costs one
        backward pass over them, a step one pass over the parameters.
    Keeps: two tensors a parameter, however many tasks.

    Args:
        strength: >= 0, the paper's lambda, which is 1 for pretrained networks. Steps diverge at
            lr * strength * max(omega) > 1.
        rows: >= 1 rows that stand for a task in its importance; None is all.

    Raises:
        InvalidValue: an argument out of range, or a boundary without rows.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 2), MAS())
        >>> rows = Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]))
        >>> learner.consolidate(rows)
        >>> list(learner.observe(rows).terms)
        ['loss', 'mas']
    """

    keeps = ("omega", "anchor")
    needs = Needs(boundaries=True, data=True, labels=False)

    def __init__(self, strength: float = 0.1, rows: int | None = None) -> None:
        check_range("MAS", "strength", strength, 0, float("inf"))
        check_range("MAS", "rows", 1 if rows is None else rows, 1, float("inf"))
        self.strength, self.rows = strength, rows
        self.omega: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}

    def penalty(self, step: Step) -> Tensor | None:
        """None before the first boundary."""
        if not self.omega:
            return None
        return self.strength * distance(step.learner.params, self.anchor, self.omega)

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Add the task's importance, and hold on to where it ended."""
        # The gradient of ||f||^2 at the outputs f is 2 f.
        new = importance(learner, data, lambda f, _: [2 * f], torch.abs, self.rows)
        self.omega = tree.combine(new, self.omega)
        self.anchor = {**self.anchor, **tree.copy(learner.params)}

    def explain(self) -> str:
        """Strength and the largest importance."""
        return f"{self!r}, largest importance {tree.largest(self.omega):.3g}"
