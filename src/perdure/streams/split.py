"""Split: each task has some of the classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from perdure.errors import InvalidValue
from perdure.scenario import Scenario
from perdure.streams.data import as_data
from perdure.streams.dataset import Data
from perdure.streams.draws import seeded
from perdure.streams.rows import Rows
from perdure.streams.stream import Stream, Task, scenario_named


def split(
    dataset: str | Data,
    tasks: int | Sequence[int] = 5,
    scenario: Scenario | str = "class",
    *,
    order: Sequence[int] | None = None,
    seed: int = 0,
) -> Stream:
    """Tasks that each have some of the classes, as in Split MNIST.

    In `class` and `free` labels are the data set's own. In `task` and `domain` they count from 0
    within each task, in the order given: the first class of every task is 0, and so on.

    Source: van de Ven, Tuytelaars & Tolias 2022, table 2.

    Args:
        dataset: a name that `load` knows, or the data.
        tasks: how many, of equal size; or the number of classes of each, such as (50, 10, 10).
        scenario: `task`, `domain`, `class` or `free`.
        order: ids of the classes in the order in which they come, such as [3, 1, 5, 6]; classes
            left out are in no task. None shuffles all of them by `seed`; range(10) does not.
        seed: of the order.

    Raises:
        InvalidValue: classes unknown or named twice, or a number of them that does not divide.
        Impossible: the data set is a regression.
    """
    data, scenario = as_data(dataset), scenario_named(scenario)
    data.need_classes("splitting by class")
    if order is None:
        order = torch.randperm(len(data.classes), generator=seeded(seed, "split")).tolist()
    groups = _groups(_checked(data, order), tasks)
    within = scenario in (Scenario.TASK, Scenario.DOMAIN)
    if scenario is Scenario.DOMAIN and len({len(group) for group in groups}) > 1:
        raise InvalidValue(
            f"tasks have {[len(group) for group in groups]} classes; scenario 'domain' shares the "
            "outputs, so each task needs as many; use 'task' or 'class'"
        )
    train_y, test_y = data.train_y, data.test_y
    if within:
        place = torch.zeros(len(data.classes), dtype=torch.int64)
        for group in groups:
            place[torch.tensor(group)] = torch.arange(len(group))
        train_y, test_y = (place.to(y.device)[y] for y in (train_y, test_y))
    made = []
    for t, group in enumerate(groups):
        id_ = None if scenario is Scenario.FREE else t
        parts = [
            Rows(x, y, task=id_, index=torch.isin(own.cpu(), torch.tensor(group)).nonzero()[:, 0])
            for x, y, own in (
                (data.train_x, train_y, data.train_y),
                (data.test_x, test_y, data.test_y),
            )
        ]
        name = "+".join(data.classes[c] for c in group)
        made.append(Task(t, name, parts[0], parts[1], classes=group))
    outputs = max(map(len, groups)) if within else len(data.classes)
    return Stream(f"split {data.name}", scenario, tuple(made), outputs)


def _checked(data: Data, order: Sequence[int]) -> list[int]:
    order = [int(c) for c in order]
    unknown = [c for c in order if not 0 <= c < len(data.classes)]
    if unknown or len(set(order)) < len(order):
        raise InvalidValue(
            f"order is {order}; it must name classes of {data.name}, "
            f"0 to {len(data.classes) - 1}, each at most once"
        )
    return order


def _groups(order: list[int], tasks: int | Sequence[int]) -> list[tuple[int, ...]]:
    if isinstance(tasks, int):
        if tasks < 1 or len(order) % tasks:
            fitting = [str(n) for n in range(1, len(order) + 1) if not len(order) % n]
            raise InvalidValue(
                f"{len(order)} classes do not divide into {tasks} tasks, but into "
                f"{', '.join(fitting)}; in Python the number of classes of each task may be given "
                "too, as tasks=(4, 3, 3)"
            )
        tasks = [len(order) // tasks] * tasks
    if min(tasks, default=0) < 1 or sum(tasks) != len(order):
        raise InvalidValue(
            f"tasks of {list(tasks)} classes need {sum(tasks)}, each at least one; "
            f"there are {len(order)}"
        )
    ends = torch.tensor(tasks).cumsum(0).tolist()
    return [tuple(order[end - size : end]) for end, size in zip(ends, tasks, strict=True)]
