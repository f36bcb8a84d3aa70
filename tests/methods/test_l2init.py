"""Parameters drawn back to where they began."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import InvalidValue

SGD = partial(torch.optim.SGD, lr=0.1)


def rows(labels: tuple[int, ...] = (0, 1), seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    y = torch.tensor(labels)[torch.arange(12) % len(labels)]
    return Batch(torch.randn(12, 6, generator=generator), y)


def no_loss(outputs: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    return 0 * outputs.sum()


def test_a_number_by_hand() -> None:
    """Weights moved by 1 and -2 at strength 0.5: 0.5 * (1 + 4), and a step of 0.1 each back."""
    model = nn.Linear(2, 1, bias=False)
    learner = Learner(model, methods.L2Init(strength=0.5), loss=no_loss, optimizer=SGD)
    start = model.weight.detach().clone()
    batch = Batch(torch.ones(1, 2), torch.tensor([0]))
    assert float(learner.observe(batch).terms["l2-init"]) == 0
    with torch.no_grad():
        model.weight += torch.tensor([1.0, -2.0])
    assert float(learner.observe(batch).terms["l2-init"]) == pytest.approx(2.5)
    torch.testing.assert_close(model.weight.detach() - start, torch.tensor([[0.9, -1.8]]))


def test_it_is_weight_decay_towards_the_beginning() -> None:
    """An update is the plain one minus lr * 2 * strength * (theta - theta_0), by hand."""
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(6, (8,)), nets.FixedHead(8, 2))
    learner = Learner(model, methods.L2Init(strength=0.01), optimizer=SGD)
    start = {name: p.detach().clone() for name, p in learner.params.items()}
    for seed in range(4):
        learner.observe(rows(seed=seed))
    before = {name: p.detach().clone() for name, p in learner.params.items()}
    last = rows(seed=5)
    loss = nn.functional.cross_entropy(model(last.x), last.y)
    grads = dict(zip(before, torch.autograd.grad(loss, model.parameters()), strict=True))
    learner.observe(last)
    for name, p in learner.params.items():
        pull = grads[name] + 0.02 * (before[name] - start[name])
        torch.testing.assert_close(p.detach(), before[name] - 0.1 * pull)


def test_what_grows_later_has_its_own_beginning() -> None:
    """A new block is drawn to its own first values and adds nothing at first."""
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(6, (8,)), nets.GrowingHead(8))
    learner = Learner(model, methods.L2Init(), loss=no_loss, optimizer=SGD)
    learner.observe(rows((0, 1)))
    assert float(learner.observe(rows((2, 3))).terms["l2-init"]) == 0
    assert learner.methods[0].anchor.keys() == learner.params.keys()


def test_a_strong_pull_keeps_the_model_near_its_start() -> None:
    """However long it learns, the distance stays a fraction of what it is without."""
    moved = []
    for strength in (0.0, 0.1):
        torch.manual_seed(0)
        model = nets.Classifier(nets.MLP(6, (8,)), nets.FixedHead(8, 2))
        start = torch.cat([p.detach().flatten() for p in model.parameters()])
        learner = Learner(model, methods.L2Init(strength), optimizer=SGD)
        for _ in range(150):
            learner.observe(rows())
        moved.append((torch.cat([p.detach().flatten() for p in model.parameters()]) - start).norm())
    assert moved[1] < 0.5 * moved[0]


def test_settings_out_of_range_are_refused() -> None:
    """At construction."""
    with pytest.raises(InvalidValue, match="strength is -1"):
        methods.L2Init(strength=-1.0)


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream, the first values with it."""
    testing.check_resume_is_exact(lambda: methods.L2Init(strength=0.05))
