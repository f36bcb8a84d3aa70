from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from perdure.batch import Batch, weighted_mean
from perdure.errors import check_range
from perdure.families.contrast import order, restricted, supervised_contrast
from perdure.families.dark import Rewritten, twofold
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.nets import columns_of
from perdure.step import Step


class XDER(Method):
    """DER++ that rewrites its memories as classes come, and readies outputs for those to come.

        loss = cross-entropy of incoming rows among the classes of this task
        penalty = alpha * mean (outputs - stored)^2 + beta * cross-entropy among past classes
            + ready * contrast of outputs of classes to come + hold * hinges that order tasks

    Source: Boschini et al. 2022, "X-DER", section 4, https://arxiv.org/abs/2201.00766.
    Differs: classes to come are one space, since nobody says which task brings them, contrasted on
        the rows of one forward pass, not on further views. Outputs are rewritten at each recall; a
        row whose own is not positive keeps them. CIFAR-100, the paper's 49.93, was not run.
    Needs: one label space, boundaries with rows. Only a `FixedHead` has outputs to make ready.
    Keeps: `capacity` raw rows, equally many a class, with their outputs, in float32.

    Args:
        alpha: >= 0, weight of the stored outputs.
        beta: >= 0, weight of the labels of recalled rows.
        capacity: rows of the memory, >= 1.
        ready: >= 0, weight of the contrast.
        hold: >= 0, weight of the hinges; the authors' code has 0.1, for many passes a task.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 4), XDER())
        >>> sorted(learner.observe(Batch(torch.eye(4), torch.arange(4))).terms)
        ['loss', 'x-der']
    """

    keeps = ("memory", "past", "present")
    needs = Needs(boundaries=True, data=True, raw_rows=True)
    name = "x-der"

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 1.0,
        capacity: int = 500,
        ready: float = 0.1,
        hold: float = 1.0,
    ) -> None:
        for name, weight in (("alpha", alpha), ("beta", beta), ("ready", ready), ("hold", hold)):
            check_range("XDER", name, weight, 0, float("inf"))
        self.alpha, self.beta, self.ready, self.hold = alpha, beta, ready, hold
        self.capacity, self.memory = capacity, Rewritten(capacity)
        self.past, self.present = list[int](), list[int]()

    def grow(self, learner: Learner, batch: Batch) -> bool:
        """Add nothing; note the classes of this task."""
        self.present = sorted({*self.present, *batch.y.tolist()})
        return False

    def recall(self, step: Step) -> Batch | None:
        """Twice as many rows as come in, for both terms, at weight 0."""
        return self.memory.draw(2 * step.current)

    def loss(self, step: Step) -> Tensor:
        """Incoming rows among the classes of this task, others among all."""
        logits, now = step.outputs.clone(), slice(step.current)
        logits[now] = restricted(logits[now], columns_of(self.present, logits))
        each = step.learner.loss(logits, step.batch.y, reduction="none")
        return weighted_mean(each, step.batch.weights())

    def penalty(self, step: Step) -> Tensor | None:
        """What is stored, and the order of past, present and future."""
        past, present = (columns_of(held, step.outputs) for held in (self.past, self.present))
        ahead = supervised_contrast(step.outputs[:, ~(past | present)], step.batch.y, 5.0)
        total = self.ready * ahead + self.hold * order(step.outputs, past, present, step.current)
        if (part := step.recalled(self)) is not None and len(part[0]):
            moved, labels = twofold(*part, past, step.learner.loss)
            total = total + self.alpha * moved + self.beta * labels
        return total

    def settle(self, step: Step) -> None:
        """Rewrite what was recalled."""
        if (part := step.recalled(self)) is not None:
            self.memory.rewrite(*part, columns_of(self.past, step.outputs))

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Remember rows of the task that ended."""
        self.memory.close(learner, data, self.past)
        self.past, self.present = sorted({*self.past, *self.present}), []
