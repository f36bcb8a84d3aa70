from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import torch
from torch import Tensor

from perdure import tree
from perdure.batch import Batch
from perdure.errors import InvalidValue, check_range
from perdure.learner import Learner
from perdure.memory import Balanced
from perdure.method import Method, Needs
from perdure.step import Step

Write = Literal["boundary", "step"]


class AGEM(Method):
    """Take out of each gradient g the part that points against the memory's gradient r.

        applied = g - (g^T r / r^T r) r    where g^T r < 0, otherwise g

    Source: Chaudhry et al. 2019, eq. 11, https://arxiv.org/abs/1812.00420.
    Differs: classes share the capacity equally, each by a reservoir; the paper has rings, as with
        `quota`. Without task ids r also sees what "step" has of the task in progress.
    Needs: class labels; with "boundary", a boundary with data. Costs a pass over `rows` a step.
    Keeps: `capacity` raw rows.

    Args:
        capacity: rows of all classes together, >= 1.
        rows: drawn from the memory in a step, >= 1; r is taken over those of past tasks.
        write: "boundary" fills the memory from each task's rows when it ends, "step" as they come.
        quota: rows a class at most, >= 1; None sets no limit but its share.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 2), AGEM(capacity=100, write="step"))
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]), task=0))
        >>> len(learner.methods[0].memory)
        4
    """

    keeps = ("memory",)

    def __init__(
        self,
        capacity: int = 1000,
        rows: int = 256,
        write: Write = "boundary",
        quota: int | None = None,
    ) -> None:
        check_range("AGEM", "rows", rows, 1, float("inf"))
        if write not in get_args(Write):
            raise InvalidValue(f"AGEM: write is {write!r}; it must be 'boundary' or 'step'")
        self.capacity, self.rows, self.write, self.quota = capacity, rows, write, quota
        self.memory = Balanced(capacity, "class", quota)
        self.needs = Needs(write == "boundary", write == "boundary", raw_rows=True)

    @property
    def name(self) -> str:
        """a-gem."""
        return "a-gem"

    def project(self, step: Step, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        """The gradient without its part against the memory's."""
        learner, past = step.learner, self._past(step)
        if not learner.engine.any(past is not None):
            return grads
        loss = torch.zeros(())  # of a rank that drew none of the past: the length of r is free
        if past is not None:
            loss = learner.loss(learner.forward(learner.prepare(past.x), past.task), past.y)
        reference = step.grads(loss)
        inner, size = tree.dot(grads, reference), tree.dot(reference, reference)
        # Where the memory is learned so well that r squares to nothing, r is no direction.
        if inner >= 0 or size < torch.finfo(size.dtype).tiny:
            return grads
        return tree.combine(grads, reference, -float(inner / size))

    def settle(self, step: Step) -> None:
        """Write this update's new rows, where every update writes."""
        if self.write == "step":
            self.memory.add(step.incoming.fresh())

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Write the rows of the task that ended, where boundaries write."""
        for batch in data if self.write == "boundary" else ():
            self.memory.add(batch)

    def _past(self, step: Step) -> Batch | None:
        """Rows drawn from the memory, but for those of the tasks that are coming in."""
        rows, current = self.memory.sample(self.rows), step.incoming.task
        if rows is not None and rows.task is not None and current is not None:
            incoming = {*current.tolist()}
            past = [task not in incoming for task in rows.task.tolist()]
            rows = rows if all(past) else rows[torch.tensor(past)]
        return step.learner.engine.place(rows) if rows is not None and len(rows) else None
