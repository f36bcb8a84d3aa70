from __future__ import annotations

from math import log

import torch
import torch.nn.functional as F
from torch import Tensor

from perdure.errors import check_range
from perdure.families.analytic import Analytic, Scores, Write


class FeCAM(Analytic):
    """Answer with the class whose mean is nearest by the class's own Mahalanobis distance.

        f = sign(phi) |phi|^power at unit length
        D_c(f) = (f - mean_c)^T C_c^-1 (f - mean_c),  C_c = correlations of S_c + shrinkage v_c I
        log p(c) = -2 ln(classes) D_c(f) / own + constant

    S_c is the class's covariance, v_c the mean of its diagonal, own the rows' mean distance to
    their own class.

    Source: Goswami et al. 2023, "FeCAM: exploiting the heterogeneity of class distributions in
        exemplar-free continual learning", eq. 5-9, https://arxiv.org/abs/2309.14062.
    Differs: features are brought to unit length before anything is summed, as the authors' program
        does for pretrained backbones, and not after; the power keeps signs, since such features
        have both. Covariances are not shrunk off the diagonal, as there. The scale is ours.
    Needs: class labels and features that stay as they are.
    Keeps: a count, a sum and a (d, d) matrix a class, float64: 1.2 MB a class at d = 384.

    Args:
        shrinkage: > 0: the paper takes 1 for many rows a class and 100 for few; 10 is 2 points
            better than 1 on CLINC150, with 100 rows a class.
        power: in (0, 1], Tukey's: 0.5 in the paper, 1 leaves features as they are.
        write: "step" counts new rows at each update, "boundary" a task's rows when it ends.
        per_task: labels are local to a task; an answer chooses among the asked task's.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> from perdure.nets import Classifier, Flat, NoHead
        >>> learner = Learner(Classifier(Flat(2), NoHead(2)), FeCAM())
        >>> step = learner.observe(Batch(torch.eye(2), torch.tensor([0, 3])))
        >>> learner.predict(torch.eye(2)).argmax(1)
        tensor([0, 3])
    """

    def __init__(
        self,
        shrinkage: float = 10.0,
        power: float = 0.5,
        write: Write = "step",
        per_task: bool = False,
    ) -> None:
        check_range("FeCAM", "shrinkage", shrinkage, 0, float("inf"), open_low=True)
        check_range("FeCAM", "power", power, 0, 1, open_low=True)
        super().__init__("each", write, per_task=per_task)
        self.shrinkage, self.power = shrinkage, power

    def embed(self, features: Tensor) -> Tensor:
        """The features with less of a tail, at unit length."""
        f = features.double()
        return F.normalize(f.sign() * f.abs() ** self.power, dim=1)

    def solve(self) -> Scores:
        """Minus each class's distance; the inverses are (groups, d, d)."""
        held = self.moments
        means, within = held.means, held.within()
        covariance = within / (held.count - 1).clamp(min=1)[:, None, None]
        diagonal = covariance.diagonal(0, 1, 2)  # (groups, d), a view
        diagonal += (self.shrinkage * diagonal.mean(1, keepdim=True)).clamp(min=held.floor)
        deviation = diagonal.sqrt()
        covariance /= deviation[:, :, None] * deviation[:, None, :]
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
        own = max(float((inverse * within).sum()) / held.rows, held.floor)
        scale = -2 * log(max(2, held.classes)) / own

        def scores(f: Tensor) -> Tensor:
            apart = (f - mean for mean in means)
            each = [((z @ p) * z).sum(1) for z, p in zip(apart, inverse, strict=True)]
            return scale * torch.stack(each, 1)

        return scores
