"""Shifting: classes come a few at a time, then the same classes come in other conditions."""

from __future__ import annotations

from dataclasses import replace

from perdure.streams import Data, Rows, Stream, Task, corrupted, split

SHIFTS = ("noise", "inversion")


def shifting(data: Data, tasks: int, seed: int, order: tuple[int, ...] | None = None) -> Stream:
    """A split by class in one growing label space, then every class again under each shift.

    So a learner must first gain classes and then follow its inputs, as a deployed one has to.

    Args:
        data: images with classes.
        tasks: how many tasks the classes are split into, before the shifts.
        seed: of the order of the classes, and of the noise.
        order: of the classes; None shuffles them by `seed`.
    """
    classes = split(data, tasks, "class", order=order, seed=seed)
    shifts = corrupted(data, SHIFTS, "domain", severity=5, seed=seed)
    later = [_moved(task, len(classes) + i) for i, task in enumerate(shifts)]
    return replace(classes, name=f"shifting {data.name}", tasks=(*classes.tasks, *later))


def _moved(task: Task, place: int) -> Task:
    parts = [
        Rows(rows.x, rows.y, task=place, index=rows.index, transform=rows.transform)
        for rows in (task.train, task.test)
    ]
    return Task(place, task.name, parts[0], parts[1], classes=task.classes)
