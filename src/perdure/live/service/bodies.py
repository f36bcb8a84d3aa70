"""Bodies of `/v1`: what comes in is checked, and what goes out is described, by these models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from perdure.live.service.payloads import Int64, Name

Reason = Annotated[str, Field(min_length=1, max_length=1000)]
Seconds = Annotated[float, Field(allow_inf_nan=False)]
MAX_LABELS = 10_000
MAX_ROWS = 10_000


class In(BaseModel):
    """A request: a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid")


class RowIn(In):
    """A row for the log."""

    features: Any
    """As the schema's kind wants them."""
    id: Name | None = None
    """Unique in the log; made where it is not given."""
    label: StrictStr | StrictInt | None = None
    """A class by name; it may come later, by the row's id."""
    event_time: Seconds | None = None
    """Seconds since 1970, UTC; the time of arrival where it is not given."""
    subject: Name | None = None
    """Whom the row is about, so that it can be erased."""
    source: Name | None = None
    """Who measured it; the token's name where it is not given."""
    task: Int64 | None = None
    """Its task, where the schema has tasks."""


class ExamplesIn(In):
    """Rows for the log: all of them are stored, or none."""

    rows: list[RowIn] = Field(min_length=1, max_length=MAX_ROWS)


class AcceptedRow(BaseModel):
    """A row that is in the log."""

    id: str
    position: int
    status: Literal["stored", "duplicate"]


class ExamplesOut(BaseModel):
    """What became of the rows; they are on the disk."""

    accepted: list[AcceptedRow]
    stored: int
    duplicates: int


class LabelIn(In):
    """A label for a row, or for an answer by its prediction id."""

    id: Name
    label: StrictStr | StrictInt


class LabelsIn(In):
    """Labels: all of them are joined to their rows, or none."""

    labels: list[LabelIn] = Field(min_length=1, max_length=MAX_LABELS)


class JoinedLabel(BaseModel):
    """What became of a label."""

    id: str
    status: Literal["joined", "duplicate", "revised", "late", "dropped"]


class LabelsOut(BaseModel):
    """What became of the labels; they are on the disk."""

    labels: list[JoinedLabel]


class ReasonIn(In):
    """Why, for the audit."""

    reason: Reason


class PromoteIn(In):
    """Which version is to serve."""

    version: Annotated[StrictInt, Field(ge=1, lt=2**63)]
    reason: Reason
    if_generation: Annotated[StrictInt, Field(ge=0, lt=2**63)] | None = None
    """Refuse if an alias has moved since this generation."""


class Moved(BaseModel):
    """Who serves after a promotion or a rollback."""

    version: int
    """The champion in the registry."""
    serving: int | None
    """The champion in this process: the same, unless it cannot be loaded."""
    generation: int


class ErasureIn(In):
    """Whom to erase."""

    subject: Name
    rebuild: Literal["none", "exact", "scheduled"] = "none"
    """"exact" learns again from before the subject's first row."""
    dry_run: bool = False
    """Say what would be done, and do nothing."""


class Erased(BaseModel):
    """What was erased, and what remains; more may come."""

    model_config = ConfigDict(extra="allow")

    state: Literal["dry run", "pending", "done"]
    subject: str
    """A digest of the name."""
    at: float
    rows: int
    tainted: list[int]
    """Versions that learnt from the subject."""
    remains: list[str]
    signature: str


class JobOut(BaseModel):
    """A piece of the updater's work."""

    id: int
    kind: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    reason: str
    actor: str
    created: float
    started: float | None
    finished: float | None
    heartbeat: float | None
    parent: int | None
    after: int | None
    upto: int | None
    version: int | None
    progress: dict[str, Any]
    error: str | None


class FrozenOut(BaseModel):
    """Who froze the project, when and why."""

    actor: str
    at: float
    reason: str


class FreezeOut(BaseModel):
    """Whether the project learns."""

    frozen: FrozenOut | None


class ChampionOut(BaseModel):
    """The version that serves."""

    version: int
    upto: int
    created: float


class LogOut(BaseModel):
    """How the log stands; more numbers may come."""

    model_config = ConfigDict(extra="allow")

    rows: int
    head: int
    """The seq of the last labelled row."""
    learnt: int
    """The seq up to which the champion has learnt."""
    new: int
    """Labelled rows that it has not."""


class UpdaterOut(BaseModel):
    """The process that learns."""

    pid: int | None
    """None while it does not run here."""
    restarts: int
    exit_code: int | None
    """Of the last one that ended."""


class ServiceOut(BaseModel):
    """How this process stands."""

    version: int | None
    """The champion that it has in memory."""
    generation: int
    queued: int
    """Rows that wait for an answer."""
    switches: int
    failures: dict[str, str]
    """Versions that could not be loaded, and why."""
    started: float
    updater: UpdaterOut


class StatusOut(BaseModel):
    """How the project stands; more may come."""

    model_config = ConfigDict(extra="allow")

    name: str
    mode: Literal["observe", "apprentice", "recommend", "auto"]
    aliases: dict[str, int]
    generation: int
    champion: ChampionOut | None
    classes: list[str]
    log: LogOut
    job: dict[str, Any] | None
    warnings: list[str]
    service: ServiceOut


class VersionOut(BaseModel):
    """A version of the model."""

    version: int
    aliases: list[str]
    parent: int | None
    job: int | None
    after: int
    upto: int
    created: float
    state: Literal["candidate", "blessed", "refused", "undecided", "removed"]
    tainted: float | None
    digest: str
    bytes: int
    note: dict[str, Any]


class VersionsOut(BaseModel):
    """All versions, newest first."""

    versions: list[VersionOut]
    generation: int


class VerdictOut(BaseModel):
    """What the gate said of a version, with its numbers and reasons."""

    id: int
    version: int
    champion: int | None
    verdict: str
    at: float
    report: dict[str, Any]


class VerdictsOut(BaseModel):
    """Verdicts, newest first."""

    verdicts: list[VerdictOut]


class DriftOut(BaseModel):
    """A change that a detector found."""

    id: int
    at: float
    seq: int
    detector: str
    detail: dict[str, Any]


class DriftsOut(BaseModel):
    """Drifts, newest first."""

    drifts: list[DriftOut]


class SpanOut(BaseModel):
    """Held-out rows that came in one stretch."""

    span: int
    name: str
    first: int
    last: int


class CellOut(BaseModel):
    """How many rows of a span and slice a version has right; slice "" is all of them."""

    version: int
    span: int
    slice: str
    rows: int
    correct: int


class MatrixOut(BaseModel):
    """The accuracy matrix R[version, span], with slices."""

    spans: list[SpanOut]
    cells: list[CellOut]


class AuditOut(BaseModel):
    """Something that somebody did."""

    id: int
    at: float
    actor: str
    action: str
    detail: dict[str, Any]


class AuditsOut(BaseModel):
    """Audit entries, newest first."""

    entries: list[AuditOut]
