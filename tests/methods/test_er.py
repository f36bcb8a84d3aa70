"""Experience replay: the weight of recalled rows, what is written when, and that it remembers."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from perdure import Batch, Learner, Method, methods, testing
from perdure.errors import IllegalCombination, InvalidValue
from perdure.memory import forget

VARIANTS = {
    "boundary": lambda: methods.ER(12, write="boundary", mix="tasks"),
    "balanced": lambda: methods.ER(12, rows=3, policy="balanced", quota=3),
    "herding": lambda: methods.ER(12, policy="herding", write="boundary", mix=0.25),
}


@pytest.mark.parametrize("make", VARIANTS.values(), ids=list(VARIANTS))
def test_every_variant_keeps_the_contract(make) -> None:
    """Exact resume, pure prediction, single rows and the rest, beside the defaults."""
    testing.check_method(make)


def test_the_mean_over_all_rows_by_hand() -> None:
    """All weights zero: each of 2 incoming and 2 recalled rows costs log 2, at equal weight."""
    learner = linear(methods.ER(capacity=10, rows=2))
    learner.observe(rows(0, 2))
    zero(learner)
    step = learner.observe(rows(1, 2))
    assert (4, 2) == (len(step.batch), step.current)
    assert step.batch.weight is None
    assert pytest.approx(0.6931472) == float(step.terms["loss"])


@pytest.mark.parametrize(("share", "recalled"), [(0.25, 3), (0.5, 8), (0.75, 1)])
def test_a_share_mixes_the_two_means(share, recalled) -> None:
    """(1 - share) * mean of 4 incoming + share * mean of any number recalled, from torch's loss."""
    learner = linear(methods.ER(capacity=10, rows=recalled, mix=share))
    learner.observe(rows(0, 10))
    weights = learner.model.weight.detach().clone()
    step = learner.observe(rows(1, 4))
    each = F.cross_entropy(step.batch.x @ weights.T, step.batch.y, reduction="none")
    expected = (1 - share) * each[:4].mean() + share * each[4:].mean()
    assert torch.allclose(expected, step.terms["loss"], atol=1e-6)


def test_a_share_counts_the_weights_of_the_incoming_rows() -> None:
    """Incoming rows of weight 3 and 1 keep half of the loss between them."""
    learner = linear(methods.ER(capacity=10, mix=0.5))
    learner.observe(rows(0, 2))
    batch = rows(1, 2)
    step = learner.observe(Batch(batch.x, batch.y, weight=torch.tensor([3.0, 1.0])))
    assert pytest.approx(4.0) == float(step.batch.weight[2:].sum())


@pytest.mark.parametrize("task", [1, 2, 3, 5])
def test_shares_by_tasks_are_one_minus_one_over_k(task) -> None:
    """Nothing is recalled in the first task, half in the second, two thirds in the third."""
    learner = linear(methods.ER(capacity=10, mix="tasks"))
    for _ in range(task - 1):
        learner.observe(rows(0, 4))
        learner.consolidate()
    learner.observe(rows(0, 4))
    step = learner.observe(rows(1, 4))
    weights = step.batch.weights()
    assert pytest.approx(1 - 1 / task) == float(weights[4:].sum() / weights.sum())
    assert (len(step.batch) > 4) == (task > 1)


def test_as_many_rows_are_recalled_as_come_in_or_as_were_asked_for() -> None:
    """`rows=None` follows the batch; a number does not."""
    for given, batch, recalled in ((None, 5, 5), (3, 5, 3), (9, 2, 9)):
        learner = linear(methods.ER(capacity=10, rows=given))
        learner.observe(rows(0, 10))
        assert batch + recalled == len(learner.observe(rows(1, batch)).batch)


def test_a_memory_of_no_more_rows_than_that_is_recalled_whole() -> None:
    """Each of 4 rows once where 9 were asked for, and where 4 were; of 5 rows any 4."""
    for asked in (9, 4):
        learner = linear(methods.ER(capacity=10, rows=asked))
        first = rows(0, 4)
        learner.observe(first)
        assert torch.equal(first.x, learner.observe(rows(1, 2)).batch.x[2:])
    learner = linear(methods.ER(capacity=10, rows=4))
    learner.observe(rows(0, 5))
    assert 6 == len(learner.observe(rows(1, 2)).batch)


def test_every_step_writes_new_rows_once_and_recalled_ones_never() -> None:
    """Two epochs over 10 rows: the reservoir saw 10, however many it recalled."""
    learner = linear(methods.ER(capacity=6))
    for batch in (rows(0, 5), rows(1, 5), rows(0, 5).seen(), rows(1, 5).seen()):
        learner.observe(batch)
    assert 10 == learner.methods[0].memory.seen


def test_boundaries_write_the_rows_of_the_task_and_steps_nothing() -> None:
    """Balanced with a quota of 3 a class: empty until the first task ends, 6 rows after it."""
    learner = linear(methods.ER(100, policy="balanced", write="boundary", quota=3))
    learner.observe(rows(0, 20))
    memory = learner.methods[0].memory
    assert 0 == len(memory)
    learner.consolidate(rows(0, 20) + rows(1, 20))
    assert {0: 3, 1: 3} == memory.group_counts()
    with pytest.raises(InvalidValue, match="needs the rows of the task"):
        learner.consolidate()


def test_images_are_remembered_as_they_came() -> None:
    """uint8 in, uint8 kept, although the model is fed floats."""
    learner = linear(methods.ER(capacity=6))
    learner.observe(Batch(torch.full((2, 3), 255, dtype=torch.uint8), torch.tensor([0, 1])))
    held = learner.methods[0].memory.rows()
    assert torch.uint8 == held.x.dtype
    assert {255} == {*held.x.flatten().tolist()}


def test_regression_targets_are_replayed() -> None:
    """A reservoir asks for no labels: mean squared error of two outputs."""
    learner = Learner(nn.Linear(3, 2), methods.ER(capacity=6), loss=F.mse_loss)
    for _ in range(2):
        step = learner.observe(Batch(torch.rand(4, 3), torch.rand(4, 2)))
    assert 8 == len(step.batch)
    assert not methods.ER().needs.labels


WRITERS = [
    methods.AGEM(12, write="step"),
    methods.BiC(12),
    methods.DER(12),
    methods.DERpp(12),
    methods.ER(12),
    methods.ERACE(12),
    methods.GEM(12),
    methods.MIR(12),
]


@pytest.mark.parametrize("method", WRITERS, ids=repr)
def test_a_memory_keeps_what_rows_of_a_generator_lack(method: Method) -> None:
    """An erasure finds rows by their ids, beside generated rows that have none as well."""
    learner = linear(methods.GenerativeReplay(hidden=8, latent=2), copy.deepcopy(method))
    for task in range(3):
        ids = torch.arange(4) + 4 * task
        batch = rows(task % 2, 4).with_extras(row=ids)
        learner.observe(replace(batch, task=torch.full((4,), task)))
        learner.consolidate()
    held = learner.methods[1].memory.rows()
    assert [*range(12)] == sorted(held.extras["row"].tolist())
    assert torch.equal(held.task, held.extras["row"] // 4)
    assert 12 == forget(learner, torch.arange(12))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"capacity": 0}, "capacity is 0"),
        ({"rows": 0}, "rows is 0"),
        ({"policy": "ring"}, "policy='ring'"),
        ({"write": "never"}, "write='never'"),
        ({"mix": 1.0}, "mix is 1.0"),
        ({"mix": "classes"}, "mix is 'classes'"),
        ({"policy": "herding"}, "write='boundary'"),
        ({"quota": 5}, "policy='balanced'"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_right_are_refused(settings, words) -> None:
    """Each with its value and what to do."""
    with pytest.raises(InvalidValue, match=words):
        methods.ER(**settings)


def test_what_it_needs_follows_from_its_settings() -> None:
    """The defaults need no boundaries; herding needs features and the task's rows."""
    free, herding = methods.ER().needs, VARIANTS["herding"]().needs
    assert (False, False, False) == (free.boundaries, free.data, free.features)
    assert (True, True, True) == (herding.boundaries, herding.data, herding.features)
    assert methods.ER(mix="tasks").needs.boundaries
    assert free.raw_rows


def test_it_is_combined_with_itself_by_nobody() -> None:
    """Two replays in one learner would share a name."""
    with pytest.raises(IllegalCombination, match="'er'"):
        linear(methods.ER(5), methods.ER(6))


def test_it_forgets_less_than_fine_tuning() -> None:
    """Two tasks of two classes: fine-tuning loses the first one whole, replay keeps most of it."""
    assert accuracy_on_first_task() < 0.05
    assert accuracy_on_first_task(methods.ER(capacity=80, mix=0.8)) > 0.8
    assert accuracy_on_first_task(methods.ER(40, write="boundary", mix="tasks")) > 0.8


def accuracy_on_first_task(*used: methods.ER) -> float:
    """After two tasks of the toy world of `perdure.testing`, ten passes each."""
    learner = testing.toy_learner(lambda: list(used))
    events = testing.toy_events(lambda: list(used))[:18]
    for kind, what in events:
        if kind == "consolidate":
            learner.consolidate(what)
        else:
            learner.observe(what)
            for _ in range(9):
                learner.observe(what.seen())
    first = events[8][1]
    return float((learner.predict(first.x).argmax(1) == first.y).float().mean())


def linear(*used: methods.ER) -> Learner:
    return Learner(nn.Linear(3, 2, bias=False), *used)


def zero(learner: Learner) -> None:
    nn.init.zeros_(learner.model.weight)


def rows(label: int, count: int) -> Batch:
    return Batch(torch.rand(count, 3), torch.full((count,), label))
