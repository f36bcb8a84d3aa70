"""A baseline: the model that is deployed once and never updated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perdure.batch import Batch
from perdure.method import Method, Needs
from perdure.step import Step

if TYPE_CHECKING:
    from perdure.learner import Learner


class Frozen(Method):
    """Learn the first task, then nothing: what happens to a model that nobody updates.

    Source: common practice.
    Differs: nothing known.
    Needs: the boundary after the first task.
    Keeps: nothing.
    """

    needs = Needs(boundaries=True, labels=False)

    def update(self, learner: Learner, batch: Batch) -> Step:
        """An ordinary update before the first boundary, none after it."""
        return Step(learner, batch) if learner.consolidations else learner.update(batch)
