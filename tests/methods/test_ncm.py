"""The nearest class mean: scikit-learn's answers, at a scale that can be believed."""

from __future__ import annotations

from math import exp

import pytest
import torch
from sklearn.neighbors import NearestCentroid

from perdure import Batch, Learner
from perdure.errors import InvalidValue
from perdure.methods import NCM
from perdure.nets import Classifier, Flat, NoHead


def learnt(method: NCM, x: torch.Tensor, y: torch.Tensor) -> Learner:
    learner = Learner(Classifier(Flat(x.shape[1]), NoHead(x.shape[1])), method)
    for part, labels in zip(x.split(16), y.split(16), strict=True):
        learner.observe(Batch(part, labels))
    return learner


def blobs(n: int, noise: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(6, 8, generator=torch.Generator().manual_seed(50))
    y = torch.randint(6, (n,), generator=generator)
    return centres[y] + noise * torch.randn(n, 8, generator=generator), y


def test_probabilities_by_hand() -> None:
    """Means 1 and 5, v = 1: at 2 the distances are 1 and 9, so the odds are exp(2 ln 2 * 8)."""
    x = torch.tensor([[0.0], [2.0], [4.0], [6.0]])
    learner = learnt(NCM(), x, torch.tensor([0, 0, 1, 1]))
    found = learner.predict(torch.tensor([[2.0], [3.0]])).exp()
    odds = exp(2 * 0.6931471805599453 * 8)  # 2^16
    assert float(found[0, 0]) == pytest.approx(odds / (1 + odds))
    assert float(found[1, 0]) == pytest.approx(0.5)


def test_answers_are_those_of_nearest_centroid() -> None:
    """scikit-learn's, row by row."""
    x, y = blobs(300, 1.5)
    test, _ = blobs(500, 1.5, seed=1)
    expected = NearestCentroid().fit(x.numpy(), y.numpy()).predict(test.numpy())
    assert expected.tolist() == learnt(NCM(), x, y).predict(test).argmax(1).tolist()


def test_cosine_does_not_look_at_length() -> None:
    """Features ten times as long have the same answers; with "euclidean" they have not."""
    x, y = blobs(300, 1.5)
    test, _ = blobs(200, 1.5, seed=1)
    cosine, euclidean = learnt(NCM("cosine"), x, y), learnt(NCM(), x, y)
    torch.testing.assert_close(cosine.predict(test), cosine.predict(10 * test))
    assert not torch.equal(*(euclidean.predict(t).argmax(1) for t in (test, 10 * test)))


def test_a_row_at_typical_distance_from_all_but_its_own_mean_is_believed() -> None:
    """At its own mean and at v from the k - 1 others its odds are k^2 / (k - 1), whatever d is."""
    for d in (5, 100):
        x = torch.cat((torch.eye(d), -torch.eye(d))) + 10  # one class around 10: v = 1
        learner = learnt(NCM(), x, torch.zeros(2 * d, dtype=torch.int64))
        others = 10 + torch.eye(d)[:3]  # three classes of one row each, at distance 1 from it
        learner.observe(Batch(others, torch.tensor([1, 2, 3])))
        v = 2 * d / (2 * d + 3)
        odds = exp(2 * 1.3862943611198906 / v) / 3
        sure = float(learner.predict(torch.full((1, d), 10.0)).exp()[0, 0])
        assert sure == pytest.approx(odds / (1 + odds), rel=1e-4)


def test_an_unknown_metric_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(InvalidValue, match="'euclidean' or 'cosine'"):
        NCM("manhattan")
