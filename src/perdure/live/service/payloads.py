"""Bodies of the prediction protocols: Open Inference Protocol v2, and MLflow's `/invocations`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64", "BYTES",
]  # fmt: skip
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Said(BaseModel):
    """What a request may say of its rows beside their features."""

    model_config = ConfigDict(extra="ignore")

    task: Int64 | None = None
    """Task of all rows, where the schema has tasks."""
    subject: Name | None = None
    """Whom the rows are about."""
    id: Name | None = None
    """The prediction id, for a request of one row; made where it is not given."""


class InferInput(BaseModel):
    """One input tensor."""

    name: str
    shape: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    datatype: Datatype
    data: list[Any] | None = None
    """Row after row, flat or nested; absent where it follows the JSON as bytes."""
    parameters: dict[str, Any] | None = None


class InferOutput(BaseModel):
    """An output that is asked for."""

    name: Literal["probabilities", "label", "prediction_id", "classes"]


class InferRequest(BaseModel):
    """What `infer` is asked.

    Inputs named `task`, `subject` and `id`, of shape [n], say these of each row.
    """

    id: Name | None = None
    parameters: Said | None = None
    inputs: list[InferInput] = Field(min_length=1)
    outputs: list[InferOutput] | None = None


class Tensor(BaseModel):
    """One output tensor."""

    name: str
    datatype: Datatype
    shape: list[int]
    data: list[Any]


class InferAnswer(BaseModel):
    """What `infer` answers: a probability for each class, the label, and an id for each row."""

    model_name: str
    model_version: str
    id: str
    outputs: list[Tensor]


class TensorMetadata(BaseModel):
    """An input or output as a model's metadata describe it; -1 is any number of rows."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetadata(BaseModel):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    """What the server is."""

    name: str
    version: str
    extensions: list[str]
    model: str
    """The name of the one model here."""


class Live(BaseModel):
    """The process answers."""

    live: bool


class Ready(BaseModel):
    """Predictions are answered."""

    ready: bool


class ModelReady(BaseModel):
    """This model, or version, answers."""

    name: str
    ready: bool


class IndexRequest(BaseModel):
    """Which versions to list."""

    ready: bool = False
    """Only those that are loaded."""


class IndexEntry(BaseModel):
    """A version of the model."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class LoadRequest(BaseModel):
    """Which version to load beside the champion; the champion itself where none is named."""

    parameters: dict[Literal["version"], Int64] | None = None


class Loaded(BaseModel):
    """A version that is loaded and warm."""

    name: str
    version: str


class Frame(BaseModel):
    """A table as pandas' `to_dict(orient="split")` writes it."""

    model_config = ConfigDict(extra="ignore")

    columns: list[str | int]
    data: list[list[Any]]

    @model_validator(mode="after")
    def _rectangular(self) -> Frame:
        width = len(self.columns)
        row = next((i for i, row in enumerate(self.data) if len(row) != width), None)
        if row is not None:
            raise ValueError(f"row {row} has {len(self.data[row])} values for {width} columns")
        return self


class Invocation(BaseModel):
    """What MLflow's clients send: exactly one of four."""

    inputs: list[Any] | dict[str, list[Any]] | None = None
    """Rows, or columns by name."""
    instances: list[Any] | None = None
    """Rows."""
    dataframe_split: Frame | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    params: Said | None = None

    @model_validator(mode="after")
    def _one(self) -> Invocation:
        said = [self.inputs, self.instances, self.dataframe_split, self.dataframe_records]
        if sum(held is not None for held in said) != 1:
            raise ValueError(
                "give exactly one of inputs, instances, dataframe_split and dataframe_records"
            )
        return self


class Predictions(BaseModel):
    """Labels, with what is needed to give the true ones later."""

    predictions: list[str]
    probabilities: list[list[float]]
    classes: list[str]
    prediction_ids: list[str]
    version: int


class Version(BaseModel):
    """The release of perdure."""

    version: str
