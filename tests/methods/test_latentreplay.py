"""Latent replay: what is stored, the loss by an independent program, and what learns when."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from perdure import Batch, Learner, Method, methods, nets, testing
from perdure.errors import Impossible, InvalidValue

CUT = "backbone.layers.1"

VARIANTS = {
    "cut lower": lambda: methods.LatentReplay(12, at=CUT),
    "slowed": lambda: methods.LatentReplay(12, rows=3, at=CUT, slow=0.5),
}


@pytest.mark.parametrize("make", VARIANTS.values(), ids=list(VARIANTS))
def test_every_variant_keeps_the_contract(make) -> None:
    """Exact resume, pure prediction, single rows and the rest, beside the defaults."""
    testing.check_method(make)


def learner_of(*used: Method, lr: float = 0.05) -> Learner:
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(4, (8, 6)), nets.FixedHead(6, 3))
    return Learner(model, *used, optimizer=partial(torch.optim.SGD, lr=lr))


def rows(count: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 4, generator=generator)
    return Batch(x, torch.randint(3, (count,), generator=generator))


def test_it_stores_what_the_cut_makes_of_a_tasks_rows_at_its_end() -> None:
    """Not before, since what is below the cut still learns; what is stored stays true then."""
    learner = learner_of(methods.LatentReplay(100, at=CUT))
    batch = rows(6)
    learner.observe(batch)
    assert 0 == len(learner.methods[0].memory)
    learner.consolidate(batch)
    learner.observe(rows(6, 1))
    held = learner.methods[0].memory.rows()
    torch.testing.assert_close(held.x, learner.model.backbone.layers[:2](batch.x))
    assert torch.equal(batch.y, held.y)


@pytest.mark.parametrize("replayed", [1, 5, 9])
def test_an_update_is_that_of_a_loop_by_hand(replayed: int) -> None:
    """The mean over 4 incoming rows and any number stored; the front has the incoming alone."""
    learner = learner_of(methods.LatentReplay(100, replayed, CUT, slow=1.0))
    learner.observe(rows(20))
    learner.consolidate(rows(20))
    twin = learner_of()
    twin.model.load_state_dict(learner.model.state_dict())
    memory = learner.methods[0].memory
    state = memory.rng.get_state()
    stored = memory.sample(replayed)
    memory.rng.set_state(state)
    step = learner.observe(rows(4, 1))
    net, batch = twin.model, rows(4, 1)
    front, back = net.backbone.layers[:2], net.backbone.layers[2:]
    outputs = net.head(back(torch.cat((front(batch.x), stored.x))))
    loss = F.cross_entropy(outputs, torch.cat((batch.y, stored.y)))
    torch.testing.assert_close(loss.detach(), step.terms["loss"])
    loss.backward()
    for (name, mine), other in zip(learner.params.items(), net.parameters(), strict=True):
        torch.testing.assert_close(mine, other - 0.05 * other.grad, msg=name)
    assert 4 == len(step.batch) == len(step.outputs)


def test_rows_that_others_recall_count_by_their_weight() -> None:
    """DER's have none: the loss is the mean over incoming and stored ones."""
    learner = learner_of(methods.LatentReplay(50, 3, CUT), methods.DER(capacity=50, rows=2), lr=0.0)
    learner.observe(rows(8))
    learner.consolidate(rows(8))
    memory = learner.methods[0].memory
    state = memory.rng.get_state()
    stored = memory.sample(3)
    memory.rng.set_state(state)
    step = learner.observe(rows(4, 1))
    assert [1.0] * 4 + [0.0] * 2 == step.batch.weight.tolist()
    net = learner.model.eval()
    joint = torch.cat((step.outputs[:4], net.head(net.backbone.layers[2:](stored.x))))
    expected = F.cross_entropy(joint, torch.cat((rows(4, 1).y, stored.y)))
    torch.testing.assert_close(expected.detach(), step.terms["loss"])


def test_what_is_below_the_cut_stands_still_after_the_first_task() -> None:
    """It learns until then; what is above goes on."""
    learner = learner_of(methods.LatentReplay(50, at=CUT))
    low, high = (learner.model.backbone.layers[i].weight for i in (0, 2))
    start = low.detach().clone()
    learner.observe(rows(8))
    assert not torch.equal(start, low)
    learner.consolidate(rows(8))
    before = low.detach().clone(), high.detach().clone()
    learner.observe(rows(8, 1))
    assert torch.equal(before[0], low)
    assert not torch.equal(before[1], high)
    assert "backbone.layers.0.weight" not in learner.params


def test_or_it_goes_on_slowly() -> None:
    """A tenth of the gradient below, all of it above."""
    moved = {}
    for slow in (0.1, 1.0):
        learner = learner_of(methods.LatentReplay(50, at=CUT, slow=slow))
        learner.observe(rows(8))
        learner.consolidate(rows(8))
        before = {name: p.detach().clone() for name, p in learner.params.items()}
        learner.observe(rows(8, 1))
        moved[slow] = {name: p.detach() - before[name] for name, p in learner.params.items()}
    low, high = "backbone.layers.0.weight", "backbone.layers.2.weight"
    torch.testing.assert_close(moved[0.1][low], 0.1 * moved[1.0][low], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(moved[0.1][high], moved[1.0][high])


def test_nothing_is_frozen_before_the_first_row() -> None:
    """A boundary may come first."""
    learner = learner_of(methods.LatentReplay(50))
    learner.consolidate(())
    assert 6 == len(learner.params)


def test_task_ids_are_stored_with_the_rows() -> None:
    """Each stored row is answered by its own task's head."""
    model = nets.Classifier(nets.MLP(4, (8,)), nets.MultiHead(8, {0: [0, 1], 1: [0, 1]}))
    learner = Learner(model, methods.LatentReplay(50))
    for task in (0, 1):
        batch = rows(6, task)
        batch = Batch(batch.x, batch.y % 2, task)
        learner.observe(batch)
        learner.consolidate(batch)
    assert {0, 1} == {*learner.methods[0].memory.rows().task.tolist()}


def test_a_model_without_the_module_is_refused_in_words() -> None:
    """At the first batch, with the modules that it has."""
    learner = Learner(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3)), methods.LatentReplay(5))
    with pytest.raises(Impossible, match="no module 'backbone'"):
        learner.observe(rows(4))


def test_it_keeps_no_raw_rows() -> None:
    """Neither by its word nor in its memory; a cut that would is refused."""
    assert not methods.LatentReplay().needs.raw_rows
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(InvalidValue, match="rows themselves"):
        Learner(model, methods.LatentReplay(5, at="0")).observe(rows(4))


def test_nothing_is_stored_of_what_has_yet_to_learn() -> None:
    """A boundary before the first update: what the cut makes of rows now would soon be outdated."""
    learner = learner_of(methods.LatentReplay(20, at=CUT))
    learner.consolidate(rows(4))
    assert len(learner.methods[0].memory) == 0
    learner.observe(rows(4))
    learner.consolidate(rows(4))
    assert len(learner.methods[0].memory) == 4


def test_it_forgets_less_than_fine_tuning() -> None:
    """Two tasks of two classes: fine-tuning loses the first one whole, this keeps most of it."""
    assert accuracy_on_first_task() < 0.2
    assert accuracy_on_first_task(methods.LatentReplay(80, at=CUT)) > 0.8


def accuracy_on_first_task(*used: Method) -> float:
    """After two tasks of the toy world of `perdure.testing`, twenty passes each."""
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(testing.INPUTS, (64, 64)), nets.FixedHead(64, 4))
    learner = Learner(model, *used)
    events = testing.toy_events(lambda: list(used))[:18]
    for kind, what in events:
        if kind == "consolidate":
            learner.consolidate(what)
            continue
        for _ in range(10):
            learner.observe(what)
    first = events[8][1]
    return float((learner.predict(first.x).argmax(1) == first.y).float().mean())


@pytest.mark.parametrize("settings", [{"capacity": 0}, {"rows": 0}, {"slow": 1.5}], ids=str)
def test_settings_out_of_range_are_refused(settings: dict) -> None:
    """At construction."""
    with pytest.raises(InvalidValue, match=next(iter(settings))):
        methods.LatentReplay(**settings)
