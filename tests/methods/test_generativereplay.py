"""Generative replay: what is generated when, its labels, its share of the loss; no rows kept."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import InvalidValue


def replay(rows: int | None = None) -> methods.GenerativeReplay:
    return methods.GenerativeReplay(rows, hidden=32, latent=4, lr=1e-2)


def rows(label: int, count: int, seed: int = 0) -> Batch:
    """Rows around a corner of the unit cube, one for each label."""
    noise = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)) / 10
    return Batch(noise + 2 * F.one_hot(torch.tensor(label), 3), torch.full((count,), label))


def learner_of(*used: methods.GenerativeReplay, lr: float = 0.05) -> Learner:
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(3, (16,)), nets.FixedHead(16, 3))
    return Learner(model, *used, optimizer=partial(torch.optim.SGD, lr=lr))


def test_nothing_is_generated_in_the_first_task() -> None:
    """There is no past."""
    learner = learner_of(replay())
    for _ in range(3):
        assert 4 == len(learner.observe(rows(0, 4)).batch)


@pytest.mark.parametrize(("task", "generated"), [(2, 4), (3, 7), (5, 1)])
def test_the_present_weighs_one_of_k_tasks(task: int, generated: int) -> None:
    """1/k * mean incoming + (1 - 1/k) * mean generated, recomputed from torch's loss."""
    learner = learner_of(replay(generated), lr=0.0)
    for _ in range(task - 1):
        learner.observe(rows(0, 4))
        learner.consolidate()
    step = learner.observe(rows(1, 4))
    assert 4 + generated == len(step.batch)
    each = F.cross_entropy(learner.predict(step.batch.x), step.batch.y, reduction="none")
    expected = each[:4].mean() / task + (1 - 1 / task) * each[4:].mean()
    torch.testing.assert_close(expected, step.terms["loss"])


def test_labels_are_those_of_the_model_as_the_last_task_left_it() -> None:
    """Not of the model of now: after it was changed, the old one's argmax still labels."""
    learner = learner_of(replay(50))
    for seed in range(20):
        learner.observe(rows(seed % 2, 8, seed))
    learner.consolidate()
    with torch.no_grad():
        old = [p.clone() for p in learner.model.parameters()]
        learner.model.head.bias += torch.tensor([0.0, 0.0, 100.0])
    part = learner.observe(rows(2, 4)).batch[4:]
    for p, held in zip(learner.model.parameters(), old, strict=True):
        p.data.copy_(held)
    assert torch.equal(learner.predict(part.x).argmax(1), part.y)
    assert 2 not in part.y


def test_the_generator_learns_the_same_rows_in_the_same_shares() -> None:
    """Incoming and generated, at the weights that they have in the loss."""
    seen: list[tuple[Tensor, Tensor]] = []

    class Watched(nets.GenerativeMemory):
        def learn(self, x, weight, average) -> None:
            seen.append((x, weight))
            super().learn(x, weight, average)

    method = replay(6)
    method.memory = Watched((32,), 4, 1e-2)
    learner = learner_of(method)
    learner.observe(rows(0, 4))
    learner.consolidate()
    learner.consolidate()
    step = learner.observe(rows(1, 4))
    (_, first), (x, weight) = seen
    assert torch.equal(torch.ones(4), first)
    assert torch.equal(step.batch.x, x)
    assert torch.equal(torch.tensor([1.0] * 4 + [2 * 4 / 6] * 6), weight)


def test_with_task_ids_each_generated_row_belongs_to_a_past_task() -> None:
    """And its label to that task's head."""
    learner = Learner(
        nets.Classifier(nets.MLP(3, (8,)), nets.MultiHead(8, {0: [0, 1], 1: [0, 1], 2: [2]})),
        replay(60),
    )
    for task, label in ((0, 0), (1, 1), (2, 2)):
        batch = rows(label, 6)
        step = learner.observe(Batch(batch.x, batch.y, task))
        learner.consolidate()
    made = step.batch[6:]
    assert {0, 1} == {*made.task.tolist()}
    assert {*made.y.tolist()} <= {0, 1}


def test_images_are_generated_as_bytes() -> None:
    """uint8 in, uint8 beside them, so that the learner prepares both alike."""
    learner = Learner(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), replay())
    x = torch.randint(256, (6, 1, 2, 2), dtype=torch.uint8)
    for _ in range(2):
        step = learner.observe(Batch(x, torch.arange(6) % 2))
        learner.consolidate()
    assert torch.uint8 == step.batch.x.dtype
    assert step.inputs.max() <= 1


def test_no_row_is_in_its_state() -> None:
    """No tensor in it has any row of the stream as part of it, nor its size."""
    method = replay()
    learner = learner_of(method)
    x = torch.rand(64, 3) + 10
    learner.observe(Batch(x, torch.arange(64) % 2))
    learner.consolidate()
    learner.observe(Batch(x, torch.arange(64) % 2))
    held = torch.cat([t.flatten() for t in flat(method.state_dict()) if t.is_floating_point()])
    assert not torch.isin(held, x.flatten()).any()
    assert not method.needs.raw_rows


def flat(state: object) -> list[Tensor]:
    """The tensors of a nested state."""
    if isinstance(state, dict):
        return [tensor for held in state.values() for tensor in flat(held)]
    return [state] if isinstance(state, Tensor) else []


def test_it_forgets_less_than_fine_tuning() -> None:
    """Two tasks of two classes: fine-tuning loses the first one whole, replay keeps most of it."""
    assert accuracy_on_first_task() < 0.05
    assert accuracy_on_first_task(replay()) > 0.6


def accuracy_on_first_task(*used: methods.GenerativeReplay) -> float:
    """After two tasks of the toy world of `perdure.testing`, forty passes each."""
    learner = testing.toy_learner(lambda: list(used))
    events = testing.toy_events(lambda: list(used))[:18]
    for kind, what in events:
        if kind == "consolidate":
            learner.consolidate(what)
        else:
            for _ in range(20):
                learner.observe(what)
    first = events[8][1]
    return float((learner.predict(first.x).argmax(1) == first.y).float().mean())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rows": 0}, "rows"),
        ({"hidden": 0}, "hidden"),
        ({"latent": 0}, "latent"),
        ({"lr": 0.0}, "lr"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings: dict, words: str) -> None:
    """At construction."""
    with pytest.raises(InvalidValue, match=words):
        methods.GenerativeReplay(**settings)


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream."""
    testing.check_resume_is_exact(replay)
