from __future__ import annotations

from math import log

import torch
from torch import Tensor

from perdure.errors import check_range
from perdure.families.analytic import Analytic, Scores, Write
from perdure.families.expansion import Expansion


class RanPAC(Analytic):
    """Ridge regression on many random features, at a strength that the rows choose.

        h = relu(f R),  R (d, projections) random;  W = (G + strength I)^-1 sum_i h_i y_i^T
        strength = argmin of mean_i |y_i - W^T h_i|^2 / (1 - tr(G (G + strength I)^-1) / n)^2
        G = sum_i h_i h_i^T;  log p(c) = 4 ln(classes) h . w_c + constant

    Source: McDonnell et al. 2023, "RanPAC: random projections and pre-trained models for continual
        learning", algorithm 1, https://arxiv.org/abs/2307.02251.
    Differs: the paper tries a grid of strengths on a fifth of each task's rows, held out; here each
        row is held out in turn, by generalised cross-validation (Golub, Heath & Wahba 1979, eq.
        1.4): one eigendecomposition of G tells it for every strength, from sums alone, so that no
        order of rows matters. On CLINC150 both choose 100, of 1e-8 to 1e8. First-session adaptation
        is a method of its own, to be given beside. The scale of the probabilities is ours.
    Needs: class labels and features that stay as they are.
    Keeps: a count and a sum of random features a class, and a matrix (projections, projections),
        float64: 32 MB at 2,000. The first answer after an update costs the eigendecomposition, 2 s
        there; with a given `strength` a Cholesky factor, a tenth of that.

    Args:
        projections: random features, >= 1; the paper takes 10,000, for 800 MB.
        strength: > 0, on sums over rows; None has the rows choose it.
        write: "step" counts new rows at each update, "boundary" a task's rows when it ends.
        per_task: labels are local to a task; an answer chooses among the asked task's.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> from perdure.nets import Classifier, Flat, NoHead
        >>> learner = Learner(Classifier(Flat(2), NoHead(2)), RanPAC(projections=50))
        >>> step = learner.observe(Batch(torch.eye(2), torch.tensor([0, 3])))
        >>> learner.predict(torch.eye(2)).argmax(1)
        tensor([0, 3])
    """

    keeps = ("moments", "expansion")

    def __init__(
        self,
        projections: int = 2000,
        strength: float | None = None,
        write: Write = "step",
        per_task: bool = False,
    ) -> None:
        check_range("RanPAC", "projections", projections, 1, float("inf"))
        given = 1.0 if strength is None else strength
        check_range("RanPAC", "strength", given, 0, float("inf"), open_low=True)
        super().__init__("shared", write, per_task=per_task)
        self.projections, self.strength = projections, strength
        self.expansion = Expansion(projections)

    def embed(self, features: Tensor) -> Tensor:
        """The random features."""
        return self.expansion(features)

    def solve(self) -> Scores:
        """The regression's weights (projections, groups), scaled."""
        held = self.moments
        if self.strength is None:
            values, vectors = torch.linalg.eigh(held.second)
            values, turned = values.clamp(min=0), vectors.T @ held.sum.T
            strength = chosen(values, turned.square().sum(1), held.rows)
            weights = vectors @ (turned / (values + strength)[:, None])
        else:
            shifted = held.second + self.strength * torch.eye(len(held.second)).to(held.second)
            weights = torch.cholesky_solve(held.sum.T, torch.linalg.cholesky(shifted))
        weights *= 4 * log(max(2, held.classes))
        return lambda f: f @ weights


def chosen(values: Tensor, power: Tensor, rows: float) -> float:
    """The strength of least generalised cross-validation error.

    Args:
        values: eigenvalues of G, (e,).
        power: sum over classes of the squared entries of sum_i h_i y_i^T along each eigenvector.
        rows: n.
    """
    grid = torch.logspace(-8, 8, 17, dtype=values.dtype, device=values.device)
    grid = grid[grid >= min(1e-9 * float(values.max()), 1.0)]  # below, rounding has the say
    shrunk = values + grid[:, None]  # (strengths, e)
    misfit = rows - (power * (2 / shrunk - values / shrunk.square())).sum(1)
    freedom = 1 - (values / shrunk).sum(1) / rows
    return float(grid[(misfit / freedom.square()).argmin()])
