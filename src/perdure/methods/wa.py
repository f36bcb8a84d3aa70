from __future__ import annotations

from collections.abc import Iterable

import torch

from perdure.batch import Batch
from perdure.errors import Impossible
from perdure.growth import Grows
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.nets import ByLabel


class WA(Method):
    """Where a task ends, bring the weights of its new classes to the length of the old ones.

        w_c <- w_c * min(1, (mean length of old classes' w) / (mean length of new ones)),  new c

    New classes come in larger numbers than the replayed old ones, so that their weights grow
    longer and they win too often. Alignment alone recalls nothing: give it replay and distillation
    beside it, as the paper does, `Learner(model, ER(), LwF(strength=1.0), WA())`.

    Source: Zhao et al. 2020, eq. 5-8, https://arxiv.org/abs/1911.07053.
    Differs: weights are only ever shortened: where those of new classes are the shorter ones, the
        paper's premise fails, and lengthening them took 13 points in a trial (Adam, no decay).
        Weights are not clipped at zero after each step; biases stay as they are.
    Needs: boundaries, no rows there, and a head over one label space: a `FixedHead` or a
        `GrowingHead`. Heads that grow in other ways have no old classes to compete with, or a
        balance of their own: they are left alone. On a `CosineHead` lengths mean nothing.
    Keeps: which classes came, and which of them before this task.

    Raises:
        Impossible: the model has no head that knows its labels.

    Example:
        >>> from perdure.methods import ER, LwF
        >>> from perdure.nets import MLP, Classifier, GrowingHead
        >>> model = Classifier(MLP(4, (8,)), GrowingHead(8))
        >>> learner = Learner(model, ER(), LwF(strength=1.0), WA())
        >>> for labels in ([0, 1, 0, 1], [2, 3, 2, 3]):
        ...     step = learner.observe(Batch(torch.eye(4), torch.tensor(labels)))
        ...     learner.consolidate()
        >>> old, new = (block.weight.norm(dim=1).mean() for block in model.head.blocks)
        >>> bool(new <= old + 1e-6)
        True
    """

    keeps = ("classes", "old")
    needs = Needs(boundaries=True)
    writes_parameters = True

    def __init__(self) -> None:
        self.classes: list[int] = []
        self.old: list[int] = []

    def grow(self, learner: Learner, batch: Batch) -> bool:
        """Add nothing; note the classes, those that other ranks see included."""
        self.classes = sorted({*self.classes, *batch.y.tolist()})
        return False

    @torch.no_grad()
    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Align the classes of the task that ended with those before it."""
        modules = list(learner.model.modules())
        if not any(isinstance(module, ByLabel | Grows) for module in modules):
            raise Impossible(
                "WA aligns the weights of a head that knows its labels, and "
                f"{type(learner.model).__name__} has none; make it Classifier(backbone, "
                "GrowingHead(backbone.out_features))"
            )
        new = sorted({*self.classes} - {*self.old})
        for head in (module for module in modules if isinstance(module, ByLabel)):
            weights = head.by_label()
            if self.old and new:
                long = torch.stack([weights[label].norm() for label in new]).mean()
                length = torch.stack([weights[label].norm() for label in self.old]).mean()
                for label in new:
                    weights[label].mul_((length / long).clamp(max=1))
        self.old = self.classes
