"""Progressive networks: a later task changes no byte of an earlier one."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import Impossible

OPTIMISERS = {
    "momentum and decay": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adam": partial(torch.optim.Adam, lr=0.01),
}


@pytest.mark.parametrize("optimizer", OPTIMISERS.values(), ids=OPTIMISERS)
def test_forgetting_is_exactly_zero(optimizer) -> None:
    """Outputs and parameters of every earlier task are the bytes that they were."""
    learner = a_learner(optimizer)
    answers, columns = [], []
    for task in range(3):
        for _ in range(5):
            learner.observe(a_task(task))
        learner.consolidate(a_task(task))
        column = learner.model.by_task()[task]
        answers.append(learner.predict(questions(), task))
        columns.append([p.detach().clone() for p in column])
    for task in range(3):
        assert (
            answers[task].numpy().tobytes() == learner.predict(questions(), task).numpy().tobytes()
        )
        now = learner.model.by_task()[task]
        assert all(torch.equal(old, new) for old, new in zip(columns[task], now, strict=True))


def test_later_tasks_are_learned() -> None:
    """The newest column learns, with the frozen ones beneath it."""
    learner = a_learner(OPTIMISERS["adam"])
    for task in range(3):
        for _ in range(30):
            learner.observe(a_task(task))
    rows = [a_task(task) for task in range(3)]
    right = [(learner.predict(r.x, t).argmax(1) == r.y).float().mean() for t, r in enumerate(rows)]
    assert min(right) > 0.95


@pytest.mark.parametrize(
    "model", [nn.Linear(6, 2), nets.Classifier(nets.MLP(6), nets.FixedHead(400, 2))]
)
def test_a_model_without_columns_is_refused_at_the_first_batch(model) -> None:
    """The message names the model and what to give instead."""
    learner = Learner(model, methods.Progressive())
    with pytest.raises(Impossible, match=f"{type(model).__name__} has none.*ProgressiveNet"):
        learner.observe(a_task(0))


def test_columns_inside_another_module_are_found() -> None:
    """Such as behind a layer that normalises the inputs."""

    class Wrapped(nn.Module):
        takes_task = True

        def __init__(self):
            super().__init__()
            self.net = nets.ProgressiveNet(6, (8, 8), 2)
            self.net.add_column(0)

        def forward(self, x, task):
            return self.net(x / 2, task)

    learner = Learner(Wrapped(), methods.Progressive())
    assert learner.observe(a_task(0)).outputs.shape == (20, 2)


def test_it_declares_what_it_needs_and_keeps_nothing() -> None:
    """A stream without task ids at inference can be refused before the first batch."""
    needs = methods.Progressive().needs
    assert (needs.task_at_inference, needs.task_in_training) == (True, True)
    assert needs.architecture == "progressive"
    assert methods.Progressive.keeps == ()


def test_its_state_is_plain() -> None:
    """Columns and their plan read back from a file as they were written."""
    testing.check_state_is_plain(methods.Progressive)


def a_learner(optimizer) -> Learner:
    torch.manual_seed(0)
    net = nets.ProgressiveNet(6, (8, 8), 2)
    net.add_column(0)
    return Learner(net, methods.Progressive(), optimizer=optimizer)


def a_task(task: int) -> Batch:
    generator = torch.Generator().manual_seed(task)
    centres = 2 * torch.randn(2, 6, generator=generator)
    y = torch.arange(20) % 2
    return Batch(centres[y] + 0.5 * torch.randn(20, 6, generator=generator), y, task=task)


def questions() -> torch.Tensor:
    return torch.randn(5, 6, generator=torch.Generator().manual_seed(9))
