from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from perdure.batch import Batch
from perdure.errors import InvalidValue, check_range
from perdure.learner import Learner
from perdure.memory.everything import gathered
from perdure.memory.passes import passes
from perdure.method import Method, Needs
from perdure.nets.packing import claim, freeze_statistics, held, owned, restore, shared
from perdure.step import Step


class PackNet(Method):
    """Pack tasks into one network: each keeps its largest weights, the next learns with the rest.

        owner_i = t for the largest |theta_i| still free when task t ends; the others become 0
        answer for task t = f(x; theta_i where 1 <= owner_i <= t, else 0)

    Source: Mallya & Lazebnik 2018, section 3, https://arxiv.org/abs/1711.05769.
    Differs: the share to prune may follow from the number of planned tasks.
    Needs: task ids everywhere, one task after another, boundaries with data, a head for each task.
    Keeps: a copy of what is shared and a byte a weight. Biases and normalisation stay task 1's.

    Args:
        tasks: planned tasks, 1 to 255: each owns an equal share; None lets `prune` decide.
        prune: in [0, 1], the share of the free weights that a task leaves free.
        retrain: >= 0, updates after pruning for each one before; the paper: 10 epochs after 20.

    Raises:
        InvalidValue: an argument out of range, no task id, a task too many or one that returns.

    Example:
        >>> learner = Learner(nets.Classifier(nets.MLP(4), nets.MultiHead(400)), PackNet(tasks=2))
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]), task=0))
    """

    keeps = ("owner", "held", "order", "packed", "updates", "batch_size")
    needs = Needs(True, True, task_at_inference=True, task_in_training=True, labels=False)
    writes_parameters = True

    def __init__(self, tasks: int | None = None, prune: float = 0.5, retrain: float = 0.5) -> None:
        check_range("PackNet", "tasks", 1 if tasks is None else tasks, 1, 255)
        check_range("PackNet", "prune", prune, 0, 1)
        check_range("PackNet", "retrain", retrain, 0, float("inf"))
        self.tasks, self.prune, self.retrain = tasks, prune, retrain
        self.owner, self.held, self.order = dict[str, Tensor](), dict[str, Tensor](), list[int]()
        self.packed, self.updates, self.batch_size, self._live = 0, 0, 1, 0

    def grow(self, learner: Learner, batch: Batch) -> bool:
        """Add nothing; see which task learns, and that weights are left for it."""
        found = [] if batch.task is None else batch.task.unique().tolist()
        order = [*self.order, *(task for task in found if task not in self.order)]
        if len(found) != 1 or found != order[self.packed :] or len(order) > (self.tasks or 255):
            raise InvalidValue(
                f"{self} learns one task until consolidate(data), none twice, no more than planned;"
                f" it got rows of tasks {found} after {self.order}, {self.packed} of them closed"
            )
        self.order = order
        return False

    def forward(self, step: Step) -> tuple[Tensor, Batch]:
        """The model's outputs, normalised as for the first task."""
        if self.packed:
            freeze_statistics(step.learner.model)
        return step.learner.forward(step.inputs, step.batch.task), step.batch

    def constrain(self, step: Step) -> None:
        """Undo what gradients, momentum and weight decay did to what is fixed."""
        self.updates, self.batch_size = self.updates + 1, max(self.batch_size, step.current)
        restore(step.learner.params, self.held, self.owner, self._live)

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Prune, retrain what the task keeps, and fix it."""
        rows, weights, task = gathered(data), shared(learner.model), self.packed + 1
        if rows is None or len(self.order) < task:
            return
        keep = 1 - self.prune if self.tasks is None else 1 / (self.tasks - self.packed)
        self.owner = claim(weights, self.owner, keep, task)
        learner.restart(owned(weights, self.owner, task))
        self.held, self._live = held(weights, self.owner, task), task
        for batch in passes(rows, self.batch_size, round(self.retrain * self.updates), self.rng):
            learner.update(learner.engine.place(batch))
        self.held, self._live = held(weights, self.owner, 0), 0
        self.packed, self.updates = task, 0

    def decide(self, learner: Learner, x: Tensor, out: Tensor, task: Tensor | None) -> Tensor:
        """Each row's answer by the weights of its task and of those before."""
        if task is None:
            raise InvalidValue("PackNet answers by task; ask with predict(x, task=...)")
        for known in {*task.tolist()} & {*self.order[: self.packed]}:
            rows, place = task == known, self.order.index(known) + 1
            weights = owned(learner.params, self.owner, place)
            out[rows] = learner.recite(weights, learner.prepare(x[rows]), task[rows])
        return out
