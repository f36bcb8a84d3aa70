from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from torch import Tensor

from perdure.batch import Batch
from perdure.errors import InvalidValue, check_range
from perdure.families.distillation import answers_by_task, divergence
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.model import takes_task
from perdure.step import Step


class LwF(Method):
    """Answer to new rows as the model before this task would have, for all that it knew then.

        penalty = strength * mean over old tasks and rows of KL(p_old || p)
        p = softmax(outputs / temperature), over the outputs that the old model had

    A model that takes task ids answers for each old task; any other has one "old task".

    Source: Li & Hoiem 2016, eq. 2-4, https://arxiv.org/abs/1606.09282.
    Differs: the divergence in place of the cross-entropy: equal gradients, and 0 where nothing is
        forgotten. A new head is not trained alone first, as the paper and Mammoth do: in scenario
        class that moves the new outputs ahead, and Mammoth ends at 20 on Split Fashion-MNIST where
        a single pass in batches of 64 ends at 30 here.
    Needs: boundaries, no rows there. A step costs the old model's forward pass and, with task ids,
        another pass of the new one.
    Keeps: a copy of the model.

    Args:
        strength: >= 0, or "tasks": the number of tasks closed so far, so that the present weighs 1
            and the past k - 1 in task k. With task ids that is the paper's sum over old tasks.
        temperature: > 0; gradients are not multiplied by its square.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 2), LwF())
        >>> rows = Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]))
        >>> step = learner.observe(rows)
        >>> learner.consolidate()
        >>> float(learner.observe(rows).terms["lwf"])
        0.0
    """

    keeps = ("teacher", "old_tasks", "old_width", "tasks", "width")
    needs = Needs(boundaries=True)

    def __init__(
        self, strength: float | Literal["tasks"] = "tasks", temperature: float = 2.0
    ) -> None:
        if isinstance(strength, str) and strength != "tasks":
            raise InvalidValue(f'LwF: strength is {strength!r}; it must be "tasks" or a number')
        check_range("LwF", "strength", 1 if strength == "tasks" else strength, 0, float("inf"))
        check_range("LwF", "temperature", temperature, 0, float("inf"), open_low=True)
        self.strength, self.temperature = strength, temperature
        self.teacher: dict[str, Tensor] = {}
        self.old_tasks: list[int] = []
        self.tasks: list[int] = []
        self.old_width = self.width = 0

    def penalty(self, step: Step) -> Tensor | None:
        """None before the first boundary."""
        if not self.old_width:
            return None
        learner, inputs = step.learner, step.inputs[: step.current]
        if self.old_tasks:
            outputs, taught = answers_by_task(learner, self.teacher, inputs, self.old_tasks)
        else:
            outputs = step.outputs[: step.current]
            taught = learner.recite(self.teacher, inputs, None)
        past = len(self.old_tasks) or learner.consolidations
        strength = past if self.strength == "tasks" else self.strength
        return strength * divergence(outputs, taught[:, : self.old_width], self.temperature)

    def settle(self, step: Step) -> None:
        """Note which outputs and tasks there are."""
        self.width = step.outputs.shape[1]
        task = step.incoming.task
        if task is not None:
            self.tasks = sorted({*self.tasks, *task.tolist()})

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Take the model as the teacher of the next task."""
        self.teacher = learner.snapshot()
        self.old_width = self.width
        self.old_tasks = self.tasks if takes_task(learner.model) else []
