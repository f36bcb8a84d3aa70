"""Gradient projection memory: steps beside the inputs of past tasks."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import InvalidValue

SGD = partial(torch.optim.SGD, lr=0.1)
OPTIMISERS = {
    "sgd": SGD,
    "momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": partial(torch.optim.Adam, lr=0.01),
}


def rows(task: int, size: int = 20, image: bool = False) -> Batch:
    """Two classes a task, inputs of each task in a plane of their own."""
    generator = torch.Generator().manual_seed(task)
    y = torch.arange(size) % 2
    plane = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(9))).Q
    x = torch.randn(size, 2, generator=generator) + 2 * y[:, None]
    x = x @ plane[:, 2 * task : 2 * task + 2].T
    return Batch(x.view(size, 3, 2, 2) if image else x, y, task)


def test_a_number_by_hand() -> None:
    """Past inputs lie along (1, 0) and, with the bias's 1, along (1, 0, 1) / sqrt 2 alone.

    A gradient (a, b, c) loses half of a + c from each of the two: (4, 5, 2) becomes (1, 5, -1).
    """
    learner = Learner(nn.Linear(2, 1), methods.GPM(energy=1.0), optimizer=SGD)
    learner.consolidate(Batch(torch.tensor([[1.0, 0.0]]), torch.tensor([0])))
    grads = {"weight": torch.tensor([[4.0, 5.0]]), "bias": torch.tensor([2.0])}
    step = learner.observe(Batch(torch.zeros(1, 2), torch.tensor([0])))
    found = learner.methods[0].project(step, grads)
    torch.testing.assert_close(found["weight"], torch.tensor([[1.0, 5.0]]))
    torch.testing.assert_close(found["bias"], torch.tensor([-1.0]))


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("image", [False, True], ids=["linear", "convolution"])
def test_answers_to_past_inputs_stay_under_any_optimiser(name: str, image: bool) -> None:
    """With all energy held, heads a task: equal to rounding, whatever momentum and decay do."""
    torch.manual_seed(0)
    backbone = nets.MLP(12, (40, 40))
    if image:
        backbone = nn.Sequential(nn.Conv2d(3, 40, 2), nn.ReLU(), nn.Flatten(), nn.Linear(40, 40))
    head = nets.MultiHead(40, dict.fromkeys(range(3), 2))
    gpm = methods.GPM(energy=1.0)
    learner = Learner(nets.Classifier(backbone, head), gpm, optimizer=OPTIMISERS[name])
    answers: list[torch.Tensor] = []
    for task in range(3):
        current = rows(task, 8, image)
        first = float(learner.observe(current).terms["loss"])
        for _ in range(30):
            last = float(learner.observe(current).terms["loss"])
        assert last < 0.6 * first
        learner.consolidate(current)
        answers.append(learner.predict(current.x, task)[:, :2])
        for old, expected in enumerate(answers):
            found = learner.predict(rows(old, 8, image).x, old)[:, :2]
            torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)


def test_the_first_task_is_learned_as_without_it() -> None:
    """Bit for bit, normalisation included."""
    models = []
    for added in ([], [methods.GPM()]):
        torch.manual_seed(0)
        backbone = nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU())
        model = nets.Classifier(backbone, nets.FixedHead(8, 2))
        learner = Learner(model, *added, optimizer=OPTIMISERS["momentum"])
        for _ in range(5):
            learner.observe(rows(0))
        models.append(model.state_dict())
    testing.assert_same_state(*models, "in the first task")


def test_normalisation_stays_as_the_first_task_left_it() -> None:
    """Its weights, and its running statistics, also after a question has been asked."""
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(8)
    backbone = nn.Sequential(nn.Linear(12, 8), norm, nn.ReLU())
    model = nets.Classifier(backbone, nets.MultiHead(8, {0: 2, 1: 2}))
    learner = Learner(model, methods.GPM(), optimizer=OPTIMISERS["momentum"])
    for _ in range(5):
        learner.observe(rows(0))
    learner.consolidate(rows(0))
    held = {name: value.clone() for name, value in norm.state_dict().items()}
    for _ in range(3):
        learner.observe(rows(1))
        learner.predict(rows(1).x, 1)
    testing.assert_same_state(held, dict(norm.state_dict()), "normalisation")


def test_the_energy_rises_with_the_tasks() -> None:
    """A task that is held at 0.6 in the first place is held whole where `rise` reaches 1."""
    generator = torch.Generator().manual_seed(0)
    rows = Batch(torch.randn(50, 6, generator=generator), torch.arange(50) % 2)
    learner = Learner(nn.Linear(6, 2, bias=False), methods.GPM(energy=0.6, rise=0.5))
    sizes = []
    for _ in range(2):
        learner.consolidate(rows)
        sizes.append(learner.methods[0].bases[""].shape[1])
    assert 2 <= sizes[0] < 6
    assert sizes[1] == 6


def test_so_many_rows_stand_for_a_task() -> None:
    """Ten random rows in 30 dimensions span ten of them."""
    generator = torch.Generator().manual_seed(0)
    rows = Batch(torch.randn(50, 30, generator=generator), torch.arange(50) % 2)
    learner = Learner(nn.Linear(30, 2), methods.GPM(energy=1.0, rows=10))
    learner.consolidate(rows[:25] + rows[25:])
    assert learner.methods[0].bases[""].shape == (31, 10)


def test_it_forgets_next_to_nothing_where_naive_does() -> None:
    """Three tasks that share a network and their outputs, inputs of each in its own plane."""
    accuracy = {}
    for name, added in (("naive", []), ("gpm", [methods.GPM(energy=0.999)])):
        torch.manual_seed(0)
        model = nets.Classifier(
            nets.MLP(12, (40, 40)), nets.MultiHead(40, dict.fromkeys(range(3), 2))
        )
        learner = Learner(model, *added, optimizer=SGD)
        drops = []
        for task in range(3):
            current = Batch(rows(task).x, rows(task).y.roll(task), task)
            for _ in range(80):
                learner.observe(current)
            learner.consolidate(current)
            if task == 0:
                before = learner.predict(current.x, 0)
        after = learner.predict(rows(0).x, 0)
        drops.append(float((before - after)[:, :2].abs().max()))
        accuracy[name] = drops[0]
    assert accuracy["gpm"] < 0.2 * accuracy["naive"]


@pytest.mark.parametrize("settings", [{"energy": 1.1}, {"rise": -0.1}, {"rows": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    """At construction."""
    with pytest.raises(InvalidValue, match="GPM"):
        methods.GPM(**settings)


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream, its bases with it."""
    testing.check_resume_is_exact(methods.GPM)
