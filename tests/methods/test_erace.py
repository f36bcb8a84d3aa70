"""ER-ACE: which classes an incoming row may push down, by hand and by its gradients."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from perdure import Batch, Engine, Learner, methods, nets
from perdure.errors import InvalidValue


def test_the_two_means_by_hand() -> None:
    """All logits 0, classes 0 and 1 seen, an incoming row of class 2 of five.

    Incoming among {2, 3, 4}: log 3. The recalled row among all five: log 5. Sum 2.708050.
    """
    learner = zeros(5)
    learner.observe(row(0, count=1) + row(1, count=1))
    nn.init.zeros_(learner.model.weight)
    step = learner.observe(row(2, count=1))
    assert pytest.approx(2.708050, abs=1e-6) == float(step.terms["loss"])


def test_incoming_rows_leave_the_outputs_of_past_classes_alone() -> None:
    """No gradient reaches them from the incoming row; own and never seen classes get some."""
    learner = zeros(5)
    learner.observe(row(0, count=1) + row(1, count=1))
    learner.methods[0].memory.erase(torch.tensor([0, 1]))
    before = learner.model.weight.detach().clone()
    learner.observe(row(2, count=1))
    moved = (learner.model.weight.detach() - before).abs().sum(1) > 0
    assert [False, False, True, True, True] == moved.tolist()


def test_the_loss_is_the_sum_of_two_cross_entropies() -> None:
    """Against torch on hand-picked columns: present {1, 3}, seen before {0, 1, 2}."""
    learner = Learner(nn.Linear(4, 4), methods.ERACE(capacity=9, rows=7))
    learner.observe(Batch(torch.rand(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])))
    weights = {name: p.detach().clone() for name, p in learner.params.items()}
    step = learner.observe(Batch(torch.rand(4, 4), torch.tensor([1, 3, 3, 1])))
    outputs = step.batch.x @ weights["weight"].T + weights["bias"]
    incoming = F.cross_entropy(outputs[:4][:, [1, 3]], torch.tensor([0, 1, 1, 0]))
    recalled = F.cross_entropy(outputs[4:], step.batch.y[4:])
    assert 11 == len(step.batch)
    assert torch.allclose(incoming + recalled, step.terms["loss"], atol=1e-6)


def test_the_first_batch_is_plain_learning() -> None:
    """Nothing was seen, nothing is recalled: the loss among all classes."""
    learner = zeros(5)
    assert pytest.approx(1.609438) == float(learner.observe(row(2, count=3)).terms["loss"])


def test_rows_of_weight_zero_count_in_neither_mean() -> None:
    """What DER recalls beside it keeps out of this loss too."""
    learner = Learner(nn.Linear(4, 3, bias=False), methods.ERACE(9), methods.DER(capacity=9))
    learner.observe(row(0, count=2))
    nn.init.zeros_(learner.model.weight)
    step = learner.observe(row(0, count=2))
    # log 3 for the incoming rows (1 and 2 were never seen), log 3 for those that ER-ACE recalled.
    assert 6 == len(step.batch)
    assert pytest.approx(2 * 1.098612, abs=1e-6) == float(step.terms["loss"])


def test_seen_classes_widen_with_the_head() -> None:
    """Two outputs, then four, and the two of the past are still known."""
    model = nets.Classifier(nets.MLP(4, (4,)), nets.GrowingHead(4))
    learner = Learner(model, methods.ERACE(capacity=9))
    learner.observe(row(0, count=1) + row(1, count=1))
    learner.observe(row(3, count=2))
    assert [True, True, False, True] == learner.methods[0].seen.tolist()


def test_task_ids_choose_heads_as_without_it() -> None:
    """A multi-head model: finite losses, and only columns of the row's own task are ever likely."""
    head = nets.MultiHead(4, {0: [0, 1], 1: [0, 1]})
    learner = Learner(nets.Classifier(nets.MLP(4, (4,)), head), methods.ERACE(capacity=9))
    for task in (0, 1):
        for _ in range(3):
            step = learner.observe(Batch(torch.rand(4, 4), torch.tensor([0, 1, 0, 1]), task))
    assert torch.isfinite(step.terms["loss"])
    assert step.batch.task.tolist()[:4] == [1] * 4


def test_an_update_in_passes_stays_finite() -> None:
    """A pass may hold no recalled row: its second mean is then zero, not NaN."""
    learner = Learner(nn.Linear(4, 3), methods.ERACE(9, rows=1), engine=Engine(accumulate=4))
    for _ in range(3):
        step = learner.observe(row(1, count=4))
    assert torch.isfinite(step.terms["loss"])


@pytest.mark.parametrize("settings", [{"capacity": 0}, {"rows": 0}], ids=str)
def test_settings_out_of_range_are_refused(settings) -> None:
    """The message holds the name."""
    with pytest.raises(InvalidValue, match=next(iter(settings))):
        methods.ERACE(**settings)


def test_old_classes_suffer_less_at_a_change_than_under_plain_replay() -> None:
    """The first updates on two new classes: fewer answers on old rows are lost than by ER."""
    assert kept_after_a_change(methods.ERACE(capacity=50)) > kept_after_a_change(
        methods.ER(capacity=50)
    )


def kept_after_a_change(method: methods.ER | methods.ERACE) -> float:
    """Mean margin of old classes over new ones on old rows, after 5 updates on new classes."""
    torch.manual_seed(1)
    centres = 2 * torch.randn(4, 8)
    learner = Learner(nn.Linear(8, 4), method, optimizer=partial(torch.optim.SGD, lr=0.1))
    for pair, updates in (([0, 1], 40), ([2, 3], 5)):
        for _ in range(updates):
            y = torch.tensor(pair).repeat(5)
            learner.observe(Batch(centres[y] + torch.randn(10, 8), y))
    y = torch.tensor([0, 1]).repeat(100)
    outputs = learner.predict(centres[y] + torch.randn(200, 8))
    return float((outputs[:, :2].amax(1) - outputs[:, 2:].amax(1)).mean())


def zeros(classes: int) -> Learner:
    learner = Learner(nn.Linear(4, classes, bias=False), methods.ERACE(capacity=9))
    nn.init.zeros_(learner.model.weight)
    return learner


def row(label: int, count: int) -> Batch:
    return Batch(torch.rand(count, 4) + 0.1, torch.full((count,), label))
