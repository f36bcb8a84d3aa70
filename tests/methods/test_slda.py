"""Streaming discriminants: those of scikit-learn on all rows at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from perdure import Batch, Learner
from perdure.errors import InvalidValue
from perdure.methods import SLDA
from perdure.nets import Classifier, Flat, NoHead


def rows(seed: int, each: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Four classes of as many rows, whose features depend on one another."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(6, 6, generator=torch.Generator().manual_seed(50))
    y = torch.arange(4).repeat(each)
    centres = 2 * torch.randn(4, 6, generator=torch.Generator().manual_seed(51))
    return centres[y] + torch.randn(4 * each, 6, generator=generator) @ mix, y


def learnt(method: SLDA, x: torch.Tensor, y: torch.Tensor, size: int = 1) -> Learner:
    learner = Learner(Classifier(Flat(x.shape[1]), NoHead(x.shape[1])), method)
    for part, labels in zip(x.split(size), y.split(size), strict=True):
        learner.observe(Batch(part, labels))
    return learner


@pytest.mark.parametrize("shrinkage", [1e-4, 0.1, 0.9, 1.0])
def test_probabilities_are_those_of_scikit_learn(shrinkage: float) -> None:
    """From single rows in the order of classes, against everything at once in float64."""
    x, y = rows(0)
    test, _ = rows(1)
    whole = LinearDiscriminantAnalysis("lsqr", shrinkage=shrinkage, priors=[0.25] * 4)
    whole.fit(x.double().numpy(), y.numpy())
    order = y.argsort(stable=True)
    found = learnt(SLDA(shrinkage), x[order], y[order]).predict(test).double().exp()
    np.testing.assert_allclose(whole.predict_proba(test.double().numpy()), found, atol=1e-6)


def test_one_dimension_by_hand() -> None:
    """Means 1 and 4, variance 1: the log odds at 2 are (4 - 1)(2.5 - 2) / 1 = 1.5."""
    x, y = torch.tensor([[0.0], [2.0], [3.0], [5.0]]), torch.tensor([0, 0, 1, 1])
    out = learnt(SLDA(), x, y).predict(torch.tensor([[2.0]]))
    assert 1.5 == pytest.approx(float(out[0, 0] - out[0, 1]), rel=1e-5)


def test_the_scale_of_the_features_does_not_matter() -> None:
    """The shrinkage is towards their mean variance, whatever that is."""
    x, y = rows(0)
    test, _ = rows(1)
    one, thousandth = learnt(SLDA(0.3), x, y, 10), learnt(SLDA(0.3), x / 1000, y, 10)
    torch.testing.assert_close(one.predict(test), thousandth.predict(test / 1000))


def test_a_class_of_few_rows_is_as_likely_as_one_of_many() -> None:
    """Half way between two means both have one half, though one class came a hundred times."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(202, 2, generator=generator)
    y = torch.cat((torch.zeros(200), torch.ones(2))).long()
    learner = learnt(SLDA(0.5), noise + 6 * y[:, None], y, 50)
    half = learner.methods[0].moments.means.mean(0, keepdim=True).float()
    assert 0.5 == pytest.approx(float(learner.predict(half).exp()[0, 1]), abs=1e-4)


@pytest.mark.parametrize("shrinkage", [0.0, 1.1])
def test_a_shrinkage_out_of_range_is_refused(shrinkage: float) -> None:
    """Without any, a covariance of few rows has no inverse."""
    with pytest.raises(InvalidValue, match="shrinkage"):
        SLDA(shrinkage)
