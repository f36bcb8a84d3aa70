"""X-DER: which classes an incoming row competes with, what is stored, and what it remembers."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import InvalidValue
from perdure.families.contrast import order, supervised_contrast

CENTRES = 2 * torch.eye(4)


def test_an_incoming_row_competes_with_the_classes_of_its_task_alone() -> None:
    """All outputs 0, four classes: log 2 = 0.693147 in the first task and in the second."""
    learner = flat(methods.XDER(capacity=8))
    for labels in ((0, 1), (2, 3)):
        for parameter in learner.params.values():
            nn.init.zeros_(parameter)
        step = learner.observe(pair(*labels))
        assert pytest.approx(0.693147, abs=1e-6) == float(step.terms["loss"])
        learner.consolidate(pair(*labels))


def test_the_penalty_of_a_first_batch_is_contrast_and_order() -> None:
    """Against its parts: nothing is stored yet, classes 2 and 3 are to come."""
    learner = flat(methods.XDER(capacity=8, ready=0.7, hold=0.4))
    batch = pair(0, 1)
    out = learner.model(batch.x).detach()
    past, present = torch.zeros(4, dtype=torch.bool), torch.tensor([True, True, False, False])
    expected = 0.7 * supervised_contrast(out[:, 2:], batch.y, 5.0)
    expected = expected + 0.4 * order(out, past, present, len(batch), 0.3)
    assert torch.allclose(expected, learner.observe(batch).terms["x-der"], atol=1e-6)


def test_stored_outputs_and_labels_of_recalled_rows_are_held() -> None:
    """With alpha and beta alone: half of the rows by outputs, half among past classes by labels."""
    learner = trained(methods.XDER(alpha=0.3, beta=0.6, capacity=8, ready=0.0, hold=0.0))
    state = {name: held.clone() for name, held in learner.model.state_dict().items()}
    step = learner.observe(pair(2, 3))
    drawn, _ = step.recalled(learner.methods[0])
    out = torch.func.functional_call(learner.model, state, (drawn.x,))
    moved = F.mse_loss(out[:10], drawn.extras["outputs"][:10])
    labels = F.cross_entropy(out[10:, :2], drawn.y[10:])
    assert 10 + 20 == len(step.batch)
    assert torch.allclose(0.3 * moved + 0.6 * labels, step.terms["x-der"], atol=1e-6)


def test_the_memory_is_filled_at_boundaries_equally_by_class() -> None:
    """8 rows: 4 and 4, then 2 each; none before the first boundary."""
    learner = flat(methods.XDER(capacity=8))
    memory = learner.methods[0].memory
    learner.observe(pair(0, 1))
    assert 0 == len(memory)
    learner.consolidate(pair(0, 1))
    assert {0: 4, 1: 4} == memory.group_counts()
    learner.observe(pair(2, 3))
    learner.consolidate(pair(2, 3))
    assert {0: 2, 1: 2, 2: 2, 3: 2} == memory.group_counts()


def test_rows_that_were_recalled_store_what_the_model_says_of_new_classes() -> None:
    """Columns 0 and 1 of their outputs stay; columns 2 and 3 change once the model has moved."""
    learner = trained(methods.XDER(capacity=8))
    memory = learner.methods[0].memory
    before = memory.rows().extras["outputs"]
    learner.observe(pair(2, 3))
    step = learner.observe(pair(2, 3))
    slots = step.recalled(learner.methods[0])[0].extras["slot"].unique()
    after = memory.rows().extras["outputs"]
    assert torch.equal(before[:, :2], after[:, :2])
    assert (before[slots, 2:] != after[slots, 2:]).any()


def test_a_head_that_grows_has_nothing_to_make_ready_and_stores_what_grew() -> None:
    """Stored outputs widen, and none is missing after the boundary."""
    learner = trained(methods.XDER(capacity=8), growing=True)
    assert 2 == learner.methods[0].memory.rows().extras["outputs"].shape[1]
    learner.observe(pair(2, 3))
    learner.consolidate(pair(2, 3))
    outputs = learner.methods[0].memory.rows().extras["outputs"]
    assert (8, 4) == outputs.shape
    assert outputs.isfinite().all()


@pytest.mark.parametrize(
    "check",
    [check for check in testing.CHECKS if check is not testing.check_accumulation],
    ids=lambda check: check.__name__,
)
def test_the_contract_holds_with_the_contrast(check) -> None:
    """Only an update in several passes differs, since each pass contrasts its own rows."""
    check(lambda: methods.XDER(capacity=12))


@pytest.mark.parametrize(
    "settings",
    [{"alpha": -1.0}, {"beta": -1.0}, {"capacity": 0}, {"ready": -0.1}, {"hold": -0.1}],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings) -> None:
    """The message holds the name."""
    with pytest.raises(InvalidValue, match=next(iter(settings))):
        methods.XDER(**settings)


def test_it_remembers_with_two_rows_a_class() -> None:
    """Four classes in two tasks: nearly all of both, where fine-tuning loses the first whole."""
    assert mean_accuracy(methods.XDER(capacity=8)) > 0.9
    assert mean_accuracy() < 0.6


def mean_accuracy(*used: methods.XDER) -> float:
    learner = flat(*used)
    for labels in ((0, 1), (2, 3)):
        for _ in range(100):
            learner.observe(pair(*labels))
        learner.consolidate(pair(*labels))
    test = pair(0, 1) + pair(2, 3)
    return float((learner.predict(test.x).argmax(1) == test.y).float().mean())


def trained(method: methods.XDER, *, growing: bool = False) -> Learner:
    """After a first task of classes 0 and 1."""
    learner = flat(method, growing=growing)
    for _ in range(20):
        learner.observe(pair(0, 1))
    learner.consolidate(pair(0, 1))
    return learner


def flat(*used: methods.XDER, growing: bool = False) -> Learner:
    torch.manual_seed(2)
    head = nets.GrowingHead(8) if growing else nets.FixedHead(8, 4)
    model = nets.Classifier(nets.MLP(4, (16, 8)), head)
    return Learner(model, *used, optimizer=partial(torch.optim.SGD, lr=0.2))


def pair(a: int, b: int) -> Batch:
    y = torch.tensor([a, b]).repeat(5)
    return Batch(CENTRES[y] + 0.3 * torch.randn(10, 4), y)
