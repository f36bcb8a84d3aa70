from __future__ import annotations

from torch import Tensor

from perdure.batch import Batch
from perdure.errors import check_range
from perdure.families.distillation import drift
from perdure.memory import Reservoir
from perdure.method import Method, Needs
from perdure.step import Step


class DERpp(Method):
    """Answer to past rows as when they were first seen (DER), and learn the labels of others again.

        penalty = alpha * mean over m recalled rows of (outputs - outputs when stored)^2
                  + beta * mean over m other recalled rows of the loss

    Source: Buzzega et al. 2020, eq. 7, https://arxiv.org/abs/2004.07211.
    Differs: the square is averaged over the outputs too, as in the authors' code; outputs that a
        head grew since a row was stored are held at its lowest; rows are drawn with replacement, so
        that one draw of 2m rows is the paper's two draws.
    Needs: neither task ids nor boundaries.
    Keeps: `capacity` raw rows with their outputs, in float32.

    Args:
        alpha: >= 0, weight of the outputs; the paper takes 0.2 to 1 on MNIST, 0.1 to 0.2 on CIFAR.
        beta: >= 0, weight of the labels; the paper takes 0.5 to 1.
        capacity: rows of the memory, >= 1.
        rows: m, rows to recall for each of the two terms, >= 1; None is as many as come in.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> import torch
        >>> from perdure import Learner
        >>> learner = Learner(torch.nn.Linear(4, 2), DERpp(alpha=0.2, beta=0.5, capacity=100))
        >>> rows = Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]))
        >>> [len(learner.observe(rows).batch) for _ in range(2)]
        [4, 12]
    """

    keeps = ("memory",)
    needs = Needs(raw_rows=True, labels=False)

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        capacity: int = 500,
        rows: int | None = None,
    ) -> None:
        check_range("DERpp", "alpha", alpha, 0, float("inf"))
        check_range("DERpp", "beta", beta, 0, float("inf"))
        check_range("DERpp", "rows", 1 if rows is None else rows, 1, float("inf"))
        self.alpha, self.beta, self.capacity, self.rows = alpha, beta, capacity, rows
        self.memory = Reservoir(capacity)

    @property
    def name(self) -> str:
        """der++."""
        return "der++"

    def recall(self, step: Step) -> Batch | None:
        """Rows of the past for both terms, at weight 0: the penalty counts them."""
        drawn = self.memory.sample(2 * (self.rows or step.current))
        return None if drawn is None else drawn.weighted(0.0)

    def penalty(self, step: Step) -> Tensor | None:
        """How far the outputs of half of the rows have moved, and the loss of the other half."""
        part = step.recalled(self)
        if part is None or not len(part[0]):
            return None
        drawn, outputs = part
        half = len(drawn) // 2
        moved = drift(outputs[:half], drawn.extras["outputs"][:half])
        again = step.learner.loss(outputs[half:], drawn.y[half:])
        return self.alpha * moved + self.beta * again

    def settle(self, step: Step) -> None:
        """Remember the rows seen for the first time, with what the model answered."""
        fresh = step.incoming.fresh()
        self.memory.add(fresh.with_extras(outputs=step.outputs[: len(fresh)]))
