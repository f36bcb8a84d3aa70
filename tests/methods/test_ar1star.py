"""AR1*: the capped importance, the slow backbone, and the head of CWR* above it."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from perdure import Batch, Learner, Method, methods, nets, testing
from perdure.errors import InvalidValue

UNDER = "backbone.layers.0.weight"


def rows(y: Tensor, seed: int) -> Batch:
    """Rows around a place of their own for each label."""
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(6, 8, generator=torch.Generator().manual_seed(5))
    return Batch(centres[y] + torch.randn(len(y), 8, generator=generator), y)


def of(label: int, count: int, seed: int = 0) -> Batch:
    return rows(torch.full((count,), label), seed)


def mixed(count: int, seed: int = 0) -> Batch:
    return rows(torch.arange(count) % 6, seed)


def learner_of(*used: Method, lr: float = 0.05, adam: bool = False) -> Learner:
    torch.manual_seed(0)
    head = nets.ConsolidatedHead(16) if used else nets.GrowingHead(16)
    kind = torch.optim.Adam if adam else torch.optim.SGD
    model = nets.Classifier(nets.MLP(8, (16,)), head)
    return Learner(model, *used, optimizer=partial(kind, lr=lr))


def first_batch(learner: Learner) -> None:
    for seed in range(3):
        learner.observe(mixed(24, seed))
    learner.consolidate()


def weight(learner: Learner) -> Tensor:
    return learner.params[UNDER].detach().clone()


@pytest.mark.parametrize("adam", [False, True])
@pytest.mark.parametrize("slow", [0.0, 0.25, 1.0])
def test_after_the_first_batch_a_part_of_each_change_is_made(slow: float, adam: bool) -> None:
    """`slow` of what the optimiser did, whichever it is; the head makes all of it."""
    moved = {}
    for share in (slow, 1.0):
        learner = learner_of(methods.AR1Star(strength=0.0, slow=share), adam=adam)
        first_batch(learner)
        before = weight(learner)
        learner.observe(of(1, 8, 9))
        moved[share] = weight(learner) - before
        head = learner.model.head.blocks[0].weight.detach().clone()
    torch.testing.assert_close(moved[slow], slow * moved[1.0], atol=1e-6, rtol=1e-4)
    assert head.any()


def test_the_first_batch_is_learnt_at_full_rate() -> None:
    """As without the method, under the head."""
    free, held = learner_of(methods.CWRStar()), learner_of(methods.AR1Star(slow=0.0))
    for learner in (free, held):
        learner.observe(mixed(24))
        learner.observe(mixed(24, 1))
    assert torch.equal(weight(free), weight(held))


def test_importance_is_the_path_over_the_way_and_capped() -> None:
    """Worked out from the gradients applied, with a cap that some reach and some do not."""
    method = methods.AR1Star(cap=0.05)
    learner = learner_of(method)
    start, path = weight(learner), torch.zeros_like(weight(learner))
    for seed in range(3):
        before = weight(learner)
        gradient: list[Tensor] = []
        learner.params[UNDER].register_post_accumulate_grad_hook(
            lambda p, kept=gradient: kept.append(p.grad.clone())
        )
        learner.observe(mixed(24, seed))
        path -= gradient[0] * (weight(learner) - before)
    learner.consolidate()
    way = (weight(learner) - start).square() + 1e-7
    expected = (path.clamp(min=0) / way).clamp(max=0.05)
    torch.testing.assert_close(expected, method.omega[UNDER], atol=1e-5, rtol=1e-3)
    assert 0 < (expected == 0.05).float().mean()
    assert torch.equal(weight(learner), method.anchor[UNDER])
    assert not method.path[UNDER].any()


def test_the_penalty_is_half_the_strength_times_the_weighted_square() -> None:
    """With an importance of 0.001 everywhere and everything one step of 0.5 away."""
    method = methods.AR1Star(strength=100.0)
    learner = learner_of(method)
    first_batch(learner)
    under = {name: p for name, p in learner.params.items() if name.startswith("backbone")}
    method.omega = {name: torch.full_like(p, 1e-3) for name, p in under.items()}
    with torch.no_grad():
        for p in under.values():
            p.add_(0.5)
    count = sum(p.numel() for p in under.values())
    expected = 100.0 / 2 * 1e-3 * 0.25 * count
    assert pytest.approx(expected, rel=1e-4) == float(learner.observe(of(0, 4)).terms["ar1*"])


def test_the_head_is_not_held() -> None:
    """Neither by importance nor by rate."""
    method = methods.AR1Star()
    first_batch(learner_of(method))
    assert {"backbone.layers.0.weight", "backbone.layers.0.bias"} == method.omega.keys()


def test_it_remembers_over_batches_of_one_class() -> None:
    """Ten batches after it was seen last, a class is still known; fine-tuning knows it no more."""
    assert accuracy_on_the_first() < 0.1
    assert accuracy_on_the_first(methods.AR1Star()) > 0.9


def accuracy_on_the_first(*used: Method) -> float:
    """A first batch of six classes, then ten of one class each, none of them class 0.

    A boundary ends each batch.
    """
    learner = learner_of(*used)
    for seed in range(60):
        learner.observe(mixed(48, seed))
    learner.consolidate()
    for number in range(10):
        batch = of(1 + number % 5, 16, 50 + number)
        for _ in range(6):
            learner.observe(batch)
            batch = batch.seen()
        learner.consolidate()
    return float((learner.predict(of(0, 100, 999).x).argmax(1) == 0).float().mean())


@pytest.mark.parametrize("settings", [{"strength": -1.0}, {"cap": 0.0}, {"slow": 1.5}], ids=str)
def test_settings_out_of_range_are_refused(settings: dict) -> None:
    """At construction."""
    with pytest.raises(InvalidValue, match=next(iter(settings))):
        methods.AR1Star(**settings)


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream, also in the middle of a path."""
    testing.check_resume_is_exact(lambda: methods.AR1Star(strength=0.1))
