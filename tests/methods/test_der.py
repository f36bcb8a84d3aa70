"""Dark experience replay: its penalty by hand, growing outputs, and that it remembers."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import InvalidValue

SGD = partial(torch.optim.SGD, lr=0.1)


def test_the_penalty_by_hand() -> None:
    """Row x = 1 answered (2, -1) and was stored; at weights (3, 1) it answers (3, 1).

    alpha * mean((3 - 2)^2, (1 + 1)^2) = 0.5 * 2.5 = 1.25, whichever of its copies are drawn.
    """
    learner = one_weight(methods.DER(alpha=0.5), [2.0, -1.0], lr=0.0)
    learner.observe(Batch(torch.ones(1, 1), torch.tensor([0])))
    set_weights(learner, [3.0, 1.0])
    step = learner.observe(Batch(torch.zeros(1, 1), torch.tensor([0])))
    assert pytest.approx(1.25) == float(step.terms["der"])


def test_recalled_rows_stay_out_of_the_loss_on_labels() -> None:
    """The loss term is that of the incoming rows alone."""
    learner = one_weight(methods.DER(), [2.0, -1.0], lr=0.0)
    learner.observe(Batch(torch.ones(3, 1), torch.tensor([0, 0, 0])))
    incoming = Batch(torch.tensor([[2.0], [0.5]]), torch.tensor([1, 0]))
    step = learner.observe(incoming)
    expected = F.cross_entropy(incoming.x @ torch.tensor([[2.0, -1.0]]), incoming.y)
    assert 4 == len(step.batch)
    assert torch.allclose(expected, step.terms["loss"])


def test_what_is_stored_is_the_answer_before_the_update_for_new_rows_alone() -> None:
    """One step at a time: outputs of the incoming rows, detached, never of recalled ones."""
    learner = Learner(nn.Linear(3, 2), methods.DER(capacity=100), optimizer=SGD)
    expected = []
    for _ in range(3):
        batch = Batch(torch.rand(4, 3), torch.tensor([0, 1, 0, 1]))
        with torch.no_grad():
            expected.append(learner.model(batch.x))
        learner.observe(batch)
        learner.observe(batch.seen())
    held = learner.methods[0].memory.rows().extras["outputs"]
    assert torch.allclose(torch.cat(expected), held, atol=1e-6)
    assert not held.requires_grad


def test_the_penalty_pulls_the_outputs_back() -> None:
    """From (3, 1) the next update moves the answer for x = 1 towards the stored (2, -1).

    d penalty / d w = alpha * (outputs - stored) = 0.5 * (1, 2); an incoming row of zeros adds none.
    """
    learner = one_weight(methods.DER(alpha=0.5), [2.0, -1.0], lr=0.0)
    learner.observe(Batch(torch.ones(1, 1), torch.tensor([0])))
    set_weights(learner, [3.0, 1.0])
    for group in learner.optimiser.torch.param_groups:
        group["lr"] = 1.0
    learner.observe(Batch(torch.zeros(1, 1), torch.tensor([0])))
    assert torch.allclose(torch.tensor([[2.5], [0.0]]), learner.model.weight.detach())


def test_outputs_that_grew_since_are_held_at_the_lowest_stored() -> None:
    """A head of 2 outputs stores 2; of 4 outputs the others are compared with the lower one."""
    model = nets.Classifier(nets.MLP(3, (4,)), nets.GrowingHead(4))
    learner = Learner(model, methods.DER(alpha=1.0), optimizer=partial(torch.optim.SGD, lr=0.0))
    learner.observe(Batch(torch.rand(4, 3), torch.tensor([0, 1, 0, 1])))
    step = learner.observe(Batch(torch.rand(4, 3), torch.tensor([2, 3, 2, 3])))
    assert 4 == step.outputs.shape[1]
    (old, outputs) = step.recalled(learner.methods[0])
    first = old.extras["outputs"]
    target = torch.cat((first, first.amin(1, keepdim=True).expand(-1, 2)), 1)
    torch.testing.assert_close(step.terms["der"], F.mse_loss(outputs, target))
    stored = learner.methods[0].memory.rows().extras["outputs"]
    assert (8, 4) == stored.shape
    assert [[False, False, True, True]] * 4 == stored[:4].isnan().tolist()
    assert torch.isfinite(
        learner.observe(Batch(torch.rand(2, 3), torch.tensor([0, 3]))).outputs
    ).all()


def test_regression_targets_are_no_obstacle() -> None:
    """Labels are never looked at."""
    learner = Learner(nn.Linear(3, 2), methods.DER(), loss=F.mse_loss)
    for _ in range(2):
        step = learner.observe(Batch(torch.rand(4, 3), torch.rand(4, 2)))
    assert {"loss", "der"} == {*step.terms}


@pytest.mark.parametrize(
    "settings", [{"alpha": 0.0}, {"alpha": -1.0}, {"capacity": 0}, {"rows": 0}], ids=str
)
def test_settings_out_of_range_are_refused(settings) -> None:
    """The message holds the name."""
    with pytest.raises(InvalidValue, match=next(iter(settings))):
        methods.DER(**settings)


def test_it_forgets_less_than_fine_tuning() -> None:
    """Two tasks of two classes: fine-tuning loses the first one whole, DER keeps most of it."""
    assert accuracy_on_first_task() < 0.05
    assert accuracy_on_first_task(methods.DER(alpha=1.0, capacity=50)) > 0.8


def accuracy_on_first_task(*used: methods.DER) -> float:
    """After two tasks of the toy world of `perdure.testing`, ten passes each."""
    learner = testing.toy_learner(lambda: list(used))
    events = testing.toy_events(lambda: list(used))[:17]
    for _, batch in events[:8] + events[9:]:
        learner.observe(batch)
        for _ in range(9):
            learner.observe(batch.seen())
    first = events[8][1]
    return float((learner.predict(first.x).argmax(1) == first.y).float().mean())


def one_weight(method: methods.DER, weights: list[float], lr: float) -> Learner:
    """Outputs are x times one weight each."""
    model = nn.Linear(1, 2, bias=False)
    learner = Learner(model, method, optimizer=partial(torch.optim.SGD, lr=lr))
    set_weights(learner, weights)
    return learner


def set_weights(learner: Learner, weights: list[float]) -> None:
    learner.model.weight.data = torch.tensor(weights)[:, None]
