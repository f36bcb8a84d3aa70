from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from perdure import tree
from perdure.batch import Batch
from perdure.errors import InvalidValue, check_range
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.nets.gated import gated, unsaturated
from perdure.step import Step


class HAT(Method):
    """Give each task gates over shared units, and hold the weights between units past tasks use.

        gate = sigmoid(s e), s from 1 / slope to slope over and over;  used = max over past tasks
        step_ij *= 1 - min(used_i, used_j)
        penalty = strength * sum_i gate_i (1 - used_i) / sum_i (1 - used_i)

    Source: Serra et al. 2018, section 2, https://arxiv.org/abs/1801.01423.
    Differs: the optimiser's step is masked, not the gradient: the same under plain SGD, and exact
        under momentum, Adam and weight decay. The paper anneals once an epoch.
    Needs: a GatedMLP, task ids everywhere, one task after another, boundaries without rows.
    Keeps: a number a unit.

    Args:
        strength: >= 0, the paper's c, 0.75: the higher, the fewer units a task takes.
        steps: >= 2, updates of one annealing: those of an epoch, for the paper's.

    Raises:
        InvalidValue: an argument out of range, rows of two tasks at once, or a task that returns.

    Example:
        >>> learner = Learner(nets.GatedMLP(4, (8,)), HAT(steps=10))
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]), task=0))
        >>> learner.consolidate()
        >>> [tuple(units.shape) for units in learner.methods[0].used]
        [(8,)]
    """

    keeps = ("used", "order", "closed", "updates")
    needs = Needs(True, task_at_inference=True, task_in_training=True, architecture="gated")

    def __init__(self, strength: float = 0.75, steps: int = 100) -> None:
        check_range("HAT", "strength", strength, 0, float("inf"))
        check_range("HAT", "steps", steps, 2, float("inf"))
        self.strength, self.steps = strength, steps
        self.used = list[Tensor]()  # (width,) a layer
        self.order = list[int]()  # tasks begun; the first `closed` of them are past
        self.closed = self.updates = 0

    def grow(self, learner: Learner, batch: Batch) -> bool:
        """Add nothing, since the network does; see which task learns, and set the slope."""
        found = [] if batch.task is None else batch.task.unique().tolist()
        order = [*self.order, *(task for task in found if task not in self.order)]
        if len(found) != 1 or found != order[self.closed :]:
            raise InvalidValue(
                f"HAT learns one task until consolidate(), and none twice; it got rows of tasks "
                f"{found} after {self.order}, {self.closed} of them closed"
            )
        self.order = order
        gated(learner.model)[1].anneal(self.updates % self.steps / (self.steps - 1))
        return False

    def penalty(self, step: Step) -> Tensor | None:
        """Strength times the share of the units still free that this task opens."""
        if self.closed == len(self.order):  # a method trains on between two tasks
            return None
        gates = torch.cat(gated(step.learner.model)[1].gates_of(self.order[-1]))
        free = 1 - torch.cat(self.used) if self.used else torch.ones_like(gates)
        return self.strength * torch.dot(gates, free) / free.sum().clamp(min=1e-12)

    def project(self, step: Step, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        """Embeddings' gradients as if the slope were steep and none of them saturated."""
        step.note(self, before := tree.copy(step.learner.params))
        return {**grads, **unsaturated(step.learner.model, grads, before)}

    @torch.no_grad()
    def constrain(self, step: Step) -> None:
        """Leave of the step what past tasks do not feel, and embeddings within the paper's 6."""
        (prefix, net), before = gated(step.learner.model), step.noted(self)
        for name, share in net.room(self.used, self.order[: self.closed]).items():
            p = step.learner.params[prefix + name]
            p.copy_(torch.lerp(before[prefix + name], p, share))
        for embedding in net.gates.parameters():
            embedding.clamp_(-6, 6)
        self.updates += 1

    @torch.no_grad()
    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Count the units that the task opens among those that are used."""
        _, net = gated(learner.model.eval())
        for task in self.order[self.closed :]:
            gates = net.gates_of(task)
            self.used = [torch.maximum(*p) for p in zip(gates, self.used or gates, strict=True)]
        self.closed, self.updates = len(self.order), 0
