"""MIR: which rows it recalls, against a step that is really taken on a copy."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure import Batch, Learner, methods, nets
from perdure.errors import InvalidValue
from perdure.methods.mir import interference
from perdure.step import Step


@pytest.mark.parametrize("lr", [None, 0.5])
def test_interference_is_the_rise_of_the_loss_in_a_step_on_a_copy(lr: float | None) -> None:
    """Against torch: SGD on a deep copy, then the losses before and after, row by row."""
    learner = small(lr=0.2)
    incoming, candidates = rows(8), rows(30)
    twin = deepcopy(learner.model).eval()
    before = losses(twin, candidates)
    optimiser = torch.optim.SGD(twin.parameters(), lr=lr or 0.2)
    F.cross_entropy(twin(incoming.x), incoming.y).backward()
    optimiser.step()
    rise = interference(learner, incoming, candidates, lr)
    assert torch.allclose(losses(twin, candidates) - before, rise, atol=1e-6)


@pytest.mark.parametrize(("share", "chosen"), [(1.0, 4), (0.5, 2), (0.01, 1)])
def test_the_rows_recalled_are_those_with_the_largest_rise(share: float, chosen: int) -> None:
    """All of a memory of 20 are candidates; the 4 recalled begin with its worst, none twice."""
    learner = small(methods.MIR(capacity=20, rows=4, candidates=5, share=share))
    learner.observe(rows(20))
    incoming = rows(6)
    held = learner.methods[0].memory.rows()
    worst = held.x[interference(learner, incoming, held, None).topk(chosen).indices]
    recalled = [tuple(x) for x in learner.observe(incoming).batch.x[6:].tolist()]
    assert {tuple(x) for x in worst.tolist()} == {*recalled[:chosen]}
    assert len({*recalled}) == 4


def test_the_rows_beside_the_worst_are_drawn_at_random() -> None:
    """Over many draws with one worst row each, every row of the memory comes up."""
    learner = small(methods.MIR(capacity=20, rows=4, candidates=5, share=0.25), lr=1e-9)
    learner.observe(rows(20))
    method, step = learner.methods[0], Step(learner, rows(4))
    found = {tuple(x) for _ in range(60) for x in method.recall(step).x[1:].tolist()}
    assert len(found) >= 19


def test_the_virtual_step_leaves_no_trace() -> None:
    """Parameters, running statistics, gradients and mode are as they were."""
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    learner = Learner(model, optimizer=partial(torch.optim.SGD, lr=0.1))
    model.train()
    before = {name: held.clone() for name, held in model.state_dict().items()}
    interference(learner, rows(5), rows(9), None)
    assert all(torch.equal(held, before[name]) for name, held in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training


def test_a_draw_no_larger_than_the_need_is_recalled_whole() -> None:
    """A memory of 3 rows, 8 wanted: those 3, none twice."""
    learner = small(methods.MIR(capacity=3, rows=8))
    learner.observe(rows(3))
    assert 5 + 3 == len(learner.observe(rows(5)).batch)


def test_rows_of_the_class_that_is_in_the_way_come_first() -> None:
    """Class 2 arrives where class 0 is: nearly all rows recalled are of class 0, not of class 1."""
    torch.manual_seed(0)
    model = nn.Linear(2, 3)
    learner = Learner(
        model, methods.MIR(200, rows=10, share=1), optimizer=partial(torch.optim.SGD, lr=0.5)
    )
    centre = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [2.0, 1.0]])
    for _ in range(40):
        y = torch.tensor([0, 1]).repeat(10)
        learner.observe(Batch(centre[y] + 0.3 * torch.randn(20, 2), y))
    y = torch.full((20,), 2)
    recalled = learner.observe(Batch(centre[y] + 0.3 * torch.randn(20, 2), y)).batch.y[20:]
    assert int((recalled == 0).sum()) > 8


def test_targets_may_be_numbers() -> None:
    """A regression learns with it: the losses are averaged over a row's targets."""
    learner = Learner(nn.Linear(4, 2), methods.MIR(capacity=9), loss=F.mse_loss)
    for _ in range(3):
        step = learner.observe(Batch(torch.rand(4, 4), torch.rand(4, 2)))
    assert 8 == len(step.batch)


def test_task_ids_choose_heads_in_the_virtual_step_too() -> None:
    """Two heads of the same labels: finite, and rows of both tasks are recalled."""
    head = nets.MultiHead(4, {0: [0, 1], 1: [0, 1]})
    learner = Learner(nets.Classifier(nets.MLP(4, (4,)), head), methods.MIR(capacity=30))
    for task in (0, 1, 0, 1):
        step = learner.observe(Batch(torch.rand(10, 4), torch.arange(10) % 2, task))
    assert torch.isfinite(step.terms["loss"])
    assert {0, 1} == {*step.batch.task.tolist()}


@pytest.mark.parametrize(
    "settings",
    [{"capacity": 0}, {"rows": 0}, {"candidates": 0}, {"share": 0.0}, {"lr": 0.0}],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings) -> None:
    """The message holds the name."""
    with pytest.raises(InvalidValue, match=next(iter(settings))):
        methods.MIR(**settings)


def small(*used: methods.MIR, lr: float = 0.1) -> Learner:
    torch.manual_seed(3)
    model = nets.Classifier(nets.MLP(4, (8,)), nets.FixedHead(8, 4))
    return Learner(model, *used, optimizer=partial(torch.optim.SGD, lr=lr))


def rows(count: int) -> Batch:
    return Batch(torch.rand(count, 4), torch.arange(count) % 4)


def losses(model: nn.Module, batch: Batch) -> Tensor:
    return F.cross_entropy(model(batch.x), batch.y, reduction="none").detach()
