"""Which methods to try, on which architecture, in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from perdure.advise.architecture import CHOICES, Architecture
from perdure.advise.catalogue import FROM_FEATURES, FROM_PRETRAINED, catalogue, ranking
from perdure.advise.compatibility import judge
from perdure.advise.course import Course
from perdure.advise.questions import Situation
from perdure.method import Method
from perdure.methods import PackNet
from perdure.scenario import Scenario

MOST = 4
"""Methods to try; who needs more of them has another problem."""
FEW_TASKS = 5
"""Up to so many, a progressive network stays small enough to be tried first."""
PACKED = 255
"""Tasks that `PackNet` holds at most."""
BEST_OF_FEATURES = 2
"""Methods in closed form to try before any other on a frozen backbone."""


@dataclass(frozen=True)
class Try:
    """A method to try.

    Attributes:
        method: its name.
        architecture: what to use it on.
        reason: what speaks for it, or what to beware of.
    """

    method: str
    architecture: Architecture
    reason: str


def tries_for(situation: Situation, scenario: Scenario, course: Course) -> tuple[Try, ...]:
    """Methods from the first to try to the last, never none.

    Args:
        situation: with nothing left open that is assumed.
        scenario: of the situation.
        course: whether to retrain, to fine-tune or to learn continually.
    """
    if course is Course.FINE_TUNE or situation.tasks == 1:
        plain = "plain training: no method, no memory, no cost"
        return (_at_home("naive", plain, situation, scenario),)
    found = tuple(_in_order(situation, scenario))[:MOST]
    if course is not Course.RETRAIN:
        return found
    whole = "joint" if scenario.boundaries else "cumulative"
    reasons = {
        "joint": "retraining from scratch at each boundary, ready made",
        "cumulative": "learns from all rows ever seen; where no boundary says when to retrain",
    }
    return (_at_home(whole, reasons[whole], situation, scenario), *found[: MOST - 1])


def home(method: Method, situation: Situation, scenario: Scenario) -> Architecture:
    """The architecture on which to use a method: its own, or what suits the scenario."""
    wanted = method.needs.architecture
    if wanted is not None and judge(scenario, Architecture(wanted)).possible:
        return Architecture(wanted)
    if method.answers:
        return Architecture.HEADLESS
    if scenario is Scenario.FREE and not situation.growing:
        return Architecture.FIXED
    return CHOICES[scenario][0]


def made(name: str, situation: Situation, scenario: Scenario) -> Method:
    """A method with the arguments that the situation calls for."""
    if name == "packnet" and situation.tasks is not None:
        return PackNet(tasks=situation.tasks)
    return catalogue(scenario)[name]


def _in_order(situation: Situation, scenario: Scenario) -> Iterator[Try]:
    if situation.pretrained and scenario is not Scenario.TASK:
        for rank in FROM_FEATURES[:BEST_OF_FEATURES]:
            yield _at_home(rank.method, rank.reason, situation, scenario)
    frozen = bool(situation.pretrained) and scenario is Scenario.TASK
    if frozen:
        alone = "on a frozen backbone each task trains a head of its own: nothing is forgotten"
        yield _at_home("naive", alone, situation, scenario)
    chosen = _by_rank
    if situation.zero_forgetting and scenario is Scenario.TASK:
        chosen = _without_forgetting
    for one in chosen(situation, scenario):
        learns = "where the backbone must learn too: " if frozen else ""
        yield replace(one, reason=f"{learns}{one.reason}")


def _by_rank(situation: Situation, scenario: Scenario) -> Iterator[Try]:
    """In the order of the scenario; the last resorts only where there is nothing else."""
    known, retention = catalogue(scenario), situation.keep_raw is not False
    possible = [
        (rank, place)
        for rank in ranking(scenario)
        for place in (home(known[rank.method], situation, scenario),)
        if rank.alone and rank.method not in FROM_PRETRAINED
        if judge(scenario, place, known[rank.method], retention=retention).possible
    ]
    worthy = [(rank, place) for rank, place in possible if rank.worth_trying]
    for rank, place in worthy or possible[:2]:
        yield Try(rank.method, place, rank.reason)
    if not possible:
        nothing = "nothing here protects a stream without boundaries of which no row may be kept"
        yield _at_home("naive", nothing, situation, scenario)


def _without_forgetting(situation: Situation, scenario: Scenario) -> Iterator[Try]:
    """Only what leaves every weight that an old answer depends on as it is."""
    k = situation.tasks
    columns = "" if k is None else f": {k:,} columns and {k * (k - 1) // 2:,} adapters a layer"
    share = "" if k is None else f": each of {k:,} tasks owns {100 / k:.3g}%"
    freezes = f"freezes a column of layers after each task{columns}"
    progressive = Try("progressive", Architecture.PROGRESSIVE, freezes)
    packs = f"shares out the weights of one network{share}"
    packnet = Try("packnet", CHOICES[scenario][0], packs)
    if k is not None and k > PACKED:
        yield progressive
    elif k is not None and k > FEW_TASKS:
        yield from (packnet, progressive)
    else:
        yield from (progressive, packnet)


def _at_home(name: str, reason: str, situation: Situation, scenario: Scenario) -> Try:
    return Try(name, home(catalogue(scenario)[name], situation, scenario), reason)
