"""Random features: the same ones wherever and whenever they are asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from perdure.errors import CheckpointMismatch
from perdure.families.expansion import Expansion
from perdure.method import Stateful


def seeded(seed: int, projections: int = 6) -> Expansion:
    wider = Expansion(projections)
    wider.seed(seed)
    return wider


def test_they_are_rectified_products_with_normal_numbers() -> None:
    """relu(f W), with W from numpy's generator that is promised never to change."""
    f = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    weight = np.random.RandomState(7).standard_normal((3, 6))
    expected = np.maximum(f.double().numpy() @ weight, 0)
    np.testing.assert_allclose(expected, seeded(7)(f), rtol=1e-12)


def test_the_first_number_is_what_it_always_was() -> None:
    """A learner that was saved years ago must find the same projection."""
    assert 1.764052345967664 == float(seeded(0, 1)(torch.ones(1, 1)))


def test_the_state_is_one_number() -> None:
    """Loaded into another, it gives the same features; another seed gives others."""
    first, second = seeded(1), seeded(2)
    assert isinstance(first, Stateful)
    f = torch.eye(4)
    assert not torch.equal(first(f), second(f))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(f), second(f))
    assert {"origin": 1} == first.state_dict()
    with pytest.raises(CheckpointMismatch, match="more"):
        first.load_state_dict({"origin": 1, "more": 2})


def test_a_row_has_the_same_features_alone() -> None:
    """Whatever rows it comes with, to rounding."""
    f = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    wider = seeded(3)
    torch.testing.assert_close(wider(f)[7:8], wider(f[7:8]), rtol=1e-12, atol=1e-12)


def test_without_projections_features_stay_as_they_are() -> None:
    """In float64, signs and all."""
    f = torch.tensor([[-1.0, 2.0]])
    assert torch.equal(f.double(), seeded(0, 0)(f))
