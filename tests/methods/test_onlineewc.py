"""Online EWC: the past fades, the anchor is the latest."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure import Batch, Learner, Step, methods, nets, testing
from perdure.errors import InvalidValue
from perdure.families.fisher import fisher


class Point(nn.Module):
    """Two parameters theta, which are the outputs for every row."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.theta.expand(len(x), 2)


def one_row(a: float, b: float) -> Batch:
    """With mean squared error the gradient is theta - (a, b), its square the Fisher."""
    return Batch(torch.zeros(1, 1), torch.tensor([[a, b]]))


def learner_of(*args: Any, **settings: Any) -> tuple[Learner, methods.OnlineEWC]:
    method = methods.OnlineEWC(*args, labels="true", **settings)
    return Learner(Point(), method, loss=F.mse_loss), method


def term(learner: Learner, *theta: float) -> float:
    """The penalty with the parameters at theta."""
    with torch.no_grad():
        learner.model.theta.copy_(torch.tensor(theta))
    found = learner.methods[0].penalty(Step(learner, one_row(0, 0)))
    return float(found.detach())


def test_old_tasks_decay_by_the_recursion() -> None:
    """F = (1, 4), (9, 0), (4, 1) with decay 0.5: 1/4 + 9/2 + 4 = 8.75 and 4/4 + 0 + 1 = 2."""
    learner, method = learner_of(strength=1.0, decay=0.5)
    for row in (one_row(1, 2), one_row(3, 0), one_row(2, 1)):
        learner.consolidate(row)
    torch.testing.assert_close(method.fisher["theta"], torch.tensor([8.75, 2.0]))


def test_the_penalty_is_worked_out_by_hand() -> None:
    """strength / 2 * decay * F |theta|^2 = 6 / 2 * 0.5 * (1 * 4 + 4 * 1) = 12 at (2, 1)."""
    learner, _ = learner_of(strength=6.0, decay=0.5)
    learner.consolidate(one_row(1, 2))
    assert term(learner, 2.0, 1.0) == pytest.approx(12.0)


def test_the_anchor_is_where_the_last_task_ended() -> None:
    """After a second boundary at (2, 1) the penalty is zero there, and not at the first anchor."""
    learner, _ = learner_of(strength=6.0)
    learner.consolidate(one_row(1, 2))
    assert term(learner, 2.0, 1.0) > 0
    learner.consolidate(one_row(1, 2))
    assert term(learner, 2.0, 1.0) == 0
    assert term(learner, 0.0, 0.0) > 0


def test_halving_begins_after_the_first_boundary() -> None:
    """Against a constant strength with the same Fisher: 1, then 1/2, then 1/4."""
    constant, _ = learner_of(strength=8.0)
    halving, _ = learner_of(strength=8.0, schedule="halving")
    for expected in (1.0, 0.5, 0.25):
        for learner in (constant, halving):
            term(learner, 0.0, 0.0) if learner.consolidations else None
            learner.consolidate(one_row(1, 2))
        assert term(halving, 1.0, 1.0) == pytest.approx(expected * term(constant, 1.0, 1.0))


def test_without_decay_the_importance_is_that_of_ewc() -> None:
    """Decay 1: the Fisher is the plain sum over tasks, and so it is for EWC."""
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(4, (5,)), nets.FixedHead(5, 3))
    online, offline = methods.OnlineEWC(1.0), methods.EWC(1.0)
    learner = Learner(model, online, offline)
    batches = [Batch(torch.randn(9, 4), torch.randint(3, (9,))) for _ in range(3)]
    expected = {name: torch.zeros_like(p) for name, p in learner.params.items()}
    for batch in batches:
        learner.observe(batch)
        learner.consolidate(batch)
        for name, part in fisher(learner, [batch]).items():
            expected[name] += part
    for name, total in expected.items():
        torch.testing.assert_close(online.fisher[name], total)
        torch.testing.assert_close(offline.fisher[name], total)


def test_it_has_the_name_that_the_field_gave_it() -> None:
    """Beside EWC in one learner, each under its own."""
    learner = Learner(nn.Linear(2, 2), methods.OnlineEWC(), methods.EWC())
    batch = Batch(torch.eye(2), torch.tensor([0, 1]))
    learner.consolidate(batch)
    assert set(learner.observe(batch).terms) == {"loss", "online-ewc", "ewc"}


@pytest.mark.parametrize(
    "settings",
    [{"strength": -1.0}, {"decay": 0.0}, {"decay": 1.1}, {"rows": 0}, {"labels": "x"}],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    """At construction, naming the class."""
    with pytest.raises(InvalidValue, match="OnlineEWC"):
        methods.OnlineEWC(**settings)


def test_an_unknown_schedule_is_refused() -> None:
    """The message holds the two that there are."""
    with pytest.raises(InvalidValue, match='"constant" or "halving"'):
        methods.OnlineEWC(schedule="linear")


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream, the halvings counted on."""
    testing.check_resume_is_exact(lambda: methods.OnlineEWC(10.0, 0.9, schedule="halving"))
