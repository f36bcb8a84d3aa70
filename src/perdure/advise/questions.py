"""What perdure asks before it advises, and why each answer matters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from perdure.errors import InvalidValue

Kind = Literal["yes or no", "number", "duration"]
Answer = bool | int | float | None


@dataclass(frozen=True)
class Situation:
    """The answers; None is unknown. `QUESTIONS` says what each of them means.

    Raises:
        InvalidValue: a number or a duration that is not positive.
    """

    past_matters: bool | None = None
    task_known: bool | None = None
    growing: bool | None = None
    drifting: bool | None = None
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

    def with_answer(self, question: Question, answer: Answer) -> Situation:
        """The same with another answer."""
        return Situation(**{**vars(self), question.name: answer})

    def assumed(self) -> Situation:
        """With what is assumed where an answer is missing."""
        taken = {q.name: q.assumed for q in QUESTIONS if q.assumed is not None}
        told = {name: value for name, value in vars(self).items() if value is not None}
        return Situation(**{**taken, **told})


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        name: of the field of `Situation` that holds its answer.
        text: the question.
        why: what hangs on the answer.
        asked: whether it still matters, given the answers so far.
        assumed: what the advice goes by where there is no answer; None where nothing is assumed.
        kind: of the answer.
    """

    name: str
    text: str
    why: str
    asked: Callable[[Situation], bool]
    assumed: bool | None = None
    kind: Kind = "yes or no"


def _always(situation: Situation) -> bool:
    return True


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
        _always,
        assumed=True,
    ),
    Question(
        "task_known",
        "When the model must answer, is it told which task the input belongs to?",
        "A site, a language, a customer. Then each task can have outputs, or layers, of its own.",
        _past_matters,
        assumed=False,
    ),
    Question(
        "growing",
        "Will new classes appear over time?",
        "Telling new classes from old ones is the hardest thing to learn bit by bit.",
        _shares_outputs,
        assumed=True,
    ),
    Question(
        "drifting",
        "Do the inputs change over time: new customers, cameras, seasons, sites?",
        "If neither inputs nor classes change, there is nothing to forget.",
        _shares_outputs,
        assumed=True,
    ),
    Question(
        "boundaries",
        "Do you know when one phase ends and the next begins: a delivery, a month, a release?",
        "Many methods do their work at such a moment; without it few remain.",
        _shares_outputs,
        assumed=True,
    ),
    Question(
        "keep_raw",
        "May rows of past data be kept, even if only a few hundred?",
        "Replaying some old rows is what works best in most scenarios.",
        _past_matters,
        assumed=True,
    ),
    Question(
        "zero_forgetting",
        "Must forgetting be exactly zero: every old answer stays as it was?",
        "Only models that freeze the past can promise that, and they need the task id.",
        _past_matters,
        assumed=False,
    ),
    Question(
        "pretrained",
        "Do you start from a pretrained backbone that can stay frozen?",
        "Frozen features cannot be forgotten; only the head is left to protect.",
        _past_matters,
        assumed=False,
    ),
    Question(
        "tasks",
        "How many tasks, phases or updates do you expect?",
        "One needs no continual learning; some models grow with each.",
        _past_matters,
        kind="number",
    ),
    Question(
        "rows",
        "How many rows do you have today?",
        "It tells how fast the cost of retraining from scratch will grow.",
        _may_retrain,
        kind="number",
    ),
    Question(
        "new_rows",
        "How many rows will each update bring?",
        "It tells how much an update can save that reads little more than these.",
        _may_retrain,
        kind="number",
    ),
    Question(
        "retrain",
        "How long does training from scratch on all of today's rows take? (90s, 30m, 2h)",
        "Where that fits into the budget of one update, retraining is the honest answer.",
        _may_retrain,
        kind="duration",
    ),
    Question(
        "budget",
        "How long may the training of one update take? (90s, 30m, 2h)",
        "It decides between retraining from scratch and learning continually.",
        _may_retrain,
        kind="duration",
    ),
)
