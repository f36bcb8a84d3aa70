from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from perdure import tree
from perdure.batch import Batch
from perdure.errors import InvalidValue, check_range
from perdure.memory.everything import gathered
from perdure.memory.passes import passes
from perdure.method import Method, Needs
from perdure.nets.packing import claim, freeze_statistics, owned, shared
from perdure.step import Step

if TYPE_CHECKING:
    from perdure.learner import Learner


class PackNet(Method):
    """Pack tasks into one network: each keeps its largest weights, the next learns with the rest.

        owner_i = t for the largest |theta_i| still free when task t ends; the others become 0
        answer for task t = f(x; theta_i where 1 <= owner_i <= t, else 0)

    Source: Mallya & Lazebnik 2018, section 3, https://arxiv.org/abs/1711.05769.
    Differs: the share to prune may follow from the number of planned tasks.
    Needs: task ids everywhere, one task after another, boundaries with data, a head for each task.
        Makes 1 + `retrain` times the updates of fine-tuning.
    Keeps: a copy of the shared parameters and a byte a weight. Biases and normalisation, with its
        running statistics, stay those of the first task.

    Args:
        tasks: planned tasks, 1 to 255: each owns an equal share; None lets `prune` decide.
        prune: in [0, 1], the share of the free weights that a task leaves free.
        retrain: >= 0, updates after pruning as a share of those before; the paper's 10 of 20 epochs.

    Raises:
        InvalidValue: an argument out of range, a task that returns, or one more than planned.

    Example:
        >>> from perdure import Learner, nets
        >>> model = nets.Classifier(nets.MLP(4, (8,)), nets.MultiHead(8, {0: 2, 1: 2}))
        >>> learner = Learner(model, PackNet(tasks=2))
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]), task=0))
    """

    keeps = ("owner", "held", "order", "packed", "began", "batch_size")
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
        self.packed, self.began, self.batch_size, self._learning = 0, 0, 1, 0

    def grow(self, learner: Learner, batch: Batch) -> bool:
        """Add nothing; see which task learns, and that weights are left for it."""
        found = [] if batch.task is None else batch.task.unique().tolist()
        order = [*self.order, *(task for task in found if task not in self.order)]
        if len(found) != 1 or found != order[self.packed :] or len(order) > (self.tasks or 255):
            raise InvalidValue(
                f"{self} got rows of tasks {found} after {self.order}, {self.packed} of them closed;"
                " it learns one task until consolidate(data), none twice, no more than planned"
            )
        self.order = order
        return False

    def forward(self, step: Step) -> tuple[Tensor, Batch]:
        """The model's outputs, normalised as for the first task."""
        if self.packed:
            freeze_statistics(step.learner.model)
        return step.learner.forward(step.inputs, step.batch.task), step.batch

    @torch.no_grad()
    def constrain(self, step: Step) -> None:
        """Undo what gradients, momentum and weight decay did to what is fixed."""
        self.batch_size = max(self.batch_size, step.current)
        for name, held in self.held.items():
            p, owner = step.learner.params[name], self.owner.get(name)
            if owner is not None or self.packed:
                p.copy_(held if owner is None else torch.where(owner == self._learning, p, held))

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Prune, retrain what the task keeps, and fix it."""
        rows, weights = gathered(data), shared(learner.model)
        if rows is None or len(self.order) == self.packed:
            return
        keep = 1 - self.prune if self.tasks is None else 1 / (self.tasks - self.packed)
        steps = round(self.retrain * (learner.updates - self.began))
        self._learning = self.packed + 1
        self.owner = claim(weights, self.owner, keep, self._learning)
        learner.restart(owned(weights, self.owner, self._learning))
        self.held = tree.copy(weights)
        for batch in passes(rows, self.batch_size, steps, self.rng):
            learner.update(learner.engine.place(batch))
        self.held = tree.copy(weights)
        self.packed, self.began, self._learning = self.packed + 1, learner.updates, 0

    def decide(self, learner: Learner, x: Tensor, out: Tensor, task: Tensor | None) -> Tensor:
        """Each row's answer by the weights of its task and of those before."""
        for t, known in enumerate(self.order[: self.packed], 1):
            mine = task == known  # (n,)
            if mine.any():
                weights = owned(learner.params, self.owner, t)
                out[mine] = learner.recite(weights, learner.prepare(x[mine]), task[mine])
        return out
