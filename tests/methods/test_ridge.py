"""Ridge regression that grows by classes: scikit-learn's on all rows at once."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge as Whole

from perdure import Batch, Learner
from perdure.errors import InvalidValue
from perdure.methods import Ridge
from perdure.nets import Classifier, Flat, NoHead


def rows(n: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(5, (n,), generator=generator).sort().values
    centres = torch.randn(5, 7, generator=generator)
    return centres[y] + torch.randn(n, 7, generator=generator), y


def learnt(method: Ridge, x: torch.Tensor, y: torch.Tensor) -> Ridge:
    """Class after class, in batches of 16."""
    learner = Learner(Classifier(Flat(x.shape[1]), NoHead(x.shape[1])), method)
    for part, labels in zip(x.split(16), y.split(16), strict=True):
        learner.observe(Batch(part, labels))
    return method


@pytest.mark.parametrize("projections", [0, 20])
@pytest.mark.parametrize("strength", [1e-3, 1.0, 100.0])
def test_it_is_the_regression_on_all_rows_at_once(strength: float, projections: int) -> None:
    """Absolute memorisation, the paper's theorem 1: equal to scikit-learn's without intercept."""
    x, y = rows()
    method = learnt(Ridge(strength, projections), x, y)
    f = method.embed(x)
    whole = Whole(strength, fit_intercept=False, solver="cholesky")
    whole.fit(f.numpy(), F.one_hot(y).double().numpy())
    found = method.solve()(f) / (4 * log(5))
    np.testing.assert_allclose(whole.predict(f.numpy()), found, rtol=1e-6, atol=1e-9)


def test_it_is_the_papers_recursion() -> None:
    """R <- R - R X^T (I + X R X^T)^-1 X R;  W <- W + R X^T (Y - X W), batch after batch."""
    x, y = (t.double() if t.is_floating_point() else t for t in rows())
    target = F.one_hot(y).double()
    inverse = torch.eye(7, dtype=torch.float64) / 0.1
    weights = torch.zeros(7, 5, dtype=torch.float64)
    for part, wanted in zip(x.split(16), target.split(16), strict=True):
        middle = torch.eye(len(part), dtype=torch.float64) + part @ inverse @ part.T
        inverse = inverse - inverse @ part.T @ torch.linalg.solve(middle, part @ inverse)
        weights = weights + inverse @ part.T @ (wanted - part @ weights)
    found = learnt(Ridge(0.1), *rows()).solve()(x) / (4 * log(5))
    torch.testing.assert_close(x @ weights, found, rtol=1e-8, atol=1e-8)


def test_random_features_tell_what_straight_lines_cannot() -> None:
    """Four corners, opposite ones alike: a regression on the inputs is at chance."""
    generator = torch.Generator().manual_seed(0)
    sign = torch.randint(2, (400, 2), generator=generator) * 2 - 1
    x = sign + 0.2 * torch.randn(400, 2, generator=generator)
    y = (sign.prod(1) > 0).long()
    right = [
        float((learnt(m, x, y).solve()(m.embed(x)).argmax(1) == y).float().mean())
        for m in (Ridge(), Ridge(projections=100))
    ]
    assert right[0] < 0.8
    assert right[1] > 0.98


def test_arguments_out_of_range_are_refused() -> None:
    """No strength leaves sums of few rows without a solution."""
    with pytest.raises(InvalidValue, match="strength"):
        Ridge(0.0)
    with pytest.raises(InvalidValue, match="projections"):
        Ridge(projections=-1)
