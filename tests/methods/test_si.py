"""Synaptic intelligence: the path integral of each parameter's own part in the loss."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure import Batch, Engine, Learner, methods, nets, testing
from perdure.errors import InvalidValue

START = torch.tensor([2.0, -1.0])
CURVATURE = torch.tensor([1.0, 4.0])


class Bowl(nn.Module):
    """Outputs sqrt(c_i) theta_i: against zero targets the loss is sum_i c_i theta_i^2 / 2."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(START.clone())

    def forward(self, x: Tensor) -> Tensor:
        return (CURVATURE.sqrt() * self.theta).expand(len(x), 2)


ROW = Batch(torch.zeros(1, 1), torch.zeros(1, 2))


def roll(lr: float, steps: int, **settings: float) -> tuple[Learner, methods.SI]:
    """Gradient descent on the bowl."""
    method = methods.SI(**settings)
    sgd = partial(torch.optim.SGD, lr=lr)
    learner = Learner(Bowl(), method, optimizer=sgd, loss=F.mse_loss)
    for _ in range(steps):
        learner.observe(ROW)
    return learner, method


def height(theta: Tensor) -> Tensor:
    """Each parameter's part of the loss."""
    return CURVATURE * theta.detach() ** 2 / 2


def test_along_the_gradient_flow_the_path_is_the_fall_of_the_loss() -> None:
    """Each parameter's own, with an error that halves as the step does."""
    errors = []
    for lr in (0.02, 0.01, 0.005):
        learner, method = roll(lr, round(1 / lr))
        fall = height(START) - height(learner.model.theta)
        errors.append(float((method.path["theta"] - fall).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(2.0, rel=0.1)
    assert errors[2] < 0.05


def test_one_step_is_worked_out_by_hand() -> None:
    """g = c theta = (2, -4); moved by -0.1 g; path = 0.1 g^2 = (0.4, 1.6)."""
    _, method = roll(0.1, 1)
    torch.testing.assert_close(method.path["theta"], torch.tensor([0.4, 1.6]))


def test_importance_is_worked_out_by_hand() -> None:
    """omega = path / (moved^2 + damping) = (0.4 / (0.04 + 0.1), 1.6 / (0.16 + 0.1))."""
    learner, method = roll(0.1, 1, damping=0.1)
    learner.consolidate()
    torch.testing.assert_close(method.omega["theta"], torch.tensor([0.4 / 0.14, 1.6 / 0.26]))
    assert torch.equal(method.anchor["theta"], learner.model.theta)
    assert not method.path["theta"].any()


def test_the_penalty_has_no_half() -> None:
    """strength * omega * moved^2, with omega and the movement known."""
    learner, method = roll(0.1, 1, strength=3.0)
    learner.consolidate()
    with torch.no_grad():
        learner.model.theta += torch.tensor([1.0, 2.0])
    expected = 3.0 * float(method.omega["theta"] @ torch.tensor([1.0, 4.0]))
    assert float(learner.observe(ROW).terms["si"]) == pytest.approx(expected)


def test_the_gradient_of_the_penalty_is_part_of_the_path() -> None:
    """The second task's first step: g of the loss plus 2 strength omega moved, at moved = 1."""
    learner, method = roll(0.1, 1, strength=0.5)
    learner.consolidate()
    with torch.no_grad():
        learner.model.theta += 1.0
    g = CURVATURE * learner.model.theta.detach() + 2 * 0.5 * method.omega["theta"]
    method.last["theta"] += 1.0  # the shift above was nobody's step
    learner.observe(ROW)
    torch.testing.assert_close(method.path["theta"], 0.1 * g**2)


def test_importance_adds_up_over_tasks() -> None:
    """A second task that moves nothing adds nothing."""
    learner, method = roll(0.1, 3)
    learner.consolidate()
    first = method.omega["theta"].clone()
    learner.consolidate()
    torch.testing.assert_close(method.omega["theta"], first)
    learner.observe(ROW)
    learner.consolidate()
    assert (method.omega["theta"] > first).all()


def test_it_equals_a_plain_loop_under_adam() -> None:
    """Omega after two tasks against the algorithm written out, parameters and all."""
    torch.manual_seed(0)
    adam = partial(torch.optim.Adam, lr=0.01)
    model, twin = (nets.Classifier(nets.MLP(4, (6,)), nets.FixedHead(6, 3)) for _ in range(2))
    twin.load_state_dict(model.state_dict())
    method = methods.SI(strength=2.0, damping=0.05)
    learner, optimiser = Learner(model, method, optimizer=adam), adam(twin.parameters())
    params = list(twin.parameters())
    omega = [torch.zeros_like(p) for p in params]
    for _ in range(2):
        anchor = [p.detach().clone() for p in params]
        path = [torch.zeros_like(p) for p in params]
        for _ in range(10):
            batch = Batch(torch.randn(8, 4), torch.randint(3, (8,)))
            learner.observe(batch)
            parts = zip(omega, params, anchor, strict=True)
            pull = sum((o * (p - a) ** 2).sum() for o, p, a in parts)
            optimiser.zero_grad()
            (F.cross_entropy(twin(batch.x), batch.y) + 2.0 * pull).backward()
            before = [p.detach().clone() for p in params]
            optimiser.step()
            for w, p, b in zip(path, params, before, strict=True):
                w.sub_(p.grad * (p.detach() - b))
        learner.consolidate()
        for o, w, p, a in zip(omega, path, params, anchor, strict=True):
            o.add_(w / ((p.detach() - a) ** 2 + 0.05))
    for mine, other in zip(method.omega.values(), omega, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5)


def test_a_parameter_that_grows_begins_its_own_path() -> None:
    """New blocks of a head are measured from their birth, and free until the task ends."""
    method = methods.SI(strength=1.0)
    learner = Learner(nets.Classifier(nets.MLP(4, (8,)), nets.GrowingHead(8)), method)
    learner.observe(Batch(torch.randn(8, 4), torch.arange(8) % 2))
    learner.consolidate()
    learner.observe(Batch(torch.randn(8, 4), torch.arange(8) % 2 + 2))
    assert method.path["head.blocks.1.weight"].abs().sum() > 0
    assert "head.blocks.1.weight" not in method.omega
    learner.consolidate()
    assert method.omega.keys() == learner.params.keys()


def test_passes_of_one_update_make_one_step_of_the_path() -> None:
    """Accumulating over passes gives the path of the whole batch."""
    batch = Batch(torch.randn(8, 4), torch.randint(3, (8,)))
    paths = []
    for accumulate in (1, 4):
        torch.manual_seed(0)
        method = methods.SI()
        learner = Learner(nn.Linear(4, 3), method, engine=Engine(accumulate=accumulate))
        learner.observe(batch)
        paths.append(method.path["weight"])
    torch.testing.assert_close(paths[0], paths[1])


@pytest.mark.parametrize("settings", [{"strength": -0.1}, {"damping": 0.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    """At construction."""
    with pytest.raises(InvalidValue, match="SI"):
        methods.SI(**settings)


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream, also in the middle of a path."""
    testing.check_resume_is_exact(lambda: methods.SI(strength=0.5))
