from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from perdure.batch import Batch, weighted_mean
from perdure.errors import check_range
from perdure.families.distillation import as_wide
from perdure.learner import Learner
from perdure.memory import Herding, class_means
from perdure.method import Method, Needs
from perdure.nets import MASKED
from perdure.step import Step


class ICaRL(Method):
    """Learn features with few exemplars a class, and answer with the nearest mean of exemplars.

        loss = mean over rows of sum over classes seen of BCE(outputs, target)
        target = sigmoid(teacher / temperature) for classes of past tasks, otherwise one-hot
        answer = argmin over classes of || phi(x) - mean of phi(exemplars) ||, at unit length

    Source: Rebuffi et al. 2017, algorithms 1-5, https://arxiv.org/abs/1611.07725.
    Differs: an update adds as many exemplars as rows; the paper's mix of both is 2-10 points less.
    Needs: class labels, the task's rows at boundaries, features, and one label space.
    Keeps: `capacity` raw rows, a copy of the model, and a mean feature a class.

    Args:
        capacity: exemplars of all classes together, >= 1.
        quota: exemplars a class at most, >= 1; None sets no limit but the capacity.
        temperature: > 0, of the teacher's outputs; 1 in the paper, 2 in van de Ven et al. 2022.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> from perdure.nets import MLP, Classifier, FixedHead
        >>> learner = Learner(Classifier(MLP(4, (8,)), FixedHead(8, 2)), ICaRL(capacity=2))
        >>> learner.consolidate(Batch(torch.eye(4), torch.arange(4) % 2))
        >>> learner.methods[0].memory.group_counts()
        {0: 1, 1: 1}
    """

    keeps = ("memory", "teacher", "seen", "old", "means")
    needs = Needs(boundaries=True, data=True, raw_rows=True, features=True)

    def __init__(
        self, capacity: int = 2000, quota: int | None = None, temperature: float = 1.0
    ) -> None:
        check_range("ICaRL", "temperature", temperature, 0, float("inf"), open_low=True)
        self.capacity, self.quota, self.temperature = capacity, quota, temperature
        self.memory = Herding(capacity, quota)
        self.teacher: dict[str, Tensor] = {}
        self.seen = self.old = torch.zeros(0, dtype=torch.bool)  # (classes,)
        self.means: Tensor | None = None  # (classes, d), zero where there is no exemplar

    def recall(self, step: Step) -> Batch | None:
        """Exemplars of past classes."""
        return self.memory.sample(step.current)

    def loss(self, step: Step) -> Tensor:
        """Binary cross-entropy of each class seen, past ones towards the teacher."""
        outputs, y = step.outputs, step.batch.y
        target = F.one_hot(y, outputs.shape[1]).to(outputs)
        if self.teacher:
            past = as_wide(step.learner.recite(self.teacher, step.inputs, step.batch.task), outputs)
            old, soft = as_wide(self.old, outputs), torch.sigmoid(past / self.temperature)
            target = torch.where(old, soft, target)
        active = as_wide(self.seen, outputs).index_fill(0, step.whole.y, True)
        each = F.binary_cross_entropy_with_logits(outputs, target, reduction="none")
        return weighted_mean((each * active).sum(1), step.batch.weights())

    def settle(self, step: Step) -> None:
        """Note the classes seen."""
        self.seen = as_wide(self.seen, step.outputs).index_fill(0, step.batch.y, True)

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Choose exemplars, average their features, and take the model as teacher."""
        self.memory.add_all(data, learner.features)
        self.teacher, self.old = learner.snapshot(), self.seen
        self.derive(learner)

    def derive(self, learner: Learner) -> None:
        """Average the exemplars' features."""
        self.means = class_means(learner, self.memory, len(self.seen))

    def decide(self, learner: Learner, x: Tensor, out: Tensor, task: Tensor | None) -> Tensor:
        """Minus the squared distance to each class's mean, once there are exemplars."""
        if self.means is None:
            return out
        means, unit = self.means.to(out.device), F.normalize(learner.features(x), dim=1)
        scores = (2 * unit @ means.T - 2).masked_fill(~means.any(1), MASKED)  # (n, classes then)
        return F.pad(scores, (0, out.shape[1] - len(means)), value=MASKED)
