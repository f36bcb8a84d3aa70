"""A covariance a class: the authors' steps in numpy, and classes that only their spread tells."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from perdure import Batch, Learner
from perdure.errors import InvalidValue
from perdure.methods import SLDA, FeCAM
from perdure.nets import Classifier, Flat, NoHead


def rows(n: int = 120, seed: int = 0, d: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes, each with dependences of its own among the features."""
    generator = torch.Generator().manual_seed(seed)
    mixes = torch.randn(3, d, d, generator=torch.Generator().manual_seed(50))
    y = torch.arange(3).repeat(n // 3)
    noise = torch.randn(n, d, generator=generator)
    return 0.5 + torch.einsum("nd,nde->ne", noise, mixes[y]), y


def learnt(method: FeCAM | SLDA, x: torch.Tensor, y: torch.Tensor) -> Learner:
    learner = Learner(Classifier(Flat(x.shape[1]), NoHead(x.shape[1])), method)
    for part, labels in zip(x.split(7), y.split(7), strict=True):
        learner.observe(Batch(part, labels))
    return learner


def distances(
    train: np.ndarray, y: np.ndarray, test: np.ndarray, shrinkage: float
) -> tuple[np.ndarray, float]:
    """Distances (n, classes) by the paper's eq. 5-9, and the rows' mean to their own class."""
    each, own = [], []
    for c in np.unique(y):
        mine = train[y == c]
        covariance = np.cov(mine.T)
        covariance = covariance + shrinkage * np.diag(covariance).mean() * np.eye(len(covariance))
        deviation = np.sqrt(np.diag(covariance))
        inverse = np.linalg.inv(covariance / np.outer(deviation, deviation))
        apart = test - mine.mean(0)
        each.append(np.einsum("nd,de,ne->n", apart, inverse, apart))
        apart = mine - mine.mean(0)
        own.append(np.einsum("nd,de,ne->n", apart, inverse, apart))
    return np.stack(each, 1), float(np.concatenate(own).mean())


@pytest.mark.parametrize(("shrinkage", "power"), [(1.0, 0.5), (0.01, 1.0), (100.0, 0.3)])
def test_distances_are_those_of_the_papers_steps(shrinkage: float, power: float) -> None:
    """Shrunk, then normalised to correlations; at the scale that the card says."""
    x, y = rows()
    test, _ = rows(seed=1)

    def embedded(z: torch.Tensor) -> np.ndarray:
        f = np.sign(z.double().numpy()) * np.abs(z.double().numpy()) ** power
        return f / np.linalg.norm(f, axis=1, keepdims=True)

    expected, own = distances(embedded(x), y.numpy(), embedded(test), shrinkage)
    method = learnt(FeCAM(shrinkage, power), x, y).methods[0]
    found = method.solve()(method.embed(test))
    np.testing.assert_allclose(-2 * np.log(3) * expected / own, found, rtol=1e-8)


def test_it_tells_classes_apart_that_share_their_mean() -> None:
    """By how their features depend on one another; a shared covariance sees nothing of that."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1200, 2, generator=generator)
    y = torch.arange(1200) % 2
    tilted = torch.stack((z[:, 0], (1 - 2 * y) * z[:, 0] + 0.3 * z[:, 1]), 1)
    x = torch.cat((tilted, 5 * torch.ones(1200, 1)), 1)  # the third keeps lengths alike
    right = [
        float((learnt(m, x[:600], y[:600]).predict(x[600:]).argmax(1) == y[600:]).float().mean())
        for m in (SLDA(), FeCAM(shrinkage=0.1, power=1.0))
    ]
    assert right[0] < 0.6
    assert right[1] > 0.8


def test_the_length_of_features_does_not_matter() -> None:
    """They are brought to unit length first."""
    x, y = rows()
    learner = learnt(FeCAM(), x, y)
    torch.testing.assert_close(learner.predict(x), learner.predict(7 * x))


@pytest.mark.parametrize("said", [{"shrinkage": 0.0}, {"power": 0.0}, {"power": 1.5}])
def test_arguments_out_of_range_are_refused(said: dict) -> None:
    """By name."""
    with pytest.raises(InvalidValue, match=next(iter(said))):
        FeCAM(**said)
