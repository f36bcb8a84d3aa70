"""Ridge regression on random features, and the strength that rows choose by leaving one out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge as Whole

from perdure import Batch, Learner
from perdure.errors import InvalidValue
from perdure.methods import NCM, RanPAC
from perdure.methods.ranpac import chosen
from perdure.nets import Classifier, Flat, NoHead


def rows(n: int, seed: int = 0, noise: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Twenty clusters of five classes, so that no class has one mean."""
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(20, 6, generator=torch.Generator().manual_seed(50))
    cluster = torch.randint(20, (n,), generator=generator)
    return centres[cluster] + noise * torch.randn(n, 6, generator=generator), cluster % 5


def learnt(method: RanPAC | NCM, x: torch.Tensor, y: torch.Tensor) -> Learner:
    learner = Learner(Classifier(Flat(6), NoHead(6)), method)
    for part, labels in zip(x.split(50), y.split(50), strict=True):
        learner.observe(Batch(part, labels))
    return learner


def cross_validated(h: torch.Tensor, y: torch.Tensor, strength: float) -> float:
    """The equation from the n x n matrix that projects the targets, as Golub et al. write it."""
    target = F.one_hot(y).double()
    gram = h.T @ h + strength * torch.eye(h.shape[1], dtype=torch.float64)
    hat = h @ torch.linalg.solve(gram, h.T)
    freedom = 1 - float(hat.trace()) / len(h)
    return float((target - hat @ target).square().sum()) / len(h) / freedom**2


@pytest.mark.parametrize("n", [30, 400])
def test_the_strength_is_the_best_of_its_grid(n: int) -> None:
    """By the definition with matrices of rows; with fewer rows than features, and with more."""
    x, y = rows(n)
    method = learnt(RanPAC(40), x, y).methods[0]
    h = method.embed(x)
    values, vectors = torch.linalg.eigh(h.T @ h)
    power = (vectors.T @ h.T @ F.one_hot(y).double()).square().sum(1)
    found = chosen(values.clamp(min=0), power, n)
    grid = [10.0**k for k in range(-5, 9)]
    assert min(grid, key=lambda strength: cross_validated(h, y, strength)) == pytest.approx(found)


def test_noisier_rows_choose_a_larger_strength() -> None:
    """Labels at random say nothing: the strongest shrinkage is best."""
    strengths = []
    for shuffled in (False, True):
        x, y = rows(300, noise=0.3)
        y = y[torch.randperm(300, generator=torch.Generator().manual_seed(1))] if shuffled else y
        held = learnt(RanPAC(60), x, y).methods[0].moments
        values, vectors = torch.linalg.eigh(held.second)
        strengths.append(chosen(values, (vectors.T @ held.sum.T).square().sum(1), 300))
    assert strengths[1] >= 100 * strengths[0]


def test_at_a_given_strength_it_is_the_regression_on_all_rows() -> None:
    """scikit-learn's, on the same random features."""
    x, y = rows(300)
    method = learnt(RanPAC(40, strength=2.0), x, y).methods[0]
    h = method.embed(x)
    whole = Whole(2.0, fit_intercept=False).fit(h.numpy(), F.one_hot(y).double().numpy())
    found = method.solve()(h) / (4 * np.log(5))
    np.testing.assert_allclose(whole.predict(h.numpy()), found, rtol=1e-6, atol=1e-8)


def test_it_tells_classes_that_have_no_one_mean() -> None:
    """The nearest mean does not; both learn the classes one after the other."""
    x, y = rows(1500, noise=0.7)
    order = y.argsort(stable=True)
    test, truth = rows(1000, seed=1, noise=0.7)
    right = [
        float((learnt(m, x[order], y[order]).predict(test).argmax(1) == truth).float().mean())
        for m in (NCM(), RanPAC(300))
    ]
    assert right[0] < 0.7
    assert right[1] > 0.85


def test_learners_of_one_seed_project_alike_and_others_do_not() -> None:
    """The projection is a function of the learner's seed alone."""
    f, model = torch.eye(6), Classifier(Flat(6), NoHead(6))
    made = [Learner(model, RanPAC(9), seed=seed).methods[0] for seed in (1, 1, 2)]
    one, same, other = (method.embed(f) for method in made)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("said", [{"projections": 0}, {"strength": 0.0}])
def test_arguments_out_of_range_are_refused(said: dict) -> None:
    """By name."""
    with pytest.raises(InvalidValue, match=next(iter(said))):
        RanPAC(**said)
