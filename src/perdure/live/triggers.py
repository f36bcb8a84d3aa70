"""When to update without being asked, and why not now: what comes in decides, a person brakes."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import Any, Literal

from perdure.errors import InvalidValue, require
from perdure.live import update
from perdure.live.freezing import frozen
from perdure.live.project import Project
from perdure.live.settings import TriggerSettings

LEAST_SCORED, LAST_SCORED = 30, 500
"""Answers that an accuracy must speak of, and speaks of at most."""
PATIENCE, MOST_PATIENCE = 60.0, 3600.0
"""Seconds to wait after an update without a result; they double with each one more."""


@dataclass(frozen=True)
class Facts:
    """What a decision rests on. "Last update" is the last one that ended with a result.

    Attributes:
        rows: labelled rows that came after the last update's.
        beyond: how many of them the next update would not learn, since it is full without them.
        since: when the last update was asked for; before the first, when the first row came.
        updated: when the last update ended; None before the first.
        drift: name of the last detector that gave the alarm since then; None if none did.
        accuracy: of the champion's last answers on rows after the last update's.
        scored: how many answers that are.
        flops: that updates spent since midnight, UTC.
        frozen: who froze the project and why; None if nobody did.
        job: number of the update that waits or runs; None if none does.
        observing: whether the project is to measure only.
        failures: updates without a result since the last one with a result.
        failed: when the last of them ended.
    """

    rows: int = 0
    beyond: int = 0
    since: float = 0.0
    updated: float | None = None
    drift: str | None = None
    accuracy: float | None = None
    scored: int = 0
    flops: float = 0.0
    frozen: str | None = None
    job: int | None = None
    observing: bool = False
    failures: int = 0
    failed: float = 0.0


@dataclass(frozen=True)
class Trigger:
    """An update is due.

    Attributes:
        kind: what called for it.
        reason: a sentence for people.
    """

    kind: Literal["drift", "accuracy", "schedule", "count"]
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the job."""
        return {"trigger": self.kind, "reason": self.reason, "drift": self.kind == "drift"}


def decide(settings: TriggerSettings, facts: Facts, now: float) -> Trigger | None:
    """The first trigger that calls for an update, where nothing stands against one.

    Raises:
        InvalidValue: the schedule is no cron expression.
        MissingExtra: there is a schedule and croniter is not installed.
    """
    if obstacle(settings, facts, now) is not None:
        return None
    if settings.drift and facts.drift is not None:
        return Trigger("drift", f"{facts.drift} found a drift")
    known = facts.accuracy is not None and facts.scored >= LEAST_SCORED
    least, accuracy = settings.accuracy_below, facts.accuracy if known else None
    if least is not None and accuracy is not None and accuracy < least:
        said = f"{accuracy:.1%} of the last {facts.scored} answers were right"
        return Trigger("accuracy", f"{said}, fewer than {least:.1%}")
    if settings.schedule is not None:
        due = next_time(settings.schedule, facts.since)
        if due <= now:
            said = f"the schedule {settings.schedule!r} called for it at {_clock(due)}"
            return Trigger("schedule", said)
    if settings.count is not None and facts.rows >= settings.count:
        return Trigger(
            "count", f"{facts.rows} new labelled rows came, {settings.count} call for one"
        )
    return None


def obstacle(settings: TriggerSettings, facts: Facts, now: float) -> str | None:
    """What stands against any update now, a sentence; None where nothing does."""
    if facts.frozen is not None:
        return f"frozen by {facts.frozen}; `perdure unfreeze` goes on"
    if facts.observing:
        return "the mode is observe: measure, and learn nothing"
    if facts.job is not None:
        return f"update {facts.job} waits or runs already"
    return _limit(settings, facts, now)


def _limit(settings: TriggerSettings, facts: Facts, now: float) -> str | None:
    """Which of the settings' limits stands against an update now."""
    if 0 < facts.rows == facts.beyond:
        return (
            f"an update would learn what the last one learnt: {facts.beyond} labelled rows lie "
            "beyond [update] max_rows behind the champion; promote a version, or raise max_rows"
        )
    if facts.rows < settings.min_rows:
        return f"{facts.rows} new labelled rows are there; an update needs {settings.min_rows}"
    wait = min(PATIENCE * 2.0 ** (facts.failures - 1), MOST_PATIENCE) if facts.failures else 0.0
    if now < facts.failed + wait:
        return f"the last update came to nothing; the next try is at {_clock(facts.failed + wait)}"
    if facts.updated is not None and now < facts.updated + settings.cooldown_seconds:
        return f"cooling down until {_clock(facts.updated + settings.cooldown_seconds)}"
    budget = settings.budget_flops_per_day
    if budget is not None and facts.flops >= budget:
        return f"today's budget is spent: {facts.flops:.2g} of {budget:.2g} FLOPs"
    return None


def why_not(settings: TriggerSettings, facts: Facts, now: float) -> str:
    """Why no update is due, in one line; what each trigger waits for where nothing else does."""
    against = obstacle(settings, facts, now)
    if against is not None:
        return against
    waits = []
    if settings.count is not None:
        waits.append(f"{settings.count - facts.rows} more labelled rows")
    if settings.schedule is not None:
        waits.append(_clock(next_time(settings.schedule, max(facts.since, now))))
    if settings.drift:
        waits.append("a drift")
    if settings.accuracy_below is not None:
        held = "unknown yet" if facts.accuracy is None else f"{facts.accuracy:.1%} now"
        waits.append(f"an accuracy below {settings.accuracy_below:.1%} ({held})")
    if not waits:
        return "no trigger is set: `perdure update` updates, [triggers] in perdure.toml sets one"
    return f"waits for {', or '.join(waits)}"


def next_time(schedule: str, after: float) -> float:
    """The first moment after `after` that a cron expression names, both in seconds, UTC.

    Raises:
        InvalidValue: it is no cron expression, or names no moment.
    """
    cron = require("croniter", "live")
    try:
        return float(cron.croniter(schedule, after).get_next(float))
    except cron.CroniterError as error:
        raise InvalidValue(
            f"triggers.schedule is {schedule!r}, which is no cron expression ({error}); write "
            "minute, hour, day, month and weekday, such as '0 3 * * *'"
        ) from error


# -- of a project --------------------------------------------------------------------------------


def due(project: Project, now: float) -> Trigger | None:
    """The trigger that calls for an update of a project now, if one does."""
    return decide(project.settings.triggers, facts(project, now), now)


def explain(project: Project, now: float) -> dict[str, Any]:
    """When the next update comes: `due` (a trigger's kind or None) and `reason`, a sentence."""
    held, settings = facts(project, now), project.settings.triggers
    trigger = decide(settings, held, now)
    if trigger is not None:
        return {"due": trigger.kind, "reason": trigger.reason}
    return {"due": None, "reason": why_not(settings, held, now)}


def facts(project: Project, now: float) -> Facts:
    """What is known of a project."""
    read = project.database.one
    last = read("SELECT * FROM jobs WHERE state = 'done' ORDER BY id DESC LIMIT 1")
    first = project.database.value("SELECT received FROM rows ORDER BY position LIMIT 1")
    upto = 0 if last is None else last["upto"]
    since = _past(last["created"] if last is not None else first, now)
    failed = _one(
        project,
        "SELECT count(*) AS count, max(finished) AS last FROM jobs"
        " WHERE state IN ('failed', 'cancelled') AND id > ?",
        0 if last is None else last["id"],
    )
    scored = _one(
        project,
        "SELECT count(*) AS rows, avg(hit) AS accuracy FROM (SELECT predicted = o.label AS hit"
        " FROM outcomes o JOIN aliases a ON a.version = o.version AND a.name = 'champion'"
        " WHERE seq > ? ORDER BY seq DESC LIMIT ?)",
        upto,
        LAST_SCORED,
    )
    spent = _one(
        project,
        "SELECT coalesce(sum(json_extract(report, '$.flops')), 0) AS flops"
        " FROM ledger JOIN jobs ON ledger.job = jobs.id WHERE finished >= ? AND finished <= ?",
        now - now % 86400,
        now,
    )
    drift = read(
        "SELECT detector FROM drifts WHERE detector != 'scenario' AND at > ? AND at <= ?"
        " ORDER BY id DESC",
        (0.0 if last is None else since or 0.0, now),
    )
    brake, job = frozen(project.database), project.jobs.open()
    rows, reach = project.log.count(upto), update.stretch(project).upto
    return Facts(
        rows=rows,
        beyond=rows - project.log.count(upto, reach),
        since=now if last is None and first is None else since or 0.0,
        updated=None if last is None else _past(last["finished"], now),
        drift=None if drift is None else drift["detector"],
        accuracy=scored["accuracy"],
        scored=scored["rows"],
        flops=spent["flops"],
        frozen=None if brake is None else f"{brake.actor}: {brake.reason}",
        job=None if job is None else job.id,
        observing=project.settings.update.mode == "observe",
        failures=failed["count"],
        failed=_past(failed["last"], now) or 0.0,
    )


def _past(at: float | None, now: float) -> float | None:
    """None for a time that is yet to come: the clock has been put back, and it says nothing."""
    return None if at is None or at > now else at


def _one(project: Project, sql: str, *values: float) -> sqlite3.Row:
    """The row of an aggregate, which is always there."""
    row = project.database.one(sql, values)
    assert row is not None  # noqa: S101
    return row


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
