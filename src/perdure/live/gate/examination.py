"""The gate at work on a project's versions."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from perdure.live import accuracy, evaluation
from perdure.live.answers import Answers, Cell
from perdure.live.gate.judge import judge, unfit
from perdure.live.gate.verdict import Verdict
from perdure.live.probe import probe
from perdure.live.probed import Probed
from perdure.live.project import Project
from perdure.live.registry import Version
from perdure.live.repair import State, movement, repair

Asked = Callable[[Path, int, int | None], Probed]


@dataclass(frozen=True, eq=False)
class Examined:
    """What came of an examination.

    Args:
        verdict: of the challenger or, where there is a `state`, of that.
        cells: what the judged one and the champion had right.
        state: of a learner between champion and challenger that is to become a version and take
            the challenger's place; None where the challenger was judged as it is.
    """

    verdict: Verdict
    cells: tuple[Cell, ...]
    state: dict[str, Any] | None = None


def examine(
    project: Project, made: Version, champion: Version | None, asked: Asked = probe
) -> Examined:
    """Judge a version on the held-out rows.

    One that is not let through but is better on the newest span has something worth saving: then
    states between it and the champion are judged too. Nothing is written.

    The held-out memory must have taken in what the version learnt.

    Args:
        project: whose version.
        made: the challenger.
        champion: what serves, or None.
        asked: loads and asks a version, given the directory, its number and the champion's; in a
            process of its own, unless told otherwise.

    Raises:
        CheckpointMismatch: the champion's files or the anchor rows are damaged.
    """
    attempt = 1 + _looks(project, champion)
    against = None if champion is None else champion.version
    probed = asked(project.directory, made.version, against)
    if not probed.ok:
        return Examined(unfit(made.version, against, probed, attempt), ())
    bench = _Bench(project, evaluation.read(project), made.version, probed, attempt)
    state = project.registry.load(made.version)
    if champion is None:
        return bench.look(state, None, None)
    before = project.registry.load(champion.version)
    known = bench.answers(before, champion.version)
    looks = [bench.look(state, before, known)]

    def passes(between: dict[str, Any], share: float) -> bool:
        looks.append(bench.look(between, before, known, share, len(looks)))
        return looks[-1].verdict.word == "promote"

    found = None
    if looks[0].verdict.word != "promote" and _learnt(looks[0].verdict):
        found = repair(before, state, project.settings.gate.repair, passes)
    chosen = looks[0] if found is None else looks[-1]
    return replace(chosen, state=found, verdict=replace(chosen.verdict, looks=len(looks)))


def record(connection: sqlite3.Connection, version: int, examined: Examined) -> None:
    """Write a verdict and the accuracies behind it, within a transaction.

    Args:
        connection: the writer's.
        version: that was judged: of the examined `state`, where there is one.
        examined: what the gate found.
    """
    verdict = replace(examined.verdict, version=version)
    connection.execute(
        "INSERT INTO verdicts (version, champion, verdict, at, report) VALUES (?, ?, ?, ?, ?)",
        (version, verdict.champion, verdict.word, time.time(), json.dumps(verdict.to_dict())),
    )
    judged = examined.verdict.version
    accuracy.write(
        connection,
        [replace(c, version=version) if c.version == judged else c for c in examined.cells],
    )


@dataclass(frozen=True, eq=False)
class _Bench:
    """Where versions sit their examination: the questions, and what judges the answers."""

    project: Project
    questions: evaluation.Questions
    version: int
    probed: Probed
    attempt: int

    def answers(self, state: State, version: int) -> Answers:
        learner = self.project.learner()
        learner.load_state_dict(state)
        return evaluation.ask(learner, self.questions, version)

    def look(
        self,
        state: State,
        before: State | None,
        known: Answers | None,
        share: float | None = None,
        earlier: int = 0,
    ) -> Examined:
        """Judge a state, after so many earlier looks."""
        answers = self.answers(state, self.version)
        settings = self.project.settings.gate
        verdict = judge(
            settings,
            answers,
            known,
            past_cells=accuracy.cells(self.project, served=True),
            probed=self.probed,
            movement=None if before is None else movement(before, state),
            attempt=self.attempt + earlier,
            share=share,
        )
        both = [answers] if known is None else [known, answers]
        cells = [cell for one in both for cell in one.cells(settings.min_rows)]
        return Examined(verdict, tuple(cells))


def _learnt(verdict: Verdict) -> bool:
    return any(one.rule == "gain" and one.outcome == "pass" for one in verdict.findings)


def _looks(project: Project, champion: Version | None) -> int:
    """How often this champion's challengers have been looked at."""
    if champion is None:
        return 0
    return int(
        project.database.value(
            "SELECT coalesce(sum(json_extract(report, '$.looks')), 0) FROM verdicts"
            " WHERE champion = ?",
            (champion.version,),
        )
    )
