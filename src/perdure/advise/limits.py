"""What a situation rules out, and what would fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from perdure.advise.architecture import CHOICES, NAMES, Architecture
from perdure.advise.catalogue import catalogue
from perdure.advise.compatibility import judge
from perdure.advise.questions import Situation
from perdure.advise.tries import PACKED, home
from perdure.scenario import Scenario


@dataclass(frozen=True)
class Refusal:
    """What cannot be done.

    Attributes:
        what: a wish, an architecture, or methods by name.
        reason: why not.
        instead: what would fit.
    """

    what: str
    reason: str
    instead: str


def impossible(situation: Situation, scenario: Scenario) -> Iterator[Refusal]:
    """Wishes, architectures and methods that cannot be had, each with what would fit.

    Args:
        situation: with nothing left open that is assumed.
        scenario: of the situation.
    """
    if situation.zero_forgetting and scenario is not Scenario.TASK:
        yield Refusal(
            "exactly zero forgetting",
            "all answers come from shared outputs, which learning moves; only parts that are "
            "frozen and chosen by the task id stay as they were",
            "have the task id given at inference: then progressive or packnet; otherwise bound the "
            "forgetting: measure it at each update, and keep the old model where it is too much",
        )
    for architecture in Architecture:
        verdict = judge(scenario, architecture)
        if not verdict.possible:
            suited = " or ".join(NAMES[choice] for choice in CHOICES[scenario])
            yield Refusal(
                NAMES[architecture], _after_name(NAMES[architecture], verdict.reason), suited
            )
    yield from _methods_that_cannot(situation, scenario)


def _methods_that_cannot(situation: Situation, scenario: Scenario) -> Iterator[Refusal]:
    """One refusal for all methods that share a reason."""
    names: dict[tuple[str, str], list[str]] = {}
    for name, method in catalogue(scenario).items():
        place = home(method, situation, scenario)
        verdict = judge(scenario, place, method, retention=bool(situation.keep_raw))
        if not verdict.possible:
            reason = _after_name(name, verdict.reason)
            names.setdefault((reason, verdict.instead[0]), []).append(name)
    for (reason, instead), found in names.items():
        yield Refusal(", ".join(found), reason, instead)
    if scenario is Scenario.TASK and (situation.tasks or 0) > PACKED:
        yield Refusal("packnet", f"holds at most {PACKED} tasks", "progressive on a ProgressiveNet")


def _after_name(name: str, reason: str) -> str:
    return reason.removeprefix(name).strip()
