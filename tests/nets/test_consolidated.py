"""The head with two sets of weights: the paper's sums by hand, growth, and what each mode gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from perdure import Batch
from perdure.errors import CheckpointMismatch, Impossible, InvalidValue
from perdure.growth import Grows
from perdure.nets import MASKED, MLP, Classifier, ConsolidatedHead, GrowingHead, consolidated_head


def batch(*labels: int, new: int | None = None) -> Batch:
    rows = Batch(torch.zeros(len(labels), 2), torch.tensor(labels))
    return rows if new is None else Batch(rows.x, rows.y, new=new)


def learnt(head: ConsolidatedHead, label: int, *weights: float) -> None:
    """As if training had set a class's weights."""
    with torch.no_grad():
        head.blocks[0].weight[label] = torch.tensor(weights)


def held(head: ConsolidatedHead, label: int) -> Tensor:
    return head.blocks[0].held_weight[label]


def test_the_consolidated_weights_are_worked_out_by_hand() -> None:
    """Twice two classes, then one of them with a quarter of its past rows.

    First: (1, 3) and (5, 7) less their mean 4: (-3, -1) and (1, 3). Then class 0 with 2 new rows
    and 8 past ones, at (2, 4): less 3 it is (-1, 1), and q = sqrt(8 / 2) = 2, so that
    (2 * (-3, -1) + (-1, 1)) / 3 = (-7, -1) / 3. Class 1 stays.
    """
    head = ConsolidatedHead(2)
    head.grow(batch(*[0] * 8, 1))
    learnt(head, 0, 1, 3)
    learnt(head, 1, 5, 7)
    head.close()
    assert torch.equal(torch.tensor([-3.0, -1.0]), held(head, 0))
    assert torch.equal(torch.tensor([1.0, 3.0]), held(head, 1))
    head.grow(batch(0, 0))
    assert torch.equal(torch.tensor([-3.0, -1.0]), head.blocks[0].weight[0].detach())
    learnt(head, 0, 2, 4)
    head.close()
    torch.testing.assert_close(held(head, 0), torch.tensor([-7.0, -1.0]) / 3)
    assert torch.equal(torch.tensor([1.0, 3.0]), held(head, 1))
    assert [10.0, 1.0] == head.blocks[0].past.tolist()


def test_classes_of_other_batches_stand_at_zero_in_training() -> None:
    """They compete from zero, whatever their consolidated weights are; at inference they do not.

    There class 1 is at the mean of (1, 3) and of (1, 3) less its mean 2, and so at (0, 2).
    """
    head = ConsolidatedHead(2)
    head.grow(batch(0, 1))
    learnt(head, 0, 1, 3)
    learnt(head, 1, 5, 7)
    head.close()
    head.grow(batch(1))
    x = torch.tensor([[1.0, 1.0]])
    assert [0.0, 4.0] == head.train()(x)[0].tolist()
    assert [-4.0, 2.0] == head.eval()(x)[0].tolist()


def test_answers_before_the_boundary_are_those_after_it() -> None:
    """In evaluation mode the head is as if it had been closed."""
    torch.manual_seed(0)
    head = ConsolidatedHead(2).eval()
    x = torch.randn(5, 2)
    for labels in ((0, 0, 1), (1, 2, 2, 2), (0, 3)):
        head.grow(batch(*labels))
        for block in head.blocks:
            nn.init.normal_(block.weight)
            nn.init.normal_(block.bias)
        before = head(x)
        head.close()
        torch.testing.assert_close(before, head(x))


def test_each_row_counts_once() -> None:
    """Later epochs do not count; a class none of whose rows is new counts as one."""
    head = ConsolidatedHead(2)
    for new in (None, 0, 0):
        head.grow(batch(0, 0, 1, new=new))
    assert [2.0, 1.0] == head.blocks[0].current.tolist()
    head.close()
    for _ in range(3):
        head.grow(batch(1, 1, new=0))
    assert [0.0, 1.0] == head.blocks[0].current.tolist()


def test_a_class_is_loaded_once_a_batch() -> None:
    """Its second update goes on from the first."""
    head = ConsolidatedHead(2)
    head.grow(batch(0))
    learnt(head, 0, 1, 3)
    assert not head.grow(batch(0))
    assert [1.0, 3.0] == head.blocks[0].weight[0].tolist()


def test_it_grows_by_blocks_and_masks_what_it_never_saw() -> None:
    """Old blocks keep their tensors; columns of labels that were skipped are closed."""
    head = ConsolidatedHead(2)
    assert (3, 0) == tuple(head(torch.zeros(3, 2)).shape)
    assert head.grow(batch(1))
    first = head.blocks[0].weight
    assert head.grow(batch(4, 2))
    assert [2, 3] == head.plan()
    assert first is head.blocks[0].weight
    for mode in (True, False):
        outputs = head.train(mode)(torch.ones(1, 2))[0]
        assert [0, 3] == (outputs == MASKED).nonzero().flatten().tolist()
    assert isinstance(head, Grows)


def test_gradients_go_to_the_weights_in_training_in_both_modes() -> None:
    """Also to classes that are not here: so that what measures importance finds them, at zero."""
    head = ConsolidatedHead(2)
    head.grow(batch(0, 1))
    for mode in (True, False):
        head.train(mode)
        head.zero_grad()
        head(torch.ones(3, 2)).square().sum().backward()
        assert head.blocks[0].weight.grad is not None
    head.close()
    head.zero_grad()
    head(torch.ones(3, 2)).sum().backward()
    assert not head.blocks[0].weight.grad.any()


def test_it_is_rebuilt_from_its_plan() -> None:
    """And refuses another's."""
    head, other = ConsolidatedHead(2), ConsolidatedHead(2)
    head.grow(batch(0))
    head.grow(batch(3))
    learnt(head, 0, 1, 3)
    head.close()
    other.rebuild(head.plan())
    other.load_state_dict(head.state_dict())
    assert torch.equal(head.eval()(torch.ones(1, 2)), other.eval()(torch.ones(1, 2)))
    with pytest.raises(CheckpointMismatch, match="not its beginning"):
        other.rebuild([2, 2])


def test_nothing_comes_of_closing_an_empty_head() -> None:
    """A boundary before the first row."""
    head = ConsolidatedHead(2)
    head.close()
    assert 0 == head.width


def test_it_is_found_in_a_model_or_asked_for() -> None:
    """The message says how to make it."""
    model = Classifier(MLP(4, (8,)), ConsolidatedHead(8))
    assert model.head is consolidated_head(model)
    with pytest.raises(Impossible, match="ConsolidatedHead"):
        consolidated_head(Classifier(MLP(4, (8,)), GrowingHead(8)))


def test_labels_and_widths_that_cannot_be_are_refused() -> None:
    """By name."""
    with pytest.raises(InvalidValue, match="features"):
        ConsolidatedHead(0)
    with pytest.raises(InvalidValue, match="y has"):
        ConsolidatedHead(2).grow(Batch(torch.zeros(1, 2), torch.tensor([0.5])))


def test_a_negative_label_is_refused_by_name() -> None:
    """Not by an error of torch's about counting."""
    with pytest.raises(InvalidValue, match="label is -1"):
        ConsolidatedHead(2).grow(batch(0, -1))
