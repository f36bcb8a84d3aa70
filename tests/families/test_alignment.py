"""The head trained on drawn features: what is drawn, what is compared, what it repairs."""

from __future__ import annotations

import torch
from torch import Generator, nn

from perdure.families.alignment import align, at_length_one
from perdure.families.moments import Moments
from perdure.nets import MASKED, FixedHead, MultiHead

HOW = (5, 64, 0.05, 0.1)  # epochs, rows, lr, temperature


def two_classes(labels: tuple[int, int] = (0, 1), task: int | None = None) -> Moments:
    """Classes at (2, 0) and (0, 2), with variance along the other axis alone."""
    known = Moments("each", per_task=task is not None)
    spread = torch.tensor([[0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.0, 0.0]])
    centres = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
    ids = None if task is None else torch.full((4,), task)
    known.add(centres + spread, torch.tensor(labels).repeat_interleave(2), ids)
    return known


class Recorder(nn.Module):
    """A head that writes down the features that it is asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.asked: list[torch.Tensor] = []

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.asked.append(features.detach())
        return self.linear(features)


def test_outputs_are_compared_at_length_one_among_what_is_open() -> None:
    """(3, 4) becomes (.6, .8); a closed output and an unseen label count for nothing."""
    outputs = torch.tensor([[3.0, 4.0, 9.0, MASKED], [0.0, 5.0, 9.0, 12.0]])
    found = at_length_one(outputs, torch.tensor([0, 1, 3]))
    expected = torch.tensor([[0.6, 0.8, MASKED, MASKED], [0.0, 5 / 13, MASKED, 12 / 13]])
    assert torch.allclose(expected, found)


def test_outputs_of_zero_stay_zero() -> None:
    """There is no direction to keep."""
    assert [[0.0, 0.0]] == at_length_one(torch.zeros(1, 2), torch.tensor([0, 1])).tolist()


def test_the_drawn_features_have_the_classes_moments() -> None:
    """Means (2, 0) and (0, 2); the unbiased variances 2 (and the 1e-4 that is added) and 1e-4."""
    head = Recorder()
    align(head, two_classes(), Generator().manual_seed(0), 1, 4000, 1e-6, 0.1)
    asked = torch.cat(head.asked)
    assert 8000 == len(asked)
    first = asked[asked[:, 0] > 1.9]  # (2, 0) varies along the second axis alone
    first = first[first[:, 0] < 2.1]
    assert abs(first[:, 1].mean()) < 0.1
    assert abs(first[:, 1].var() - 2) < 0.15
    assert first[:, 0].var() < 2e-4


def test_a_head_that_took_one_class_for_the_other_is_repaired() -> None:
    """It begins with the labels crossed; the backbone's parameters are not its own."""
    head = FixedHead(2, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        head.bias.zero_()
    align(head, two_classes(), Generator().manual_seed(0), *HOW)
    assert [0, 1] == head(torch.tensor([[2.0, 0.0], [0.0, 2.0]])).argmax(1).tolist()
    assert head.weight.grad is None


def test_equal_generators_give_equal_heads() -> None:
    """So ranks that know the same end with the same head, bit for bit."""
    weights = []
    for _ in range(2):
        torch.manual_seed(3)
        head = FixedHead(2, 2)
        align(head, two_classes(), Generator().manual_seed(5), *HOW)
        weights.append(head.weight.detach())
    assert torch.equal(*weights)


def test_nothing_known_or_no_epochs_leave_the_head_as_it_is() -> None:
    """Bit for bit."""
    head = FixedHead(2, 2)
    before = head.weight.clone()
    align(head, Moments("each"), Generator(), *HOW)
    align(head, two_classes(), Generator(), 0, *HOW[1:])
    assert torch.equal(before, head.weight)


def test_a_head_that_asks_for_task_ids_is_told_them() -> None:
    """The labels of each task are learnt in its own head; that of an unknown task stays."""
    head = MultiHead(2, {4: 2, 7: 2})
    before = [block.weight.clone() for block in head.blocks]
    align(head, two_classes(task=7), Generator().manual_seed(0), *HOW)
    x = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    assert [0, 1] == head(x, torch.tensor([7, 7])).argmax(1).tolist()
    assert torch.equal(before[0], head.blocks[0].weight)
