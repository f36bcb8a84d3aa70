"""Joint: at every boundary the model that training from scratch on everything would have given."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import InvalidValue

SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9)


def test_nothing_is_learned_between_boundaries() -> None:
    """Observing changes no parameter and makes no update; every row is kept once."""
    learner = a_learner()
    before = {name: p.detach().clone() for name, p in learner.params.items()}
    learner.observe(clouds(0))
    learner.observe(clouds(0).seen())
    assert all(torch.equal(p, learner.params[name]) for name, p in before.items())
    assert learner.updates == 0
    assert len(learner.methods[0].memory) == 40


def test_each_boundary_spends_what_fine_tuning_has_spent_by_then() -> None:
    """After 8 batches 8 updates, after 8 more another 16: the cost of starting again."""
    learner = a_learner()
    spent = []
    for task in range(2):
        for start in range(0, 40, 10):
            learner.observe(clouds(task)[start : start + 10])
            learner.observe(clouds(task)[start : start + 10].seen())
        learner.consolidate()
        spent.append(learner.updates)
    assert spent == [8, 8 + 16]


def test_a_number_of_steps_is_kept_to() -> None:
    """`steps=5` makes five updates at each boundary."""
    learner = a_learner(steps=5)
    for task in range(2):
        learner.observe(clouds(task))
        learner.consolidate()
    assert learner.updates == 10


def test_the_result_is_what_a_plain_loop_from_scratch_gives() -> None:
    """With batches as large as the data: full-batch SGD from the beginning, written out by hand."""
    learner = a_learner(steps=15)
    rows = clouds(0)
    model = nn.Linear(6, 2)
    model.load_state_dict(learner.model.state_dict())
    learner.observe(rows)
    learner.consolidate()
    optimiser = SGD(model.parameters())
    for _ in range(15):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(rows.x), rows.y).backward()
        optimiser.step()
    for name, p in model.named_parameters():
        assert torch.allclose(p, learner.params[name], atol=1e-5)


def test_the_second_boundary_begins_at_the_beginning() -> None:
    """With a learning rate of zero the second boundary undoes whatever moved since."""
    learner = a_learner(optimizer=partial(torch.optim.SGD, lr=0.0))
    initial = {name: p.detach().clone() for name, p in learner.params.items()}
    learner.observe(clouds(0))
    with torch.no_grad():
        learner.params["weight"].add_(1.0)
    learner.consolidate()
    assert all(torch.equal(p, learner.params[name]) for name, p in initial.items())


def test_momentum_begins_anew_too() -> None:
    """An optimiser's moments from before the boundary would be a trace of it."""
    learner, fresh = a_learner(steps=1), a_learner(steps=1)
    for one in (learner, fresh):
        one.observe(clouds(0))
    learner.consolidate()
    for one in (learner, fresh):
        one.consolidate()
    for name, p in fresh.params.items():
        assert torch.allclose(p, learner.params[name], atol=1e-6)


def test_heads_that_grow_by_task_train_together() -> None:
    """Each row is answered by its own task's head, and all tasks are learned."""
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(6, (32,)), nets.MultiHead(32))
    learner = Learner(model, methods.Joint(steps=150), optimizer=SGD)
    for task in range(3):
        rows = clouds(task, labels=[0, 1])
        for start in range(0, 40, 10):
            learner.observe(rows[start : start + 10])
        learner.consolidate()
    tasks = [clouds(task, labels=[0, 1]) for task in range(3)]
    right = [(learner.predict(r.x, t).argmax(1) == r.y).float().mean() for t, r in enumerate(tasks)]
    assert min(right) > 0.95


def test_raw_images_stay_as_they_came() -> None:
    """uint8 rows are kept as uint8: a quarter of the bytes."""
    learner = a_learner(steps=1)
    x = torch.randint(256, (10, 6), dtype=torch.uint8)
    learner.observe(Batch(x, torch.arange(10) % 2))
    held = learner.methods[0].memory.rows()
    assert torch.equal(x, held.x)
    learner.consolidate()


def test_targets_of_a_regression_are_kept_and_learned() -> None:
    """Joint training does not ask for labels."""
    torch.manual_seed(0)
    learner = Learner(nn.Linear(6, 1), methods.Joint(steps=200), optimizer=SGD, loss=squares)
    x = torch.randn(50, 6)
    y = x.sum(1, keepdim=True)
    learner.observe(Batch(x, y))
    learner.consolidate()
    assert torch.allclose(learner.predict(x), y, atol=0.05)


def test_fewer_steps_than_one_are_refused() -> None:
    """By name."""
    with pytest.raises(InvalidValue, match="steps"):
        methods.Joint(steps=0)


def test_it_says_that_its_state_is_not_bounded() -> None:
    """And what it needs: boundaries and raw rows."""
    assert not methods.Joint.bounded
    assert methods.Joint().needs.boundaries
    assert methods.Joint().needs.raw_rows


def test_it_resumes_exactly() -> None:
    """Rows, beginning and budget are state."""
    testing.check_resume_is_exact(methods.Joint)


def a_learner(optimizer=SGD, **settings) -> Learner:
    torch.manual_seed(0)
    return Learner(nn.Linear(6, 2), methods.Joint(**settings), optimizer=optimizer)


def clouds(task: int, labels=(0, 1)) -> Batch:
    """40 points around two centres, placed anew for each task."""
    generator = torch.Generator().manual_seed(50 + task)
    centres = 2 * torch.randn(2, 6, generator=generator)
    which = torch.arange(40) % 2
    x = centres[which] + 0.5 * torch.randn(40, 6, generator=generator)
    return Batch(x, torch.tensor(labels)[which], task=task)


def squares(outputs, y, reduction="mean"):
    return nn.functional.mse_loss(outputs, y, reduction=reduction)
