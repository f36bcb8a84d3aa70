"""Each task begins from smaller, noisy weights."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import InvalidValue

SGD = partial(torch.optim.SGD, lr=0.1)


def rows(labels: tuple[int, ...] = (0, 1), seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    y = torch.tensor(labels)[torch.arange(12) % len(labels)]
    return Batch(torch.randn(12, 6, generator=generator), y)


def no_loss(outputs: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    return 0 * outputs.sum()


def learner_of(head: torch.nn.Module, **settings: float) -> Learner:
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(6, (50, 50)), head)
    return Learner(model, methods.ShrinkPerturb(**settings), loss=no_loss, optimizer=SGD)


def values(learner: Learner) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in learner.params.items()}


def test_without_noise_it_multiplies() -> None:
    """Every parameter by 1 - shrink, once a task, with the first rows after the boundary."""
    learner = learner_of(nets.FixedHead(50, 2), shrink=0.25, noise=0.0)
    learner.observe(rows())
    before = values(learner)
    learner.consolidate()
    testing.assert_same_state(before, values(learner), "at the boundary")
    for _ in range(3):
        learner.observe(rows())
    for name, found in values(learner).items():
        torch.testing.assert_close(found, 0.75 * before[name])


def test_the_noise_has_the_deviation_that_was_asked_for() -> None:
    """Over 3,000 weights its mean is 0 and its deviation 0.3, within three standard errors."""
    learner = learner_of(nets.FixedHead(50, 2), shrink=0.0, noise=0.3)
    learner.observe(rows())
    before = values(learner)
    learner.consolidate()
    learner.observe(rows())
    noise = torch.cat([(p - before[name]).flatten() for name, p in values(learner).items()])
    assert len(noise) > 2900
    assert noise.mean().abs() < 3 * 0.3 / len(noise) ** 0.5
    assert abs(noise.std() - 0.3) < 3 * 0.3 / (2 * len(noise)) ** 0.5


def test_the_first_task_begins_as_it_is() -> None:
    """There is nothing to shrink before any boundary."""
    learner = learner_of(nets.FixedHead(50, 2))
    before = values(learner)
    learner.observe(rows())
    testing.assert_same_state(before, values(learner), "in the first task")


def test_outputs_that_come_with_the_task_are_new_already() -> None:
    """A block that grows for the same rows is neither shrunk nor shaken."""
    learner = learner_of(nets.GrowingHead(50), shrink=1.0, noise=0.0)
    learner.observe(rows((0, 1)))
    learner.consolidate()
    learner.observe(rows((2, 3)))
    old, new = learner.model.head.blocks
    assert old.weight.abs().sum() == 0
    assert new.weight.abs().sum() > 0


def test_a_model_that_is_too_sure_learns_again() -> None:
    """With outputs so far apart that gradients vanish, the next task is learned faster."""
    losses = []
    for shrink in (0.0, 0.9):
        torch.manual_seed(0)
        model = nets.Classifier(nets.MLP(6, (32, 32)), nets.FixedHead(32, 2))
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(6)
        learner = Learner(model, methods.ShrinkPerturb(shrink), optimizer=SGD)
        learner.consolidate()
        for seed in range(20):
            step = learner.observe(rows(seed=seed))
        losses.append(float(step.terms["loss"]))
    assert losses[1] < 0.5 * losses[0]


@pytest.mark.parametrize("settings", [{"shrink": 1.5}, {"noise": -0.1}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    """At construction."""
    with pytest.raises(InvalidValue, match="ShrinkPerturb"):
        methods.ShrinkPerturb(**settings)


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream: between boundary and noise as well."""
    testing.check_resume_is_exact(methods.ShrinkPerturb)
