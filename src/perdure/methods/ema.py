from __future__ import annotations

import torch
from torch import Tensor

from perdure.errors import check_range
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.step import Step


class EMA(Method):
    """Answer with a running average of the weights, which steps and single batches jolt less.

        average = decay * average + (1 - decay) * theta        after every update

    Source: Soutif-Cormerais et al. 2023, https://arxiv.org/abs/2306.16817, for online continual
        learning; the average itself is Polyak & Juditsky 1992.
    Differs: running statistics of normalisation are averaged like the weights.
    Needs: nothing. An answer costs two forward passes, an update one pass over the parameters.
    Keeps: a copy of the model.

    Args:
        decay: in [0, 1], what remains of the average after an update: 0.99 looks back about 100
            updates. 0 is the model as it is.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 2), EMA(decay=0.5))
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1])))
        >>> torch.equal(learner.predict(torch.eye(4)), learner.model(torch.eye(4)))
        True
    """

    keeps = ("average",)
    needs = Needs(labels=False)

    def __init__(self, decay: float = 0.99) -> None:
        check_range("EMA", "decay", decay, 0, 1)
        self.decay = decay
        self.average: dict[str, Tensor] = {}

    @torch.no_grad()
    def settle(self, step: Step) -> None:
        """Move the average; what grew enters as it is."""
        named = step.learner.model.named_parameters()
        # The average is still on its way to what another method froze.
        frozen = {n: p.clone() for n, p in named if n in self.average and not p.requires_grad}
        for name, now in {**frozen, **step.learner.snapshot()}.items():
            held = self.average.get(name)
            # A buffer that counts, or says where outputs stand, is no weight and may have grown.
            if held is not None and now.is_floating_point() and held.shape == now.shape:
                now = held + (1 - self.decay) * (now - held)  # noqa: PLW2901
            self.average[name] = now

    def decide(self, learner: Learner, x: Tensor, out: Tensor, task: Tensor | None) -> Tensor:
        """The outputs of the averaged model, once there is one."""
        return learner.recite(self.average, learner.prepare(x), task) if self.average else out
