from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from perdure import tree
from perdure.batch import Batch
from perdure.errors import check_range
from perdure.learner import Learner
from perdure.memory.everything import Everything
from perdure.memory.passes import passes
from perdure.method import Method, Needs
from perdure.step import Step


class Joint(Method):
    """Train a new model on all rows so far whenever a task ends, as if they had come together.

        theta_t = train(theta_0, rows of tasks 1..t)

    What it reaches after task t is the reference for intransigence, and what it spends is what
    retraining from scratch costs.

    Source: the upper bound of van de Ven et al. 2022, https://doi.org/10.1038/s42256-022-00568-3.
    Differs: it starts again at every boundary; the paper trains once, after the last task.
    Needs: boundaries. Nothing is learned between them: predictions are the last boundary's.
    Keeps: every row ever seen, without bound, and one copy of the model as it began.

    Args:
        steps: updates at each boundary, >= 1; None makes as many as batches were observed so far,
            so that at each boundary joint training and fine-tuning have made equally many.

    Raises:
        InvalidValue: `steps` is below 1.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 2), Joint(steps=3))
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1])))
        >>> learner.consolidate()
        >>> learner.updates
        3
    """

    keeps = ("memory", "initial", "observed", "batch_size")
    needs = Needs(boundaries=True, raw_rows=True, labels=False)
    writes_parameters = True
    bounded = False

    def __init__(self, steps: int | None = None) -> None:
        check_range("Joint", "steps", 1 if steps is None else steps, 1, float("inf"))
        self.steps = steps
        self.memory = Everything()
        self.initial: dict[str, Tensor] = {}
        self.observed = 0
        self.batch_size = 1

    def update(self, learner: Learner, batch: Batch) -> Step:
        """Keep the rows, and the beginning of whatever the model has grown for them."""
        parts = learner.model.state_dict()
        self.initial |= tree.copy({n: parts[n] for n in parts if n not in self.initial})
        self.memory.add(batch.fresh())
        self.observed += 1
        self.batch_size = max(self.batch_size, len(batch))
        return Step(learner, batch)

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Train from the beginning, on everything."""
        rows = self.memory.rows()
        if rows is None:
            return
        learner.restart(self.initial)
        for batch in passes(rows, self.batch_size, self.steps or self.observed, self.rng):
            learner.update(learner.engine.place(batch))
