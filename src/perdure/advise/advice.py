"""From a situation to advice: the scenario, what to do about it, and what to try in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from perdure.advise.architecture import NAMES
from perdure.advise.catalogue import catalogue
from perdure.advise.course import Course, course_of
from perdure.advise.limits import Refusal, impossible
from perdure.advise.questions import QUESTIONS, Situation
from perdure.advise.sample import Sample
from perdure.advise.snippet import snippet
from perdure.advise.tries import Try, made, tries_for
from perdure.scenario import Scenario


@dataclass(frozen=True)
class Dependence:
    """A missing answer that would change the advice.

    Attributes:
        name: of the question, as in `Situation`.
        question: its text.
        assumed: what the advice goes by.
        otherwise: what it would be if the answer were the other one.
    """

    name: str
    question: str
    assumed: bool
    otherwise: str


@dataclass(frozen=True)
class Advice:
    """What to do, in which order, and why.

    Attributes:
        situation: as it was told, with what a sample added.
        scenario: by what is known at inference.
        because: why it is this scenario.
        course: whether to retrain, to fine-tune or to learn continually.
        reasons: for the course, the deciding one first.
        tries: methods with their architecture, in the order in which to try them.
        notes: what else to see to.
        impossible: what cannot be done, and what would fit.
        depends: missing answers that would change the advice.
        commands: to run next.
        code: to begin with.
    """

    situation: Situation
    scenario: Scenario
    because: str
    course: Course
    reasons: tuple[str, ...]
    tries: tuple[Try, ...]
    notes: tuple[str, ...]
    impossible: tuple[Refusal, ...]
    depends: tuple[Dependence, ...]
    commands: tuple[str, ...]
    code: str


def advise(situation: Situation, sample: Sample | None = None) -> Advice:
    """What to do in a situation; what is unknown is assumed, and `depends` says what hangs on it.

    Args:
        situation: the answers.
        sample: what was found in the data; it answers what the situation leaves open.

    Example:
        >>> advice = advise(Situation(task_known=False, growing=True, keep_raw=True))
        >>> advice.scenario.value, advice.course.value, advice.tries[0].method
        ('class', 'learn continually', 'der++')
    """
    told = situation if sample is None else sample.fill(situation)
    full = told.assumed()
    scenario, course, tries = _outcome(told)
    first = tries[0]
    return Advice(
        told,
        scenario,
        _because(full, scenario),
        course,
        course_of(told)[1],
        tries,
        tuple(_notes(full, scenario, tries)),
        tuple(impossible(full, scenario)) if full.past_matters else (),
        tuple(_dependences(told)),
        _commands(scenario, tries),
        snippet(
            scenario,
            first.architecture,
            made(first.method, full, scenario),
            sample,
            frozen=bool(full.pretrained),
        ),
    )


def scenario_of(situation: Situation) -> Scenario:
    """The scenario, by what is known at inference; what is unknown is assumed."""
    full = situation.assumed()
    if full.task_known:
        return Scenario.TASK
    if not full.boundaries:
        return Scenario.FREE
    return Scenario.CLASS if full.growing else Scenario.DOMAIN


def _outcome(situation: Situation) -> tuple[Scenario, Course, tuple[Try, ...]]:
    scenario, (course, _) = scenario_of(situation), course_of(situation)
    return scenario, course, tries_for(situation.assumed(), scenario, course)


def _because(full: Situation, scenario: Scenario) -> str:
    grows = "new classes join one label space" if full.growing else "the classes stay the same"
    return {
        Scenario.TASK: "the model is told which task an input belongs to",
        Scenario.FREE: f"nobody says which task an input belongs to, or when one ends; {grows}",
        Scenario.CLASS: f"nobody says which task an input belongs to, and {grows}",
        Scenario.DOMAIN: f"nobody says which task an input belongs to, and {grows}",
    }[scenario]


def _notes(full: Situation, scenario: Scenario, tries: tuple[Try, ...]) -> Iterator[str]:
    if course_of(full)[0] is Course.FINE_TUNE or full.tasks == 1:
        yield "keep the old model beside the new one for a while, and compare them on the same rows"
        return
    if scenario is Scenario.CLASS and not full.keep_raw and not full.pretrained:
        yield (
            "without old rows, learning classes bit by bit stays near chance with any method but "
            "generative replay, which is for small images: ask to keep a few rows a class, have "
            "the task id given at inference, or start from a pretrained backbone that stays frozen"
        )
    if full.pretrained:
        yield from _FROZEN_NOTES
    if scenario is Scenario.FREE:
        yield (
            "where a timer or a drift detector can say that a phase ended, call consolidate there: "
            f"the scenario is then '{Scenario.CLASS if full.growing else Scenario.DOMAIN}', and "
            "more methods fit"
        )
    if any(catalogue(scenario)[one.method].needs.raw_rows for one in tries):
        yield "before you tune a replay method, give it more rows: capacity helps most"
    whole = "joint (what retraining" if scenario.boundaries else "cumulative (what keeping all rows"
    where = "" if full.keep_raw else ", the latter on data that may be kept"
    yield f"measure beside naive (what forgetting costs) and {whole} gives){where}"


_FROZEN_NOTES = (
    "nets.encoders.encoder('text') and encoder('image') are frozen: bench has them as --encoder",
    (
        "any other backbone is frozen by backbone.requires_grad_(False); if it has BatchNorm, keep "
        "that in evaluation mode, or its statistics still move"
    ),
)


def _dependences(told: Situation) -> Iterator[Dependence]:
    """What would change if an assumed answer were the other one."""
    full, now = told.assumed(), _outcome(told)
    for question in QUESTIONS:
        if question.assumed is None or getattr(told, question.name) is not None:
            continue
        if question.asked(full):
            then = _outcome(told.with_answer(question, not question.assumed))
            if then != now:
                otherwise = "; ".join(_difference(now, then))
                yield Dependence(question.name, question.text, question.assumed, otherwise)


def _difference(
    now: tuple[Scenario, Course, tuple[Try, ...]], then: tuple[Scenario, Course, tuple[Try, ...]]
) -> Iterator[str]:
    if then[0] is not now[0]:
        yield f"scenario '{then[0]}'"
    if then[1] is not now[1]:
        yield then[1].value
    if then[2] != now[2]:
        first, *others = then[2]
        later = f", then {', '.join(other.method for other in others)}" if others else ""
        yield f"try {first.method} on {NAMES[first.architecture]}{later}"


def _commands(scenario: Scenario, tries: tuple[Try, ...]) -> tuple[str, ...]:
    kinds = {Scenario.DOMAIN: " --kind rotated", Scenario.FREE: " --kind gradual"}
    whole = "joint" if scenario.boundaries else "cumulative"
    names = dict.fromkeys(("naive", *(one.method for one in tries), whole))
    return (
        f"perdure bench --scenario {scenario}{kinds.get(scenario, '')} --methods {','.join(names)}",
        f"perdure methods {tries[0].method}",
    )
