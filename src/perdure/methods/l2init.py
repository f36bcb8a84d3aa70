from __future__ import annotations

import torch
from torch import Tensor

from perdure.errors import check_range
from perdure.method import Method, Needs
from perdure.step import Step


class L2Init(Method):
    """Draw each parameter back to where it began, so that the model stays as able to learn.

        penalty = strength * sum_i (theta_i - theta_i^0)^2

    It keeps plasticity, not knowledge: what no row asks for any more fades.

    Source: Kumar et al. 2023, L2 Init, https://arxiv.org/abs/2308.11958.
    Differs: nothing known; a parameter that grows later has its own beginning.
    Needs: nothing. A step costs one pass over the parameters.
    Keeps: a copy of the parameters.

    Args:
        strength: >= 0; the paper looks at 1e-2 to 1e-5.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 2), L2Init(strength=0.1))
        >>> rows = Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]))
        >>> [float(learner.observe(rows).terms["l2-init"]) > 0 for _ in range(2)]
        [False, True]
    """

    keeps = ("anchor",)
    needs = Needs(labels=False)

    def __init__(self, strength: float = 1e-3) -> None:
        check_range("L2Init", "strength", strength, 0, float("inf"))
        self.strength = strength
        self.anchor: dict[str, Tensor] = {}

    @property
    def name(self) -> str:
        """l2-init."""
        return "l2-init"

    def penalty(self, step: Step) -> Tensor | None:
        """Strength times the squared distance from the first values."""
        params = step.learner.params
        for name in params.keys() - self.anchor.keys():
            self.anchor[name] = params[name].detach().clone()
        moved = [(p - self.anchor[name]).flatten() for name, p in params.items()]
        return self.strength * torch.stack([torch.dot(m, m) for m in moved]).sum()
