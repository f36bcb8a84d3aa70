from __future__ import annotations

import torch

from perdure.errors import check_range
from perdure.families.analytic import Analytic, Scores, Write


class SLDA(Analytic):
    """Linear discriminants from running means and one running covariance.

        log p(c) = w_c . f + b_c + constant,  w_c = P mean_c,  b_c = -w_c . mean_c / 2
        P = inverse of (1 - shrinkage) S + shrinkage * v I,  S the covariance within classes,
            v the mean of its diagonal

    Source: Hayes & Kanan 2020, "Lifelong machine learning with deep streaming linear discriminant
        analysis", eq. 1-4, https://arxiv.org/abs/1909.01520.
    Differs: the covariance is around each class's final mean and not around what it was when a row
        came, so order does not matter; it is shrunk towards v I and not I, so the features' scale
        does not either. All classes are taken as equally likely, as in the paper.
    Needs: class labels and features that stay as they are.
    Keeps: a count and a sum of features a class, and one (d, d) matrix, float64.

    Args:
        shrinkage: in (0, 1]; 1e-4 in the paper, on features of variance near 1.
        write: "step" counts new rows at each update, "boundary" a task's rows when it ends.
        per_task: labels are local to a task; an answer chooses among the asked task's.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> from perdure.nets import Classifier, Flat, NoHead
        >>> learner = Learner(Classifier(Flat(2), NoHead(2)), SLDA())
        >>> x = torch.tensor([[0.0, 0.0], [4.0, 1.0], [0.0, 1.0], [4.0, 2.0]])
        >>> step = learner.observe(Batch(x, torch.tensor([0, 0, 1, 1])))
        >>> learner.predict(torch.tensor([[2.0, 0.2], [2.0, 1.8]])).argmax(1)
        tensor([0, 1])
    """

    def __init__(
        self, shrinkage: float = 1e-4, write: Write = "step", per_task: bool = False
    ) -> None:
        check_range("SLDA", "shrinkage", shrinkage, 0, 1, open_low=True)
        super().__init__("shared", write, per_task=per_task)
        self.shrinkage = shrinkage

    def solve(self) -> Scores:
        """The discriminants, (d, groups) and (groups,)."""
        covariance, means = self.moments.within() / self.moments.rows, self.moments.means
        spread = float(covariance.diagonal().mean())
        covariance *= 1 - self.shrinkage
        covariance.diagonal().add_(max(self.shrinkage * spread, self.moments.floor))
        weights = torch.cholesky_solve(means.T, torch.linalg.cholesky(covariance))
        bias = -(weights.T * means).sum(1) / 2
        return lambda f: f @ weights + bias
