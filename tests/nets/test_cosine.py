"""A head of angles: its outputs by torch's own cosine, and how it grows."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from perdure.batch import Batch
from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.growth import Grows
from perdure.model import takes_task
from perdure.nets import MASKED, ByLabel, CosineHead


def test_outputs_are_the_scale_times_cosines() -> None:
    """Against torch's cosine similarity, one label at a time."""
    head, features = CosineHead(4, classes=3, scale=7.0), torch.randn(5, 4)
    (block,) = head.blocks
    for label in range(3):
        expected = 7 * F.cosine_similarity(features, block.weight[label].expand(5, 4))
        assert torch.allclose(expected, head(features)[:, label], atol=1e-6)


def test_the_length_of_features_and_of_weights_means_nothing() -> None:
    """Both are brought to unit length."""
    head, features = CosineHead(4, classes=3), torch.randn(5, 4)
    before = head(features).detach()
    with torch.no_grad():
        head.blocks[0].weight.mul_(torch.tensor([[1.0], [10.0], [0.1]]))
    assert torch.allclose(before, head(3 * features), atol=1e-5)


def test_labels_that_come_join_in_their_columns() -> None:
    """3 and 1, then 5: columns 0, 2 and 4 are masked; the first block and its outputs stay."""
    head, features = CosineHead(4), torch.randn(2, 4)
    assert head.grow(labelled([3, 1]))
    first, before = head.blocks[0].weight, head(features).detach()
    assert head.grow(labelled([5, 3]))
    assert not head.grow(labelled([5]))
    out = head(features)
    assert head.blocks[0].weight is first
    assert torch.equal(before, out[:, :4])
    assert [0, 2, 4] == [c for c in range(6) if bool((out[:, c] == MASKED).all())]


def test_cosines_come_back_from_outputs_and_masks_stay() -> None:
    """Divided by the scale where there is an output."""
    head = CosineHead(4, classes=[0, 2], scale=5.0)
    cosines = head.cosines(head(torch.randn(6, 4)))
    assert bool((cosines[:, [0, 2]].abs() <= 1 + 1e-6).all())
    assert {MASKED} == {*cosines[:, 1].tolist()}


def test_a_plan_rebuilds_the_head_of_a_checkpoint() -> None:
    """Through JSON, scale included; something else grown is refused."""
    head = CosineHead(4)
    for labels in ([2, 0], [5]):
        head.grow(labelled(labels))
    head.scale.data.fill_(3.0)
    twin = CosineHead(4)
    twin.rebuild(json.loads(json.dumps(head.plan())))
    twin.load_state_dict(head.state_dict())
    features = torch.randn(2, 4)
    assert torch.equal(head(features), twin(features))
    with pytest.raises(CheckpointMismatch):
        CosineHead(4, classes=1).rebuild(head.plan())


def test_the_scale_learns() -> None:
    """It has a gradient, and there are no biases."""
    head = CosineHead(4, classes=2)
    F.cross_entropy(head(torch.randn(3, 4)), torch.tensor([0, 1, 0])).backward()
    assert head.scale.grad is not None
    assert ["scale", "blocks.0.weight"] == [name for name, _ in head.named_parameters()]


def test_what_it_is() -> None:
    """A module that grows, knows its labels, and is told no task."""
    head = CosineHead(4, classes=[1, 3])
    assert isinstance(head, Grows)
    assert isinstance(head, ByLabel)
    assert not takes_task(head)
    assert torch.equal(head.blocks[0].weight[1], head.by_label()[3])


def test_before_the_first_label_there_are_no_columns() -> None:
    """The outputs are (n, 0), not an error."""
    assert CosineHead(4)(torch.zeros(3, 4)).shape == (3, 0)


@pytest.mark.parametrize("settings", [{"features": 0}, {"scale": 0.0}], ids=str)
def test_settings_out_of_range_are_refused(settings) -> None:
    """The message holds the name."""
    with pytest.raises(InvalidValue, match=next(iter(settings))):
        CosineHead(**{"features": 4, **settings})


def labelled(labels: list[int]) -> Batch:
    return Batch(torch.zeros(len(labels), 4), torch.tensor(labels))
