from __future__ import annotations

import torch
from torch import Tensor

from perdure import tree
from perdure.batch import Batch
from perdure.errors import check_range
from perdure.learner import Learner
from perdure.memory import Reservoir
from perdure.method import Method, Needs
from perdure.step import Step


class MIR(Method):
    """Replay the rows that the coming update would harm most (maximally interfered retrieval).

        theta_v = theta - lr * gradient of the loss of the incoming rows
        recalled = the rows of a random draw with the largest loss(theta_v) - loss(theta)

    Source: Aljundi et al. 2019, eq. 1 and algorithm 1 (MI-1), https://arxiv.org/abs/1908.04742.
    Differs: half of the rows are random by default. Those harmed most tend to be of one label, and
        alone make the model swing: on held-out rows of Split Fashion-MNIST, three seeds, the
        paper's `share=1` ends at 73.5 (domain) and 66.4 (class), 0.5 at 89.0 and 76.9. The virtual
        step is a plain one, as the authors', in evaluation mode and without augmentation.
    Needs: nothing: neither task ids nor boundaries. An update costs one more pass forward and
        backward over the incoming rows, and two forward over the candidates.
    Keeps: `capacity` raw rows.

    Args:
        capacity: rows of the memory, >= 1.
        rows: rows to recall at each update, >= 1; None is as many as come in.
        candidates: times `rows` that are drawn, to choose from, >= 1; the paper draws 50 for 10.
        share: of the recalled rows, those chosen by interference, in (0, 1]; the others are random.
        lr: > 0, of the virtual step; None is the optimiser's.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 2), MIR(capacity=100))
        >>> rows = Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]))
        >>> [len(learner.observe(rows).batch) for _ in range(2)]
        [4, 8]
    """

    keeps = ("memory",)
    needs = Needs(raw_rows=True, labels=False)

    def __init__(
        self,
        capacity: int = 500,
        rows: int | None = None,
        candidates: int = 5,
        share: float = 0.5,
        lr: float | None = None,
    ) -> None:
        check_range("MIR", "rows", 1 if rows is None else rows, 1, float("inf"))
        check_range("MIR", "candidates", candidates, 1, float("inf"))
        check_range("MIR", "share", share, 0, 1, open_low=True)
        check_range("MIR", "lr", 1 if lr is None else lr, 0, float("inf"), open_low=True)
        self.capacity, self.rows, self.candidates = capacity, rows, candidates
        self.share, self.lr, self.memory = share, lr, Reservoir(capacity)

    def recall(self, step: Step) -> Batch | None:
        """Of the rows drawn, those whose loss rises most in the virtual step, and some others."""
        learner, rows = step.learner, self.rows or step.current
        drawn = torch.randperm(len(self.memory), generator=self.rng)[: self.candidates * rows]
        if not len(drawn):
            return None
        candidates = self.memory.storage.read(drawn)
        rise = interference(learner, step.incoming, learner.engine.place(candidates), self.lr)
        order, count = rise.argsort(descending=True).cpu(), round(self.share * rows) or 1
        # The candidates stand in random order, and so do the others once sorted by place.
        others = order[count:].sort().values[: rows - count]
        return candidates[torch.cat((order[:count], others))]

    def settle(self, step: Step) -> None:
        """Remember the rows seen for the first time."""
        self.memory.add(step.incoming.fresh())


def interference(
    learner: Learner, batch: Batch, candidates: Batch, lr: float | None
) -> Tensor:  # (n,)
    """How much each candidate's loss rises in a plain gradient step on `batch`."""
    with learner.as_taught({}):  # evaluation mode
        outputs = learner.forward(learner.prepare(batch.x), batch.task)
        grads = learner.engine.gradients(learner.loss(outputs, batch.y), learner.params)
        step = learner.optimiser.torch.param_groups[0]["lr"] if lr is None else lr
        inputs = learner.prepare(candidates.x)
        ahead = tree.combine(learner.params, grads, -step)
        before = learner.recite({}, inputs, candidates.task)
        after = learner.recite(ahead, inputs, candidates.task)
    return _losses(learner, after, candidates.y) - _losses(learner, before, candidates.y)


def _losses(learner: Learner, outputs: Tensor, y: Tensor) -> Tensor:  # (n,)
    each: Tensor = learner.loss(outputs, y, reduction="none")
    return each if each.dim() == 1 else each.flatten(1).mean(1)
