"""The process that learns: watches, decides, folds, has the gate look, and promotes.

    python -m perdure.live.updater DIRECTORY

One at a time works on a directory. Killed at any moment, the next one goes on where it stopped:
what it does is written in the database, a transaction a step.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sqlite3
import sys
import time
from pathlib import Path
from types import FrameType

import torch

from perdure.errors import NonFinite, PerdureError, UnseenClass
from perdure.live import (
    erasure,
    evaluation,
    keeping,
    ledger,
    rebuild,
    tracking,
    triggers,
    update,
    watch,
)
from perdure.live.alone import alone
from perdure.live.conclusion import conclude, give_up, settle
from perdure.live.jobs import Job
from perdure.live.project import Project
from perdure.live.refusals import Conflict
from perdure.live.update import Report, unheard

log = logging.getLogger(__name__)
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
POLL_SECONDS, RETRY_SECONDS, TIDY_SECONDS, WAIT_SECONDS = 0.2, 5.0, 60.0, 10.0


def turn(project: Project, report: Report = unheard) -> Job | None:
    """One turn of the loop: watch what came in, and do the job that waits, if one does.

    Returns:
        The job that was done, ended, or None where there was nothing to do.
    """
    now = time.time()
    tracking.begin(project)
    erasure.finish(project)
    project.labels.expire(now)
    watch.advance(project, now)
    job = project.jobs.open()
    if job is None:
        wanted = triggers.due(project, now)
        if wanted is None:
            return None
        job = project.jobs.ask("update", wanted.reason, "updater", wanted.to_dict())
    return perform(project, job, report)


def waited_for(project: Project, job: Job, report: Report = unheard) -> Job:
    """Wait for a job's end; where no updater is at work, do it here.

    Args:
        project: whose job it is.
        job: queued or running.
        report: is told the batches learnt and their total.
    """
    while job.state in ("queued", "running"):
        try:
            with alone(project.directory):
                turn(project, report)
        except Conflict:  # a running service has an updater: it does the work
            report(job.progress.get("batches", 0), job.progress.get("of", 1))
            time.sleep(POLL_SECONDS)
        job = project.jobs.get(job.id)
    return job


def perform(project: Project, job: Job, report: Report = unheard) -> Job:
    """Do a job to its end: fold, write the version, judge it, and let it serve or not."""
    torch.set_num_threads(project.settings.update.threads)
    try:
        project.database.transact(lambda c: settle(c, project))  # a person may have promoted
        job = _learnt(project, job, report)
        conclude(project, job)
        if ledger.twin_is_due(project):
            _measure_twin(project, job)
    except (NonFinite, UnseenClass) as refused:
        give_up(project, job, str(refused))
        log.warning("job %d was given up: %s", job.id, refused)
    except PerdureError as refused:
        project.jobs.fail(job.id, str(refused))
        log.warning("job %d was given up: %s", job.id, refused)
    except Exception as error:
        if isinstance(error, sqlite3.Error) or getattr(error, "errno", None) in NO_ROOM:
            raise  # no fault of the job: it goes on when there is room again
        project.jobs.fail(job.id, str(error) or type(error).__name__)
        log.exception("job %d failed", job.id)
    update.path_of(project, job).unlink(missing_ok=True)
    keeping.tidy(project)
    tracking.begin(project)
    return project.jobs.get(job.id)


def _learnt(project: Project, job: Job, report: Report) -> Job:
    """The job with the version that it made, now or before a crash."""

    def said(done: int, total: int) -> None:
        project.jobs.beat(job.id, batches=done, of=total)
        report(done, total)

    if job.kind == "rebuild":
        return rebuild.learn(project, rebuild.plan(project, job), said)
    job = update.plan(project, job)
    if job.version is not None:
        return job
    made = update.fold(project, job, said)
    project.registry.create(
        made.learner.state_dict(),
        parent=job.parent,
        job=job.id,
        after=job.after or 0,
        upto=job.upto or 0,
        note=ledger.cost_note(made),
    )
    return project.jobs.get(job.id)


def _measure_twin(project: Project, job: Job) -> None:
    learner, cost, rows = ledger.train_twin(project, job.upto or 0)
    ledger.enter_twin(project, job, cost, rows, evaluation.accuracy(project, learner))


def run(directory: Path) -> None:
    """Take turns until told to stop by SIGTERM or Ctrl-C."""
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        raise SystemExit(0)  # what was learnt since the last checkpoint is learnt again

    signal.signal(signal.SIGTERM, stop)
    with Project(directory) as project, alone(directory, wait=WAIT_SECONDS):
        parent, tidied = os.getppid(), 0.0
        while not stopping and os.getppid() == parent:
            pause, tidied = _turned(project, tidied)
            time.sleep(pause)


def _turned(project: Project, tidied: float) -> tuple[float, float]:
    """Take a turn; the seconds to wait before the next one, and when it was last tidied."""
    try:
        if turn(project) is not None:
            return 0.0, tidied
        if time.monotonic() - tidied > TIDY_SECONDS:
            keeping.tidy(project)
            return 0.0, time.monotonic()
    except (OSError, sqlite3.OperationalError):
        log.exception("the disk or the database would not; once more in a while")
        return RETRY_SECONDS, tidied
    return POLL_SECONDS, tidied


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s updater %(message)s")
    try:
        run(Path(sys.argv[1]))
    except PerdureError as error:
        sys.exit(json.dumps({"error": str(error)}))
