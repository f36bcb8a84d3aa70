"""How a state directory is doing, in plain values: for the command line, the API and the pages."""

from __future__ import annotations

import time
from typing import Any

from perdure.live import erasure, shift, tracking, triggers, watch
from perdure.live.freezing import frozen
from perdure.live.project import Project


def status(project: Project) -> dict[str, Any]:
    """Everything that `perdure status` says.

    Returns:
        name, mode, frozen, aliases, generation, champion, log (head, learnt, new, quarantined,
        waiting for labels, rows), job (the one that runs or waits), accuracy (prequential),
        drift (the last one), next (when an update is due, or why not), warnings (sentences that
        call for somebody).
    """
    registry, log = project.registry, project.log
    champion = registry.champion()
    learnt = 0 if champion is None else champion.upto
    held, job = frozen(project.database), project.jobs.open()
    return {
        "name": project.settings.name,
        "directory": str(project.directory),
        "mode": project.settings.update.mode,
        "frozen": None if held is None else {"actor": held.actor, "reason": held.reason},
        "aliases": registry.aliases(),
        "generation": registry.generation(),
        "champion": None
        if champion is None
        else {"version": champion.version, "upto": champion.upto, "created": champion.created},
        "classes": project.classes(),
        "log": {
            "rows": int(project.database.value("SELECT count(*) FROM rows")),
            "head": log.head(),
            "learnt": learnt,
            "new": log.count(learnt),
            "quarantined": log.count(0, use="quarantine"),
            "waiting_for_label": _waiting(project),
            "scored": project.database.value("SELECT seq FROM watch") or 0,
        },
        "job": None if job is None else {**vars(job)},
        "accuracy": watch.accuracy(project),
        "drift": watch.last_drift(project),
        "next": triggers.explain(project, time.time()),
        "warnings": warnings(project),
    }


def warnings(project: Project) -> list[str]:
    """What somebody should look at, a sentence each; empty where all is well."""
    found = []
    held, champion = frozen(project.database), project.registry.champion()
    if held is not None:
        found.append(f"frozen by {held.actor}: {held.reason}; `perdure unfreeze` goes on")
    if champion is not None and champion.tainted is not None:
        found.append(
            f"version {champion.version}, which serves, learnt from a subject who was erased "
            "since; `perdure erase --subject ID --rebuild exact` trains it again without"
        )
    last = project.jobs.latest(limit=1)
    if last and last[0].state == "failed":
        found.append(f"the last update failed: {last[0].error}")
    made = project.registry.last()
    if made is not None and made.note.get("left_out", 0) > made.note.get("rows", 0):
        found.append(
            f"the last update left out {made.note['left_out']} rows and learnt "
            f"{made.note['rows']}: sources sent more than abuse.max_source_share allows"
        )
    pending = project.database.value("SELECT count(*) FROM blanks")
    if pending:
        found.append(f"{pending} rows that are gone are still to be written over")
    found += [
        f"the erasure of {one.subject[:16]} is not finished: {one.problem or 'it has begun'}"
        for one in erasure.pending(project)
    ]
    more = (tracking.problem(project), shift.found(project))
    return [*found, *(one for one in more if one is not None)]


def _waiting(project: Project) -> int:
    return int(
        project.database.value(
            "SELECT (SELECT count(*) FROM rows)"
            " - (SELECT count(*) FROM examples WHERE revision = 0)"
        )
    )
