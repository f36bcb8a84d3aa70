"""Streams whose tasks show the same rows, each in its own way."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.errors import Impossible
from perdure.scenario import Scenario
from perdure.streams.dataset import Data
from perdure.streams.rows import Rows, Transform
from perdure.streams.stream import Stream, Task


def views(
    data: Data,
    kind: str,
    scenario: Scenario,
    changes: Sequence[tuple[str, Transform | None]],
    *,
    distinct: bool = False,
) -> Stream:
    """One task for each change of the inputs.

    Args:
        data: what every task shows.
        kind: "permuted", "rotated", ...: the stream's name.
        scenario: `task` and `domain` keep the labels; `class` gives task t labels t*k to (t+1)*k-1.
        changes: the name and the transform of each task; None shows the rows as they are.
        distinct: a class seen through another change may count as a class of its own.

    Raises:
        Impossible: `class` is asked for where the classes are not distinct, or of a regression.
    """
    shift = 0
    if scenario is Scenario.CLASS:
        if not distinct:
            raise Impossible(
                f"{kind} tasks share their classes, so none brings new ones; "
                "use scenario 'domain', 'task' or 'free', or split the classes with split(...)"
            )
        data.need_classes("scenario 'class'")
        shift = len(data.classes)
    tasks = []
    for t, (name, change) in enumerate(changes):
        id_ = None if scenario is Scenario.FREE else t
        train_y, test_y = data.train_y, data.test_y
        if shift:
            train_y, test_y = train_y + t * shift, test_y + t * shift
        train = Rows(data.train_x, train_y, task=id_, transform=change)
        test = Rows(data.test_x, test_y, task=id_, transform=change)
        classes = tuple(range(t * shift, t * shift + len(data.classes)))
        tasks.append(Task(t, name, train, test, classes=classes))
    outputs = data.outputs * (len(tasks) if shift else 1)
    return Stream(f"{kind} {data.name}", scenario, tuple(tasks), outputs)
