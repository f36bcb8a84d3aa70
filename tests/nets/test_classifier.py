"""A backbone with a head."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from perdure.errors import InvalidValue
from perdure.model import HasFeatures, takes_task
from perdure.nets import MLP, Classifier, FixedHead, GrowingHead, MultiHead


def test_outputs_are_the_heads_over_the_backbones_features() -> None:
    """forward(x) = head(features(x)) = head(backbone(x))."""
    backbone, head, x = MLP(6, (5,)), FixedHead(5, 3), torch.randn(4, 6)
    model = Classifier(backbone, head)
    assert isinstance(model, HasFeatures)
    assert torch.equal(model.features(x), backbone(x))
    assert torch.equal(model(x), head(backbone(x)))


def test_the_head_decides_whether_task_ids_are_taken() -> None:
    """And they reach it."""
    head, x, task = MultiHead(5, tasks={0: 2, 1: 2}), torch.randn(4, 6), torch.tensor([0, 1, 1, 0])
    model = Classifier(MLP(6, (5,)), head)
    assert takes_task(model)
    assert torch.equal(model(x, task), head(model.features(x), task))
    assert not takes_task(Classifier(MLP(6, (5,)), GrowingHead(5)))
    assert not takes_task(Classifier(nn.Flatten(), nn.Linear(6, 2)))


def test_a_model_with_task_ids_says_so_where_none_came() -> None:
    """Whether the id was left out or is None."""
    model = Classifier(MLP(6, (5,)), MultiHead(5, tasks={0: 2}))
    with pytest.raises(InvalidValue, match="MultiHead needs the task id"):
        model(torch.zeros(1, 6), None)
    with pytest.raises(InvalidValue, match="MultiHead needs the task id"):
        model(torch.zeros(1, 6))


def test_a_head_of_another_width_is_refused_with_the_right_one() -> None:
    """At construction, not as a shape error in the first update."""
    with pytest.raises(InvalidValue, match=r"MLP gives 5 .* expects 7; .*features=5"):
        Classifier(MLP(6, (5,)), GrowingHead(7))


def test_a_module_of_unknown_width_is_taken_as_it_is() -> None:
    """Any torch module may be the backbone or the head."""
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(6, 5)), nn.Linear(5, 2))
    assert model(torch.zeros(3, 2, 3)).shape == (3, 2)
