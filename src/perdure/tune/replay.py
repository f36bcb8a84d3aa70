"""The past of a live project: rows of its log that were learnt, as updates in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch

from perdure import methods
from perdure.batch import Batch
from perdure.bench import presets
from perdure.bench.running import evaluate, first_answer, one_thread
from perdure.errors import InvalidValue
from perdure.live import spans
from perdure.live.log import Examples
from perdure.live.project import Project
from perdure.live.registry import digest_of
from perdure.live.settings import Settings
from perdure.live.update import fair_rows, groups, learn, newest_labels
from perdure.measure import Meter
from perdure.memory.erasing import forget
from perdure.streams.rows import Rows
from perdure.tune.candidate import STAYS, Candidate, Space
from perdure.tune.outcome import Measured
from perdure.tune.settings import configured
from perdure.tune.source import Column, digest, stands

HELD_OUT = 0.2  # of subjects, of their rows in every span
FEWEST, SPANS, MOST = 3, 6, 12
ROWS = 150  # of a span at least, so that some thirty are held out, where there are as many


@dataclass(frozen=True)
class ReplaySource:
    """Learnt rows of a state directory, span after span, from an untrained model.

    A span's rows are answered before they are learnt, then learnt as an update learns them, but for
    a fifth of the subjects, on whose rows each span is measured ever after. The rows that the
    project itself holds out are not looked at: the gate judges by those.

    Args:
        directory: of the project.
        cuts: seqs that the spans lie between: the first begins after the first of them.
        methods: to choose among; STAYS is what is in use.
    """

    directory: str
    cuts: tuple[int, ...]
    methods: tuple[str, ...]

    @classmethod
    def of(cls, project: Project, names: tuple[str, ...] = (), count: int | None = None) -> Self:
        """What the champion has learnt and the log still keeps.

        Args:
            project: whose rows.
            names: methods that `perdure methods` lists; none: those in use.
            count: of spans of equally many rows; None takes the updates as they were, where the
                log holds 3 to 12 of them, and otherwise 3 to 6.

        Raises:
            InvalidValue: too few learnt rows are there.
        """
        champion = project.registry.champion()
        upto = 0 if champion is None else champion.upto
        seqs = project.log.examples(0, upto).seqs
        if len(seqs) < 2 * FEWEST:
            raise InvalidValue(
                f"the log holds {len(seqs)} rows that were learnt; tuning replays those, so update "
                "first, and let [log] keep_rows and [retention] raw keep them"
            )
        ends = [span.last for span in spans.closed(project) if seqs[0] <= span.last <= upto]
        if count is not None or not FEWEST <= len(ends) <= MOST:
            parts = np.array_split(seqs, count or min(max(len(seqs) // ROWS, FEWEST), SPANS))
            ends = [int(part[-1]) for part in parts if len(part)]
        cuts = (int(seqs[0]) - 1, *sorted({*ends, upto}))
        used = tuple(dict.fromkeys(presets.canonical(name) for name in names))
        return cls(str(project.directory), cuts, used or (_in_use(project.settings),))

    def title(self) -> str:
        """The project and its rows."""
        with Project(self.directory) as project:
            return f"{project.settings.name}, examples {self.cuts[0] + 1} to {self.cuts[-1]}"

    def space(self) -> Space:
        """The methods, around the present learning rate and capacity."""
        with Project(self.directory) as project:
            said = project.settings.learner
            held = [one["capacity"] for one in said.methods if isinstance(one.get("capacity"), int)]
            capacity = int(held[0] or 1) if held else presets.CAPACITY
            return Space(self.methods, str(project.scenario), said.lr, capacity)

    def present(self) -> Candidate:
        """What the settings say now."""
        with Project(self.directory) as project:
            said, name = project.settings.learner, _in_use(project.settings)
            if name == STAYS:
                return Candidate(STAYS, {}, said.lr)
            given = {key: value for key, value in said.methods[0].items() if key != "name"}
            return Candidate(name, given, said.lr)

    def check(self, candidate: Candidate) -> None:
        """Raise where the model and the method cannot work together, or rows may not be kept."""
        with Project(self.directory) as project:
            project.learner(configured(project.settings.learner, candidate))

    def simulate(self, candidate: Candidate) -> Iterator[Measured]:
        """Answer a span's rows, learn them, and measure that span and all before it."""
        with Project(self.directory) as project, one_thread(), torch.random.fork_rng():
            said = configured(project.settings.learner, candidate)
            tried = project.settings.model_copy(update={"learner": said})
            learner = project.learner(said)
            torch.manual_seed(tried.seed)
            meter, columns, held = Meter(learner), list[Column](), list[Rows]()
            for examples in _parts(self.directory, self.cuts):
                train, valid = _divided(fair_rows(examples, tried.abuse.max_source_share))
                before = evaluate(learner, _rows(examples.batch), project.scenario)
                revised = torch.from_numpy(examples.revisions > 0)
                forget(learner, examples.batch.extras["row"][revised])
                _learn(meter, train, tried)
                first_answer(meter, _rows(valid), project.scenario)
                held.append(_rows(valid))
                columns.append([evaluate(learner, rows, project.scenario) for rows in held])
                yield stands(columns, before, meter.cost)

    def line(self) -> dict[str, Any]:
        """The project's name, what a row is, and the model's file."""
        with Project(self.directory) as project:
            module = project.settings.learner.model.partition(":")[0] + ".py"
            return {
                "project": project.settings.name,
                "schema": project.schema.digest(),
                "model": digest_of(project.directory / module),
            }

    def question(self) -> dict[str, Any]:
        """The rows, the model, and all settings of an update but the methods and the rate."""
        with Project(self.directory) as project:
            said = project.settings.learner.model_dump(exclude={"methods", "lr"})
            return {**self.line(), **said, "cuts": self.cuts, "seed": project.settings.seed}


def _in_use(settings: Settings) -> str:
    """The preset of the one method in use; STAYS where there is none, or more than one."""
    names = {getattr(methods, name): name for name in methods.__all__}
    by_class = {
        names[preset.make].lower(): key
        for key, preset in presets.PRESETS.items()
        if preset.make in names
    }
    said = [str(one.get("name")).lower() for one in settings.learner.methods]
    known = presets.ALIASES.get(said[0], said[0]) if len(said) == 1 else ""
    return known if known in presets.PRESETS else by_class.get(known, STAYS)


@lru_cache(maxsize=1)
def _parts(directory: str, cuts: tuple[int, ...]) -> tuple[Examples, ...]:
    """The examples of each span, read once a process."""
    with Project(directory) as project:
        found = [newest_labels(project.log.examples(*pair)) for pair in pairwise(cuts)]
    return tuple(examples for examples in found if len(examples))


def _learn(meter: Meter, train: Batch, settings: Settings) -> None:
    """One update, in the order in which the project itself would learn these rows."""
    order = settings.seed * 1_000_003 + meter.learner.updates
    closes = settings.learner.boundaries in ("update", "task")
    with meter:
        deque(learn(meter, train, groups(train, settings), settings, order, closes=closes), 0)


def _divided(found: Examples) -> tuple[Batch, Batch]:
    """Rows to learn, and rows of the subjects that are held out of learning."""
    for column in ("subject", "row"):  # by rows where a few subjects have all of them
        held = torch.tensor([_is_held(name) for name in found.batch.extras[column].tolist()])
        if held.any() and not held.all():
            return found.batch[~held], found.batch[held]
    raise InvalidValue(
        f"a span has {len(found)} rows, too few to hold some out; ask for fewer spans"
    )


def _is_held(name: int) -> bool:
    return int(digest(["tune", name]), 16) < HELD_OUT * 2**64


def _rows(batch: Batch) -> Rows:
    return Rows(batch.x, batch.y, task=batch.task)
