"""Exact removal: go back to the last version before an erased subject, and fold the log again.

Each version that the champion came from is learnt anew from the rows that are left, in the same
stretches of the log, one version after the other. What comes out is bit for bit what a run gives
that never saw the subject. Bourtoule et al. 2021, "Machine unlearning" (SISA): the chain of
versions is its slicing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from perdure.errors import InvalidValue
from perdure.live import ledger, update
from perdure.live.jobs import Job
from perdure.live.project import Project
from perdure.live.refusals import Conflict, NotFound
from perdure.live.registry import Version
from perdure.live.repair import interpolate
from perdure.live.update import Report


@dataclass(frozen=True)
class Chain:
    """What is to be learnt again.

    Args:
        base: the last version that never saw an erased subject; None is an untrained learner.
        versions: the versions from there to the champion, oldest first.
    """

    base: Version | None
    versions: tuple[Version, ...]


def chain(project: Project, target: int | str = "champion", first: int | None = None) -> Chain:
    """The versions to learn again, so that one comes out that never saw whom was erased.

    Args:
        project: whose versions.
        target: the version to make anew.
        first: the first seq of a subject who is yet to be erased.

    Raises:
        Conflict: the log no longer holds every row that is needed.
        NotFound: there is no such version, or one that it came from is forgotten.
    """
    held: Version | None = project.registry.get(target)
    found: list[Version] = []
    while held is not None and (_saw(held, first) or held.state == "removed"):
        found.append(held)
        held = None if held.parent is None else project.registry.get(held.parent)
    for version in found:
        _check_kept(project, version)
    return Chain(held, tuple(reversed(found)))


def plan(project: Project, job: Job) -> Job:
    """Fix what a rebuild will learn; one that was started before keeps what was fixed.

    Raises:
        Conflict: no version serves, the one that does saw nobody erased, or rows are missing.
    """
    if job.state == "queued":
        champion = project.registry.champion()
        if champion is None or champion.tainted is None:
            raise Conflict("the version that serves learnt from nobody who was erased")
        _note(project, job, champion.version)
        job = project.jobs.get(job.id)
    target = project.registry.get(job.progress["target"])
    base = chain(project, target.version).base
    number, after = (None, 0) if base is None else (base.version, base.upto)
    return project.jobs.start(job.id, number, after, target.upto)


def learn(project: Project, job: Job, report: Report) -> Job:
    """Make the versions of the chain anew, going on behind those that were made before a crash.

    Args:
        project: its log and its registry.
        job: planned.
        report: is told the batches learnt of a version and their total.

    Returns:
        The job with its version: the last one made.

    Raises:
        Conflict: the job was cancelled, or another subject was erased since it began.
        InvalidValue: nobody is left to learn from.
    """
    last = job.version or job.parent
    made = None if last is None else project.registry.get(last)
    for old in _path(project, job):
        after = 0 if made is None else made.upto
        if old.upto > after and project.log.count(old.after, old.upto):
            made = project.registry.get(_again(project, job, old, made, report))
    if made is None:
        raise InvalidValue("no rows are left to learn from; ingest some, and update")
    if made.version != job.version:  # nothing was left to learn after the base
        sql = "UPDATE jobs SET version = ? WHERE id = ?"
        project.database.transact(lambda c: c.execute(sql, (made.version, job.id)))
    return project.jobs.get(job.id)


def _again(project: Project, job: Job, old: Version, made: Version | None, report: Report) -> int:
    """Learn what an old version learnt, on top of the one made last; the new version's number."""
    parent = None if made is None else made.version
    part = replace(
        job, parent=parent, after=old.after, upto=old.upto, progress=_progress(project, old)
    )
    found = update.fold(project, part, report)
    state, share = found.learner.state_dict(), _share(old.note)
    if share is not None and parent is not None:
        state = interpolate(project.registry.load(parent), state, share)
    return project.registry.create(
        state,
        parent=parent,
        job=job.id,
        after=old.after,
        upto=old.upto,
        note={**ledger.cost_note(found), "rebuilt": {"of": old.version, "share": share}},
    )


def _path(project: Project, job: Job) -> list[Version]:
    """The versions from a job's parent, without it, to its target."""
    held = project.registry.get(job.progress["target"])
    found = []
    while held.version != job.parent:
        found.append(held)
        if held.parent is None:
            break
        held = project.registry.get(held.parent)
    return found[::-1]


def _saw(held: Version, first: int | None) -> bool:
    return held.tainted is not None or (first is not None and held.upto >= first)


def _share(note: Mapping[str, Any]) -> float | None:
    """How far towards the challenger a version went, where the gate had it interpolated."""
    held = note.get("interpolated") or note.get("rebuilt") or {}
    share: float | None = held.get("share")
    return share


def _progress(project: Project, old: Version) -> dict[str, Any]:
    """What was asked of the update that made a version: whether a drift had ended a task."""
    try:
        return {} if old.job is None else project.jobs.get(old.job).progress
    except NotFound:
        if project.settings.learner.boundaries == "drift":
            raise
        return {}


def _check_kept(project: Project, version: Version) -> None:
    """Refuse where the rows that a version learnt are not all there, but for those erased."""
    learnt = int(version.note["rows"]) + int(version.note["left_out"])
    erased = sum(
        json.loads(row["receipt"]).get("learnt", {}).get(str(version.version), 0)
        for row in project.database.read("SELECT receipt FROM erased")
    )
    kept = project.log.count(version.after, version.upto)
    if kept != learnt - erased:
        oldest = project.database.value("SELECT min(seq) FROM examples WHERE use = 'train'")
        raise Conflict(
            f"version {version.version} learnt {learnt - erased} rows of others, and the log still "
            f"holds {kept} of them (it goes back to seq {oldest}, and seq {version.after + 1} is "
            "needed); erase without --rebuild exact, and retrain from scratch (start = 'scratch')"
        )


def _note(project: Project, job: Job, target: int) -> None:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE jobs SET progress = json_set(progress, '$.target', ?) WHERE id = ?",
            (target, job.id),
        )

    project.database.transact(work)
