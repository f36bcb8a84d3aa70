"""O-LoRA: the overlap of what tasks read, by hand, and that learning avoids it."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import InvalidValue
from perdure.nets.lora import low_rank


def a_learner(strength: float, inputs: int = 3, lr: float = 0.0) -> Learner:
    backbone = nets.lora(nets.MLP(inputs, (4,)), rank=2, alpha=2)
    model = nets.Classifier(backbone, nets.GrowingHead(4))
    optimizer = partial(torch.optim.SGD, lr=lr)
    return Learner(model, methods.OLoRA(strength), optimizer=optimizer)


def a_task(task: int, inputs: int = 3) -> Batch:
    draws = torch.Generator().manual_seed(task)
    return Batch(torch.randn(8, inputs, generator=draws), torch.arange(8) % 2 + 2 * task, task)


def read(learner: Learner, *parts: list[list[float]]) -> None:
    """Set the A of each task."""
    (layer,) = low_rank(learner.model).values()
    with torch.no_grad():
        for a, rows in zip(layer.a, parts, strict=True):
            a.copy_(torch.tensor(rows))


def test_the_penalty_is_the_squared_overlap() -> None:
    """A_1 = (1 0 0; 0 2 0), A_2 = (3 0 0; 0 4 5): 3^2 + 8^2 = 73, at strength 0.5 it is 36.5."""
    learner = a_learner(0.5)
    assert "o-lora" not in learner.observe(a_task(0)).terms
    learner.observe(a_task(1))
    read(learner, [[1, 0, 0], [0, 2, 0]], [[3, 0, 0], [0, 4, 5]])
    assert 36.5 == learner.observe(a_task(1)).terms["o-lora"].item()


def test_every_earlier_task_counts_and_no_pair_of_them() -> None:
    """A_3 overlaps with A_1 by 1 and A_2 by 2: 1 + 4; that A_1 and A_2 overlap is past."""
    learner = a_learner(1.0)
    for task in range(3):
        learner.observe(a_task(task))
    read(learner, [[1, 0, 0], [0, 0, 0]], [[2, 0, 0], [0, 0, 0]], [[1, 0, 0], [0, 1, 0]])
    assert 5.0 == learner.observe(a_task(2)).terms["o-lora"].item()


def test_what_is_rank_deficient_leaves_room() -> None:
    """A_1 = (1 0; 2 0) reads one direction of two, so that A_2 = (0 1; 0 3) overlaps by nothing;
    A_1 = (1 0; 0 1) reads both, and no A_2 but zero is free: 1 + 9 = 10.
    """
    learner = a_learner(1.0, inputs=2)
    for task in range(2):
        learner.observe(a_task(task, inputs=2))
    read(learner, [[1, 0], [2, 0]], [[0, 1], [0, 3]])
    assert 0.0 == learner.observe(a_task(1, inputs=2)).terms["o-lora"].item()
    read(learner, [[1, 0], [0, 1]], [[0, 1], [0, 3]])
    assert 10.0 == learner.observe(a_task(1, inputs=2)).terms["o-lora"].item()


def test_only_the_newest_task_turns_away() -> None:
    """Under a strong penalty the overlap vanishes, and the first task's A stays to the bit."""
    learner = a_learner(5.0, inputs=6, lr=0.02)
    learner.observe(a_task(0, inputs=6))
    (layer,) = low_rank(learner.model).values()
    held = layer.a[0].clone()
    for _ in range(300):
        step = learner.observe(a_task(1, inputs=6))
    assert step.terms["o-lora"].item() < 1e-3
    assert layer.a[1].norm() > 0.1
    assert torch.equal(held, layer.a[0])


def test_resumed_it_goes_on_bit_for_bit() -> None:
    """With the adapters of past tasks, which the penalty asks for."""
    testing.check_resume_is_exact(methods.OLoRA)


def test_a_negative_strength_is_refused() -> None:
    """It would seek the overlap."""
    with pytest.raises(InvalidValue, match="OLoRA: strength is -1"):
        methods.OLoRA(strength=-1)
