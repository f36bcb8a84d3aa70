from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from perdure import tree
from perdure.batch import Batch
from perdure.errors import check_range
from perdure.learner import Learner
from perdure.memory import Balanced
from perdure.memory.passes import passes
from perdure.method import Method, Needs
from perdure.nets import MASKED
from perdure.step import Step


class GDumb(Method):
    """Only store rows, equally many of each class; at a boundary train a new model on them alone.

        theta_t = train(theta_0, memory),   answers among the classes seen so far

    Source: Prabhu, Torr & Dokania 2020, algorithms 1-2, https://doi.org/10.1007/978-3-030-58536-5_31.
    Differs: within a class rows are kept by a reservoir, where the paper keeps the first ones while
        there is room. The learner's own optimiser and augmentation, anew at each boundary, stand
        for the paper's SGD with warm restarts and CutMix.
    Needs: class labels and boundaries. Nothing is learned between them.
    Keeps: `capacity` raw rows and one copy of the model as it began.

    Args:
        capacity: rows of all classes together, >= 1.
        epochs: passes over the memory at each boundary, >= 1; 256 is the authors' code's.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 3), GDumb(capacity=100, epochs=20))
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1])))
        >>> learner.consolidate()
        >>> learner.predict(torch.eye(4))[:, 2].tolist()
        [-10000.0, -10000.0, -10000.0, -10000.0]
    """

    keeps = ("memory", "initial", "classes", "batch_size")
    needs = Needs(boundaries=True, raw_rows=True)
    writes_parameters = True

    def __init__(self, capacity: int = 500, epochs: int = 256) -> None:
        check_range("GDumb", "epochs", epochs, 1, float("inf"))
        self.capacity = capacity
        self.epochs = epochs
        self.memory = Balanced(capacity, by="class")
        self.initial: dict[str, Tensor] = {}
        self.classes: list[int] = []
        self.batch_size = 1

    def grow(self, learner: Learner, batch: Batch) -> bool:
        """Add nothing; note the classes, those that other ranks see included."""
        self.classes = sorted({*self.classes, *batch.y.tolist()})
        return False

    def update(self, learner: Learner, batch: Batch) -> Step:
        """Keep the rows, and the beginning of whatever the model has grown for them."""
        parts = learner.model.state_dict()
        self.initial |= tree.copy({n: parts[n] for n in parts if n not in self.initial})
        self.memory.add(batch.fresh())
        self.batch_size = max(self.batch_size, len(batch))
        return Step(learner, batch)

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Train from the beginning, on the memory alone."""
        rows = self.memory.rows()
        if rows is None:
            return
        learner.restart(self.initial)
        held = torch.tensor(float(len(rows)), device=learner.engine.device)
        held = learner.engine.average({"rows": held})["rows"]  # ranks make equally many updates
        steps = self.epochs * max(1, int(held) // self.batch_size)
        for batch in passes(rows, self.batch_size, steps, self.rng):
            learner.update(learner.engine.place(batch))

    def decide(self, learner: Learner, x: Tensor, out: Tensor, task: Tensor | None) -> Tensor:
        """The outputs (n, classes) with every class that was never seen masked."""
        if not self.classes:
            return out
        masked = torch.full_like(out, MASKED)
        masked[:, self.classes] = out[:, self.classes]
        return masked
