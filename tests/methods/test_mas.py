"""Memory aware synapses: importance without labels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import InvalidValue


def line(w: float) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, w)
    return model


def rows(*x: float) -> Batch:
    return Batch(torch.tensor(x)[:, None], torch.zeros(len(x), 1))


def test_importance_is_worked_out_by_hand() -> None:
    """f = w x: d f^2 / d w = 2 w x^2; at w = -2 and x = 1, 3 the sizes are 4 and 36, mean 20."""
    method = methods.MAS()
    Learner(line(-2.0), method, loss=F.mse_loss).consolidate(rows(1.0, 3.0))
    torch.testing.assert_close(method.omega["weight"], torch.tensor([[20.0]]))


def test_opposite_rows_do_not_cancel() -> None:
    """Two outputs of opposite slopes: the gradient of the batch's mean is 0, the importance 1.

    f = (w + 1/2) at x = 1 and (w - 1/2) at x = -1, so d f^2 / d w = +-1 at w = 0.
    """

    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.w + x / 2

    method, model = methods.MAS(), Shifted()
    batch = rows(1.0, -1.0)
    Learner(model, method, loss=F.mse_loss).consolidate(batch)
    torch.testing.assert_close(method.omega["w"], torch.ones(1))
    assert float(torch.autograd.grad(model(batch.x).square().mean(), model.w)[0]) == 0


def test_the_penalty_has_no_half_and_importance_adds_up() -> None:
    """After two equal tasks omega = 40; moved by 0.5 with strength 3: 3 * 40 * 0.25 = 30."""
    learner = Learner(line(-2.0), methods.MAS(strength=3.0), loss=F.mse_loss)
    learner.consolidate(rows(1.0, 3.0))
    learner.consolidate(rows(1.0, 3.0))
    with torch.no_grad():
        learner.model.weight += 0.5
    assert float(learner.observe(rows(1.0)).terms["mas"]) == pytest.approx(30.0)


def test_labels_are_not_asked() -> None:
    """Other labels in the boundary's rows, the same importance."""
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(4, (6,)), nets.FixedHead(6, 3))
    x, found = torch.randn(12, 4), []
    for y in (torch.zeros(12, dtype=torch.int64), torch.arange(12) % 3):
        method = methods.MAS()
        Learner(model, method).consolidate(Batch(x, y))
        found.append(method.omega)
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_classes_that_grow_later_are_free() -> None:
    """A new block has no importance before its own task's end."""
    method = methods.MAS()
    learner = Learner(nets.Classifier(nets.MLP(4, (8,)), nets.GrowingHead(8)), method)
    old = Batch(torch.randn(8, 4), torch.arange(8) % 2)
    new = Batch(torch.randn(8, 4), torch.arange(8) % 2 + 2)
    for batch, blocks in ((old, 1), (new, 2)):
        learner.observe(batch)
        assert f"head.blocks.{blocks - 1}.weight" not in method.omega
        learner.consolidate(batch)
    assert method.omega.keys() == learner.params.keys()


@pytest.mark.parametrize("settings", [{"strength": -1.0}, {"rows": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    """At construction."""
    with pytest.raises(InvalidValue, match="MAS"):
        methods.MAS(**settings)


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream."""
    testing.check_resume_is_exact(lambda: methods.MAS(strength=0.02, rows=11))
