"""The search: ask, simulate span by span, stop what is hopeless, write down what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from perdure.bench.results import Results
from perdure.errors import Impossible, InvalidValue, PerdureError, check_range
from perdure.tune.candidate import Candidate, Space
from perdure.tune.crew import Elsewhere, Here, Worker, ready
from perdure.tune.outcome import Measured, Outcome, hopeless
from perdure.tune.source import Source
from perdure.tune.study import Study, Trial

Report = Callable[[Outcome], object]


@dataclass(frozen=True)
class Budget:
    """How much a search may do.

    Args:
        trials: in all, those that were made before included.
        workers: processes; 1 is this one.
        minutes: begin no trial after so long.

    Raises:
        InvalidValue: a number is out of range.
    """

    trials: int = 40
    workers: int = 1
    minutes: float | None = None

    def __post_init__(self) -> None:
        check_range("Budget", "trials", self.trials, 1, float("inf"))
        check_range("Budget", "workers", self.workers, 1, float("inf"))

    @property
    def ends(self) -> float:
        """On the monotonic clock."""
        return float("inf") if self.minutes is None else time.monotonic() + 60 * self.minutes


def unheard(outcome: Outcome) -> None:
    """The report that nobody listens to."""


def search(
    source: Source,
    folder: str | Path,
    budget: Budget = Budget(),
    report: Report = unheard,
    *,
    space: Space | None = None,
    first: Sequence[Candidate] = (),
    earlier: Sequence[Path] = (),
    seed: int = 0,
) -> list[Outcome]:
    """Try candidates on a stream of the past; every one may make the same updates.

    Stop it however you like and call it again: trials that ended are not made again. What is in
    use, each method as it comes, and the best of earlier searches of the same line come first and
    go to the end; others are drawn by what the trials so far say, and stop where they are
    `hopeless`.

    Args:
        source: the stream.
        folder: for the trials, `studies.log`.
        budget: how much may be done.
        report: is told each outcome.
        space: what may be tried; the source's by default.
        first: to try before anything else.
        earlier: folders of earlier searches.
        seed: of what is drawn.

    Returns:
        Outcomes of all trials of this question, those made before included.

    Raises:
        Impossible: no method can work here.
        InvalidValue: another process searches in the folder.
        MissingExtra: Optuna is not installed.
    """
    space = possible(source, space or source.space())
    with Results(folder).locked(), ExitStack() as stack:
        study = Study(Path(folder), source, space, seed)
        usual = [space.usual(method) for method in space.methods]
        kept = [one for one in first if one.method in space.methods]
        study.begin(list({one.key: one for one in (*kept, *usual)}.values()), earlier)
        left = max(budget.trials - len(study.outcomes()), 0)
        crew = [_worker(source, budget) for _ in range(min(budget.workers, left))]
        for worker in crew:
            stack.callback(worker.end)
        _work(study, crew, left, budget.ends, report)
        return study.outcomes()


def possible(source: Source, space: Space) -> Space:
    """The space without methods that cannot work here.

    Raises:
        Impossible: none can; the message holds the reason of the first.
    """
    reasons = refusals(source, space)
    able = tuple(method for method in space.methods if method not in reasons)
    if not able:
        raise Impossible(next(iter(reasons.values())))
    return Space(able, space.scenario, space.lr, space.capacity)


def refusals(source: Source, space: Space) -> dict[str, str]:
    """Why a method cannot work here, for each that cannot."""
    found = {}
    for method in space.methods:
        try:
            source.check(space.usual(method))
        except InvalidValue:
            raise
        except PerdureError as error:
            found[method] = str(error)
    return found


def _worker(source: Source, budget: Budget) -> Worker:
    return Here(source) if budget.workers == 1 else Elsewhere(source)


def _work(study: Study, idle: list[Worker], left: int, ends: float, report: Report) -> None:
    """Keep every worker busy until enough trials were begun, then until they have ended."""
    busy: dict[Worker, Trial] = {}
    twins: list[Trial] = []  # of trials that are under way
    idle = list(idle)
    while True:
        while idle and left > 0 and time.monotonic() < ends:
            trial = study.ask()
            left -= 1
            known = study.known(trial.candidate)
            if known is not None:
                report(trial.repeats(known))
                continue
            if any(one.candidate.key == trial.candidate.key for one in busy.values()):
                twins.append(trial)
                continue
            worker = idle.pop()
            worker.begin(trial.candidate)
            busy[worker] = trial
        if not busy:
            return
        worker = ready([*busy])
        outcome = _advanced(study, worker, busy[worker])
        if outcome is not None:
            report(outcome)
            idle.append(worker)
            del busy[worker]
            key = outcome.candidate.key
            for twin in [one for one in twins if one.candidate.key == key]:
                twins.remove(twin)
                report(twin.repeats(outcome))


def _advanced(study: Study, worker: Worker, trial: Trial) -> Outcome | None:
    """A span more of a trial; its outcome where it has ended."""
    said = worker.said()
    if isinstance(said, str):
        return trial.failed(said)
    if not isinstance(said, Measured):
        return trial.done()
    trial.course.append(said)
    others = [one.course for one in study.outcomes()]
    stops = not trial.asked and hopeless(trial.course, others)
    worker.answer(not stops)
    return trial.pruned() if stops else None
