"""Several tasks in one set of weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from perdure import nets
from perdure.nets.packing import claim, freeze_statistics, held, owned, restore, shared


def test_pruning_by_hand_keeps_the_largest_half() -> None:
    """Of (1, -4, 2, 3) half is kept: -4 and 3; of the two left free the next task takes 1 of 2."""
    weights = {"w": torch.tensor([[1.0, -4.0, 2.0, 3.0]])}
    first = claim(weights, {}, share=0.5, task=1)
    assert first["w"].tolist() == [[0, 1, 0, 1]]
    assert owned(weights, first, 1)["w"].tolist() == [[0, -4, 0, 3]]
    weights = {"w": torch.tensor([[0.5, -4.0, -0.7, 3.0]])}
    second = claim(weights, first, share=0.5, task=2)
    assert second["w"].tolist() == [[0, 1, 2, 1]]
    assert owned(weights, second, 2)["w"].flatten().tolist() == pytest.approx([0, -4, -0.7, 3])
    assert owned(weights, second, 1)["w"].tolist() == [[0, -4, 0, 3]]


@given(st.integers(1, 6), st.integers(1, 40), st.integers(1, 40))
def test_planned_shares_are_equal_and_add_up_to_one(tasks, rows, columns) -> None:
    """T tasks that each take 1 / (T - t) of what is free own everything, within one weight each."""
    weights = {"w": torch.randn(rows, columns), "bias": torch.randn(rows)}
    owner: dict[str, torch.Tensor] = {}
    for done in range(tasks):
        owner = claim(weights, owner, 1 / (tasks - done), done + 1)
    counts = owner["w"].flatten().long().bincount(minlength=tasks + 1)
    assert owner.keys() == {"w"}
    assert counts[0] == 0
    assert counts[1:].sum() == rows * columns
    assert counts[1:].max() - counts[1:].min() <= 1


def test_a_convolution_in_channels_last_order_is_pruned_by_its_own_weights() -> None:
    """The layout in memory does not mix up which weight is the largest."""
    weights = torch.randn(4, 3, 2, 2)
    plain = claim({"w": weights}, {}, 0.5, 1)["w"]
    other = claim({"w": weights.to(memory_format=torch.channels_last)}, {}, 0.5, 1)["w"]
    assert torch.equal(plain, other)
    assert weights[plain == 1].abs().min() >= weights[plain == 0].abs().max()


def test_parameters_of_one_task_alone_are_not_shared() -> None:
    """The heads of a MultiHead are left out, and so is what is frozen."""
    model = nets.Classifier(nets.MLP(4, (8, 8)), nets.MultiHead(8, {0: 2, 1: 2}))
    next(model.parameters()).requires_grad_(False)
    names = {f"backbone.layers.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")}
    assert shared(model).keys() == names - {"backbone.layers.0.weight"}


def test_restoring_writes_everything_but_the_live_weights() -> None:
    """By hand: owners (1, 2, 0) and task 2 live, so the middle weight alone keeps its new value."""
    params = {"w": nn.Parameter(torch.tensor([[1.0, 2.0, 3.0]])), "b": nn.Parameter(torch.ones(1))}
    owner = {"w": torch.tensor([[1, 2, 0]], dtype=torch.uint8)}
    before = held(params, owner, live=2)
    with torch.no_grad():
        for p in params.values():
            p.add_(10)
    restore(params, before, owner, live=2)
    assert params["w"].tolist() == [[1, 12, 3]]
    assert params["b"].tolist() == [1]


def test_what_nobody_owns_learns_with_the_first_task_only() -> None:
    """Biases are held from the second task on, and between tasks."""
    params = {"w": torch.ones(2, 2), "b": torch.ones(2)}
    owner = claim(params, {}, 0.5, 1)
    assert held(params, owner, live=1).keys() == {"w"}
    assert held(params, owner, live=0).keys() == held(params, owner, live=2).keys() == {"w", "b"}


def test_frozen_statistics_do_not_follow_the_data() -> None:
    """Batch normalisation answers by what it had measured, in training mode as well."""
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    model.train()
    freeze_statistics(model)
    model(5 + torch.randn(20, 3))
    assert torch.equal(model[0].running_mean, torch.zeros(3))
    assert model[1].training
