from __future__ import annotations

from torch import Tensor

from perdure.batch import Batch
from perdure.errors import check_range
from perdure.families.distillation import drift
from perdure.memory import Reservoir
from perdure.method import Method, Needs
from perdure.step import Step


class DER(Method):
    """Answer to past rows as the model answered when it first saw them (dark experience replay).

        penalty = alpha * mean over recalled rows of (outputs - outputs when stored)^2

    Source: Buzzega et al. 2020, eq. 6, https://arxiv.org/abs/2004.07211.
    Differs: the square is averaged over the outputs too, as in the authors' code; outputs that a
        head grew since a row was stored are held at its lowest; rows are drawn with replacement.
    Needs: nothing: neither task ids nor boundaries nor labels of past rows.
    Keeps: `capacity` raw rows with their outputs, in float32.

    Args:
        alpha: > 0, weight of the penalty; the paper takes 0.2 to 1 on MNIST, 0.3 on CIFAR-10.
        capacity: rows of the memory, >= 1.
        rows: rows to recall at each update, >= 1; None is as many as come in.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> import torch
        >>> from perdure import Learner
        >>> learner = Learner(torch.nn.Linear(4, 2), DER(alpha=0.5, capacity=100))
        >>> rows = Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]))
        >>> [sorted(learner.observe(rows).terms) for _ in range(2)]
        [['loss'], ['der', 'loss']]
    """

    keeps = ("memory",)
    needs = Needs(raw_rows=True, labels=False)

    def __init__(self, alpha: float = 1.0, capacity: int = 500, rows: int | None = None) -> None:
        check_range("DER", "alpha", alpha, 0, float("inf"), open_low=True)
        check_range("DER", "rows", 1 if rows is None else rows, 1, float("inf"))
        self.alpha, self.capacity, self.rows = alpha, capacity, rows
        self.memory = Reservoir(capacity)

    def recall(self, step: Step) -> Batch | None:
        """Rows of the past, at weight 0: their labels are not learned."""
        drawn = self.memory.sample(self.rows or step.current)
        return None if drawn is None else drawn.weighted(0.0)

    def penalty(self, step: Step) -> Tensor | None:
        """How far the outputs have moved."""
        part = step.recalled(self)
        if part is None:
            return None
        drawn, outputs = part
        return self.alpha * drift(outputs, drawn.extras["outputs"])

    def settle(self, step: Step) -> None:
        """Remember the rows seen for the first time, with what the model answered."""
        fresh = step.incoming.fresh()
        self.memory.add(fresh.with_extras(outputs=step.outputs[: len(fresh)]))
