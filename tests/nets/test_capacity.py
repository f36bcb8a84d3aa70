"""The count of what a model holds."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
import torch
from torch import nn

from perdure.nets import MLP, Capacity, Classifier, MultiHead, ProgressiveNet, capacity


def test_it_counts_parameters_frozen_ones_and_bytes() -> None:
    """4 * 3 + 3 and 3 * 2 + 2 parameters of 4 bytes, the first layer frozen."""
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    model[0].requires_grad_(False)
    found = capacity(model)
    assert found == Capacity(parameters=23, trainable=8, bytes=92)
    assert found.frozen == 15


def test_a_shared_parameter_counts_once() -> None:
    """A layer used twice holds its weights once."""
    layer = nn.Linear(4, 4)
    assert capacity(nn.Sequential(layer, nn.ReLU(), layer)).parameters == 20


def test_bytes_follow_the_precision() -> None:
    """Half precision takes half the bytes."""
    model = nn.Linear(4, 4)
    full = capacity(model).bytes
    assert capacity(model.to(torch.bfloat16)).bytes * 2 == full


def test_each_head_of_a_multi_head_model_is_its_tasks() -> None:
    """The backbone is nobody's: tasks add up to the head, not to the model."""
    found = capacity(Classifier(MLP(6, (5,)), MultiHead(5, tasks={3: 2, 1: 4})))
    assert {task: part.parameters for task, part in found.tasks.items()} == {1: 24, 3: 12}
    assert found.parameters == 6 * 5 + 5 + 24 + 12


def test_each_column_of_a_progressive_net_is_its_tasks() -> None:
    """Columns are the whole of the model, and all but the newest are frozen."""
    net = ProgressiveNet(784, classes=2)
    for task in range(3):
        net.add_column(task)
    found = capacity(net)
    assert [part.parameters for part in found.tasks.values()] == [267_266, 398_338, 529_410]
    assert [part.frozen for part in found.tasks.values()] == [267_266, 398_338, 0]
    assert found.parameters == sum(part.parameters for part in found.tasks.values()) == 1_195_014
    assert found.trainable == 529_410


def test_it_prints_as_a_table() -> None:
    """One line a task and one for all, numbers under their names."""
    net = ProgressiveNet(784, classes=2)
    net.add_column(0)
    net.add_column(12)
    assert str(capacity(net)).splitlines() == [
        "part     parameters  trainable   frozen      bytes",
        "task 0      267,266          0  267,266  1,069,064",
        "task 12     398,338    398,338        0  1,593,352",
        "all         665,604    398,338  267,266  2,662,416",
    ]


def test_a_report_does_not_change() -> None:
    """It says what was; the model may grow on."""
    with pytest.raises(FrozenInstanceError):
        capacity(nn.Linear(2, 2)).parameters = 3
