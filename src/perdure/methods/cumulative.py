from __future__ import annotations

from perdure.batch import Batch
from perdure.learner import Learner
from perdure.memory.everything import Everything
from perdure.method import Method, Needs
from perdure.step import Step


class Cumulative(Method):
    """Learn each batch from rows drawn evenly from all that were ever seen, never starting again.

        batch_t ~ Uniform(rows 1..t), of the size of the incoming batch

    It makes exactly the updates that fine-tuning makes, so what it gains is what keeping all data
    is worth at an equal budget.

    Source: the "cumulative" baseline of Lomonaco & Maltoni 2017, https://arxiv.org/abs/1705.03550.
    Differs: the paper runs epochs over all rows at each boundary; here no boundary is needed.
    Needs: nothing but storage.
    Keeps: every row ever seen, without bound.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 2), Cumulative())
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1])))
        >>> len(step.batch), learner.updates
        (4, 1)
    """

    keeps = ("memory",)
    needs = Needs(raw_rows=True, labels=False)
    bounded = False

    def __init__(self) -> None:
        self.memory = Everything()

    def update(self, learner: Learner, batch: Batch) -> Step:
        """Keep the new rows, then learn as many drawn from all."""
        self.memory.add(batch.fresh())
        drawn = self.memory.sample(len(batch))
        return learner.update(batch if drawn is None else learner.engine.place(drawn.seen()))
