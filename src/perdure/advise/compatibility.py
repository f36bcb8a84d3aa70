"""Which scenario, architecture and method can work together; the rest is refused with a reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product

from torch import nn

from perdure.advise.architecture import CHOICES, NAMES, Architecture, architecture_of
from perdure.advise.catalogue import REFERENCES, catalogue, ranking
from perdure.errors import Impossible
from perdure.method import Method
from perdure.model import HasFeatures, takes_task
from perdure.nets import Classifier, FixedHead
from perdure.scenario import Scenario

_ANSWERS = {
    Architecture.MULTI_HEAD: "answers with the head of an input's task",
    Architecture.PROGRESSIVE: "answers with the column of an input's task",
    Architecture.GATED: "answers with the gates of an input's task",
}
_UNKNOWN = {
    scenario: f"scenario '{scenario}' gives no task id at inference" for scenario in Scenario
}


@dataclass(frozen=True)
class Verdict:
    """Whether a scenario, an architecture and a method can work together.

    Attributes:
        possible: whether they can.
        reason: why not; or what to see to, empty where there is nothing.
        instead: what would fit, as "er on a GrowingHead"; empty where it is possible.
    """

    possible: bool
    reason: str = ""
    instead: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One cell of the table.

    Attributes:
        scenario: what is known at inference.
        architecture: how the model gets its outputs.
        method: the method's name.
        verdict: whether the three can work together.
    """

    scenario: Scenario
    architecture: Architecture
    method: str
    verdict: Verdict


def judge(
    scenario: Scenario,
    architecture: Architecture,
    method: Method | None = None,
    *,
    retention: bool = True,
) -> Verdict:
    """Whether the three can work together, by what the method declares in `needs`.

    Args:
        scenario: what is known at inference.
        architecture: how the model gets its outputs.
        method: what keeps it from forgetting; None is naive fine-tuning.
        retention: whether raw rows of the past may be kept.
    """
    obstacle = _obstacle(scenario, architecture, method, retention)
    if obstacle is None:
        return Verdict(True, _condition(scenario, architecture, method))
    fitting = islice(_alternatives(scenario, architecture, method, retention), 3)
    return Verdict(False, obstacle, tuple(fitting))


def check(
    scenario: Scenario,
    model: nn.Module,
    methods: Sequence[Method],
    *,
    retention: bool = True,
) -> None:
    """Refuse what cannot work, before the first batch.

    Args:
        scenario: of the stream.
        model: any module.
        methods: that the learner is to have; none is naive fine-tuning.
        retention: whether raw rows of the past may be kept.

    Raises:
        Impossible: the message says why, and what would fit.

    Example:
        >>> from perdure.nets import ProgressiveNet
        >>> check(Scenario.CLASS, ProgressiveNet(784), [])
        Traceback (most recent call last):
        perdure.errors.Impossible: a ProgressiveNet answers with the column of an input's task...
    """
    architecture = architecture_of(model)
    if architecture is Architecture.HEADLESS and not methods:
        raise Impossible(
            "a NoHead has no outputs, and there is no method that answers from features; add one "
            "that does, or use a GrowingHead"
        )
    if takes_task(model) and not (architecture.needs_task or scenario.task_at_inference):
        raise Impossible(judge(scenario, Architecture.MULTI_HEAD).reason)
    for method in methods or (None,):
        verdict = judge(scenario, architecture, method, retention=retention)
        if not verdict.possible:
            raise Impossible(f"{verdict.reason}. What would fit: {', '.join(verdict.instead)}")
        if method is not None and method.needs.features and not isinstance(model, HasFeatures):
            raise Impossible(
                f"{method.name} works on features and {type(model).__name__} offers none; wrap a "
                "backbone and a head in perdure.nets.Classifier, or give the model a features(x)"
            )
        if method is not None and method.needs.head and not isinstance(model, Classifier):
            raise Impossible(
                f"{method.name} trains a head apart and {type(model).__name__} shows none; wrap a "
                "backbone and a head in perdure.nets.Classifier"
            )
    _check_frozen(model, methods)


def check_outputs(model: nn.Module, classes: int) -> None:
    """Refuse a fixed head that is too narrow for its stream, before the first batch.

    Args:
        model: any module.
        classes: outputs that the stream needs: `Stream.classes`.

    Raises:
        Impossible: a `FixedHead` has fewer outputs.
    """
    for head in model.modules():
        if isinstance(head, FixedHead) and head.out_features < classes:
            raise Impossible(
                f"FixedHead has {head.out_features} outputs and the stream has {classes} classes; "
                f"declare all of them, FixedHead({head.in_features}, {classes}), or use "
                f"GrowingHead({head.in_features}), which gains outputs as classes come"
            )


def table(*, retention: bool = True) -> tuple[Cell, ...]:
    """The verdict on every scenario, architecture and method of this version.

    Args:
        retention: whether raw rows of the past may be kept.
    """
    return tuple(
        Cell(scenario, architecture, name, judge(scenario, architecture, it, retention=retention))
        for scenario, architecture in product(Scenario, Architecture)
        for name, it in catalogue(scenario).items()
    )


# -- the rules -----------------------------------------------------------------------------------


def _obstacle(
    scenario: Scenario, architecture: Architecture, method: Method | None, retention: bool
) -> str | None:
    """What makes it impossible, in words; None where nothing does."""
    if architecture.needs_task and not scenario.task_at_inference:
        return f"{NAMES[architecture]} {_ANSWERS[architecture]}, and {_UNKNOWN[scenario]}"
    if method is None:
        return None
    return (
        _missing_from_stream(scenario, method)
        or _missing_from_model(architecture, method)
        or _missing_permission(method, retention)
    )


def _missing_from_stream(scenario: Scenario, method: Method) -> str | None:
    needs = method.needs
    if needs.task_at_inference and not scenario.task_at_inference:
        return f"{method.name} answers by an input's task, and {_UNKNOWN[scenario]}"
    if scenario.boundaries:
        return None
    if needs.task_in_training:
        return f"{method.name} learns from task ids, and a stream without boundaries has none"
    if needs.boundaries or needs.data:
        return (
            f"{method.name} does its work when a task ends, and in scenario '{scenario}' nobody "
            "says when that is; where a timer or a drift detector may say it, the scenario is "
            "'domain' or 'class'"
        )
    return None


def _missing_from_model(architecture: Architecture, method: Method) -> str | None:
    wanted = method.needs.architecture
    if architecture is Architecture.HEADLESS and not method.answers:
        return f"{method.name} trains outputs, and {NAMES[architecture]} has none"
    if wanted is not None and wanted != architecture:
        return f"{method.name} works on {NAMES[Architecture(wanted)]} and no other architecture"
    if architecture in (Architecture.PROGRESSIVE, Architecture.GATED) and method.needs.head:
        return f"{method.name} trains a head apart, and {NAMES[architecture]} has none"
    if architecture in (Architecture.PROGRESSIVE, Architecture.GATED) and method.needs.frozen:
        return f"{method.name} wants fixed features, and {NAMES[architecture]} trains its own"
    return _spoilt_past(architecture, method)


def _spoilt_past(architecture: Architecture, method: Method) -> str | None:
    if architecture is not Architecture.PROGRESSIVE or method.needs.architecture == architecture:
        return None
    if method.writes_parameters or method.implements("update"):
        return (
            f"{method.name} trains again on past tasks, and a ProgressiveNet has frozen their "
            "columns; it forgets nothing without a method"
        )
    return None


def _missing_permission(method: Method, retention: bool) -> str | None:
    if method.needs.raw_rows and not retention:
        return f"{method.name} keeps raw rows of the past, and none may be kept"
    return None


def _check_frozen(model: nn.Module, methods: Sequence[Method]) -> None:
    if not isinstance(model, Classifier) or any(method.freezes for method in methods):
        return
    trains = any(parameter.requires_grad for parameter in model.backbone.parameters())
    for method in methods:
        if method.needs.frozen and trains:
            raise Impossible(
                f"{method.name} holds features against later ones, and the backbone trains; "
                "freeze it, model.backbone.requires_grad_(False), or let FirstSession do so after "
                "the first task"
            )


def _condition(scenario: Scenario, architecture: Architecture, method: Method | None) -> str:
    """What to see to where it is possible."""
    if architecture is Architecture.OTHER and method is not None and method.needs.features:
        return f"{method.name} needs the model to offer features(x)"
    if scenario in (Scenario.CLASS, Scenario.FREE) and architecture is Architecture.FIXED:
        return "every class must be declared beforehand, in FixedHead(features, classes)"
    if scenario is Scenario.TASK and not architecture.needs_task:
        by_task = method is not None and method.needs.task_at_inference
        return "" if by_task else "the model ignores the task id: the tasks share their outputs"
    if architecture is Architecture.PROGRESSIVE and method is not None:
        own = method.needs.architecture == architecture
        return "" if own else "past columns are frozen: there is nothing left to protect"
    return ""


def _alternatives(
    scenario: Scenario, architecture: Architecture, method: Method | None, retention: bool
) -> Iterator[str]:
    """What would fit: this method on another architecture, then the others in their order."""
    known, ranks = catalogue(scenario), ranking(scenario)
    natural = architecture if _suits(architecture, scenario) else CHOICES[scenario][0]
    order = sorted(ranks, key=lambda rank: not rank.worth_trying)
    others = [known[name] for name in (*(rank.method for rank in order), *REFERENCES)]
    own = [] if method is None else [method, *filter(None, [known.get(method.name)])]
    rest = [(other, _home(other, natural)) for other in others]
    offered: set[str] = set()
    for candidate, place in (*product(own, (natural, *CHOICES[scenario])), *rest):
        fits = _obstacle(scenario, place, candidate, retention) is None
        if candidate.name not in offered and fits:
            offered.add(candidate.name)
            yield f"{_called(candidate, method)} on {NAMES[place]}"


def _called(candidate: Method, method: Method | None) -> str:
    """The name; or the call that makes it, where only the arguments differ from what was asked."""
    same = method is not None and candidate.name == method.name
    return repr(candidate) if same and repr(candidate) != repr(method) else candidate.name


def _suits(architecture: Architecture, scenario: Scenario) -> bool:
    """Whether other methods than its own have something to do on it."""
    plain = (Architecture.FIXED, Architecture.GROWING, Architecture.MULTI_HEAD, Architecture.OTHER)
    return architecture in plain and (scenario.task_at_inference or not architecture.needs_task)


def _home(method: Method, natural: Architecture) -> Architecture:
    """The architecture to offer a method on."""
    if method.answers:
        return Architecture.HEADLESS
    wanted = method.needs.architecture
    return natural if wanted is None else Architecture(wanted)
