from __future__ import annotations

import torch
from torch import Tensor

from perdure.errors import check_range
from perdure.families.adapting import Adapting
from perdure.method import Needs
from perdure.nets import LoRALayer
from perdure.nets.lora import low_rank
from perdure.step import Step


class OLoRA(Adapting):
    """Learn each task's low-rank adapters in directions that those of earlier tasks do not read.

        h = W x + alpha / rank * sum over j <= t of B_j A_j x
        penalty = strength * sum over layers and j < t of || A_j A_t^T ||^2   (squared entries)

    Source: Wang et al. 2023, eq. 6-8, https://arxiv.org/abs/2310.14152.
    Differs: the squares of eq. 8, where the authors' program sums absolute values. A task's labels
        are learnt against each other alone, as there is a head to protect: in scenario class that
        wants a memory beside it.
    Needs: a model that `perdure.nets.lora` adapted; boundaries or task ids.
    Keeps: adapters a task.

    Args:
        strength: >= 0, the paper's lambda 1; 0.5 is its value for most data.

    Raises:
        InvalidValue: a strength out of range.
        Impossible: the model has no low-rank adapters.

    Example:
        >>> from perdure import nets
        >>> backbone = nets.lora(nets.MLP(4, (8,)), rank=2)
        >>> learner = Learner(nets.Classifier(backbone, nets.GrowingHead(8)), OLoRA())
        >>> for task in range(2):
        ...     step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]), task=task))
        >>> sorted(step.terms)
        ['loss', 'o-lora']
    """

    needs = Needs(architecture="lora")
    kind = LoRALayer

    def __init__(self, strength: float = 0.5) -> None:
        check_range("OLoRA", "strength", strength, 0, float("inf"))
        super().__init__()
        self.strength = strength

    @property
    def name(self) -> str:
        """o-lora."""
        return "o-lora"

    def penalty(self, step: Step) -> Tensor | None:
        """None in the first task."""
        overlaps = []
        for layer in low_rank(step.learner.model).values():
            *past, now = layer.a
            overlaps += [(torch.cat(past) @ now.T).square().sum()] if past else []
        if not overlaps:
            return None
        return self.strength * torch.stack(overlaps).sum()
