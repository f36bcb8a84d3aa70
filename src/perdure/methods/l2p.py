from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import Impossible, check_range
from perdure.families.adapting import Local
from perdure.learner import Learner
from perdure.method import Needs
from perdure.nets import PromptPool
from perdure.step import Step


class L2P(Local):
    """Let each row choose prompts from a pool by its features, so that alike rows share them.

        chosen = the keys k nearest to the bare features q, by 1 - cos(q, k)
        penalty = strength * mean over rows of sum over chosen k of (1 - cos(q, k))

    While a task is learnt, a key's distance counts as often as earlier tasks chose it.

    Source: Wang et al. 2022, eq. 3-5, https://arxiv.org/abs/2112.08654.
    Differs: see `perdure.nets.PromptPool`. Outputs outside the task's labels are masked in the
        loss, as in the authors' program, so that scenario class wants a memory beside it, or a
        pretrained backbone whose features tell tasks apart already.
    Needs: a model whose backbone is a `perdure.nets.PromptPool`; boundaries. An update costs a
        bare forward pass more.
    Keeps: how often each prompt was chosen.

    Args:
        strength: >= 0, the paper's lambda, 0.5; the authors' program has 0.1.
        spread: whether earlier tasks' choices count.

    Raises:
        InvalidValue: a strength out of range.
        Impossible: the model has no pool.

    Example:
        >>> from perdure import nets
        >>> encoder = nets.Transformer(nets.Patches((1, 2, 2), 1, width=8))
        >>> pool = nets.PromptPool(encoder, size=4, length=1, top=2)
        >>> learner = Learner(nets.Classifier(pool, nets.GrowingHead(8)), L2P())
        >>> step = learner.observe(Batch(torch.eye(4), torch.arange(4) % 2))
        >>> int(learner.methods[0].chosen.sum())
        8
    """

    keeps = ("own", "chosen")
    needs = Needs(boundaries=True, architecture="pool")

    def __init__(self, strength: float = 0.5, spread: bool = True) -> None:
        check_range("L2P", "strength", strength, 0, float("inf"))
        super().__init__()
        self.strength, self.spread = strength, spread
        self.chosen = torch.zeros(0)  # (size,), how often, in all tasks so far

    def forward(self, step: Step) -> tuple[Tensor, Batch]:
        """The model's outputs; what was chosen for them is noted."""
        pool = _pool(step.learner)
        with pool.noting() as notes:
            outputs = step.learner.forward(step.inputs, step.batch.task)
        chosen, distance = notes[-1]
        step.note(self, distance)
        counts = chosen.flatten().bincount(minlength=pool.size).float()
        self.chosen = counts + self.chosen.to(counts) if len(self.chosen) else counts
        return outputs, step.batch

    def penalty(self, step: Step) -> Tensor:
        """How far the chosen keys are."""
        distance: Tensor = step.noted(self)
        return self.strength * distance.sum(1).mean()

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """From now on the choices so far count."""
        super().consolidate(learner, data)
        if self.spread and len(self.chosen):
            counts = learner.engine.average({"chosen": self.chosen})["chosen"]
            _pool(learner).frequency.copy_(counts / counts.sum())


def _pool(learner: Learner) -> PromptPool:
    pools = [module for module in learner.model.modules() if isinstance(module, PromptPool)]
    if len(pools) != 1:
        raise Impossible(
            f"L2P works on one pool of prompts and {type(learner.model).__name__} has {len(pools)};"
            " make the backbone a perdure.nets.PromptPool(encoder)"
        )
    return pools[0]
