"""What `perdure.toml` says: one file, every setting with a default, unknown keys refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from croniter import CroniterError, croniter
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from perdure.errors import InvalidValue
from perdure.live.refusals import RowRefused
from perdure.live.schema import Schema

Plain = str | int | float | bool | None


class Section(BaseModel):
    """A table of the file: frozen, and a key that it does not know is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    @field_validator("*")
    @classmethod
    def _is_storable(cls, said: Any) -> Any:
        if isinstance(said, int) and said >= 2**63:
            raise ValueError("a database holds integers below 2^63; give a smaller one")
        return said


class LearnerSettings(Section):
    """The model, what keeps it from forgetting, and how it is trained."""

    model: str = "model:build"
    """`file:function` beside the settings; the function takes (schema, classes) and returns a
    `torch.nn.Module`."""
    methods: tuple[dict[str, Plain], ...] = ({"name": "ER", "capacity": 2000},)
    """Methods by the names of `perdure.methods`, each with its arguments."""
    optimizer: Literal["adam", "sgd"] = "adam"
    lr: float = Field(default=1e-3, gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    batch_size: int = Field(default=64, ge=1)
    epochs: int | None = Field(default=None, ge=1)
    """Passes over an update's rows: one, unless `steps` says how many updates to make."""
    steps: int | None = Field(default=None, ge=1)
    boundaries: Literal["update", "task", "drift", "never"] = "update"
    """What ends a task: each update, another task id, a drift, or nothing."""


class LabelSettings(Section):
    """Labels that come later than their rows."""

    wait_seconds: float = Field(default=0.0, ge=0)
    """How long a row waits for its label; 0 is for ever."""
    late: Literal["train", "evaluate", "drop"] = "train"
    """What a label is good for that comes after the wait."""
    default: str | None = None
    """The label of rows whose wait is over; none drops the row."""


class LogSettings(Section):
    """The durable log of rows."""

    keep_rows: int = Field(default=100_000, ge=1)
    """Rows to keep after the champion has learnt them; older ones go."""
    keep_days: float | None = Field(default=None, gt=0)
    max_rows: int = Field(default=1_000_000, ge=1)
    """Rows in all, above `keep_rows`; a full log refuses new ones with 429 until an update has made
    room."""
    segment_bytes: int = Field(default=16 * 2**20, ge=4096, le=2**40)
    keep_features: int = Field(default=100_000, ge=0)
    """Rows whose features are kept on the disk, where the model has a frozen encoder."""
    predictions: Literal["durable", "buffered", "off"] = "durable"
    """Whether answers are on the disk before they are given, a moment later, or never."""


class RetentionSettings(Section):
    """What may be kept of the past, and how long."""

    raw: bool = True
    """False: no raw row stays anywhere once an update has learnt it."""
    memory_days: float | None = Field(default=None, gt=0)
    memory_rows_per_subject: int | None = Field(default=None, ge=1)
    versions: int = Field(default=20, ge=2)
    """Versions to keep beside those that an alias names."""


class EvaluationSettings(Section):
    """The rows that are held out, never trained on."""

    share: float = Field(default=0.2, gt=0, lt=1)
    """Of subjects (of rows, where they have no subject) that are held out."""
    capacity: int = Field(default=5_000, ge=1)
    keep_days: float | None = Field(default=None, gt=0)
    """After which a held-out row says nothing any more: where what is right changes with time, old
    rows would refuse every challenger."""
    max_spans: int = Field(default=32, ge=2)
    slices: tuple[Literal["task", "class", "source"], ...] = ("class",)


class TriggerSettings(Section):
    """When to update without being asked; none of them is manual retraining."""

    count: int | None = Field(default=None, ge=1)
    """New labelled rows."""
    schedule: str | None = None
    """A cron expression, in UTC."""
    drift: bool = False
    accuracy_below: float | None = Field(default=None, ge=0, le=1)
    cooldown_seconds: float = Field(default=0.0, ge=0)
    min_rows: int = Field(default=1, ge=1)
    budget_flops_per_day: float | None = Field(default=None, gt=0)

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, said: str | None) -> str | None:
        if said is None:
            return None
        if not croniter.is_valid(said):
            raise ValueError("it is no cron expression; '0 3 * * *' is every night at three")
        try:
            croniter(said, 0.0).get_next(float)
        except CroniterError:
            raise ValueError("no day is ever one of these; mend day and month") from None
        return said


class UpdateSettings(Section):
    """What an update is, and what becomes of its result."""

    mode: Literal["observe", "apprentice", "recommend", "auto"] = "auto"
    """Measure only; train and shadow; let a person promote; or let the gate promote."""
    start: Literal["champion", "scratch"] = "champion"
    """Go on from the champion, or train from scratch on the newest rows of the log."""
    max_rows: int = Field(default=50_000, ge=1)
    """Rows that one update learns at most; what is left waits for the next, or from scratch is left
    out."""
    checkpoint_seconds: float = Field(default=10.0, ge=0)
    twin_every: int = Field(default=0, ge=0)
    """Every so many updates a twin is trained from scratch to measure what was saved; 0 never."""
    threads: int = Field(default=1, ge=1, le=1024)
    """CPU threads of an update: the service needs some too, and small models gain nothing."""
    device: str = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"

    @field_validator("device")
    @classmethod
    def _is_device(cls, said: str) -> str:
        try:
            torch.device("cpu" if said == "auto" else said)
        except RuntimeError:
            raise ValueError("torch knows no such device; give auto, cpu, cuda or cuda:1") from None
        return said


class GateSettings(Section):
    """What a challenger must prove before it may serve."""

    floor: float = Field(default=0.0, ge=0, le=1)
    """Accuracy on all held-out rows."""
    margin: float = Field(default=0.02, ge=0, le=1)
    """How much worse than the champion still counts as not worse, in all, by span and slice."""
    max_forgetting: float = Field(default=0.1, ge=0, le=1)
    """On any span, from the best that any version reached there."""
    max_bwt_drop: float = Field(default=0.05, ge=0, le=1)
    max_negative_flips: float = Field(default=0.1, ge=0, le=1)
    """Share of held-out rows that the champion had right and the challenger has wrong."""
    max_latency_ratio: float = Field(default=3.0, gt=0)
    max_step: float | None = Field(default=None, gt=0)
    """Relative movement of the parameters in one update."""
    min_rows: int = Field(default=30, ge=1)
    """Held-out rows under which a span or slice says nothing."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    repair: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.75, 0.5, 0.25)
    """Shares of the challenger to try when interpolating towards the champion; empty: none."""


class AbuseSettings(Section):
    """What one source may do."""

    max_source_share: float = Field(default=1.0, gt=0, le=1)
    """Of the rows that one update learns, and of the held-out rows of a span; more than the
    largest source that you trust has."""
    rows_per_minute: int | None = Field(default=None, ge=1)
    """Rows that one source may send."""
    quarantine: bool = True
    """Rows of an update that the gate refuses, or that cannot be learnt, are set aside until a
    person releases them."""


class ServeSettings(Section):
    """The HTTP service."""

    host: str = "127.0.0.1"
    port: int = Field(default=8440, ge=0, le=65535)
    max_body_bytes: int = Field(default=16 * 2**20, ge=1024)
    max_batch: int = Field(default=64, ge=1, le=65_536)
    max_wait_ms: float = Field(default=2.0, ge=0)
    max_queue: int = Field(default=4096, ge=1)
    requests_per_minute: int | None = Field(default=None, ge=1)
    canary_share: float = Field(default=0.0, ge=0, le=1)
    baseline_share: float = Field(default=0.0, ge=0, le=1)


class TrackingSettings(Section):
    """Where updates are told besides; no row is sent, and no update waits for it."""

    to: tuple[Annotated[str, Field(pattern=r"^(mlflow(:.+)?|tensorboard:.+)$")], ...] = ()
    """"mlflow" (a store in the directory), "mlflow:URI" or "tensorboard:FOLDER"."""
    models: bool = True
    """Whether the versions that aliases name go to MLflow's registry: the model's tensors, without
    the memory."""


class Settings(Section):
    """A project's settings, as `perdure.toml` holds them."""

    name: str = Field(default="model", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    seed: int = Field(default=0, ge=0, lt=2**63)
    schema_: Schema = Field(alias="schema")
    learner: LearnerSettings = LearnerSettings()
    labels: LabelSettings = LabelSettings()
    log: LogSettings = LogSettings()
    retention: RetentionSettings = RetentionSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    triggers: TriggerSettings = TriggerSettings()
    update: UpdateSettings = UpdateSettings()
    gate: GateSettings = GateSettings()
    abuse: AbuseSettings = AbuseSettings()
    serve: ServeSettings = ServeSettings()
    tracking: TrackingSettings = TrackingSettings()

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        kept, most, default = self.log.keep_rows, self.log.max_rows, self.labels.default
        if self.learner.epochs is not None and self.learner.steps is not None:
            raise ValueError("learner: give epochs or steps, not both")
        if kept >= most:
            raise ValueError(
                f"log.keep_rows is {kept} and log.max_rows is {most}: a log that keeps all that it "
                "can hold has no room again; set keep_rows below max_rows"
            )
        for name, rows in (("count", self.triggers.count), ("min_rows", self.triggers.min_rows)):
            if rows is not None and rows > most:
                raise ValueError(
                    f"triggers.{name} is {rows} and log.max_rows is {most}: the log is full before "
                    f"so many rows wait; set {name} below max_rows"
                )
        if default is not None:
            _check_default(self.schema_, default)
        return self

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file.

        Raises:
            InvalidValue: it is missing, is no TOML, or has a wrong key or value: all are named.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            raise InvalidValue(
                f"{path} is not there; `perdure init` writes one, or name another directory"
            ) from None
        except UnicodeDecodeError as error:
            raise InvalidValue(f"{path} is not UTF-8 ({error}); save it as UTF-8") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, where: str = "perdure.toml") -> Self:
        """Read TOML text; `where` is how errors call it."""
        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise InvalidValue(f"{where} is no TOML: {error}") from error
        except ValidationError as error:
            found = "; ".join(_said(one) for one in error.errors())
            raise InvalidValue(f"{where}: {found}") from error


def _check_default(schema: Schema, label: str) -> None:
    """The label of rows whose wait is over must be one that can be given, whenever that is."""
    try:
        name = schema.check_label(label)
    except RowRefused as refused:
        raise ValueError(f"labels.default is {label!r}; {refused.reason}") from None
    if schema.max_classes is not None and name not in schema.classes:
        raise ValueError(
            f"labels.default is {label!r}, and others may be {schema.max_classes} classes before "
            "it is one; name it in schema.classes"
        )


def _said(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if not place:
        return str(error["msg"].removeprefix("Value error, "))
    if error["type"] == "missing":
        return f"{place} is missing"
    if error["type"] == "extra_forbidden":
        return f"{place} is no setting; take it out or mend its name"
    return f"{place} is {error['input']!r}: {error['msg'].removeprefix('Value error, ')}"
