from __future__ import annotations

import torch

from perdure.batch import Batch
from perdure.errors import check_range
from perdure.learner import Learner
from perdure.method import Method, Needs


class ShrinkPerturb(Method):
    """Begin each task from the last one's weights, made smaller and noisy.

        theta = (1 - shrink) * theta + noise * N(0, 1)        before a task's first update

    Smaller weights have gradients again where the model was sure of itself, and the noise parts
    units that had become alike. It keeps plasticity, and knowledge only where shrinking does.

    Source: Ash & Adams 2020, "shrink, perturb, repeat", https://arxiv.org/abs/1910.08475.
    Differs: the paper writes lambda for 1 - shrink. It comes with the next task's first rows, not
        at the boundary, so that the answers in between are those of the task that ended.
    Needs: boundaries, no rows there.
    Keeps: the number of tasks begun.

    Args:
        shrink: in [0, 1], the share of each parameter that is taken away; the paper's figures use
            0.4. 0 only adds noise.
        noise: >= 0, standard deviation.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 2), ShrinkPerturb(shrink=1.0, noise=0.0))
        >>> rows = Batch(torch.zeros(4, 4), torch.tensor([0, 1, 0, 1]))
        >>> learner.consolidate()
        >>> step = learner.observe(rows)
        >>> float(learner.model.weight.detach().abs().sum())
        0.0
    """

    keeps = ("begun",)
    needs = Needs(boundaries=True, labels=False)

    def __init__(self, shrink: float = 0.4, noise: float = 0.01) -> None:
        check_range("ShrinkPerturb", "shrink", shrink, 0, 1)
        check_range("ShrinkPerturb", "noise", noise, 0, float("inf"))
        self.shrink, self.noise = shrink, noise
        self.begun = 0

    @property
    def name(self) -> str:
        """shrink-perturb."""
        return "shrink-perturb"

    @torch.no_grad()
    def grow(self, learner: Learner, batch: Batch) -> bool:
        """Add nothing; where a task begins, shrink what was there and shake it."""
        if self.begun < learner.consolidations:
            self.begun = learner.consolidations
            for p in learner.params.values():
                drawn = torch.randn(p.shape, generator=self.rng)  # on the CPU: equal everywhere
                p.mul_(1 - self.shrink).add_(drawn.to(p), alpha=self.noise)
        return False
