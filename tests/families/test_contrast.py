"""Losses between the rows of one update, by hand and against loops."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from perdure.families.contrast import order, restricted, supervised_contrast


def test_two_alike_and_one_other_by_hand() -> None:
    """Unit vectors a = b and c at a right angle, T = 1, labels 0, 0, 1.

    For a and for b: -log(e / (e + 1)) = 0.313262; c has nobody of its label and does not count.
    """
    vectors = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    loss = supervised_contrast(vectors, torch.tensor([0, 0, 1]), 1.0)
    assert pytest.approx(0.313262, abs=1e-6) == float(loss)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=9), st.sampled_from([0.1, 1.0, 5.0]))
def test_the_contrast_is_the_sum_over_anchors_and_positives(labels: list[int], t: float) -> None:
    """Against two loops over the rows."""
    torch.manual_seed(len(labels))
    vectors, y = torch.randn(len(labels), 3), torch.tensor(labels)
    assert torch.allclose(by_loops(vectors, y, t), supervised_contrast(vectors, y, t), atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 0), (1, 2)])
def test_without_entries_or_partners_there_is_nothing_to_contrast(shape: tuple[int, int]) -> None:
    """The loss is 0, not NaN."""
    assert 0.0 == float(supervised_contrast(torch.ones(shape), torch.arange(shape[0]), 5.0))


def test_contrast_draws_a_class_together() -> None:
    """After gradient steps rows of one label point the same way, others elsewhere."""
    torch.manual_seed(0)
    vectors, y = torch.randn(12, 4, requires_grad=True), torch.arange(12) % 2
    optimiser = torch.optim.SGD([vectors], lr=1.0)
    for _ in range(200):
        optimiser.zero_grad()
        supervised_contrast(vectors, y, 0.5).backward()
        optimiser.step()
    unit = F.normalize(vectors.detach(), dim=1)
    closeness = unit @ unit.T
    assert closeness[y[:, None] == y].min() > closeness[y[:, None] != y].max() + 0.5


def test_a_future_class_that_leads_costs_by_how_much_and_a_margin() -> None:
    """Known {0, 1}, to come {2}: row 0 costs 3 + 0.5 - 1 = 2.5, row 1 leads by 4: mean 1.25."""
    outputs = torch.tensor([[1.0, 0.0, 3.0], [4.0, 0.0, 0.0]])
    cost = order(outputs, mask(), mask(0, 1), 2, 0.5)
    assert pytest.approx(1.25) == float(cost)


def test_a_past_class_that_leads_costs_in_probabilities_of_incoming_rows() -> None:
    """Past {0}, present {1, 2}, outputs 0: p is 1/3 each, so the hinge is the margin, 0.3.

    The second row is a recalled one and is left out.
    """
    outputs = torch.tensor([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]])
    assert pytest.approx(0.3) == float(order(outputs, mask(0), mask(1, 2), 1, 0.3))


def test_no_gradient_presses_on_the_past() -> None:
    """The hinge lifts the present alone: through the largest past probability nothing flows."""
    outputs = torch.tensor([[1.0, 0.0, -1.0]], requires_grad=True)
    order(outputs, mask(0), mask(1, 2), 1, 0.3).backward()
    held = torch.tensor([[1.0, 0.0, -1.0]], requires_grad=True)
    (-held.softmax(1)[:, 1:].amax()).backward()
    assert torch.allclose(held.grad, outputs.grad)


def test_a_class_that_comes_again_is_of_the_present() -> None:
    """It is in both masks, and does not compete with itself."""
    outputs = torch.tensor([[1.0, 0.0]])
    assert 0.0 == float(order(outputs, mask(0, 1, of=2), mask(0, 1, of=2), 1, 0.3))


def test_a_restricted_softmax_sees_its_columns_alone() -> None:
    """The others get probability zero, and these what they get without the others."""
    outputs = torch.randn(4, 3)
    p = restricted(outputs, mask(0, 2)).softmax(1)
    assert torch.allclose(outputs[:, [0, 2]].softmax(1), p[:, [0, 2]])
    assert not p[:, 1].any()


def mask(*labels: int, of: int = 3) -> Tensor:
    return torch.tensor([label in labels for label in range(of)])


def by_loops(vectors: Tensor, y: Tensor, temperature: float) -> Tensor:
    unit, total, anchors = F.normalize(vectors, dim=1), torch.zeros(()), 0
    for i in range(len(y)):
        others = [j for j in range(len(y)) if j != i]
        partners = [j for j in others if y[j] == y[i]]
        if not partners:
            continue
        below = torch.stack([(unit[i] @ unit[j] / temperature).exp() for j in others]).sum()
        each = [-((unit[i] @ unit[j] / temperature).exp() / below).log() for j in partners]
        total, anchors = total + torch.stack(each).mean(), anchors + 1
    return total / max(1, anchors)
