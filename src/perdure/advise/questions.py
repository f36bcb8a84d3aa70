"""What perdure asks before it advises, and why each answer matters."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

from perdure.errors import InvalidValue

Kind = Literal["yes or no", "number", "duration"]
Answer = bool | int | float | None

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Situation:
    """The answers; None is unknown. `QUESTIONS` says what each of them means.

    Raises:
        InvalidValue: a number or a duration that is not positive.
    """

    past_matters: bool | None = None
    growing: bool | None = None
    drifting: bool | None = None
    task_known: bool | None = None
    boundaries: bool | None = None
    keep_raw: bool | None = None
    zero_forgetting: bool | None = None
    pretrained: bool | None = None
    tasks: int | None = None
    rows: int | None = None
    new_rows: int | None = None
    retrain: float | None = None
    budget: float | None = None

    def __post_init__(self) -> None:
        for question in QUESTIONS:
            answer = getattr(self, question.name)
            if question.kind != "yes or no" and answer is not None and answer <= 0:
                raise InvalidValue(
                    f"{question.name} is {answer}; it must be above 0 (leave it out if unknown)"
                )

    def unknown(self) -> tuple[str, ...]:
        """The names of the questions that have no answer."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is None)


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        name: of the field of `Situation` that holds its answer.
        text: the question.
        why: what hangs on the answer.
        kind: of the answer.
        assumed: what the advice goes by where there is no answer; None where nothing is assumed.
        asked: whether it still matters, given the answers so far.
    """

    name: str
    text: str
    why: str
    kind: Kind = "yes or no"
    assumed: bool | None = None
    asked: Callable[[Situation], bool] = lambda situation: True


def _past_matters(situation: Situation) -> bool:
    return situation.past_matters is not False


def _shares_outputs(situation: Situation) -> bool:
    return _past_matters(situation) and situation.task_known is not True


def _may_retrain(situation: Situation) -> bool:
    return _past_matters(situation) and situation.keep_raw is not False


QUESTIONS: tuple[Question, ...] = (
    Question(
        "past_matters",
        "Will the model still be asked about what it learned before?",
        "If not, forgetting costs nothing, and plain fine-tuning on the newest rows is right.",
        assumed=True,
    ),
    Question(
        "growing",
        "Will new classes appear over time?",
        "Telling new classes from old ones is the hardest thing to learn bit by bit.",
        assumed=True,
        asked=_past_matters,
    ),
    Question(
        "drifting",
        "Do the inputs change over time: new customers, cameras, seasons, sites?",
        "If neither inputs nor classes change, there is nothing to forget.",
        assumed=True,
        asked=_past_matters,
    ),
    Question(
        "task_known",
        "When the model must answer, is it told which task the input belongs to?",
        "With a task id each task can have outputs, or a network, of its own: the easiest scenario.",
        assumed=False,
        asked=_past_matters,
    ),
    Question(
        "boundaries",
        "Do you know when one phase ends and the next begins: a delivery, a month, a site?",
        "Many methods do their work at such a moment; without one only a few remain.",
        assumed=True,
        asked=_shares_outputs,
    ),
    Question(
        "keep_raw",
        "May you keep rows of past data, even only a few hundred?",
        "Replaying a few old rows is what works best in most scenarios.",
        assumed=True,
        asked=_past_matters,
    ),
    Question(
        "zero_forgetting",
        "Must forgetting be exactly zero: every old answer the same, bit for bit?",
        "Only architectures that freeze the past can promise it, and they need the task id.",
        assumed=False,
        asked=_past_matters,
    ),
    Question(
        "pretrained",
        "Will you start from a pretrained backbone?",
        "Frozen features cannot be forgotten; only the head is left to protect.",
        assumed=False,
        asked=_past_matters,
    ),
    Question(
        "tasks",
        "How many tasks, phases or updates do you expect?",
        "One needs no continual learning; the size of some models grows with the number.",
        "number",
        asked=_past_matters,
    ),
    Question(
        "rows",
        "How many rows do you have today?",
        "It tells how fast the cost of retraining will grow.",
        "number",
        asked=_may_retrain,
    ),
    Question(
        "new_rows",
        "How many rows will each update bring?",
        "The same; and how much an update that reads only these can save.",
        "number",
        asked=_may_retrain,
    ),
    Question(
        "retrain",
        "How long does training from scratch on all of today's rows take (90s, 30m, 2h)?",
        "Where that fits into one update's budget, it is the honest answer.",
        "duration",
        asked=_may_retrain,
    ),
    Question(
        "budget",
        "How long may the training of one update take (90s, 30m, 2h)?",
        "It decides between retraining from scratch and learning continually.",
        "duration",
        asked=_may_retrain,
    ),
)


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


def duration(amount: float) -> str:
    """Seconds in words, in the largest unit that they fill.

    Example:
        >>> duration(5400), duration(20)
        ('1.5 h', '20 s')
    """
    names = {"s": "s", "m": "min", "h": "h", "d": "days"}
    unit = max((u for u in UNITS if amount >= UNITS[u]), key=UNITS.__getitem__, default="s")
    return f"{amount / UNITS[unit]:.3g} {names[unit]}"
