"""The schema of a project: the kind of its features, its classes, and whether it has tasks."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor

from perdure.live.refusals import Refused, RowRefused, shown
from perdure.live.schema.column import Column
from perdure.live.schema.fields import Fields
from perdure.live.schema.form import Bytes, Form
from perdure.live.schema.image import ImageForm
from perdure.live.schema.labels import class_name
from perdure.live.schema.table import TableForm
from perdure.live.schema.tensor import Dtype, TensorForm
from perdure.live.schema.text import TextForm

Kind = Literal["tensor", "table", "text", "image"]

OF_KIND: dict[str, tuple[str, ...]] = {
    "tensor": ("dtype", "shape"),
    "table": ("columns",),
    "text": ("length",),
    "image": ("channels", "height", "width"),
}
MAX_ROW_BYTES = 2**26


class Schema(BaseModel):
    """What a row of a project is; fixed when the project begins.

    Raises:
        ValidationError: a setting is wrong, is of another kind of features, or is missing.

    Example:
        >>> schema = Schema(kind="tensor", shape=(2,), classes=("no", "yes"))
        >>> schema.decode(schema.encode_many([[1, 2], [3, 4]]))
        tensor([[1., 2.],
                [3., 4.]])
        >>> schema.encode([1, None])
        Traceback (most recent call last):
        ...
        perdure.live.refusals.RowRefused: 'features[1]' is None; give numbers, ...
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    dtype: Dtype = "float32"
    """Of a tensor."""
    shape: tuple[int, ...] = ()
    """Of a tensor."""
    columns: tuple[Column, ...] = ()
    """Of a table."""
    length: int | None = Field(default=None, ge=1)
    """Of a text: the most bytes of UTF-8."""
    channels: int | None = Field(default=None, ge=1)
    """Of an image."""
    height: int | None = Field(default=None, ge=1)
    """Of an image, in pixels."""
    width: int | None = Field(default=None, ge=1)
    """Of an image, in pixels."""
    classes: tuple[str, ...] = ()
    """The classes that are known from the start."""
    open: bool = False
    """Whether a label may name a new class."""
    max_classes: int | None = Field(default=None, ge=1)
    """How many classes there may be in all; None is no limit."""
    tasks: bool = False
    """Whether rows belong to tasks, and questions come with a task id."""
    fields: Fields = Fields()
    """How files call the columns that are not features."""

    @field_validator("classes", mode="before")
    @classmethod
    def _named(cls, classes: Any) -> Any:
        if not isinstance(classes, Sequence) or isinstance(classes, str):
            return classes
        try:
            return tuple(class_name(name) for name in classes)
        except RowRefused as refused:
            raise ValueError(f"a class {refused}") from None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for kind, names in OF_KIND.items():
            unsaid = [name for name in names if self._is_default(name)]
            said = [name for name in names if name not in unsaid]
            if kind != self.kind and said:
                raise ValueError(f"kind {self.kind!r} has no {', '.join(said)}; that is of {kind}")
            needed = [name for name in unsaid if name != "dtype"]
            if kind == self.kind and needed:
                raise ValueError(f"kind {kind!r} needs {', '.join(needed)}")
        if any(size < 1 for size in self.shape):
            raise ValueError(f"shape {list(self.shape)} holds a size below 1")
        _check_distinct("columns", [column.name for column in self.columns])
        _check_distinct("classes", self.classes)
        if not self.open and not self.classes:
            raise ValueError("name the classes, or set open = true so that labels may name them")
        if self.max_classes is not None and len(self.classes) > self.max_classes:
            raise ValueError(f"{len(self.classes)} classes are more than {self.max_classes=}")
        if self.row_bytes > MAX_ROW_BYTES:
            raise ValueError(f"a row takes {self.row_bytes:,} bytes, more than {MAX_ROW_BYTES:,}")
        return self

    # -- features --------------------------------------------------------------------------------

    @cached_property
    def form(self) -> Form:
        """The kind of features, with its settings."""
        if self.kind == "tensor":
            return TensorForm(self.dtype, self.shape)
        if self.kind == "table":
            return TableForm(self.columns)
        if self.kind == "text":
            return TextForm(self.length or 0)
        return ImageForm(self.channels or 0, self.height or 0, self.width or 0)

    @property
    def row_bytes(self) -> int:
        """The length of every encoded row."""
        return self.form.row_bytes

    def encode(self, features: Any) -> bytes:
        """Check and encode the features of one row.

        Raises:
            RowRefused: they do not fit; the message names field and value.
        """
        try:
            return bytes(self.form.encode_many([features])[0])
        except Refused as refused:
            raise refused.at(None) from None

    def encode_many(self, features: Any) -> Bytes:  # (n, row_bytes)
        """Check and encode the features of n rows, in a list or an array; arrays are fastest.

        Raises:
            RowRefused: the first that does not fit; the message names row, field and value.
        """
        several = isinstance(features, Sequence | np.ndarray | Tensor)
        if not several or isinstance(features, str | bytes | bytearray | Mapping):
            raise RowRefused("give a list of rows", field="features", value=features)
        return self.form.encode_many(features)

    def decode(self, rows: Bytes) -> Tensor:  # (n, ...)
        """What encoded rows (n, row_bytes) are to the model.

        tensor: its dtype (n, *shape); table: float32 (n, columns); text: uint8 (n, length),
        padded with zeros; image: uint8 (n, channels, height, width).
        """
        return self.form.decode(rows)

    def example(self) -> Any:
        """Valid features of one row, as JSON may hold them."""
        return self.form.example()

    # -- labels and tasks ------------------------------------------------------------------------

    def check_label(self, label: str | int) -> str:
        """The name of the class that a label means; an integer means the class that it prints as.

        Raises:
            RowRefused: it is no name, or no class of a closed label space.
        """
        name = class_name(label)
        if not self.open and name not in self.classes:
            allowed = ", ".join(map(repr, self.classes[:20])) + ", ..." * (len(self.classes) > 20)
            raise RowRefused(
                f"the classes are closed: {allowed}; give one of them, or set open = true for a "
                "new project",
                field="label",
                value=label,
            )
        return name

    # -- the schema itself -----------------------------------------------------------------------

    def describe(self) -> str:
        """The kind of rows and the number of classes."""
        more = " and whatever comes" if self.open else ""
        tasks = ", in tasks" if self.tasks else ""
        return f"{self.form.describe()}, {len(self.classes)} classes{more}{tasks}"

    def digest(self) -> str:
        """The same for schemas that mean the same, in every process; `fields` do not count."""
        said = self.model_dump(mode="json", exclude_defaults=True, exclude={"fields"})
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def _is_default(self, name: str) -> bool:
        return bool(getattr(self, name) == type(self).model_fields[name].default)


def _check_distinct(what: str, names: Sequence[str]) -> None:
    often = [name for name, times in Counter(names).items() if times > 1]
    if often:
        raise ValueError(f"{what} hold {shown(often[0])} more than once")
