"""The routes under `/v1`: examples and labels in; updates, versions, verdicts and the audit."""
# ruff: noqa: FAST003  # `model` is an argument of the dependency `named`

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, TypeAdapter
from starlette.concurrency import run_in_threadpool

from perdure.live import erasure, freezing, status
from perdure.live.labels import Label
from perdure.live.refusals import Conflict, NotAllowed
from perdure.live.registry import Version
from perdure.live.rows import Row
from perdure.live.service import bodies, metrics
from perdure.live.service.refusing import Failure, refusals
from perdure.live.service.security import Caller, Guarded, caller
from perdure.live.service.service import Service, service_of

BODIES: Final[tuple[type[BaseModel], ...]] = (bodies.ExamplesIn, bodies.RowIn)
NDJSON: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl")
MAX_ENTRIES: Final = 1000

_LINES = TypeAdapter(list[bodies.RowIn])


def named(service: Annotated[Service, Depends(service_of)], model: str) -> Service:
    """The service, if `model` is what it serves."""
    service.check_model(model)
    return service


Here = Annotated[Service, Depends(service_of)]
Named = Annotated[Service, Depends(named)]
Who = Annotated[Caller, Depends(caller)]
Limit = Annotated[int, Query(ge=1, le=MAX_ENTRIES)]
VersionName = Annotated[str, Path(pattern=r"^([0-9]{1,18}|[a-z]{1,32})$")]

router = APIRouter(route_class=Guarded, responses=refusals(Failure), tags=["v1"])


# -- rows and labels -----------------------------------------------------------------------------


@router.post(
    "/v1/models/{model}/examples",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/ExamplesIn"}},
                NDJSON[0]: {"schema": {"type": "string", "description": "A row a line."}},
            },
        },
    },
)
async def examples(
    request: Request,
    service: Named,
    who: Who,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> bodies.ExamplesOut:
    """Store rows durably: all of them, or none.

    The same `Idempotency-Key` with the same body gives the same answer again, and stores nothing.
    """
    body = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    held = await run_in_threadpool(_rows, body, kind in NDJSON)
    rows = [_row(row, who) for row in held]
    for source, count in Counter(row.source for row in rows).items():
        service.charge_rows(str(source), count)
    digest = hashlib.sha256(body).hexdigest()
    # One key of two callers is two keys: nobody reads another's answer.
    key = None if idempotency_key is None else f"{who.name}:{idempotency_key}"
    stored = await run_in_threadpool(service.project.log.append, rows, key, digest)
    accepted = await asyncio.wrap_future(stored)
    counts = Counter(row.status for row in accepted)
    for word, count in counts.items():
        service.metrics.examples.labels(word).inc(count)
    return bodies.ExamplesOut(
        accepted=[bodies.AcceptedRow(**asdict(row)) for row in accepted],
        stored=counts["stored"],
        duplicates=counts["duplicate"],
    )


def _rows(body: bytes, lines: bool) -> Sequence[bodies.RowIn]:
    if not lines:
        return bodies.ExamplesIn.model_validate_json(body).rows
    # The lines as one array are read in one go, and errors count rows.
    array = b"[" + b",".join(line for line in body.split(b"\n") if line.strip()) + b"]"
    return bodies.ExamplesIn(rows=_LINES.validate_json(array)).rows


def _row(said: bodies.RowIn, who: Caller) -> Row:
    source = said.source or who.name
    if source != who.name and not who.allows("operate"):
        raise NotAllowed(
            f"token {who.name!r} may not speak for another source; leave source out, or use a "
            "token with the role 'operate'",
            field="source",
            value=source,
        )
    return Row(
        id=said.id,
        features=said.features,
        label=said.label,
        event_time=said.event_time,
        subject=said.subject,
        source=source,
        task=said.task,
    )


@router.post("/v1/models/{model}/labels")
async def labels(service: Named, said: bodies.LabelsIn) -> bodies.LabelsOut:
    """Join labels to rows, or to answers by their prediction ids: all of them, or none."""
    given = [Label(held.id, held.label) for held in said.labels]
    joined = await asyncio.wrap_future(service.project.labels.give(given))
    for word, count in Counter(label.status for label in joined).items():
        service.metrics.labels.labels(word).inc(count)
    return bodies.LabelsOut(labels=[bodies.JoinedLabel(**asdict(label)) for label in joined])


# -- how things stand ----------------------------------------------------------------------------


@router.get("/v1/models/{model}/status")
def status_(service: Named) -> bodies.StatusOut:
    """How the project and this process stand."""
    server, champion, keeper = service.server, service.server.champion, service.supervisor
    here = bodies.ServiceOut(
        version=None if champion is None else champion.version,
        generation=server.serving.generation,
        queued=service.batcher.queued,
        switches=server.switches,
        failures={str(version): why for version, why in server.failures.items()},
        started=service.started,
        updater=bodies.UpdaterOut(
            pid=None if keeper is None else keeper.pid,
            restarts=0 if keeper is None else keeper.restarts,
            exit_code=None if keeper is None else keeper.exit_code,
        ),
    )
    return bodies.StatusOut(**_plain(status.status(service.project)), service=here)


@router.get("/v1/models/{model}/versions")
def versions(service: Named, limit: Limit = 100) -> bodies.VersionsOut:
    """Versions, newest first."""
    registry = service.project.registry
    held, aliases = registry.all()[::-1][:limit], registry.aliases()
    return bodies.VersionsOut(
        versions=[_version(one, aliases) for one in held], generation=registry.generation()
    )


@router.get("/v1/models/{model}/versions/{version}")
def version_(service: Named, version: VersionName) -> bodies.VersionOut:
    """A version by its number or alias."""
    registry = service.project.registry
    held = registry.get(int(version) if version.isdigit() else version)
    return _version(held, registry.aliases())


@router.get("/v1/models/{model}/verdicts")
def verdicts(service: Named, limit: Limit = 100) -> bodies.VerdictsOut:
    """What the gate said, newest first."""
    found = _read(service, "SELECT * FROM verdicts ORDER BY id DESC LIMIT ?", limit, "report")
    return bodies.VerdictsOut(verdicts=[bodies.VerdictOut(**row) for row in found])


@router.get("/v1/models/{model}/drifts")
def drifts(service: Named, limit: Limit = 100) -> bodies.DriftsOut:
    """What the detectors found, newest first."""
    found = _read(service, "SELECT * FROM drifts ORDER BY id DESC LIMIT ?", limit, "detail")
    return bodies.DriftsOut(drifts=[bodies.DriftOut(**row) for row in found])


@router.get("/v1/models/{model}/matrix")
def matrix(service: Named) -> bodies.MatrixOut:
    """The accuracy of each version on the held-out rows of each span."""
    read = service.project.database.read
    spans = read("SELECT span, name, first, last FROM spans ORDER BY span")
    cells = read(
        "SELECT version, span, slice, rows, correct FROM accuracy ORDER BY version, span, slice"
    )
    return bodies.MatrixOut(
        spans=[bodies.SpanOut(**dict(row)) for row in spans],
        cells=[bodies.CellOut(**dict(row)) for row in cells],
    )


@router.get("/v1/audit")
def audit(
    service: Here,
    limit: Limit = 100,
    before: Annotated[int, Query(ge=1, lt=2**63)] = 2**63 - 1,
) -> bodies.AuditsOut:
    """Who did what, newest first; `before` an entry's id gives what came earlier."""
    sql = "SELECT * FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?"
    found = [dict(row) for row in service.project.database.read(sql, (before, limit))]
    entries = [bodies.AuditOut(**{**row, "detail": json.loads(row["detail"])}) for row in found]
    return bodies.AuditsOut(entries=entries)


@router.get(
    "/metrics",
    response_model=None,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics_(service: Here) -> Response:
    """Numbers for Prometheus."""
    return Response(service.metrics.text(), media_type=metrics.CONTENT_TYPE)


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request) -> dict[str, Any]:
    """The description of all this."""
    said: dict[str, Any] = request.app.openapi()
    return said


# -- doing ---------------------------------------------------------------------------------------


@router.post("/v1/models/{model}/updates", status_code=202)
def updates(service: Named, who: Who, said: bodies.ReasonIn, response: Response) -> bodies.JobOut:
    """Ask for an update; where one waits or runs already, that one."""
    held = freezing.frozen(service.project.database)
    if held is not None:
        raise Conflict(f"{held.actor} froze the project: {held.reason}; unfreeze it first")
    job = service.project.jobs.ask("update", said.reason, who.name)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return bodies.JobOut(**_plain(asdict(job)))


@router.get("/v1/jobs/{job}")
def job_(service: Here, job: Annotated[int, Path(ge=1, lt=2**63)]) -> bodies.JobOut:
    """A piece of the updater's work."""
    return bodies.JobOut(**_plain(asdict(service.project.jobs.get(job))))


@router.post("/v1/models/{model}/promote")
async def promote(service: Named, who: Who, said: bodies.PromoteIn) -> bodies.Moved:
    """Let a version serve; it does when this answers."""
    await run_in_threadpool(
        service.project.registry.promote,
        said.version,
        actor=who.name,
        reason=said.reason,
        if_generation=said.if_generation,
    )
    return await _moved(service)


@router.post("/v1/models/{model}/rollback")
async def rollback(service: Named, who: Who, said: bodies.ReasonIn) -> bodies.Moved:
    """Go back to the version that served before; it does when this answers."""
    await run_in_threadpool(service.project.registry.rollback, actor=who.name, reason=said.reason)
    return await _moved(service)


@router.post("/v1/models/{model}/freeze")
def freeze(service: Named, who: Who, said: bodies.ReasonIn) -> bodies.FreezeOut:
    """Start no update and promote nothing until `unfreeze`; predictions go on."""
    held = freezing.freeze(service.project.database, who.name, said.reason)
    return bodies.FreezeOut(frozen=bodies.FrozenOut(**asdict(held)))


@router.post("/v1/models/{model}/unfreeze")
def unfreeze(service: Named, who: Who, said: bodies.ReasonIn) -> bodies.FreezeOut:
    """Learn again."""
    freezing.unfreeze(service.project.database, who.name, said.reason)
    return bodies.FreezeOut(frozen=None)


@router.post("/v1/erasures")
async def erasures(service: Here, who: Who, said: bodies.ErasureIn) -> bodies.Erased:
    """Remove every byte of a subject; rows of it that come later are refused with 410."""
    receipt = await run_in_threadpool(
        erasure.erase,
        service.project,
        said.subject,
        who.name,
        said.rebuild,
        dry_run=said.dry_run,
    )
    await service.server.follow()  # what is in memory may hold rows of the subject
    return bodies.Erased(**_plain(receipt.to_dict()))


async def _moved(service: Service) -> bodies.Moved:
    await service.server.follow()
    held, serving = service.project.registry.get("champion"), service.server.champion
    return bodies.Moved(
        version=held.version,
        serving=None if serving is None else serving.version,
        generation=service.project.registry.generation(),
    )


# -- from the database to JSON -------------------------------------------------------------------


def _version(held: Version, aliases: dict[str, int]) -> bodies.VersionOut:
    mine = sorted(alias for alias, number in aliases.items() if number == held.version)
    return bodies.VersionOut(**_plain(asdict(held)), aliases=mine)


def _read(service: Service, sql: str, limit: int, column: str) -> list[dict[str, Any]]:
    found = [dict(row) for row in service.project.database.read(sql, (limit,))]
    return [_plain({**row, column: json.loads(row[column])}) for row in found]


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: what was not measured is null."""
    if isinstance(value, dict):
        return {str(key): _plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(held) for held in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
