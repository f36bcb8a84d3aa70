"""Processes that promote and look at once, and whether what they saw is possible."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from perdure.live.project import Project
from perdure.live.refusals import Conflict


@dataclass(frozen=True)
class Operation:
    """What somebody did, and saw.

    Args:
        kind: "look", "promote" or "rollback".
        began, ended: nanoseconds on a clock that all processes share.
        expected: the generation that a promotion was given; None for the others.
        generation: that came of it; None where it was refused.
        champion: that came of it, or that a refused promotion asked for.
    """

    kind: str
    began: int
    ended: int
    expected: int | None
    generation: int | None
    champion: int | None


def compete(directory: Path, processes: int, count: int) -> list[dict[str, Any]]:
    """Have processes promote and look, so many times each; all operations."""
    children = []
    for number in range(processes):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                found = _compete(directory, number, count)
                directory.with_name(f"history-{number}").write_text(
                    json.dumps([asdict(one) for one in found])
                )
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    if any(os.waitpid(child, 0)[1] for child in children):
        raise ChildProcessError("one of those who compete has failed")
    names = [directory.with_name(f"history-{number}") for number in range(processes)]
    return [one for name in names for one in json.loads(name.read_text())]


def _compete(directory: Path, number: int, count: int) -> list[Operation]:
    draw, found = random.Random(number), []  # noqa: S311
    with Project(directory) as project:
        versions = [held.version for held in project.registry.all()]
        for _ in range(count):
            began = time.monotonic_ns()
            generation, champion = look(project)
            found.append(Operation("look", began, time.monotonic_ns(), None, generation, champion))
            if number % 2:  # half of them only look
                continue
            target = draw.choice([version for version in versions if version != champion])
            time.sleep(draw.uniform(0, 0.002))  # a person thinks
            found.append(_promoted(project, target, generation))
    return found


def look(project: Project) -> tuple[int, int]:
    """Generation and champion, at one moment."""
    row = project.database.one(
        "SELECT value, (SELECT version FROM aliases WHERE name = 'champion') AS champion FROM meta"
        " WHERE key = 'generation'"
    )
    assert row is not None
    return int(row["value"]), int(row["champion"])


def _promoted(project: Project, target: int, generation: int) -> Operation:
    began = time.monotonic_ns()
    try:
        project.registry.promote(target, actor="me", reason="", if_generation=generation)
        after: int | None = generation + 1
    except Conflict:
        after = None
    return Operation("promote", began, time.monotonic_ns(), generation, after, target)


def impossible(history: Sequence[Operation], first: tuple[int, int]) -> list[str]:
    """Why no order of the operations explains what they saw, in sentences; empty where one does.

    Every success has a generation of its own, so that the order can only be that of generations:
    it must agree with time, and every look and every refusal must fit into it.

    Args:
        history: of all processes.
        first: generation and champion before.
    """
    wrong: list[str] = []
    made = [one for one in history if one.kind == "promote" and one.generation is not None]
    champions = dict([first])
    for one in sorted(made, key=lambda one: one.generation or 0):
        assert one.generation is not None
        if one.generation in champions:
            wrong.append(f"generation {one.generation} was made twice")
        elif one.generation - 1 not in champions:
            wrong.append(f"generation {one.generation} follows none")
        champions[one.generation] = one.champion or 0
    for one in history:
        if one.generation is not None and champions.get(one.generation) != one.champion:
            wrong += [f"{one} is not what generation {one.generation} is"]
    return wrong + _against_time(history) + _refused_without_reason(history, made)


def _against_time(history: Sequence[Operation]) -> list[str]:
    """Operations that saw a generation older than one that was seen before they began."""
    wrong: list[str] = []
    newest = -1
    events = [(one.ended, 1, one) for one in history] + [(one.began, 0, one) for one in history]
    seen_at_start: dict[int, int] = {}
    for _, is_end, one in sorted(events, key=lambda event: event[:2]):
        if one.generation is None:
            continue
        if not is_end:
            seen_at_start[id(one)] = newest
            continue
        least = seen_at_start[id(one)] + (one.kind == "promote")
        if one.generation < least:
            wrong.append(f"{one} came after generation {least} was seen")
        newest = max(newest, one.generation)
    return wrong


def _refused_without_reason(history: Sequence[Operation], made: Sequence[Operation]) -> list[str]:
    """Refusals of promotions while nobody else can have been faster."""
    began = {one.generation: one.began for one in made}
    return [
        f"{one} was refused, and nobody was faster"
        for one in history
        if one.kind == "promote"
        and one.generation is None
        and one.ended < began.get((one.expected or 0) + 1, float("inf"))
    ]
