"""Trials on the disk: asked for, told, gone on with after a crash; in a journal of Optuna's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perdure.errors import require
from perdure.tune.candidate import Candidate, Space
from perdure.tune.outcome import Measured, Outcome, front
from perdure.tune.source import Source, digest

FILE = "studies.log"
AIMS = ("maximize", "minimize", "minimize")
"""Accuracy, forgetting, FLOPs."""
OUTCOME, CANDIDATE, LINE, BEGUN = "outcome", "candidate", "line", "begun"


class Study:
    """Trials of one question, in a folder that may hold those of others.

    What is drawn next depends on the seed and on the trials so far alone: a search that was
    interrupted draws what it would have drawn, where trials are made one at a time.

    Args:
        folder: holds `studies.log`, or will; nobody else may write to it.
        source: asks the question.
        space: what may be tried.
        seed: of what is drawn.

    Raises:
        MissingExtra: Optuna is not installed.
    """

    def __init__(self, folder: Path, source: Source, space: Space, seed: int = 0) -> None:
        self.optuna = _quiet()
        self.space = space
        self.seed = seed
        folder.mkdir(parents=True, exist_ok=True)
        _mend(folder / FILE)
        name = digest([source.question(), space.methods, space.lr, space.capacity, seed])
        self.held = self.optuna.create_study(
            storage=_storage(self.optuna, folder),
            study_name=name,
            directions=AIMS,
            load_if_exists=True,
        )
        self.line = digest(source.line())
        self.held.set_user_attr(LINE, self.line)
        self._ended = _outcomes(self.held)
        self._recover()

    # -- beginning ---------------------------------------------------------------------------

    def begin(self, first: Sequence[Candidate], folders: Sequence[Path]) -> int:
        """Ask for these first, then for the best of earlier searches of the same line; once.

        Args:
            first: what is in use, and the methods as they come.
            folders: of earlier searches; this study's own is looked at too.

        Returns:
            How many came from earlier searches.
        """
        if BEGUN in self.held.user_attrs:
            return int(self.held.user_attrs[BEGUN])
        known = {candidate.key for candidate in first}
        found = [one for one in self._earlier(folders) if one.key not in known]
        for candidate in (*first, *found):
            self._ask_for(candidate)
        self.held.set_user_attr(BEGUN, len(found))
        return len(found)

    def _earlier(self, folders: Sequence[Path]) -> list[Candidate]:
        """The fronts of other studies of the same line, of methods that may be tried here."""
        storages = [self.held._storage]  # noqa: SLF001  it has no other name
        storages += [_storage(self.optuna, path) for path in folders if (path / FILE).exists()]
        found: dict[str, Candidate] = {}
        for storage in storages:
            for name in self.optuna.get_all_study_names(storage):
                other = self.optuna.load_study(study_name=name, storage=storage)
                if other.user_attrs.get(LINE) != self.line:
                    continue
                best = [outcome.candidate for outcome in front(_outcomes(other))]
                found |= {one.key: one for one in best if one.method in self.space.methods}
        return list(found.values())

    def _recover(self) -> None:
        """Ask again for trials that a killed process left behind."""
        states = self.optuna.trial.TrialState
        for trial in self.held.get_trials(deepcopy=False, states=(states.RUNNING,)):
            self.held.tell(trial.number, state=states.FAIL)
            if CANDIDATE in trial.user_attrs:
                self._ask_for(Candidate.from_dict(trial.user_attrs[CANDIDATE]))

    def _ask_for(self, candidate: Candidate) -> None:
        told = {CANDIDATE: vars(candidate)}
        self.held.enqueue_trial(self.space.params(candidate), user_attrs=told)

    # -- trials ------------------------------------------------------------------------------

    def ask(self) -> Trial:
        """The next trial."""
        count = len(self.held.get_trials(deepcopy=False))
        self.held.sampler = self.optuna.samplers.TPESampler(seed=self.seed * 1_000_003 + count)
        trial = self.held.ask()
        drawn, wanted = self.space.drawn(trial), trial.user_attrs.get(CANDIDATE)
        candidate = drawn if wanted is None else Candidate.from_dict(wanted)
        trial.set_user_attr(CANDIDATE, vars(candidate))
        return Trial(self, trial, candidate, asked=wanted is not None)

    def outcomes(self) -> list[Outcome]:
        """Trials that have ended, in their order."""
        return [*self._ended]

    def note(self, outcome: Outcome) -> None:
        """It is on the disk."""
        self._ended = sorted([*self._ended, outcome], key=lambda one: one.number)

    def known(self, candidate: Candidate) -> Outcome | None:
        """What came of the same candidate before."""
        same = (one for one in self._ended if one.candidate.key == candidate.key)
        return next((one for one in same if one.state != "failed"), None)


class Trial:
    """One that is under way.

    Args:
        study: that it is of.
        trial: Optuna's.
        candidate: to try.
        asked: whether somebody asked for it; such a trial goes to the end.
    """

    def __init__(self, study: Study, trial: Any, candidate: Candidate, *, asked: bool) -> None:
        self.study = study
        self.trial = trial
        self.candidate = candidate
        self.asked = asked
        self.course: list[Measured] = []

    def done(self) -> Outcome:
        """It went to the end."""
        last = self.course[-1]
        values = [last.accuracy, last.forgetting, float(last.flops)]
        return self._told(Outcome(self._number, self.candidate, "done", tuple(self.course)), values)

    def pruned(self) -> Outcome:
        """It was stopped."""
        return self._told(Outcome(self._number, self.candidate, "pruned", tuple(self.course)))

    def failed(self, reason: str) -> Outcome:
        """It could not go on."""
        course = tuple(self.course)
        return self._told(Outcome(self._number, self.candidate, "failed", course, reason))

    def repeats(self, known: Outcome) -> Outcome:
        """The same was tried before, and would come out the same."""
        self.course = list(known.course)
        if known.state == "failed":
            return self.failed(known.reason)
        return self.done() if known.state == "done" else self.pruned()

    @property
    def _number(self) -> int:
        return int(self.trial.number)

    def _told(self, outcome: Outcome, values: Sequence[float] | None = None) -> Outcome:
        states = self.study.optuna.trial.TrialState
        ends = {"done": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}
        self.trial.set_user_attr(OUTCOME, json.dumps(outcome.to_dict()))
        self.study.held.tell(self.trial, values, state=ends[outcome.state])
        self.study.note(outcome)
        return outcome


def _outcomes(study: Any) -> list[Outcome]:
    told = [trial.user_attrs.get(OUTCOME) for trial in study.get_trials(deepcopy=False)]
    return [Outcome.from_dict(json.loads(one)) for one in told if one is not None]


def _storage(optuna: Any, folder: Path) -> Any:
    journal = optuna.storages.journal.JournalFileBackend(str(folder.resolve() / FILE))
    return optuna.storages.JournalStorage(journal)


def _mend(path: Path) -> None:
    """Take away what a killed process left: its lock, and a line that it had not finished."""
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.exists():
        with path.open("rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


def _quiet() -> Any:
    optuna = require("optuna", "tune")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
