"""Updates, verdicts and versions told to trackers: by another process, after the fact.

    python -m perdure.live.tracking DIRECTORY

What was sent is noted, so that a tracker that was away is told later; no update waits for one, and
none can fail by one. `perdure track` sends at once and says what came of it.
"""

from __future__ import annotations

import fcntl
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from perdure.live import accuracy
from perdure.live.exporting import export
from perdure.live.jobs import Job
from perdure.live.project import Project
from perdure.track import Metric, Model, Run, Tracker, opened, picture

LOCK, META = "tracking.lock", "tracking"
RETRY_SECONDS, LONGEST_SECONDS = 60.0, 600.0


@dataclass(frozen=True)
class Told:
    """What trackers know, and how the last attempt went.

    Args:
        jobs: the last job that each tracker was told, by what the settings call it.
        generations: that its aliases were told of.
        begun, ended: of the last attempt, in seconds since the epoch.
        problem: why it failed, or None.
    """

    jobs: dict[str, int] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)
    begun: float = 0.0
    ended: float = 0.0
    problem: str | None = None


def told(project: Project) -> Told:
    """What is known so far."""
    held = project.database.value("SELECT value FROM meta WHERE key = ?", (META,))
    return Told() if held is None else Told(**json.loads(held))


def waits(project: Project) -> bool:
    """Whether a tracker is to be told something."""
    known, last = told(project), _last(project)
    return any(
        known.jobs.get(one, 0) < last
        or known.generations.get(one, -1) < project.registry.generation()
        for one in project.settings.tracking.to
    )


def begin(project: Project) -> bool:
    """Start a process that tells what waits, if anything does; says whether one was started."""
    if not project.settings.tracking.to or not waits(project):
        return False
    known, now = told(project), time.time()
    if known.begun > known.ended and 0 <= now - known.begun < LONGEST_SECONDS:
        return False  # one is at it
    if known.problem is not None and 0 <= now - known.ended < RETRY_SECONDS:
        return False
    _note(project, replace(known, begun=now))
    try:
        process = subprocess.Popen(  # noqa: S603  # our own module, by the same Python
            [sys.executable, "-m", "perdure.live.tracking", str(project.directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        _note(project, replace(known, ended=now, problem=f"no process could begin: {error}"))
        return False
    threading.Thread(target=process.wait, daemon=True).start()  # so that no dead one stays
    return True


def send(project: Project) -> Told:
    """Tell every tracker what it does not know yet; a failure is noted, and harms nobody.

    Where another process is at it, nothing is done.
    """
    with _alone(project.directory) as free:
        if not free:
            return told(project)
        problems = []
        for said in project.settings.tracking.to:
            try:
                _tell(project, said, told(project))
            except Exception as error:  # noqa: BLE001  whatever a server does, it is only noted
                problems.append(f"{said}: {type(error).__name__}: {str(error)[:300]}")
        failed = "; ".join(problems) or None
        return _note(project, replace(told(project), ended=time.time(), problem=failed))


def problem(project: Project) -> str | None:
    """Why trackers were not told, a sentence; None where they were."""
    if not project.settings.tracking.to:
        return None
    failed = told(project).problem
    return None if failed is None else f"updates are not tracked: {failed}; it is tried again"


def run_of(project: Project, job: Job) -> Run:
    """An update as trackers take it: its version is the step of every metric."""
    settings = project.settings
    verdict = project.database.one(
        "SELECT verdict, report FROM verdicts WHERE version = ? ORDER BY id DESC", (job.version,)
    )
    ledger = project.database.one("SELECT report FROM ledger WHERE job = ?", (job.id,))
    said: dict[str, Any] = {} if verdict is None else json.loads(verdict["report"])
    cost: dict[str, Any] = {} if ledger is None else json.loads(ledger["report"])
    step = job.version or 0
    numbers = {
        "accuracy": said.get("accuracy"),
        "accuracy of the champion": said.get("champion_accuracy"),
        **{name: cost.get(name) for name in ("rows", "flops", "seconds", "rows_read", "saved")},
        **_by_span(project, step),
    }
    learner = settings.learner.model_dump(exclude={"methods"})
    methods = {f"methods.{i}": str(one) for i, one in enumerate(settings.learner.methods)}
    return Run(
        key=f"{_line(project)}-{job.id}",
        name=f"{settings.name} update {job.id}",
        group=f"perdure live {settings.name}",
        series="updates",
        parameters={**learner, **methods, "after": job.after, "upto": job.upto},
        metrics=[
            Metric(name, float(value), step)
            for name, value in numbers.items()
            if isinstance(value, int | float) and math.isfinite(value)
        ],
        pictures=_pictures(project),
        tags={
            "perdure.version": str(job.version),
            "perdure.state": job.state,
            "perdure.verdict": "none" if verdict is None else verdict["verdict"],
        },
    )


def _tell(project: Project, said: str, known: Told) -> None:
    """Tell one tracker of jobs, in order, then of aliases; each is noted once it is told."""
    tracker = opened(said, project.directory)
    for job in _ended(project, known.jobs.get(said, 0)):
        if job.version is not None:
            tracker.send(run_of(project, job))
        _noted(project, "jobs", said, job.id)
    generation = project.registry.generation()
    if known.generations.get(said, -1) < generation:
        if tracker.registers and project.settings.tracking.models:
            _register(project, tracker)
        _noted(project, "generations", said, generation)


def _register(project: Project, tracker: Tracker) -> None:
    """The versions that aliases name, under these."""
    name, aliases = project.settings.name, project.registry.aliases()
    for number in sorted({*aliases.values()}):
        held = project.registry.get(number)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "model"
            export(project, number, place, "model")
            tracker.register(
                Model(
                    name,
                    number,
                    f"{_line(project)}-{held.job}",
                    f"perdure live {name}",
                    place,
                    {"perdure.digest": held.digest, "perdure.state": held.state},
                )
            )
    tracker.point(name, aliases)


def _by_span(project: Project, version: int) -> dict[str, float]:
    mine = [cell for cell in accuracy.cells(project) if cell.version == version and cell.rows]
    return {f"span/{cell.span}": cell.correct / cell.rows for cell in mine if cell.span >= 0}


def _pictures(project: Project) -> dict[str, bytes]:
    found = accuracy.matrix(project)
    if found is None:
        return {}
    names = [f"span {name}" for name in found.tasks]
    return {"accuracy matrix": picture.matrix(found.array, names, names, "after the update of")}


def _ended(project: Project, after: int) -> list[Job]:
    found = project.database.read(
        "SELECT id FROM jobs WHERE id > ? AND state NOT IN ('queued', 'running') ORDER BY id",
        (after,),
    )
    return [project.jobs.get(row["id"]) for row in found]


def _last(project: Project) -> int:
    sql = "SELECT coalesce(max(id), 0) FROM jobs WHERE state NOT IN ('queued', 'running')"
    return int(project.database.value(sql))


def _line(project: Project) -> str:
    """Tells this directory's updates from those of another one of the same name."""
    secret = project.database.value("SELECT value FROM meta WHERE key = 'secret'")
    return f"{project.settings.name}-{sha256(f'tracking {secret}'.encode()).hexdigest()[:12]}"


def _noted(project: Project, what: Literal["jobs", "generations"], said: str, to: int) -> None:
    known = told(project)
    if what == "jobs":
        _note(project, replace(known, jobs={**known.jobs, said: to}))
    else:
        _note(project, replace(known, generations={**known.generations, said: to}))


def _note(project: Project, known: Told) -> Told:
    said = json.dumps(asdict(known))
    project.database.transact(
        lambda c: c.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (META, said))
    )
    return known


@contextmanager
def _alone(directory: Path) -> Iterator[bool]:
    with (directory / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


if __name__ == "__main__":
    with Project(sys.argv[1]) as opened_project:
        send(opened_project)
