"""Avalanche benchmarks: a stream of experiences beside a stream to measure on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from perdure.errors import InvalidValue
from perdure.scenario import Scenario
from perdure.streams.inputs import DatasetInputs
from perdure.streams.rows import Rows
from perdure.streams.stream import Stream, Task, scenario_named


def avalanche(benchmark: Any, scenario: Scenario | str = "class", *, workers: int = 0) -> Stream:
    """The experiences of an Avalanche benchmark as tasks, read when their rows are drawn.

    What an experience's data set applies to an input, as its transforms, is applied here as well.
    A single test experience is shared out: each task is measured on its classes.

    Args:
        benchmark: has `train_stream` and `test_stream`, as `avalanche.benchmarks` makes them.
        scenario: `task`, where labels become those within each task; `domain`, `class` or `free`.
        workers: processes that read ahead while a learner learns.

    Raises:
        InvalidValue: the two streams have different lengths.
    """
    scenario = scenario_named(scenario)
    train, test = list(benchmark.train_stream), list(benchmark.test_stream)
    if len(test) not in {1, len(train)}:
        raise InvalidValue(
            f"the benchmark has {len(train)} training and {len(test)} test experiences; it needs "
            "as many, or one to be shared out by class"
        )
    made = []
    for t, experience in enumerate(train):
        classes = tuple(sorted(map(int, experience.classes_in_this_experience)))
        shown = test[t] if len(test) == len(train) else test[0]
        parts = [
            _rows(experience.dataset, scenario, t, classes, workers),
            _rows(shown.dataset, scenario, t, classes, workers),
        ]
        made.append(Task(t, f"experience {t}", parts[0], parts[1], classes=classes))
    known = {c for task in made for c in task.classes}
    within = scenario is Scenario.TASK
    outputs = max(len(task.classes) for task in made) if within else 1 + max(known)
    name = getattr(benchmark, "name", None) or type(benchmark).__name__
    return Stream(f"avalanche {name}", scenario, tuple(made), outputs)


def _rows(
    dataset: Any, scenario: Scenario, task: int, classes: tuple[int, ...], workers: int
) -> Rows:
    """Those rows of a data set that belong to the task's classes."""
    y = torch.as_tensor(list(dataset.targets)).long()
    wanted = torch.tensor(classes)
    index = torch.isin(y, wanted).nonzero().flatten()
    id_ = None if scenario is Scenario.FREE else task
    labels = _within(y, wanted) if scenario is Scenario.TASK else y
    return Rows(DatasetInputs(dataset, workers), labels, task=id_, index=index)


def _within(y: Tensor, classes: Tensor) -> Tensor:
    """Labels as places among the classes, which are ascending; what is none of them is out."""
    return torch.searchsorted(classes, y).clamp(max=len(classes) - 1)
