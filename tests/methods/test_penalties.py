"""What the methods that penalise are for: on a stream of tasks they forget less than nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from perdure import Batch, Learner, Method, methods, nets

TASKS, INPUTS = 4, 20
METHODS: dict[str, Callable[[], Method]] = {
    "ewc": lambda: methods.EWC(strength=300.0),
    "ewc, empirical": lambda: methods.EWC(strength=300.0, labels="true"),
    "ewc, sampled": lambda: methods.EWC(strength=300.0, labels="sampled"),
    "online-ewc": lambda: methods.OnlineEWC(strength=300.0, decay=0.9),
    "si": lambda: methods.SI(strength=10.0),
    "mas": lambda: methods.MAS(strength=0.1),
    "lwf": methods.LwF,
}


def tasks() -> list[tuple[Batch, Batch]]:
    """Binary tasks, each along another direction of the same inputs: rows to learn and to test."""
    generator = torch.Generator().manual_seed(3)
    made = []
    for task in range(TASKS):
        direction = torch.randn(INPUTS, generator=generator)
        parts = []
        for rows in (256, 400):
            x = torch.randn(rows, INPUTS, generator=generator)
            parts.append(Batch(x, (x @ direction > 0).long(), task))
        made.append((parts[0], parts[1]))
    return made


def accuracy_of_the_past(method: Method) -> tuple[float, float]:
    """Mean test accuracy over all tasks but the last, and on the last, after learning all."""
    torch.manual_seed(0)
    heads = nets.MultiHead(32, dict.fromkeys(range(TASKS), 2))
    model = nets.Classifier(nets.MLP(INPUTS, (32, 32)), heads)
    learner = Learner(model, method, optimizer=partial(torch.optim.Adam, lr=0.01))
    stream = tasks()
    for task, (train, _) in enumerate(stream):
        for epoch in range(8):
            order = torch.randperm(256, generator=torch.Generator().manual_seed(epoch + 9 * task))
            for rows in order.split(64):
                learner.observe(train[rows])
        learner.consolidate(train)
    scores = [
        float((learner.predict(test.x, task).argmax(1) == test.y).float().mean())
        for task, (_, test) in enumerate(stream)
    ]
    return sum(scores[:-1]) / (TASKS - 1), scores[-1]


@pytest.fixture(scope="module")
def naive() -> float:
    """What is left of the past without any method."""
    return accuracy_of_the_past(methods.Naive())[0]


@pytest.mark.parametrize("name", METHODS)
def test_a_penalty_keeps_more_of_the_past(name: str, naive: float) -> None:
    """At least 8 points above naive training on the past tasks, and the last one is learned."""
    past, last = accuracy_of_the_past(METHODS[name]())
    assert past > naive + 0.08
    assert last > 0.7
