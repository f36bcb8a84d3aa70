"""PackNet: nothing that a task owns ever moves, whatever optimiser learns the next ones."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import InvalidValue

OPTIMISERS = {
    "sgd": partial(torch.optim.SGD, lr=0.1),
    "momentum and decay": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adam": partial(torch.optim.Adam, lr=0.01),
    "adamw": partial(torch.optim.AdamW, lr=0.01, weight_decay=0.5),
}


@pytest.mark.parametrize("optimizer", OPTIMISERS.values(), ids=OPTIMISERS)
def test_old_tasks_answer_bit_for_bit_as_before(optimizer) -> None:
    """After each of four tasks, every earlier task's outputs are the bytes that they were."""
    learner = a_learner(methods.PackNet(tasks=4), optimizer=optimizer)
    answers: list[torch.Tensor] = []
    for task in range(4):
        learn(learner, a_task(task))
        for old, answer in enumerate(answers):
            assert torch.equal(answer, learner.predict(questions(), old))
        answers.append(learner.predict(questions(), task))


@pytest.mark.parametrize("optimizer", OPTIMISERS.values(), ids=OPTIMISERS)
def test_owned_weights_and_first_biases_never_move(optimizer) -> None:
    """Neither gradients nor momentum nor weight decay reach them, at any update of a later task."""
    learner = a_learner(methods.PackNet(prune=0.5), optimizer=optimizer)
    learn(learner, a_task(0))
    (packnet,) = learner.methods
    mine = {name: table == 1 for name, table in packnet.owner.items()}
    before = {name: p.detach().clone() for name, p in learner.params.items()}
    for batch in batches(a_task(1)):
        learner.observe(batch)
        for name, mask in mine.items():
            assert torch.equal(before[name][mask], learner.params[name][mask])
    free = {name: ~mask for name, mask in mine.items()}
    assert all((before[n][m] != learner.params[n][m]).any() for n, m in free.items())
    biases = [name for name in before if name.endswith("bias") and "backbone" in name]
    assert len(biases) == 2
    assert all(torch.equal(before[name], learner.params[name]) for name in biases)


def test_pruned_weights_stay_zero_while_the_kept_ones_retrain() -> None:
    """After a boundary what is free is exactly zero, and the kept half has moved on."""
    trained = a_learner(methods.PackNet(retrain=0.0))
    retrained = a_learner(methods.PackNet(retrain=1.0))
    for learner in (trained, retrained):
        learn(learner, a_task(0))
        (packnet,) = learner.methods
        for name, table in packnet.owner.items():
            assert (learner.params[name][table == 0] == 0).all()
            assert 0.45 < (table == 1).float().mean() < 0.55
    name = "backbone.layers.0.weight"
    assert not torch.equal(trained.params[name], retrained.params[name])
    assert retrained.updates == 2 * trained.updates


def test_a_task_in_progress_is_answered_by_the_network_as_it_stands() -> None:
    """Before its boundary a task owns nothing, so nothing is masked."""
    learner = a_learner(methods.PackNet(tasks=2))
    learn(learner, a_task(0))
    for batch in batches(a_task(1)):
        learner.observe(batch)
    task = torch.ones(len(questions()), dtype=torch.int64)
    learner.model.eval()
    assert torch.equal(learner.predict(questions(), 1), learner.model(questions(), task))


def test_rows_of_several_tasks_are_answered_each_by_its_own() -> None:
    """A question that mixes tasks gets what each would have got alone."""
    learner = a_learner(methods.PackNet(tasks=3))
    for task in range(3):
        learn(learner, a_task(task))
    x, task = questions(), torch.tensor([0, 1, 2, 0, 1])
    alone = [learner.predict(x[row : row + 1], int(t)) for row, t in enumerate(task)]
    assert torch.allclose(torch.cat(alone), learner.predict(x, task), atol=1e-6)


def test_the_heads_of_other_tasks_are_neither_pruned_nor_moved() -> None:
    """What a head has for one task is in nobody's table, and later tasks leave it alone."""
    learner = a_learner(methods.PackNet(tasks=2), optimizer=OPTIMISERS["adamw"])
    learn(learner, a_task(0))
    head = [p.detach().clone() for p in learner.model.head.by_task()[0]]
    learn(learner, a_task(1))
    assert not any("head" in name for name in learner.methods[0].owner)
    assert all(
        torch.equal(a, b) for a, b in zip(head, learner.model.head.by_task()[0], strict=True)
    )


def test_normalisation_is_the_first_tasks_for_good() -> None:
    """Running statistics stop at the first boundary, also through updates after a prediction."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU())
    model = nets.Classifier(backbone, nets.MultiHead(16, dict.fromkeys(range(2), 2)))
    learner = Learner(model, methods.PackNet(tasks=2), optimizer=OPTIMISERS["momentum and decay"])
    learn(learner, a_task(0))
    before = {name: held.clone() for name, held in backbone[1].state_dict().items()}
    answer = learner.predict(questions(), 0)
    learn(learner, a_task(1))
    after = backbone[1].state_dict()
    assert all(torch.equal(held, after[name]) for name, held in before.items())
    assert torch.equal(answer, learner.predict(questions(), 0))


def test_each_task_is_learned() -> None:
    """Five tasks of two clouds share 32 hidden units, and all are answered nearly without error."""
    learner = a_learner(methods.PackNet(tasks=5), optimizer=partial(torch.optim.Adam, lr=0.01))
    for task in range(5):
        learn(learner, a_task(task), epochs=10)
    rows = [a_task(task) for task in range(5)]
    right = [(learner.predict(r.x, t).argmax(1) == r.y).float().mean() for t, r in enumerate(rows)]
    assert min(right) > 0.95


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (Batch(torch.zeros(2, 6), torch.tensor([0, 1]), task=torch.tensor([1, 2])), r"\[1, 2\]"),
        (Batch(torch.zeros(2, 6), torch.tensor([0, 1]), task=0), r"\[0\] after \[0\]"),
    ],
    ids=["two tasks at once", "a task that returns"],
)
def test_tasks_that_do_not_come_one_after_another_are_refused(batch, words) -> None:
    """The message names the tasks of the batch and those before."""
    learner = a_learner(methods.PackNet())
    learn(learner, a_task(0))
    with pytest.raises(InvalidValue, match=words):
        learner.observe(batch)


def test_a_second_task_before_the_boundary_is_refused() -> None:
    """The weights of the first must be packed before the next one may use the rest."""
    learner = a_learner(methods.PackNet())
    learner.observe(a_task(0))
    with pytest.raises(InvalidValue, match=r"consolidate\(data\)"):
        learner.observe(a_task(1))


def test_more_tasks_than_planned_are_refused_at_their_first_batch() -> None:
    """Every weight is owned by then."""
    learner = a_learner(methods.PackNet(tasks=2))
    for task in range(2):
        learn(learner, a_task(task))
    with pytest.raises(InvalidValue, match="no more than planned"):
        learner.observe(a_task(2))


def test_a_question_without_its_task_is_refused() -> None:
    """On a model that takes no task ids, where nobody else would notice."""
    learner = Learner(nn.Linear(6, 2), methods.PackNet())
    learn(learner, a_task(0))
    with pytest.raises(InvalidValue, match="task="):
        learner.predict(questions())


@pytest.mark.parametrize(
    "wrong", [{"tasks": 0}, {"tasks": 256}, {"prune": 1.1}, {"prune": -0.1}, {"retrain": -1.0}]
)
def test_an_argument_out_of_range_is_refused(wrong) -> None:
    """By name."""
    with pytest.raises(InvalidValue, match=next(iter(wrong))):
        methods.PackNet(**wrong)


@pytest.mark.parametrize("settings", [{"tasks": testing.TASKS}, {"prune": 0.3, "retrain": 2.0}])
def test_it_resumes_exactly(settings) -> None:
    """Owners, held values and the order of tasks are state."""
    testing.check_resume_is_exact(lambda: methods.PackNet(**settings))


def a_learner(packnet: methods.PackNet, optimizer=OPTIMISERS["sgd"]) -> Learner:
    """Five heads of two outputs over a small network."""
    torch.manual_seed(1)
    head = nets.MultiHead(32, dict.fromkeys(range(5), 2))
    return Learner(nets.Classifier(nets.MLP(6, (32, 32)), head), packnet, optimizer=optimizer)


def a_task(task: int) -> Batch:
    """Two clouds of 40 points in six dimensions, placed anew for each task."""
    generator = torch.Generator().manual_seed(100 + task)
    centres = 2 * torch.randn(2, 6, generator=generator)
    y = torch.arange(80) % 2
    return Batch(centres[y] + 0.5 * torch.randn(80, 6, generator=generator), y, task=task)


def batches(rows: Batch, epochs: int = 2) -> list[Batch]:
    each = [rows[start : start + 16] for start in range(0, len(rows), 16)]
    return each + [batch.seen() for _ in range(epochs - 1) for batch in each]


def learn(learner: Learner, rows: Batch, epochs: int = 2) -> None:
    """The batches of a task, a prediction among them, and its boundary."""
    for batch in batches(rows, epochs):
        learner.observe(batch)
    learner.model.eval()
    learner.consolidate(rows)


def questions() -> torch.Tensor:
    return torch.randn(5, 6, generator=torch.Generator().manual_seed(9))
