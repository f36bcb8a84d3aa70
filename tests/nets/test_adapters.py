"""Adapters: which parts answer, how they grow, and that taking them away leaves no trace."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from perdure import Batch, Learner, methods, nets
from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.nets.adapters import Adapter, adapters, answering, strip
from perdure.nets.capacity import capacity


class Shift(Adapter):
    """The plainest adapter: a part is a number that is added."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__(base)
        self.parts = nn.ParameterList()
        self.begin(alone=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + sum(self.parts[place] for place in self.answering)

    def part(self, place: int) -> list[nn.Parameter]:
        return [self.parts[place]]

    def append(self) -> None:
        self.parts.append(nn.Parameter(torch.tensor(10.0 ** len(self.parts))))

    def count(self) -> int:
        return len(self.parts)


def test_parts_answer_together_alone_or_not_at_all() -> None:
    """Three parts add 1, 10 and 100."""
    model = nn.Sequential(Shift(nn.Identity()))
    shift = model[0]
    zero = torch.zeros(1)
    assert 1 == model(zero)
    shift.begin(alone=False)
    assert 11 == model(zero)
    shift.begin(alone=True)
    assert 100 == model(zero)
    for start, stop, expected in ((0, 0, 0), (1, 2, 10), (0, 3, 111), (1, 3, 110)):
        with answering(model, start, stop):
            assert expected == model(zero)
        assert 100 == model(zero)


def test_what_answers_comes_back_after_an_error() -> None:
    """The context undoes itself whatever happens in it."""
    model = nn.Sequential(Shift(nn.Identity()))
    with pytest.raises(ZeroDivisionError), answering(model, 0, 0):
        raise ZeroDivisionError
    assert range(1) == model[0].answering


def test_only_the_newest_part_learns() -> None:
    """And the gradient that an older one had is gone, or an optimiser would still apply it."""
    shift = Shift(nn.Identity())
    shift(torch.zeros(1)).sum().backward()
    shift.begin(alone=False)
    assert [False, True] == [p.requires_grad for p in shift.parts]
    assert shift.parts[0].grad is None


def test_a_plan_rebuilds_as_many_parts_and_what_answers() -> None:
    """On an adapter that was just made; one that has more than the plan is refused."""
    grown, fresh = Shift(nn.Identity()), Shift(nn.Identity())
    grown.begin(alone=False)
    grown.begin(alone=True)
    fresh.rebuild(grown.plan())
    assert (3, range(2, 3)) == (fresh.count(), fresh.answering)
    with pytest.raises(CheckpointMismatch, match="1 parts in an adapter that has 3"):
        fresh.rebuild([0, 1])


def test_a_batch_adds_nothing() -> None:
    """A module cannot know whether a batch begins a task; the methods do."""
    shift = Shift(nn.Identity())
    assert not shift.grow(Batch(torch.zeros(2, 1), torch.tensor([0, 1]), task=7))
    assert 1 == shift.count()


def test_capacity_counts_each_part() -> None:
    """By its place."""
    shift = Shift(nn.Linear(2, 2))
    shift.begin(alone=True)
    found = capacity(shift)
    assert {0: 1, 1: 1} == {place: part.parameters for place, part in found.tasks.items()}
    assert 8 == found.parameters


def test_adapters_are_found_by_name_each_once() -> None:
    """A module that stands in two places is one adapter."""
    shift = Shift(nn.Identity())
    assert {"0": shift} == adapters(nn.Sequential(shift, nn.ReLU(), shift))


def test_stripping_returns_the_very_modules() -> None:
    """In every place; an adapter that is the model itself gives what it was put around."""
    inner = nn.Linear(2, 2)
    shift = Shift(inner)
    model = nn.Sequential(shift, nn.ReLU(), shift)
    assert strip(model) is model
    assert model[0] is inner
    assert model[2] is inner
    assert strip(Shift(inner)) is inner
    with pytest.raises(InvalidValue, match="no adapters to take away"):
        strip(model)


def test_a_teacher_answers_by_the_parts_that_it_had() -> None:
    """What `recite` says of an old task does not change when a later one adds adapters."""
    for route in ("merged", "nearest"):
        backbone = nets.lora(nets.MLP(4, (8,)), rank=2, alpha=2)
        model = nets.Classifier(backbone, nets.FixedHead(8, 2))
        learner = Learner(model, methods.LoRA(route=route))
        x = torch.randn(6, 4)
        y = torch.arange(6) % 2
        learner.observe(Batch(x, y, task=0))
        teacher = learner.snapshot()
        learner.model.eval()
        before = learner.forward(x, None).detach()
        for _ in range(5):
            learner.observe(Batch(x, y, task=1))
        assert not torch.allclose(before, learner.forward(x, None))
        assert torch.allclose(before, learner.recite(teacher, x, None), atol=1e-6)
