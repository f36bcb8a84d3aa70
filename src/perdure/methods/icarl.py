from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import check_range
from perdure.memory import Herding, embed
from perdure.method import Method, Needs
from perdure.nets import MASKED
from perdure.step import Step

if TYPE_CHECKING:
    from perdure.learner import Learner


class ICaRL(Method):
    """Learn features with few exemplars a class, and answer with the nearest mean of exemplars.

        loss = mean over rows of sum over classes seen of BCE(outputs, target)
        target = sigmoid(teacher / temperature) for classes of past tasks, otherwise one-hot
        answer = argmin over classes of || phi(x) - mean of phi(exemplars) ||, at unit length

    Source: Rebuffi et al. 2017, algorithms 1-5, https://arxiv.org/abs/1611.07725.
    Differs: as many exemplars as incoming rows join each update, where the paper draws batches from
        both together. Inputs scale by `prepare` alone; the reference of van de Ven et al. 2022
        takes temperature 2, Mammoth averages over classes instead of summing.
    Needs: class labels, the task's rows at boundaries, and features. One label space: the answer
        does not use the task id.
    Keeps: `capacity` raw rows, a copy of the model, and a mean feature a class.

    Args:
        capacity: exemplars of all classes together, >= 1.
        rows: exemplars to recall at each update, >= 1; None is as many as come in.
        quota: exemplars a class at most, >= 1; None: no limit but the capacity.
        temperature: > 0, of the teacher's outputs; 1 in the paper.

    Raises:
        InvalidValue: an argument out of range.
    """

    keeps = ("memory", "teacher", "seen", "old", "means")
    needs = Needs(boundaries=True, data=True, raw_rows=True, features=True)

    def __init__(
        self,
        capacity: int = 2000,
        rows: int | None = None,
        quota: int | None = None,
        temperature: float = 1.0,
    ) -> None:
        check_range("ICaRL", "rows", 1 if rows is None else rows, 1, float("inf"))
        check_range("ICaRL", "temperature", temperature, 0, float("inf"), open_low=True)
        self.capacity, self.rows, self.quota = capacity, rows, quota
        self.temperature = temperature
        self.memory = Herding(capacity, quota)
        self.teacher: dict[str, Tensor] = {}
        self.seen = self.old = torch.zeros(0, dtype=torch.bool)  # (classes,)
        self.means: Tensor | None = None  # (classes, d), zero where there is no exemplar

    def recall(self, step: Step) -> Batch | None:
        """Exemplars of past classes."""
        return self.memory.sample(self.rows or step.current)

    def loss(self, step: Step) -> Tensor:
        """Binary cross-entropy of each class seen, past ones towards the teacher."""
        outputs, y, weight = step.outputs, step.batch.y, step.batch.weights()
        target = F.one_hot(y, outputs.shape[1]).to(outputs)
        if self.teacher:
            past = step.learner.recite(self.teacher, step.inputs, step.batch.task)
            target = torch.where(_wide(self.old, outputs), torch.sigmoid(past / self.temperature), target)
        active = _wide(self.seen, outputs).index_fill(0, y, 1)
        each = F.binary_cross_entropy_with_logits(outputs, target, reduction="none")
        return torch.dot((each * active).sum(1), weight) / weight.sum()

    def settle(self, step: Step) -> None:
        """Note the classes seen."""
        self.seen = _wide(self.seen, step.outputs).index_fill(0, step.batch.y, 1)

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Choose exemplars, take the model as teacher, and average the exemplars' features."""
        self.memory.add_all(data, learner.features)
        rows = self.memory.rows()
        ...
