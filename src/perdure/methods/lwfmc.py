from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from perdure.batch import Batch, weighted_mean
from perdure.errors import check_range
from perdure.families.distillation import as_wide
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.step import Step


class LwFMC(Method):
    """Ask of each class a question of its own, and answer those of old classes as before.

        loss = mean over rows of sum over classes seen of weight * BCE(outputs, target)
        target, weight = sigmoid(outputs before the task), strength    for classes of past tasks
                         one-hot label, 1                              for those of this task

    The softmax of LwF does not feel it when all old outputs sink together, which is how new classes
    take over where the outputs are shared; a sigmoid for each does.

    Source: Rebuffi et al. 2017, LwF.MC in section 4 and algorithm 3 without exemplars,
        https://arxiv.org/abs/1611.07725.
    Differs: nothing known at a strength of 1.
    Needs: class labels in one label space; boundaries, no rows there. A step costs the old model's
        forward pass.
    Keeps: a copy of the model, and which classes are old.

    Args:
        strength: >= 0, of the questions about old classes; 1 in the paper.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 3), LwFMC())
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1])))
        >>> learner.consolidate()
        >>> learner.methods[0].old
        tensor([ True,  True, False])
    """

    keeps = ("teacher", "seen", "old")
    needs = Needs(boundaries=True)

    def __init__(self, strength: float = 1.0) -> None:
        check_range("LwFMC", "strength", strength, 0, float("inf"))
        self.strength = strength
        self.teacher: dict[str, Tensor] = {}
        self.seen = self.old = torch.zeros(0, dtype=torch.bool)  # (classes,)

    @property
    def name(self) -> str:
        """lwf.mc."""
        return "lwf.mc"

    def loss(self, step: Step) -> Tensor:
        """Binary cross-entropy of each class seen, old ones towards the teacher."""
        outputs, y = step.outputs, step.batch.y
        target = F.one_hot(y, outputs.shape[1]).to(outputs)
        seen = as_wide(self.seen, outputs).index_fill(0, step.whole.y, True)
        matters = seen.to(outputs)  # (classes,)
        if self.teacher:
            old = as_wide(self.old, outputs)
            taught = step.learner.recite(self.teacher, step.inputs, step.batch.task)
            target = torch.where(old, torch.sigmoid(as_wide(taught, outputs)), target)
            matters = torch.where(old, self.strength, matters)
        each = F.binary_cross_entropy_with_logits(outputs, target, reduction="none")
        return weighted_mean(each @ matters, step.batch.weights())

    def settle(self, step: Step) -> None:
        """Note the classes seen."""
        self.seen = as_wide(self.seen, step.outputs).index_fill(0, step.batch.y, True)

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Take the model as the teacher of the next task."""
        self.teacher, self.old = learner.snapshot(), self.seen
