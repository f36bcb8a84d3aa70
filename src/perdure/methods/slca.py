from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from perdure import tree
from perdure.batch import Batch
from perdure.errors import Impossible, check_range
from perdure.families.adapting import Local
from perdure.families.alignment import align
from perdure.families.moments import Moments
from perdure.learner import Learner
from perdure.method import Needs
from perdure.model import takes_task
from perdure.nets import Classifier
from perdure.step import Step


class SLCA(Local):
    """Let a pretrained backbone learn slowly; align the head with features drawn of all classes.

        theta <- theta + slow * (the optimiser's step)                        under the head
        when a task but the first ends, head: see `perdure.families.alignment.align`

    Source: Zhang et al. 2023, sections 3.2-3.3, https://arxiv.org/abs/2303.05118.
    Differs: the alignment has no weight decay, and a norm over all classes, not by task.
    Needs: a `Classifier`, boundaries with the task's rows. An update copies the backbone once.
    Keeps: a mean and a covariance (d, d) a class, from the end of its task.

    Args:
        slow: in [0, 1], the backbone's learning rate as a share of the head's.
        epochs: of the alignment, >= 0; 0 leaves it out.
        rows: drawn features a class in an epoch, >= 1.
        lr: of the alignment at first, > 0.
        temperature: of the alignment, > 0.

    Raises:
        InvalidValue: an argument out of range.
        Impossible: the model is no `Classifier`.

    Example:
        >>> from perdure.nets import MLP, FixedHead
        >>> learner = Learner(Classifier(MLP(4, (8,)), FixedHead(8, 2)), SLCA())
        >>> learner.consolidate(Batch(torch.eye(4), torch.arange(4) % 2))
        >>> learner.methods[0].moments.count.tolist()
        [2.0, 2.0]
    """

    keeps = ("own", "moments")
    needs = Needs(boundaries=True, data=True, features=True, head=True)
    writes_parameters = True

    def __init__(
        self,
        slow: float = 0.01,
        epochs: int = 5,
        rows: int = 256,
        lr: float = 0.01,
        temperature: float = 0.1,
    ) -> None:
        check_range("SLCA", "slow", slow, 0, 1)
        check_range("SLCA", "epochs", epochs, 0, float("inf"))
        check_range("SLCA", "rows", rows, 1, float("inf"))
        check_range("SLCA", "lr", lr, 0, float("inf"), open_low=True)
        check_range("SLCA", "temperature", temperature, 0, float("inf"), open_low=True)
        super().__init__()
        self.slow, self.epochs, self.rows = slow, epochs, rows
        self.lr, self.temperature = lr, temperature
        self.moments = Moments("each")

    def project(self, step: Step, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        """The gradients as they are; the backbone is noted, since any optimiser may follow."""
        head, params = set(_head(step.learner).parameters()), step.learner.params
        step.note(self, tree.copy({name: p for name, p in params.items() if p not in head}))
        return grads

    @torch.no_grad()
    def constrain(self, step: Step) -> None:
        """Take back the most of the backbone's step."""
        for name, before in (step.noted(self) or {}).items():
            step.learner.params[name].lerp_(before, 1 - self.slow)

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Measure the features of the task's classes; align the head with all, from task two on."""
        super().consolidate(learner, data)
        found = Moments("each", per_task=takes_task(learner.model))
        for batch in data:
            found.add(learner.features(batch.x), batch.y, batch.task)
        self.moments.merge(found.over(learner.engine))
        how = (self.epochs, self.rows, self.lr, self.temperature)
        if learner.consolidations:  # one task has no other to align with
            align(_head(learner), self.moments, self.rng, *how)


def _head(learner: Learner) -> nn.Module:
    if not isinstance(learner.model, Classifier):
        raise Impossible(f"{learner} shows no head to align; give it a perdure.nets.Classifier")
    return learner.model.head
