"""Learning without forgetting: the distance to what the model answered before the task."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, kl_divergence

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import InvalidValue

SGD = partial(torch.optim.SGD, lr=0.1)


def batch(labels: int = 4, task: int | None = None, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(12) % labels
    return Batch(torch.randn(12, 6, generator=generator), y, task)


def learner_of(head: nn.Module, **settings: object) -> Learner:
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(6, (8,)), head)
    return Learner(model, methods.LwF(**settings), optimizer=SGD)


def divergence(old: Tensor, new: Tensor, temperature: float = 2.0) -> Tensor:
    """KL(old || new) of tempered softmaxes, by torch's own distributions."""
    p, q = (Categorical(logits=out / temperature) for out in (old, new))
    return kl_divergence(p, q).mean()


def test_it_is_the_divergence_from_the_old_answers() -> None:
    """With fixed outputs all are compared; the third task weighs the past twice."""
    learner = learner_of(nets.FixedHead(8, 4))
    teacher = learner.model
    for task in range(3):
        current = batch(seed=task)
        if task:
            student = deepcopy(learner.model)
            expected = task * divergence(teacher(current.x), student(current.x))
            found = learner.observe(current).terms["lwf"]
            torch.testing.assert_close(found.detach(), expected.detach())
        for _ in range(5):
            learner.observe(current)
        learner.consolidate()
        teacher = deepcopy(learner.model).eval()


def test_its_gradient_is_that_of_the_cross_entropy_with_old_answers() -> None:
    """On a linear model at temperature 2, without a factor of its square: x^T (p - p_old) / 2 n."""
    learner = Learner(nn.Linear(6, 4), methods.LwF(strength=1.0), loss=no_loss, optimizer=SGD)
    current = batch()
    learner.observe(current)
    learner.consolidate()
    old = learner.model(current.x).detach()
    with torch.no_grad():
        learner.model.bias += torch.tensor([1.0, 0.0, 0.0, -1.0])
    before = learner.model.weight.detach().clone()
    gap = (learner.model(current.x).detach() / 2).softmax(1) - (old / 2).softmax(1)
    learner.observe(current)
    moved = (before - learner.model.weight.detach()) / 0.1
    torch.testing.assert_close(moved, gap.T @ current.x / 2 / 12)


def no_loss(outputs: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    return 0 * outputs.sum()


@pytest.mark.parametrize("classifier", [True, False], ids=["backbone once", "any model"])
def test_with_task_ids_every_old_head_answers_the_new_rows(classifier: bool) -> None:
    """The sum over old tasks of the divergence of their own outputs, as van de Ven's program."""

    class Wrapped(nn.Module):
        takes_task = True

        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor, task: Tensor) -> Tensor:
            return self.inner(x, task)

    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(6, (8,)), nets.MultiHead(8, {0: 2, 1: 2, 2: 2}))
    learner = Learner(model if classifier else Wrapped(model), methods.LwF(), optimizer=SGD)
    teacher = learner.model
    for task in range(3):
        current = batch(2, task)
        if task:
            student = deepcopy(learner.model)
            ids = [torch.full((12,), old) for old in range(task)]
            parts = [divergence(teacher(current.x, t), student(current.x, t)) for t in ids]
            found = learner.observe(current).terms["lwf"]
            torch.testing.assert_close(found.detach(), torch.stack(parts).sum().detach())
        for _ in range(5):
            learner.observe(current)
        learner.consolidate()
        teacher = deepcopy(learner.model).eval()


def test_heads_may_grow_with_their_tasks() -> None:
    """Labels of their own for each task: a head that the teacher did not know has no part."""
    learner = learner_of(nets.MultiHead(8))
    teacher = learner.model
    for task in range(3):
        rows = batch(2, task)
        current = Batch(rows.x, rows.y + 2 * task, rows.task)
        if task:
            old = [torch.full((12,), t) for t in range(task)]
            taught = [teacher(current.x, t)[:, 2 * i : 2 * i + 2] for i, t in enumerate(old)]
            student = deepcopy(learner.model)
            now = [student(current.x, t)[:, 2 * i : 2 * i + 2] for i, t in enumerate(old)]
            parts = [divergence(a, b) for a, b in zip(taught, now, strict=True)]
            found = learner.observe(current).terms["lwf"]
            torch.testing.assert_close(found.detach(), torch.stack(parts).sum().detach())
        for _ in range(5):
            learner.observe(current)
        learner.consolidate()
        teacher = deepcopy(learner.model).eval()


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)], ids=["in order", "out of order"])
def test_classes_that_came_later_are_free(order: tuple[int, ...]) -> None:
    """Both softmaxes run over the old classes, also where new columns stand between them."""
    learner = learner_of(nets.GrowingHead(8), strength=1.0)
    rows, (a, b, c, d) = batch(2), order
    learner.observe(Batch(rows.x, torch.where(rows.y == 0, a, b)))
    learner.consolidate()
    teacher = deepcopy(learner.model).eval()
    later = Batch(rows.x, torch.where(rows.y == 0, c, d))
    learner.observe(later)
    student = deepcopy(learner.model)
    found = learner.observe(later).terms["lwf"]
    expected = divergence(teacher(rows.x)[:, [a, b]], student(rows.x)[:, [a, b]])
    torch.testing.assert_close(found.detach(), expected.detach(), rtol=1e-4, atol=1e-7)


def test_only_rows_from_the_stream_are_asked() -> None:
    """Rows that a memory recalls beside them have no part in the term."""
    alone, mixed = learner_of(nets.FixedHead(8, 4)), learner_of(nets.FixedHead(8, 4))
    mixed = Learner(mixed.model, methods.LwF(), methods.ER(capacity=20), optimizer=SGD)
    for learner in (alone, mixed):
        learner.observe(batch())
        learner.consolidate(batch())
    mixed.model.load_state_dict(alone.model.state_dict())
    mixed.methods[0].teacher = alone.methods[0].teacher
    with torch.no_grad():
        for learner in (alone, mixed):
            learner.model.head.bias += torch.arange(4.0)
    first, second = (learner.observe(batch(seed=5)).terms["lwf"] for learner in (alone, mixed))
    torch.testing.assert_close(first.detach(), second.detach())


def test_the_teacher_answers_in_evaluation_mode() -> None:
    """Dropout and BatchNorm of the live model train on; those of the teacher do not."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))
    model = nets.Classifier(backbone, nets.MultiHead(8, {0: 2, 1: 2}))
    learner = Learner(model, methods.LwF(), optimizer=SGD)
    learner.observe(batch(2, 0))
    learner.consolidate()
    held = {name: t.clone() for name, t in learner.methods[0].teacher.items()}
    learner.observe(batch(2, 1))
    assert model.training
    assert all(module.training for module in model.modules())
    teacher = learner.methods[0].teacher
    assert all(torch.equal(held[name], t) for name, t in teacher.items())
    assert not torch.equal(backbone[1].running_mean, held["backbone.1.running_mean"])


@pytest.mark.parametrize(
    "settings", [{"strength": -1.0}, {"strength": "classes"}, {"temperature": 0.0}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    """At construction."""
    with pytest.raises(InvalidValue, match="LwF"):
        methods.LwF(**settings)


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream, its teacher with it."""
    testing.check_resume_is_exact(lambda: methods.LwF(strength=2.0))
