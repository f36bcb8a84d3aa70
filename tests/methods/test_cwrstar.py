"""CWR*: what it freezes, what it gathers, and that small batches of one class do not undo it."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure import Batch, Learner, Method, methods, nets, testing
from perdure.errors import Impossible


def rows(y: Tensor, seed: int) -> Batch:
    """Rows around a place of their own for each label."""
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(6, 8, generator=torch.Generator().manual_seed(5))
    return Batch(centres[y] + torch.randn(len(y), 8, generator=generator), y)


def of(label: int, count: int, seed: int = 0) -> Batch:
    return rows(torch.full((count,), label), seed)


def mixed(count: int, seed: int = 0) -> Batch:
    return rows(torch.arange(count) % 6, seed)


def learner_of(*used: Method) -> Learner:
    torch.manual_seed(0)
    head = nets.ConsolidatedHead(32) if used else nets.GrowingHead(32)
    model = nets.Classifier(nets.MLP(8, (32,)), head)
    return Learner(model, *used, optimizer=partial(torch.optim.SGD, lr=0.05))


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


def test_it_remembers_over_batches_of_one_class() -> None:
    """Ten batches after it was seen last, a class is still known; fine-tuning knows it no more."""
    assert accuracy_on_the_first() < 0.1
    assert accuracy_on_the_first(methods.CWRStar()) > 0.9


def test_what_is_under_the_head_learns_from_the_first_batch_alone() -> None:
    """It moves before the first boundary and never after; the head goes on."""
    learner = learner_of(methods.CWRStar())
    weight = learner.model.backbone.layers[0].weight
    start = weight.detach().clone()
    learner.observe(mixed(12))
    learner.observe(mixed(12))
    assert not torch.equal(start, weight)
    learner.consolidate()
    held = weight.detach().clone()
    learner.observe(of(1, 6))
    assert torch.equal(held, weight)
    assert learner.model.head.blocks[0].weight.any()
    assert {"head"} == {name.split(".")[0] for name in learner.params}


def test_an_update_is_that_of_a_loop_by_hand() -> None:
    """Second batch, one class: its weights begin consolidated, the others at zero; plain SGD."""
    learner = learner_of(methods.CWRStar())
    learner.observe(mixed(24))
    learner.consolidate()
    block = learner.model.head.blocks[0]
    w, b = torch.zeros(6, 32), torch.zeros(6)
    w[1], b[1] = block.held_weight[1], block.held_bias[1]
    batch = of(1, 6, 3)
    features = learner.features(batch.x)
    learner.observe(batch)
    w.requires_grad_()
    b.requires_grad_()
    F.cross_entropy(F.linear(features, w, b), batch.y).backward()
    torch.testing.assert_close(block.weight, w - 0.05 * w.grad)
    torch.testing.assert_close(block.bias, b - 0.05 * b.grad)


def test_a_boundary_before_the_first_row_freezes_nothing() -> None:
    """There is no first batch yet."""
    learner = learner_of(methods.CWRStar())
    learner.consolidate()
    assert "backbone.layers.0.weight" in learner.params


def test_another_head_is_refused_in_words() -> None:
    """With what to make instead."""
    learner = Learner(nn.Linear(8, 2), methods.CWRStar())
    learner.observe(of(0, 4))
    with pytest.raises(Impossible, match="ConsolidatedHead"):
        learner.consolidate()


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream."""
    testing.check_resume_is_exact(methods.CWRStar)
