"""EWC: one quadratic for all tasks, equal to one a task."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure import Batch, Learner, Step, methods, nets, testing
from perdure.errors import InvalidValue, NonFinite
from perdure.families.fisher import fisher

SGD = partial(torch.optim.SGD, lr=0.1)


class Point(nn.Module):
    """Two parameters theta, which are the outputs for every row: the loss is a parabola."""

    def __init__(self, *start: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(start or (0.0, 0.0)))

    def forward(self, x: Tensor) -> Tensor:
        return self.theta.expand(len(x), 2)


def around(*targets: tuple[float, float]) -> Batch:
    """Rows whose loss, mean squared error, is |theta - target|^2 / 2."""
    return Batch(torch.zeros(len(targets), 1), torch.tensor(targets))


def point_learner(strength: float, *start: float) -> tuple[Learner, methods.EWC]:
    method = methods.EWC(strength, labels="true")
    return Learner(Point(*start), method, optimizer=SGD, loss=F.mse_loss), method


FIRST = around((1.0, 2.0), (-1.0, 2.0), (1.0, -2.0), (-1.0, -2.0))


def test_the_penalty_is_worked_out_by_hand() -> None:
    """At theta = 0 a row's gradient is -target, so F = mean target^2 = (1, 4).

    Moved to (1, 1) the penalty is strength / 2 * (1 * 1 + 4 * 1) = 2.5 strength.
    """
    learner, method = point_learner(3.0)
    learner.consolidate(FIRST)
    torch.testing.assert_close(method.fisher["theta"], torch.tensor([1.0, 4.0]))
    with torch.no_grad():
        learner.model.theta.fill_(1.0)
    step = learner.observe(FIRST)
    torch.testing.assert_close(step.terms["ewc"].detach(), torch.tensor(7.5))


def test_learning_ends_where_both_parabolas_balance() -> None:
    """|theta - 4|^2 / 2 + strength / 2 * F theta^2 is least at 4 / (1 + strength F) = (2, 0.8)."""
    learner, _ = point_learner(1.0)
    learner.consolidate(FIRST)
    for _ in range(300):
        learner.observe(around((4.0, 4.0)))
    torch.testing.assert_close(learner.model.theta.detach(), torch.tensor([2.0, 0.8]))


@pytest.mark.parametrize("strength", [1.0, 1e10])
def test_it_equals_one_penalty_a_task(strength: float) -> None:
    """Value and gradient of the sum over five tasks of strength / 2 * F_t (theta - theta_t)^2."""
    method = methods.EWC(strength)
    learner = Learner(nets.Classifier(nets.MLP(6, (8,)), nets.FixedHead(8, 4)), method)
    generator, pairs = torch.Generator().manual_seed(0), []
    for _ in range(5):
        batch = Batch(
            torch.randn(20, 6, generator=generator), torch.randint(4, (20,), generator=generator)
        )
        learner.consolidate(batch)
        now = {name: p.detach().clone() for name, p in learner.params.items()}
        pairs.append((fisher(learner, [batch]), now))
        with torch.no_grad():
            for p in learner.params.values():
                p.add_(torch.randn(p.shape, generator=generator), alpha=0.3)
    ours = method.penalty(Step(learner, batch))
    terms = [
        f[name] * (p - anchor[name]).square()
        for f, anchor in pairs
        for name, p in learner.params.items()
    ]
    theirs = strength / 2 * torch.stack([term.sum() for term in terms]).sum()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)
    leaves = list(learner.params.values())
    for mine, other in zip(
        torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def test_the_state_does_not_grow_with_tasks() -> None:
    """Two tensors a parameter after one task and after six."""
    learner, method = point_learner(1.0)
    sizes = set()
    for _ in range(6):
        learner.consolidate(FIRST)
        sizes.add(method.state_bytes())
    assert len(sizes) == 1
    assert method.state_bytes() == 2 * 2 * 4 + method.rng.get_state().numel()


def test_what_a_task_does_not_need_follows_the_others() -> None:
    """Where F is zero the anchor is the next task's alone; where both are zero, nothing holds."""
    learner, method = point_learner(1.0)
    learner.consolidate(around((0.0, 0.0)))  # theta = 0: no gradient, F = 0
    with torch.no_grad():
        learner.model.theta.copy_(torch.tensor([3.0, 5.0]))
    learner.consolidate(around((2.0, 5.0)))  # gradient (1, 0): F = (1, 0)
    torch.testing.assert_close(method.fisher["theta"], torch.tensor([1.0, 0.0]))
    assert float(method.anchor["theta"][0]) == 3.0
    assert method.offset == 0.0


def test_classes_that_grow_later_are_free() -> None:
    """A new block of a head has no Fisher before its own task's end."""
    method = methods.EWC(10.0)
    learner = Learner(nets.Classifier(nets.MLP(4, (8,)), nets.GrowingHead(8)), method)
    old = Batch(torch.randn(8, 4), torch.arange(8) % 2)
    new = Batch(torch.randn(8, 4), torch.arange(8) % 2 + 2)
    learner.observe(old)
    learner.consolidate(old)
    learner.observe(new)
    assert "head.blocks.1.weight" not in method.fisher
    before = learner.params["head.blocks.1.weight"].detach().clone()
    learner.observe(new)
    assert not torch.equal(before, learner.params["head.blocks.1.weight"])
    learner.consolidate(new)
    assert method.fisher.keys() == learner.params.keys() == method.anchor.keys()


def test_a_strength_too_high_is_explained() -> None:
    """The message holds the strength and the largest Fisher information."""
    learner, _ = point_learner(1e38, 1.0, 1.0)
    learner.consolidate(FIRST)
    with torch.no_grad():
        learner.model.theta.fill_(100.0)
    with pytest.raises(NonFinite, match=r"'ewc'.*EWC\(strength=1e\+38.*largest Fisher 5"):
        learner.observe(around((4.0, 4.0)))


def test_it_needs_rows_and_says_so() -> None:
    """A boundary without data is refused by name."""
    with pytest.raises(InvalidValue, match=r"EWC\(\) needs the rows"):
        Learner(nn.Linear(4, 2), methods.EWC()).consolidate()


@pytest.mark.parametrize(
    "settings",
    [{"strength": -1.0}, {"strength": float("nan")}, {"labels": "predicted"}, {"rows": 0}],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    """At construction, naming EWC."""
    with pytest.raises(InvalidValue, match="EWC"):
        methods.EWC(**settings)


@pytest.mark.parametrize("labels", ["model", "true", "sampled"])
def test_it_resumes_bit_for_bit(labels: str) -> None:
    """From a file, at three places of a stream, whatever the labels."""
    testing.check_resume_is_exact(lambda: methods.EWC(10.0, labels=labels, rows=17))
