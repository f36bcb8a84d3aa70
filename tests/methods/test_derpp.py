"""DER++: both of its terms by hand, and its limits."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from perdure import Batch, Engine, Learner, methods
from perdure.errors import InvalidValue


def test_both_terms_by_hand() -> None:
    """Row x = 1 of class 0 answered (2, -1) and was stored; at weights (0, 0) it answers (0, 0).

    alpha * mean(2^2, 1^2) + beta * log 2 = 0.2 * 2.5 + 0.5 * 0.693147 = 0.846574.
    """
    learner = stored_once(methods.DERpp(alpha=0.2, beta=0.5))
    step = learner.observe(Batch(torch.zeros(1, 1), torch.tensor([0])))
    assert pytest.approx(0.846574, abs=1e-6) == float(step.terms["der++"])


def test_the_two_terms_are_taken_over_different_halves_of_the_draw() -> None:
    """From the recalled rows themselves: the first half's outputs, the second half's labels."""
    learner = Learner(nn.Linear(3, 4), methods.DERpp(alpha=0.7, beta=0.3, rows=5))
    for _ in range(4):
        learner.observe(Batch(torch.rand(6, 3), torch.randint(4, (6,))))
    weights = {name: p.detach().clone() for name, p in learner.params.items()}
    step = learner.observe(Batch(torch.rand(6, 3), torch.randint(4, (6,))))
    drawn, _ = step.recalled(learner.methods[0])
    outputs = drawn.x @ weights["weight"].T + weights["bias"]
    expected = 0.7 * F.mse_loss(outputs[:5], drawn.extras["outputs"][:5])
    expected += 0.3 * F.cross_entropy(outputs[5:], drawn.y[5:])
    assert (10, 16) == (len(drawn), len(step.batch))
    assert torch.allclose(expected, step.terms["der++"], atol=1e-6)


def test_incoming_rows_alone_make_the_base_loss() -> None:
    """Recalled rows have weight 0 there."""
    learner = stored_once(methods.DERpp())
    step = learner.observe(Batch(torch.zeros(2, 1), torch.tensor([0, 1])))
    assert [1.0, 1.0, 0.0, 0.0, 0.0, 0.0] == step.batch.weight.tolist()
    assert pytest.approx(0.6931472) == float(step.terms["loss"])


def test_without_labels_it_is_der_and_without_outputs_it_is_replay() -> None:
    """beta = 0 leaves alpha * 2.5, alpha = 0 leaves beta * log 2."""
    for alpha, beta, expected in ((0.4, 0.0, 1.0), (0.0, 2.0, 1.386294), (0.0, 0.0, 0.0)):
        learner = stored_once(methods.DERpp(alpha, beta))
        step = learner.observe(Batch(torch.zeros(1, 1), torch.tensor([0])))
        assert pytest.approx(expected, abs=1e-6) == float(step.terms["der++"])


def test_passes_without_a_recalled_row_add_nothing() -> None:
    """One row recalled for each term, an update in five passes: finite as in a single pass."""
    terms = []
    for accumulate in (1, 5):
        learner = Learner(
            nn.Linear(1, 2, bias=False),
            methods.DERpp(rows=1),
            engine=Engine(accumulate=accumulate),
        )
        nn.init.zeros_(learner.model.weight)
        for _ in range(2):
            step = learner.observe(Batch(torch.zeros(5, 1), torch.tensor([0, 1, 0, 1, 0])))
        terms.append(float(step.terms["der++"]))
    assert all(0 < term < 1 for term in terms)


@pytest.mark.parametrize(
    "settings", [{"alpha": -0.1}, {"beta": -0.1}, {"capacity": 0}, {"rows": 0}], ids=str
)
def test_settings_out_of_range_are_refused(settings) -> None:
    """The message holds the name."""
    with pytest.raises(InvalidValue, match=next(iter(settings))):
        methods.DERpp(**settings)


def test_later_epochs_are_not_counted_again() -> None:
    """Ten rows in two epochs: the reservoir saw ten."""
    learner = Learner(nn.Linear(3, 2), methods.DERpp(capacity=4))
    batch = Batch(torch.rand(10, 3), torch.arange(10) % 2)
    learner.observe(batch)
    learner.observe(batch.seen())
    assert 10 == learner.methods[0].memory.seen


def stored_once(method: methods.DERpp) -> Learner:
    """Holds x = 1 of class 0 with the answer (2, -1); the weights are zero now."""
    model = nn.Linear(1, 2, bias=False)
    learner = Learner(model, method, optimizer=partial(torch.optim.SGD, lr=0.0))
    model.weight.data = torch.tensor([[2.0], [-1.0]])
    learner.observe(Batch(torch.ones(1, 1), torch.tensor([0])))
    nn.init.zeros_(model.weight)
    return learner
