from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import check_range
from perdure.families.adapting import Adapting
from perdure.learner import Learner
from perdure.method import Needs
from perdure.nets import LoRALayer
from perdure.nets.lora import directions, low_rank, second_moments
from perdure.nets.spans import widened
from perdure.step import Step


class InfLoRA(Adapting):
    """Learn each task's low-rank adapters in directions in which earlier inputs do not point.

        h = W x + alpha / rank * sum over j <= t of B_j A_j x,   where only B_t learns
        rows of A_t = the leading eigenvectors of P C P, at the length of kaiming's / sqrt(3)
        P = I - M M^T, with M (in, k) orthonormal: earlier inputs to the layer lie in its span
        C = sum of x x^T over inputs x to the layer from the new task

    Source: Liang & Li 2024, section 3.2, https://arxiv.org/abs/2404.00228; M grows as in Saha et
        al. 2021, eq. 9, https://arxiv.org/abs/2103.09762.
    Differs: A_t follows from the task's first batch, where the paper goes over all of it. M is held
        itself, where DualGPM turns to its complement once that is smaller: the span is the same.
        The share does not rise over tasks. A task's labels are learnt against each other alone, so
        that scenario class wants a memory beside it, or features that tell tasks apart already.
    Needs: a model that `perdure.nets.lora` adapted; boundaries with the task's rows.
    Keeps: adapters a task, and a matrix of (in, at most in) for each adapted layer.

    Args:
        share: in [0, 1], of a task's inputs in squares, that M holds: 1 protects it exactly.

    Raises:
        InvalidValue: a share out of range.
        Impossible: the model has no low-rank adapters.

    Example:
        >>> from perdure import nets
        >>> backbone = nets.lora(nets.MLP(4, (8,)), rank=2)
        >>> learner = Learner(nets.Classifier(backbone, nets.GrowingHead(8)), InfLoRA())
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1])))
        >>> learner.consolidate(Batch(torch.eye(4)[:1], torch.tensor([0])))
        >>> learner.methods[0].bases["backbone.layers.0"].shape
        torch.Size([4, 1])
    """

    keeps = ("own", "order", "closed", "bases", "placed")
    needs = Needs(boundaries=True, data=True, architecture="lora")
    kind = LoRALayer

    def __init__(self, share: float = 0.98) -> None:
        check_range("InfLoRA", "share", share, 0, 1)
        super().__init__()
        self.share = share
        self.bases: dict[str, Tensor] = {}  # M of each layer, (in, k)
        self.placed = 0

    def grow(self, learner: Learner, batch: Batch) -> bool:
        """Begin adapters of which only B learns."""
        grew = super().grow(learner, batch)
        for layer in low_rank(learner.model).values() if grew else ():
            layer.a[-1].requires_grad_(False)
        return grew

    def recall(self, step: Step) -> None:
        """Recall nothing; at the first rows of a task, place its adapters."""
        if self.placed == len(self.order):
            return
        self.placed = len(self.order)
        for name, moment in _moments(step.learner, [step.incoming]).items():
            layer = low_rank(step.learner.model)[name]
            rows = directions(moment, self.bases.get(name), layer.rank)
            layer.a[-1].data.copy_(rows / 3**0.5)

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Widen each layer's M by what the inputs of the task add."""
        super().consolidate(learner, data)
        moments = _moments(learner, data).items()
        self.bases |= {name: widened(self.bases.get(name), c, self.share) for name, c in moments}


@torch.no_grad()
def _moments(learner: Learner, data: Iterable[Batch]) -> dict[str, Tensor]:
    """C of each adapted layer, (in, in) float64, over the rows of all ranks."""
    training = learner.model.training
    learner.model.eval()
    with second_moments(learner.model) as sums:
        for batch in data:
            learner.forward(learner.prepare(batch.x), batch.task)
    learner.model.train(training)
    return learner.engine.average(sums)
