"""A head that never grows, and says so when a label asks for more."""

from __future__ import annotations

import pytest
import torch

from perdure.batch import Batch
from perdure.errors import InvalidValue, UnseenClass
from perdure.growth import Grows
from perdure.model import takes_task
from perdure.nets import FixedHead


def test_it_is_one_linear_layer() -> None:
    """features * classes + classes parameters, and x W^T + b."""
    head, x = FixedHead(7, 3), torch.randn(5, 7)
    assert sum(p.numel() for p in head.parameters()) == 7 * 3 + 3
    assert torch.equal(torch.addmm(head.bias, x, head.weight.T), head(x))
    assert not takes_task(head)


@pytest.mark.parametrize(("label", "said"), [(3, r"\[3\]"), (-1, r"\[-1\]"), (9, r"\[9\]")])
def test_a_label_without_an_output_is_refused_by_name(label: int, said: str) -> None:
    """The message holds the label, the range and two ways out."""
    batch = Batch(torch.zeros(3, 7), torch.tensor([0, 2, label]))
    with pytest.raises(UnseenClass, match=f"labels {said}.* 0 to 2; .* GrowingHead"):
        FixedHead(7, 3).grow(batch)


def test_labels_in_range_add_nothing() -> None:
    """It takes part in growth, to check, and yet has nothing to plan or rebuild."""
    head = FixedHead(7, 3)
    names = list(head.state_dict())
    assert isinstance(head, Grows)
    assert head.grow(Batch(torch.zeros(3, 7), torch.tensor([0, 1, 2]))) is False
    head.rebuild(head.plan())
    assert names == list(head.state_dict()) == ["weight", "bias"]


def test_regression_targets_are_left_alone() -> None:
    """A floating target is no label, however large."""
    assert FixedHead(7, 1).grow(Batch(torch.zeros(2, 7), torch.full((2, 1), 1e6))) is False


@pytest.mark.parametrize(("features", "classes"), [(0, 3), (7, 0), (7, -1)])
def test_an_impossible_width_is_refused(features: int, classes: int) -> None:
    """At construction, with the value and the range."""
    with pytest.raises(InvalidValue, match=r"it must lie in \[1, inf\]"):
        FixedHead(features, classes)
