"""From a typed text to an answer, and from answers back to text."""

from __future__ import annotations

import re

from perdure.advise.questions import QUESTIONS, Answer, Question, Situation
from perdure.errors import InvalidValue

YES, NO = frozenset({"y", "yes"}), frozenset({"n", "no"})
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> float:
    """The seconds that a duration stands for: 90s, 30m, 2h, 1.5d.

    Raises:
        InvalidValue: it is not a number with one of these units.

    Example:
        >>> seconds("1.5h")
        5400.0
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip().lower())
    if found is None:
        raise InvalidValue(f"a duration is {text!r}; write a number and a unit: 90s, 30m, 2h, 1.5d")
    return float(found[1]) * UNITS[found[2]]


def answer(question: Question, text: str) -> Answer:
    """What a typed text answers to a question; None where it is empty: unknown.

    Raises:
        InvalidValue: the message says what would be an answer.
    """
    said = text.strip().lower()
    if not said:
        return None
    if question.kind == "duration":
        return seconds(said)
    if question.kind == "number":
        digits = said.replace(",", "").replace("_", "")
        if not digits.isdecimal() or not int(digits):
            raise InvalidValue(f"{text!r} is no whole number above 0, such as 12 or 60,000")
        return int(digits)
    if said not in YES | NO:
        raise InvalidValue(f"{text!r} is neither yes nor no; press Enter if you do not know")
    return said in YES


def options(situation: Situation) -> str:
    """The answers as options of `perdure advise`.

    Example:
        >>> options(Situation(growing=False, tasks=3, budget=90.0))
        '--no-growing --tasks 3 --budget 90s'
    """
    found = []
    for question in QUESTIONS:
        value, name = getattr(situation, question.name), question.name.replace("_", "-")
        time = f" {value or 0:.10g}s"
        said = {"yes or no": "", "number": f" {value}", "duration": time}[question.kind]
        if value is not None:
            found.append(f"--no-{name}" if value is False else f"--{name}{said}")
    return " ".join(found)


def duration(amount: float) -> str:
    """Seconds in the largest unit that they fill, days from two of them on.

    Example:
        >>> duration(5400), duration(20)
        ('1.5 h', '20 s')
    """
    for unit, name, least in (("d", "days", 2), ("h", "h", 1), ("m", "min", 1)):
        if amount >= least * UNITS[unit]:
            return f"{amount / UNITS[unit]:.3g} {name}"
    return f"{amount:.3g} s"
