from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import Impossible, check_range
from perdure.families.moments import TASK, Moments
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.model import takes_task
from perdure.nets import Classifier
from perdure.step import Step

RIDGE = 1e-4  # added to variances, so that a class of few rows can be drawn from


class FeatureReplay(Method):
    """Train the head on features drawn from what is known of past classes, beside incoming rows.

        penalty = past / present * mean over c, f ~ N(mean_c, covariance_c) of L(head(f), c)

    c is drawn uniformly from the past classes, those measured at a boundary that are not among the
    incoming rows; `past` and `present` count classes, so that each weighs the same.

    Source: Liu et al. 2020, section 3.2, https://arxiv.org/abs/2004.09199.
    Differs: a normal distribution for each class where the paper trains a GAN, and features that
        stay as they are where it distils them.
    Needs: class labels, boundaries with the task's rows, a `Classifier` whose backbone is frozen.
    Keeps: for each class a mean and a covariance (d, d); no row and no features of one.

    Args:
        rows: features to draw at each update, >= 1; None is as many as rows come in.

    Raises:
        InvalidValue: an argument out of range.
        Impossible: the model is no `Classifier`, or what is under its head trains.

    Example:
        >>> model = Classifier(nets.MLP(4, (8,)).requires_grad_(False), nets.FixedHead(8, 4))
        >>> learner, rows = Learner(model, FeatureReplay()), torch.randn(20, 4)
        >>> learner.consolidate(Batch(rows, torch.arange(20) % 2))
        >>> sorted(learner.observe(Batch(rows, torch.arange(20) % 2 + 2)).terms)
        ['feature-replay', 'loss']
    """

    keeps = ("moments",)
    needs = Needs(boundaries=True, data=True, features=True, frozen=True, head=True)

    def __init__(self, rows: int | None = None) -> None:
        check_range("FeatureReplay", "rows", 1 if rows is None else rows, 1, float("inf"))
        self.rows = rows
        self.moments = Moments("each")
        self._of, self._factors = torch.empty(0), torch.empty(0)  # second moments, their factors

    @property
    def name(self) -> str:
        """feature-replay."""
        return "feature-replay"

    def penalty(self, step: Step) -> Tensor | None:
        """None while no class but those of the incoming rows is known."""
        rows, model, known = step.whole, step.learner.model, self.moments
        if not isinstance(model, Classifier):
            raise Impossible(
                f"FeatureReplay trains a Classifier's head; got {type(model).__name__}"
            )
        own = rows.y if rows.task is None or not takes_task(model) else rows.task * TASK + rows.y
        past = (~torch.isin(known.keys.to(own.device), own)).nonzero().flatten()  # (groups,)
        if not len(past):
            return None
        draw = torch.randint(len(past), (self.rows or step.current,), generator=self.rng)
        group = past[draw.to(past.device)]
        args = (self._features(group), known.tasks[group])
        with step.learner.engine.autocast():
            outputs = model.head(*args[: 1 + takes_task(model)]).float()
        return len(past) / len(own.unique()) * step.learner.loss(outputs, known.labels[group])

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Measure the features of the task's classes."""
        found = Moments("each", per_task=takes_task(learner.model))
        for batch in data:
            found.add(learner.features(batch.x, fixed=True), batch.y, batch.task)
        self.moments.merge(found.over(learner.engine))
        self._of = torch.empty(0)

    def _features(self, groups: Tensor) -> Tensor:  # (n,) -> (n, d)
        """One draw for each."""
        known = self.moments
        if self._of is not known.second:
            spread = known.within() / (known.count - 1).clamp(min=1)[:, None, None]
            spread.diagonal(dim1=1, dim2=2).add_(RIDGE)
            self._of, self._factors = known.second, torch.linalg.cholesky(spread)
        noise = torch.randn(len(groups), known.sum.shape[1], generator=self.rng).to(known.sum)
        features = known.means[groups]
        for group in groups.unique():
            features[groups == group] += noise[groups == group] @ self._factors[group].T
        return features.float()
