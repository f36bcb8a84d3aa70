from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import Impossible, check_range
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.nets import Classifier, CosineHead, columns_of
from perdure.step import Step


class LUCIR(Method):
    """Keep the directions of features as they were, and old classes a margin away from new ones.

        penalty = strength * sqrt(old / new classes) * mean (1 - cos(old features, features))
            + mean over rows of old classes of the sum over the K nearest new classes k of
                max(0, margin - cos_y + cos_k)

    Beside a head of cosines and replay: `Learner(Classifier(net, CosineHead(d)), ER(), LUCIR())`.

    Source: Hou et al. 2019, eq. 4, 6 and 8, https://doi.org/10.1109/CVPR.2019.00092.
    Differs: old / new is the authors' code's; new weights begin at random, not imprinted from
        features; no balanced fine-tuning when a task ends.
    Needs: boundaries, no rows; a `Classifier` with a `CosineHead`; the old backbone's forward pass.
    Keeps: a copy of the model, and which classes came.

    Args:
        strength: >= 0, lambda_base; the paper takes 5 on CIFAR-100 and 10 on ImageNet.
        margin: in [0, 2], of cosines.
        nearest: >= 1, new classes to keep away from, K.

    Raises:
        InvalidValue: an argument out of range.
        Impossible: the model has no `CosineHead`.

    Example:
        >>> from perdure import methods, nets
        >>> learner = Learner(Classifier(nets.MLP(4, (8,)), CosineHead(8)), methods.ER(), LUCIR())
        >>> learner.observe(Batch(torch.eye(4), torch.arange(4))).outputs.shape
        torch.Size([4, 4])
    """

    keeps = ("teacher", "classes", "old")
    needs = Needs(boundaries=True, features=True, architecture="cosine")

    def __init__(self, strength: float = 5.0, margin: float = 0.5, nearest: int = 2) -> None:
        check_range("LUCIR", "strength", strength, 0, float("inf"))
        check_range("LUCIR", "margin", margin, 0, 2)
        check_range("LUCIR", "nearest", nearest, 1, float("inf"))
        self.strength, self.margin, self.nearest = strength, margin, nearest
        self.classes, self.old, self.teacher = list[int](), list[int](), dict[str, Tensor]()

    def grow(self, learner: Learner, batch: Batch) -> bool:
        """Add nothing; note the classes, those that other ranks see included."""
        self.classes = sorted({*self.classes, *batch.y.tolist()})
        return False

    def forward(self, step: Step) -> tuple[Tensor, Batch]:
        """Keep the features on the way to the outputs."""
        model, head = _parts(step.learner)
        with step.learner.engine.autocast():
            features = model.features(step.inputs)
            outputs: Tensor = head(features)
        step.note(self, features)
        return outputs.float(), step.batch

    def penalty(self, step: Step) -> Tensor | None:
        """None before the first boundary."""
        if not self.old:
            return None
        (model, head), learner, y = _parts(step.learner), step.learner, step.batch.y
        new = sorted({*self.classes} - {*self.old})
        with torch.no_grad(), learner.engine.autocast(), learner.as_taught(self.teacher):
            before = model.features(step.inputs).float()
        moved = (1 - F.cosine_similarity(before, step.noted(self).float())).mean()
        total = self.strength * sqrt(len(self.old) / max(1, len(new))) * moved
        past = columns_of(self.old, step.outputs)[y]
        if new and past.any():
            cosines, own = head.cosines(step.outputs)[past], y[past, None]
            near = cosines[:, new].topk(min(self.nearest, len(new)), 1).values
            overlap = (self.margin - cosines.gather(1, own) + near).clamp(min=0)
            total = total + overlap.sum(1).mean()
        return total

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Take the features as they are for those to keep."""
        self.teacher, self.old = learner.snapshot(), self.classes


def _parts(learner: Learner) -> tuple[Classifier, CosineHead]:
    if isinstance(learner.model, Classifier) and isinstance(learner.model.head, CosineHead):
        return learner.model, learner.model.head
    raise Impossible("LUCIR works on cosines; give it Classifier(backbone, CosineHead(d))")
