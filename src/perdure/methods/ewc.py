from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from perdure import tree
from perdure.batch import Batch
from perdure.errors import check_range
from perdure.families.fisher import Labels, check_labels, distance, fisher
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.step import Step


class EWC(Method):
    """Hold each parameter near where past tasks left it, as firmly as they depend on it.

        penalty = strength / 2 * sum_t sum_i F_ti (theta_i - theta_ti)^2

    where task t ended at theta_t with the Fisher information F_t.

    Source: Kirkpatrick et al. 2017, eq. 3, https://arxiv.org/abs/1612.00796.
    Differs: the sum over tasks is kept as the one quadratic that it is,
        sum_i fisher_i (theta_i - anchor_i)^2 + offset, fisher the sum of all F_t and anchor the
        mean of all theta_t weighted by them: the same value and gradient, in bounded memory.
    Needs: boundaries with the task's rows. A boundary costs about a backward pass a class over
        them, a step one pass over the parameters.
    Keeps: two tensors a parameter and one number, however many tasks.

    Args:
        strength: >= 0, in loss per Fisher times squared distance. The paper's 400 is for Atari;
            split image sets take 1e3 to 1e10. Steps diverge at lr * strength * max(fisher) > 2.
        labels: whose labels the Fisher information is of: "model", "sampled" or "true" (the
            "empirical" Fisher, the only one for regression); see `perdure.families.fisher.fisher`.
        rows: >= 1 rows that stand for a task in its Fisher; None is all.

    Raises:
        InvalidValue: an argument out of range, or a boundary without rows.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 2), EWC(strength=10.0))
        >>> rows = Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]))
        >>> list(learner.observe(rows).terms)
        ['loss']
        >>> learner.consolidate(rows)
        >>> list(learner.observe(rows).terms)
        ['loss', 'ewc']
    """

    keeps = ("fisher", "anchor", "offset")

    def __init__(
        self, strength: float = 10.0, labels: Labels = "model", rows: int | None = None
    ) -> None:
        check_range("EWC", "strength", strength, 0, float("inf"))
        check_range("EWC", "rows", 1 if rows is None else rows, 1, float("inf"))
        check_labels("EWC", labels)
        self.strength, self.labels, self.rows = strength, labels, rows
        self.needs = Needs(boundaries=True, data=True, labels=labels != "true")
        self.fisher: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}
        self.offset = 0.0

    def penalty(self, step: Step) -> Tensor | None:
        """None before the first boundary."""
        if not self.fisher:
            return None
        moved = distance(step.learner.params, self.anchor, self.fisher)
        return self.strength / 2 * (moved + self.offset)

    @torch.no_grad()
    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Add the task's quadratic F (theta - theta_t)^2 to those before, by completing squares."""
        found = fisher(learner, data, self.labels, self.rows, self.rng)
        self.fisher, self.anchor = tree.combine(found, self.fisher), dict(self.anchor)
        for name, new in found.items():
            theta, total = learner.params[name].detach(), self.fisher[name]
            share = torch.where(new > 0, new / total, 0.0)
            moved = theta - self.anchor.get(name, theta)
            self.offset += float(((total - new) * share * moved.square()).sum())
            self.anchor[name] = theta - (1 - share) * moved

    def explain(self) -> str:
        """Strength and the largest Fisher information."""
        return f"{self!r}, largest Fisher {tree.largest(self.fisher):.3g}"
