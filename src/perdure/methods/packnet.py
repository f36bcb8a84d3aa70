from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from perdure import tree
from perdure.batch import Batch
from perdure.errors import InvalidValue, check_range
from perdure.memory.everything import Everything
from perdure.method import Method, Needs
from perdure.nets.packing import claim, owned, shared
from perdure.step import Step
from perdure.streams import Rows

if TYPE_CHECKING:
    from perdure.learner import Learner


class PackNet(Method):
    """Pack tasks into one network: each keeps its largest weights, the next learns with the rest.

        owner_i = t for the largest |theta_i| still free when task t ends; the others become 0
        answer for task t = f(x; theta_i where 1 <= owner_i <= t, else 0)

    Source: Mallya & Lazebnik 2018, section 3, https://arxiv.org/abs/1711.05769.
    Differs: the share to prune may follow from the number of planned tasks.
    Needs: task ids everywhere, one task after another, boundaries with data. What a head has for
        one task alone is left to it. Makes 1 + `retrain` times the updates of fine-tuning.
    Keeps: a copy of the parameters and a byte a weight. Biases, normalisation and its running
        statistics stay those of the first task.

    Args:
        tasks: planned tasks, 1 to 255, each to own an equal share of every tensor of weights; None
            lets `prune` decide.
        prune: in [0, 1], the share of the free weights that a task leaves free.
        retrain: >= 0, updates after pruning as a share of those before: 10 epochs of 20 in the paper.

    Raises:
        InvalidValue: an argument out of range, a task that returns, or one more than planned.

    Example:
        >>> from perdure import Learner, nets
        >>> model = nets.Classifier(nets.MLP(4, (8,)), nets.MultiHead(8, {0: 2, 1: 2}))
        >>> learner = Learner(model, PackNet(tasks=2))
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]), task=0))
    """

    keeps = ("owner", "held", "order", "current", "began", "batch_size")
    needs = Needs(True, True, task_at_inference=True, task_in_training=True, labels=False)
    writes_parameters = True

    def __init__(self, tasks: int | None = None, prune: float = 0.5, retrain: float = 0.5) -> None:
        check_range("PackNet", "tasks", 1 if tasks is None else tasks, 1, 255)
        check_range("PackNet", "prune", prune, 0, 1)
        check_range("PackNet", "retrain", retrain, 0, float("inf"))
        self.tasks, self.prune, self.retrain = tasks, prune, retrain
        self.owner: dict[str, Tensor] = {}
        self.held: dict[str, Tensor] = {}
        self.order: list[int] = []
        self.current: int | None = None
        self.began, self.batch_size, self._learning = 0, 1, 0

    def grow(self, learner: Learner, batch: Batch) -> bool:
        """Add nothing; see which task learns, and that weights are left for it."""
        found = [] if batch.task is None else batch.task.unique().tolist()
        if len(found) != 1 or found[0] in self.order or self.current not in (None, found[0]):
            raise InvalidValue(
                f"PackNet learns one task until consolidate(data) and no task twice: it got {found}"
                f" while learning {self.current}, after {self.order}"
            )
        if len(self.order) == self.tasks:
            raise InvalidValue(f"{self} gave all weights to tasks {self.order}; plan more tasks")
        if self.current is None:
            self.current, self.began = found[0], learner.updates
        return False

    def forward(self, step: Step) -> tuple[Tensor, Batch]:
        """The model's outputs, normalised as for the first task."""
        for module in step.learner.model.modules() if self.order else ():
            if isinstance(module, _BatchNorm):
                module.eval()
        return step.learner.forward(step.inputs, step.batch.task), step.batch

    @torch.no_grad()
    def constrain(self, step: Step) -> None:
        """Undo what gradients, momentum and weight decay did to what is fixed."""
        self.batch_size = max(self.batch_size, step.current)
        for name, held in self.held.items():
            p, owner = step.learner.params[name], self.owner.get(name)
            if owner is not None:
                p.copy_(torch.where(owner == self._learning, p, held))
            elif self.order:
                p.copy_(held)

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Prune, retrain what the task keeps, and fix it."""
        task = Everything()
        task.add_all(data, learner.features)
        rows = task.rows()
        if rows is None or self.current is None:
            return
        keep = 1 - self.prune if self.tasks is None else 1 / (self.tasks - len(self.order))
        self._learning = len(self.order) + 1
        self.owner = claim(shared(learner.model), self.owner, keep, self._learning)
        learner.restart
