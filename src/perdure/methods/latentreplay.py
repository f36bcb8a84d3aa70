from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor

from perdure.batch import Batch, weighted_mean
from perdure.errors import check_range
from perdure.learner import Learner
from perdure.memory import Balanced
from perdure.method import Method, Needs
from perdure.nets.cut import below, through
from perdure.step import Step


class LatentReplay(Method):
    """Keep what a layer, still after the first task, made of past rows; learn it again above.

        h = front(incoming),  loss = mean over incoming and stored of L(back([h, stored h]), y)

    Source: Pellegrini et al. 2020, section III, https://arxiv.org/abs/1912.01100.
    Differs: classes share the capacity; the paper replaces a random share at each batch.
    Needs: class labels, the task's rows at boundaries, and a module with a row of outputs for each
        input. They tell much of it, though they are not it. BatchNorm below the cut is to be
        `renormalised`, as it follows the stream.
    Keeps: `capacity` outputs of the cut.

    Args:
        capacity: rows of the memory, >= 1.
        rows: to replay at each update, >= 1; None is as many as come in.
        at: the module at whose outputs the model is cut, such as "backbone.layers.3".
        slow: in [0, 1], factor of gradients below after task one; 0 freezes, Adam undoes others.

    Raises:
        InvalidValue: an argument out of range, or outputs that are the rows themselves.
        Impossible: the model has no such module, or does not call it just once.

    Example:
        >>> model = nets.Classifier(nets.MLP(4, (8,)), nets.FixedHead(8, 2))
        >>> learner = Learner(model, LatentReplay(capacity=100, at="backbone.layers.1"))
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1])))
    """

    keeps = ("memory", "under", "closed")
    needs = Needs(boundaries=True, data=True, frozen=True)
    writes_parameters = freezes = True

    def __init__(
        self, capacity: int = 1500, rows: int | None = None, at: str = "backbone", slow: float = 0.0
    ) -> None:
        check_range("LatentReplay", "rows", 1 if rows is None else rows, 1, float("inf"))
        check_range("LatentReplay", "slow", slow, 0, 1)
        self.capacity, self.rows, self.at, self.slow = capacity, rows, at, slow
        self.memory, self.under, self.closed = Balanced(capacity), list[str](), False

    @property
    def name(self) -> str:
        """latent-replay."""
        return "latent-replay"

    def forward(self, step: Step) -> tuple[Tensor, Batch]:
        """The outputs of the incoming rows; those of stored ones wait for the loss."""
        learner, rows = step.learner, step.batch
        stored = self.memory.sample(self.rows or step.current)
        joint, held = Batch(rows.y, rows.y, rows.task, weight=rows.weights()), None
        if stored is not None:
            stored = learner.engine.place(stored)
            joint, held = joint + Batch(stored.y, stored.y, stored.task, new=0), stored.x
        run = partial(learner.forward, task=joint.task)
        outputs, latent = through(learner.model, self.at, step.inputs, held, run)
        self.under = self.under or below(latent, learner.params)
        step.note(self, (outputs, joint))
        return outputs[: len(rows)], rows

    def loss(self, step: Step) -> Tensor:
        """The mean over all rows, each by its weight; a stored one weighs 1."""
        outputs, joint = step.noted(self)
        each = step.learner.loss(outputs, joint.y, reduction="none")
        return weighted_mean(each, joint.weights())

    def project(self, step: Step, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        """Below the cut a part of the gradient, after the first task."""
        slowed = grads.keys() & (self.under if self.closed else ())
        return grads | {name: self.slow * grads[name] for name in slowed}

    @torch.no_grad()
    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Freeze what is below the cut, or slow it down; store what it makes of the task's rows."""
        self.closed = bool(self.under)
        for name in () if self.slow else self.under:
            learner.model.get_parameter(name).requires_grad_(False)
        learner.refresh()
        learner.model.eval()
        for rows in data if learner.updates else ():  # before, what is below has yet to learn
            run = partial(learner.forward, task=rows.task)
            _, latent = through(learner.model, self.at, learner.prepare(rows.x), None, run)
            self.memory.add(Batch(latent.float(), rows.y, rows.task, rows.extras))
