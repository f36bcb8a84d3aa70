from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import check_range
from perdure.learner import Learner
from perdure.method import Method, Needs


class WiSEFT(Method):
    """Go back part of the way: where a task ends, average the weights with those it began from.

        theta = (1 - share) * theta_before + share * theta_learned

    Source: Wortsman et al. 2022, WiSE-FT, https://arxiv.org/abs/2109.01903.
    Differs: done at every boundary, where the paper fine-tunes once; its zero-shot classifier is
        what the model was after the task before. Running statistics of normalisation are averaged
        too. The optimiser keeps its moments.
    Needs: boundaries, no rows there. The first task, and outputs that grew in a task, stay as
        learned: there is nothing to go back to.
    Keeps: a copy of the model.

    Args:
        share: in [0, 1], of what was learned, the paper's alpha; 1 is naive fine-tuning.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 2), WiSEFT(share=0.0))
        >>> rows, before = Batch(torch.eye(4), torch.arange(4) % 2), []
        >>> for task in range(2):
        ...     step = learner.observe(rows)
        ...     learner.consolidate()
        ...     before.append(learner.predict(torch.eye(4)))
        >>> torch.equal(*before)
        True
    """

    keeps = ("anchor",)
    needs = Needs(boundaries=True, labels=False)
    writes_parameters = True

    def __init__(self, share: float = 0.5) -> None:
        check_range("WiSEFT", "share", share, 0, 1)
        self.share = share
        self.anchor: dict[str, Tensor] = {}

    @property
    def name(self) -> str:
        """wise-ft."""
        return "wise-ft"

    @torch.no_grad()
    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Average with the weights of the boundary before, and hold the average for the next."""
        for name, tensor in (*learner.params.items(), *learner.model.named_buffers()):
            before = self.anchor.get(name, tensor)
            # A buffer that says where outputs stand is no weight, and may have grown.
            if tensor.is_floating_point() and before.shape == tensor.shape:
                tensor.copy_(before + self.share * (tensor - before))
        if learner.updates:
            self.anchor = learner.snapshot()
