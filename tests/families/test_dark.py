"""Rows with the outputs that they had, and how those are rewritten."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure import Batch, Learner
from perdure.families.dark import SHARE, Rewritten, revised, twofold
from perdure.nets import MASKED


def test_what_a_later_class_says_is_taken_over() -> None:
    """Own output 4; the model now says 1 and 2 of the later classes: both are below, both stay."""
    now = revised(row(4, 0, 0), row(9, 1, 2), torch.tensor([0]), later(), SHARE)
    assert torch.equal(row(4, 1, 2), now)


def test_a_later_class_never_gets_above_its_share_of_the_own_output() -> None:
    """Own output 4, share 0.5, the model says 8 and 2: times 0.5 * 4 / 8, so 2 and 0.5."""
    now = revised(row(4, 0, 0), row(9, 8, 2), torch.tensor([0]), later(), 0.5)
    assert torch.allclose(row(4, 2, 0.5), now)


@pytest.mark.parametrize(("own", "label"), [(-1.0, 0), (4.0, 1)], ids=["negative", "among them"])
def test_rows_for_which_the_factor_means_nothing_stay_as_they_are(own: float, label: int) -> None:
    """A negative output has no share; a row of a later class is not rewritten by itself."""
    stored = row(own, 0, 0)
    assert torch.equal(stored, revised(stored, row(9, 8, 2), torch.tensor([label]), later(), 0.5))


def test_a_column_that_grew_since_is_filled_and_a_closed_one_stays_closed() -> None:
    """Stored when there were two columns; now there are four, one of them closed."""
    now = torch.tensor([[9.0, 1.0, 1.5, MASKED]])
    taken = torch.tensor([False, False, True, True])
    kept = revised(torch.tensor([[2.0, 1.0]]), now, torch.tensor([0]), taken, SHARE)
    assert torch.equal(torch.tensor([[2.0, 1.0, 1.5, MASKED]]), kept)


def test_with_nothing_to_take_over_nothing_changes() -> None:
    """No column is later than the row."""
    none = torch.zeros(3, dtype=torch.bool)
    stored = row(4, 0, 0)
    assert torch.equal(stored, revised(stored, row(9, 8, 2), torch.tensor([0]), none, SHARE))


def test_a_boundary_stores_rows_with_what_the_model_says_of_them() -> None:
    """In evaluation mode, for rows of both classes; half of the capacity each."""
    learner, memory = Learner(nn.Linear(4, 4)), Rewritten(capacity=6)
    memory.close(learner, [rows(0, 1)], past=[])
    held = memory.rows()
    assert {0: 3, 1: 3} == memory.group_counts()
    assert torch.allclose(learner.model(held.x).detach(), held.extras["outputs"])


def test_rows_of_earlier_tasks_are_rewritten_at_the_next_boundary() -> None:
    """Their own columns stay as they were; those of later classes are what the model says now."""
    learner, memory = Learner(nn.Linear(4, 4)), Rewritten(capacity=4)
    nn.init.zeros_(learner.model.weight)
    learner.model.bias.data = torch.tensor([5.0, 5.0, 0.0, 0.0])
    memory.close(learner, [rows(0, 1)], past=[])
    learner.model.bias.data = torch.tensor([3.0, 3.0, 1.0, 2.0])
    memory.close(learner, [rows(2, 3)], past=[0, 1])
    held = memory.rows()
    outputs = held.extras["outputs"][held.y < 2]
    assert torch.equal(torch.tensor([[5.0, 5.0, 1.0, 2.0]]).expand_as(outputs), outputs)


def test_rows_drawn_are_written_back_where_they_lie() -> None:
    """Inputs, labels and slots are as before, whichever rows were drawn, repeats included."""
    learner, memory = Learner(nn.Linear(4, 4)), Rewritten(capacity=5)
    memory.close(learner, [rows(0, 1)], past=[])
    before = memory.rows()
    drawn = memory.draw(12)
    memory.rewrite(drawn, torch.full((12, 4), -7.0), mask(0, 1))
    after = memory.rows()
    assert torch.equal(before.x, after.x)
    assert torch.equal(before.y, after.y)
    assert {"outputs"} == {*after.extras}
    touched = drawn.extras["slot"].unique()
    assert torch.equal(torch.full((len(touched), 2), -7.0), after.extras["outputs"][touched][:, 2:])
    assert torch.equal(before.extras["outputs"][:, :2], after.extras["outputs"][:, :2])
    assert not drawn.weight.any()


def test_an_empty_memory_draws_nothing() -> None:
    """And closes on nothing."""
    memory = Rewritten(capacity=5)
    memory.close(Learner(nn.Linear(4, 4)), (), past=[])
    assert memory.draw(3) is None


def test_half_of_the_rows_hold_outputs_and_half_labels() -> None:
    """Against torch, on four rows."""
    stored, outputs, y = torch.randn(4, 3), torch.randn(4, 3), torch.tensor([0, 1, 1, 0])
    drawn = Batch(torch.zeros(4, 1), y, extras={"outputs": stored})
    moved, labels = twofold(drawn, outputs, torch.tensor([True, True, False]), F.cross_entropy)
    assert torch.allclose(F.mse_loss(outputs[:2], stored[:2]), moved)
    assert torch.allclose(F.cross_entropy(outputs[2:, :2], y[2:]), labels)


def row(*outputs: float) -> Tensor:
    return torch.tensor([outputs], dtype=torch.float32)


def later() -> Tensor:
    return torch.tensor([False, True, True])


def mask(*labels: int) -> Tensor:
    return torch.tensor([label in labels for label in range(4)])


def rows(a: int, b: int) -> Batch:
    return Batch(torch.rand(20, 4), torch.tensor([a, b]).repeat(10))
