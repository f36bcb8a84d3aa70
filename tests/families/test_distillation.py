"""How far answers have moved from earlier ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from perdure import Batch, Learner, methods, nets
from perdure.families.distillation import divergence, drift
from perdure.nets import MASKED

NAN = float("nan")
logits = st.lists(
    st.lists(st.floats(-5, 5, width=32), min_size=3, max_size=3), min_size=1, max_size=4
).map(torch.tensor)


@given(logits, logits)
def test_where_every_output_was_open_drift_is_the_mean_squared_error(
    a: torch.Tensor, b: torch.Tensor
) -> None:
    """DER's term of the paper."""
    rows = min(len(a), len(b))
    torch.testing.assert_close(drift(a[:rows], b[:rows]), F.mse_loss(a[:rows], b[:rows]))


@pytest.mark.parametrize("closed", [NAN, MASKED, -9984.0])
def test_an_output_that_was_closed_is_held_at_the_lowest_open_one(closed: float) -> None:
    """(1 - 1)^2 + (5 - 2)^2 + (0 - 1)^2 over three outputs: 10 / 3."""
    outputs = torch.tensor([[1.0, 5.0, 0.0]])
    stored = torch.tensor([[1.0, 2.0, closed]])
    assert float(drift(outputs, stored)) == pytest.approx(10 / 3)
    assert float(drift(outputs, stored[:, :2])) == pytest.approx(10 / 3)


def test_an_output_that_is_closed_now_does_not_count() -> None:
    """Another task's outputs are MASKED on both sides: (3 - 1)^2 over the one open output."""
    outputs = torch.tensor([[3.0, MASKED]], requires_grad=True)
    moved = drift(outputs, torch.tensor([[1.0, MASKED]]))
    moved.backward()
    assert float(moved.detach()) == 4
    assert outputs.grad is not None
    assert outputs.grad.tolist() == [[4.0, 0.0]]


@given(logits)
def test_divergence_is_zero_from_itself_and_positive_from_others(a: torch.Tensor) -> None:
    """A KL divergence."""
    assert float(divergence(a, a)) == pytest.approx(0, abs=1e-6)
    assert float(divergence(a + torch.arange(3.0), a)) > 0


@pytest.mark.parametrize("make", [methods.DER, methods.DERpp], ids=["der", "der++"])
def test_labels_that_arrive_out_of_order_are_learned_beside_old_ones(make) -> None:
    """A growing head's gaps are MASKED in what is stored; they must not drown what comes later."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    centres = 3 * torch.randn(8, 6, generator=generator)
    head = nets.GrowingHead(16)
    learner = Learner(nets.Classifier(nets.MLP(6, (16,)), head), make(capacity=100))
    for pair in ((7, 2), (0, 5), (3, 1)):
        for _ in range(60):
            y = torch.tensor(pair).repeat(8)
            x = centres[y] + 0.3 * torch.randn(16, 6, generator=generator)
            learner.observe(Batch(x, y))
    found = learner.predict(centres[[3, 1]]).argmax(1)
    assert found.tolist() == [3, 1]
    assert float(learner.predict(centres[[7, 2, 0, 5]])[:, [7, 2, 0, 5]].abs().max()) < 100
