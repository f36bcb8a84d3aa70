"""A-GEM: the closed form of its projection, and what its memory holds."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import InvalidValue

SGD = partial(torch.optim.SGD, lr=0.1)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_a_conflicting_gradient_loses_exactly_its_part_against_the_memory(seed) -> None:
    """Eq. 11 from torch's own gradients: the weights move by g - (g.r / r.r) r, otherwise by g."""
    learner, past, batch = after_one_task(seed)
    g, r = gradient(learner, batch), gradient(learner, past)
    before = weights(learner)
    learner.observe(batch)
    moved = (before - weights(learner)) / 0.1
    expected = g - min(0.0, float(g @ r / (r @ r))) * r
    assert torch.allclose(moved, expected, atol=1e-5)
    assert float(moved @ r) >= -1e-5


def test_one_projection_by_hand() -> None:
    """Squared loss w x on (x=1, y=0) at w=0 pulls nowhere; on two weights the conflict is undone.

    Memory row x=(1, 0), y=+1 at w=(0, 0): r = 2 (0 - 1) (1, 0) = (-2, 0).
    Batch row x=(1, 1), y=-1: g = 2 (0 + 1) (1, 1) = (2, 2); g.r = -4, r.r = 4.
    Applied: g + r = (0, 2).
    """
    model = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(model.weight)
    learner = Learner(
        model,
        methods.AGEM(),
        optimizer=partial(torch.optim.SGD, lr=1.0),
        loss=lambda out, y, reduction="mean": F.mse_loss(
            out[:, 0], 2.0 * y - 1, reduction=reduction
        ),
    )
    learner.consolidate(Batch(torch.tensor([[1.0, 0.0]]), torch.tensor([1]), task=0))
    learner.observe(Batch(torch.tensor([[1.0, 1.0]]), torch.tensor([0]), task=1))
    assert model.weight.tolist() == [[0.0, -2.0]]


def test_a_memory_that_agrees_changes_nothing() -> None:
    """Rows of the same labels pull the same way: the update is that of fine-tuning, bit for bit."""
    bare, agem = model_with(), model_with(methods.AGEM())
    rows = a_batch(0)
    agem.consolidate(rows)
    for learner in (bare, agem):
        learner.observe(Batch(rows.x, rows.y, task=1))
    assert torch.equal(weights(bare), weights(agem))


@pytest.mark.parametrize("margin", [45.0, 60.0, 120.0])
def test_a_memory_that_is_learned_to_the_last_bit_leaves_the_weights_finite(margin) -> None:
    """Its gradient is about exp(-margin) and squares to less than float32 holds, or to zero."""
    model = nn.Linear(1, 2, bias=False)
    learner = Learner(model, methods.AGEM(rows=1), optimizer=SGD)
    model.weight.data = torch.tensor([[0.0], [margin]])
    learner.consolidate(Batch(torch.ones(1, 1), torch.tensor([1]), task=0))
    learner.observe(Batch(torch.ones(1, 1), torch.tensor([0]), task=1))
    moved = (model.weight.detach().flatten() - torch.tensor([0.0, margin])).abs()
    assert float(moved.max()) <= 0.11


def test_boundaries_write_the_task_that_ended() -> None:
    """With write="boundary" nothing is held before the first boundary, and then its classes are."""
    learner = model_with(methods.AGEM(capacity=6))
    learner.observe(a_batch(0))
    assert len(learner.methods[0].memory) == 0
    learner.consolidate(a_batch(0))
    assert learner.methods[0].memory.group_counts() == {0: 3, 1: 3}


def test_a_quota_gives_each_class_as_much_from_the_first_task_on() -> None:
    """3 of the 8 rows of each class, although the capacity would hold all 16."""
    learner = model_with(methods.AGEM(capacity=100, quota=3))
    learner.consolidate(a_batch(0))
    learner.consolidate(a_batch(1))
    assert learner.methods[0].memory.group_counts() == {0: 3, 1: 3}


def test_every_step_writes_its_new_rows_until_the_capacity_is_full() -> None:
    """With write="step" 50 batches of 8 fill 100 rows and no more; rows seen again do not count."""
    learner = model_with(methods.AGEM(capacity=100, write="step"))
    memory = learner.methods[0].memory
    learner.observe(a_batch(0))
    learner.observe(a_batch(0).seen())
    assert len(memory) == 8
    for seed in range(50):
        learner.observe(a_batch(seed))
    assert len(memory) == 100


def test_the_task_in_progress_is_left_out_of_the_reference() -> None:
    """With write="step" and task ids, rows of the first task alone do not bend it."""
    bare, agem = model_with(), model_with(methods.AGEM(write="step"))
    batch = a_batch(0)
    for learner in (bare, agem):
        learner.observe(batch)
        learner.observe(Batch(batch.x, 1 - batch.y, task=0))
    assert torch.equal(weights(bare), weights(agem))


def test_without_task_ids_the_whole_memory_is_the_reference() -> None:
    """A stream without boundaries is projected on all that is held."""
    bare, agem = model_with(), model_with(methods.AGEM(write="step"))
    batch = a_batch(0)
    for learner in (bare, agem):
        learner.observe(Batch(batch.x, batch.y))
        learner.observe(Batch(batch.x, 1 - batch.y))
    assert not torch.equal(weights(bare), weights(agem))


def test_its_needs_follow_from_when_it_writes() -> None:
    """Only the form that writes at boundaries needs them, and the rows of the task."""
    assert methods.AGEM().needs.boundaries
    assert methods.AGEM().needs.data
    assert not methods.AGEM(write="step").needs.boundaries
    with pytest.raises(InvalidValue, match="needs the rows"):
        model_with(methods.AGEM()).consolidate()


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"capacity": 0}, {"write": "never"}, {"quota": 0}])
def test_an_argument_out_of_range_is_refused(wrong) -> None:
    """By name."""
    with pytest.raises(InvalidValue, match=next(iter(wrong))):
        methods.AGEM(**wrong)


def test_it_is_called_as_in_the_papers() -> None:
    """The key of its state and of its results."""
    assert methods.AGEM().name == "a-gem"


@pytest.mark.parametrize("write", ["boundary", "step"])
def test_it_resumes_exactly(write) -> None:
    """Draws from the memory included."""
    testing.check_resume_is_exact(lambda: methods.AGEM(capacity=12, rows=4, write=write))


def test_it_forgets_far_less_than_fine_tuning() -> None:
    """The error on the first of three tasks, over three seeds, is less than half as large."""
    naive = sum(first_error([], seed) for seed in range(3))
    agem = sum(first_error([methods.AGEM(capacity=60)], seed) for seed in range(3))
    assert naive > 0.5
    assert agem < 0.5 * naive


def model_with(*together) -> Learner:
    torch.manual_seed(2)
    return Learner(nn.Linear(4, 2), *together, optimizer=SGD)


def a_batch(seed: int) -> Batch:
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))
    return Batch(x, torch.arange(8) % 2, task=0)


def after_one_task(seed: int) -> tuple[Learner, Batch, Batch]:
    """A learner whose memory is one row, so that every draw has the same gradient."""
    generator = torch.Generator().manual_seed(seed)
    past = Batch(torch.randn(1, 4, generator=generator), torch.tensor([1]), task=0)
    y = torch.randint(2, (8,), generator=generator)
    batch = Batch(torch.randn(8, 4, generator=generator), y, task=1)
    learner = model_with(methods.AGEM(rows=3))
    learner.consolidate(past)
    return learner, past, batch


def gradient(learner: Learner, batch: Batch) -> torch.Tensor:
    loss = F.cross_entropy(learner.model(batch.x), batch.y)
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, [*learner.params.values()])])


def weights(learner: Learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in learner.params.values()])


def first_error(together, seed: int) -> float:
    """The share of wrong answers on the first of three tasks, each of two clouds of points."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = nets.Classifier(nets.MLP(20, (32,)), nets.FixedHead(32, 2))
    learner = Learner(model, *together, optimizer=partial(torch.optim.SGD, lr=0.2))
    y, tasks = torch.arange(200) % 2, []
    for task in range(3):
        centres = torch.randn(2, 20, generator=generator)
        tasks.append(Batch(centres[y] + torch.randn(200, 20, generator=generator), y, task))
        for epoch in range(5):
            for start in range(0, 200, 20):
                rows = tasks[task][start : start + 20]
                learner.observe(rows.seen() if epoch else rows)
        learner.consolidate(tasks[task])
    return (learner.predict(tasks[0].x).argmax(1) != y).float().mean().item()
