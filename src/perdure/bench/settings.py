"""Settings of methods as they are written on a command line."""

from __future__ import annotations

import json
from collections.abc import Sequence

from perdure.bench import presets
from perdure.errors import InvalidValue
from perdure.folding import Schedule


def read_settings(
    assignments: Sequence[str], methods: Sequence[str], capacity: int = 0
) -> dict[str, dict[str, presets.Plain]]:
    """Arguments by method, from assignments such as "ewc.strength=100".

    Args:
        assignments: each METHOD.NAME=VALUE, or METHOD.BESIDE.NAME=VALUE for what stands beside it;
            a value is a number, true, false, null or a word.
        methods: those that are to be run; an assignment to another is a mistake.
        capacity: rows for every method that has a memory of such a size; 0 leaves the presets'.

    Raises:
        InvalidValue: an assignment is not of this form, or names no method or argument.
    """
    names = [presets.canonical(name) for name in methods]
    found: dict[str, dict[str, presets.Plain]] = {name: {} for name in names}
    for name in names if capacity else ():
        for argument in presets.constructor_defaults(name):
            if argument.rpartition(".")[2] == "capacity":
                found[name][argument] = capacity
    for assignment in assignments:
        target, equals, value = assignment.partition("=")
        method, dot, setting = target.partition(".")
        if not (equals and dot):
            raise InvalidValue(f"{assignment!r} is no setting; write one as ewc.strength=100")
        name = presets.canonical(method)
        if name not in found:
            raise InvalidValue(f"{assignment!r} sets {name}, which is not among {', '.join(names)}")
        presets.check_settings(name, {setting: None})
        found[name][setting] = _plain(value)
    return found


def _plain(text: str) -> presets.Plain:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return value if isinstance(value, str | int | float | bool) or value is None else text


def words(text: str) -> list[str]:
    """What stands between commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers(option: str, text: str) -> list[int]:
    """Whole numbers between commas.

    Raises:
        InvalidValue: something else stands there; the message names the option.
    """
    try:
        return [int(word) for word in words(text)]
    except ValueError as error:
        raise InvalidValue(f"{option} takes whole numbers with commas, not {text!r}") from error


def schedule(batch_size: int, steps: int, epochs: int) -> Schedule:
    """So many passes over each task; where none are asked for, so many updates."""
    budget = {"epochs": epochs} if epochs else {"steps": steps}
    return Schedule(batch_size, **budget)
