from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import check_range
from perdure.learner import Learner
from perdure.memory import Balanced
from perdure.method import Method, Needs
from perdure.nets import MASKED, columns_of
from perdure.step import Step


class BiC(Method):
    """Correct the outputs of the newest classes, which win too often, by a line.

        answer_c = scale * output_c + shift  for new classes of the last task,  output_c  otherwise
        scale, shift = argmin  mean over rows set aside of CE + decay * ((scale - 1)^2 + shift^2)

    The line recalls nothing. As in the paper, replay and distillation stand beside it:
    `Learner(model, ER(capacity=450), LwF(strength=1.0), BiC(aside=50))`.

    Source: Wu et al. 2019, eq. 4 and 5, https://arxiv.org/abs/1905.13260.
    Differs: rows set aside are not replayed, but they are learned when they come, in every epoch;
        the paper holds them out. `decay` gives classes that separate wholly a finite line.
    Needs: class labels in one space, and boundaries, no rows there.
    Keeps: `aside` raw rows, equally many a class, and two numbers.

    Args:
        aside: rows set aside, >= 1; the paper takes a tenth of all kept.
        decay: >= 0, pull of the line towards none.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> from perdure.methods import ER, LwF
        >>> learner = Learner(torch.nn.Linear(4, 4), ER(), LwF(strength=1.0), BiC())
        >>> for labels in ([0, 1, 0, 1], [2, 3, 2, 3]):
        ...     step = learner.observe(Batch(torch.eye(4), torch.tensor(labels)))
        ...     learner.consolidate()
        >>> learner.methods[2].newest
        [2, 3]
    """

    keeps = ("memory", "classes", "old", "newest", "line")
    needs = Needs(boundaries=True, raw_rows=True)

    def __init__(self, aside: int = 50, decay: float = 1e-3) -> None:
        check_range("BiC", "decay", decay, 0, float("inf"))
        self.aside, self.decay = aside, decay
        self.memory = Balanced(aside)
        self.classes, self.old, self.newest = list[int](), list[int](), list[int]()
        self.line = [1.0, 0.0]

    def grow(self, learner: Learner, batch: Batch) -> bool:
        """Add nothing; note the classes, those that other ranks see included."""
        self.classes = sorted({*self.classes, *batch.y.tolist()})
        return False

    def settle(self, step: Step) -> None:
        """Set rows aside, of those seen for the first time."""
        self.memory.add(step.incoming.fresh())

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Fit the line for the classes of the task that ended."""
        self.newest = sorted({*self.classes} - {*self.old}) if self.old else []
        self.old, self.line, rows = self.classes, [1.0, 0.0], self.memory.rows()
        if self.newest and rows is not None:
            rows = learner.engine.place(rows)
            out = learner.recite({}, learner.prepare(rows.x), rows.task)
            self.line = self._fitted(learner, out.double(), rows.y)

    def decide(self, learner: Learner, x: Tensor, out: Tensor, task: Tensor | None) -> Tensor:
        """The outputs (n, classes) with those of the newest classes corrected."""
        return self._corrected(out, torch.tensor(self.line).to(out))

    def _corrected(self, out: Tensor, line: Tensor) -> Tensor:
        newest = columns_of(self.newest, out) & (out > MASKED / 2)
        return torch.where(newest, line[0] * out + line[1], out)

    def _fitted(self, learner: Learner, out: Tensor, y: Tensor) -> list[float]:
        """Scale and shift with the smallest loss over the rows of all ranks."""
        line = torch.tensor([1.0, 0.0]).to(out).requires_grad_()
        search = torch.optim.LBFGS([line], max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            pull = self.decay * ((line[0] - 1) ** 2 + line[1] ** 2)
            loss = F.cross_entropy(self._corrected(out, line), y) + pull
            (gradient,) = torch.autograd.grad(loss, line)
            found = learner.engine.average({"loss": loss.detach(), "gradient": gradient})
            line.grad = found["gradient"]
            return found["loss"]

        search.step(closure)
        return [*line.tolist()]
