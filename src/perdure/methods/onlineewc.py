from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from torch import Tensor

from perdure import tree
from perdure.batch import Batch
from perdure.errors import InvalidValue, check_range
from perdure.families.fisher import Labels, check_labels, distance, fisher
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.step import Step


class OnlineEWC(Method):
    """Hold each parameter near its last consolidated value, old tasks counting less and less.

        penalty = strength / 2 * sum_i decay * fisher_i (theta_i - anchor_i)^2
        fisher <- decay * fisher + F_t,  anchor <- theta             at the end of task t

    Source: Schwarz et al. 2018, section on online EWC, https://arxiv.org/abs/1805.06370.
    Differs: F_t is exact over the model's labels; `schedule` is an addition.
    Needs: boundaries with the task's rows. A boundary costs about a backward pass a class over
        them, a step one pass over the parameters.
    Keeps: two tensors a parameter, however many tasks.

    Args:
        strength: >= 0, in loss per Fisher times squared distance. Steps diverge at
            lr * strength * max(fisher) > 2.
        decay: in (0, 1], what remains of the past at each boundary; 1 forgets nothing.
        labels: whose labels the Fisher information is of: "model", "sampled" or "true" (the
            "empirical" Fisher, the only one for regression); see `perdure.families.fisher.fisher`.
        rows: >= 1 rows that stand for a task in its Fisher; None is all.
        schedule: "constant", or "halving": the first boundary brings the whole strength, each
            later one half of what it was.

    Raises:
        InvalidValue: an argument out of range, or a boundary without rows.

    Example:
        >>> import torch
        >>> learner = Learner(torch.nn.Linear(4, 2), OnlineEWC(strength=10.0, decay=0.9))
        >>> rows = Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]))
        >>> learner.consolidate(rows)
        >>> list(learner.observe(rows).terms)
        ['loss', 'online-ewc']
    """

    keeps = ("fisher", "anchor")

    def __init__(
        self,
        strength: float = 10.0,
        decay: float = 1.0,
        labels: Labels = "model",
        rows: int | None = None,
        schedule: Literal["constant", "halving"] = "constant",
    ) -> None:
        check_range("OnlineEWC", "strength", strength, 0, float("inf"))
        check_range("OnlineEWC", "decay", decay, 0, 1, open_low=True)
        check_range("OnlineEWC", "rows", 1 if rows is None else rows, 1, float("inf"))
        check_labels("OnlineEWC", labels)
        if schedule not in ("constant", "halving"):
            raise InvalidValue(f'schedule is {schedule!r}; it must be "constant" or "halving"')
        self.strength, self.decay, self.labels = strength, decay, labels
        self.rows, self.schedule = rows, schedule
        self.needs = Needs(boundaries=True, data=True, labels=labels != "true")
        self.fisher: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}

    @property
    def name(self) -> str:
        """As the field writes it."""
        return "online-ewc"

    def penalty(self, step: Step) -> Tensor | None:
        """None before the first boundary."""
        if not self.fisher:
            return None
        halvings = step.learner.consolidations - 1 if self.schedule == "halving" else 0
        moved = distance(step.learner.params, self.anchor, self.fisher)
        return self.strength * 0.5 ** (halvings + 1) * self.decay * moved

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Fade the past, add the task, and hold on to where it ended."""
        new = fisher(learner, data, self.labels, self.rows, self.rng)
        self.fisher = tree.combine(new, self.fisher, self.decay)
        self.anchor = {**self.anchor, **tree.copy(learner.params)}

    def explain(self) -> str:
        """Strength and the largest Fisher information."""
        return f"{self!r}, largest Fisher {tree.largest(self.fisher):.3g}"
