"""The beginning of a project: a directory with settings, a model and the next commands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import resources
from os.path import relpath
from pathlib import Path
from string import Template
from typing import Any

from perdure.errors import InvalidValue
from perdure.live.discovery import discover
from perdure.live.project import DATABASE, SETTINGS
from perdure.live.schema import Column, Schema
from perdure.live.schema.schema import Kind
from perdure.nets.encoders import needed, offered

FILES = (SETTINGS, "model.py", "README.md")

ENCODED = ("text", "image")
"""Kinds of features for which there are pretrained encoders."""
TRAINED = ('[{ name = "ER", capacity = 2000 }]', "5")
"""Methods and passes where the model learns by gradient, and where it is frozen."""
FROZEN = ('[{ name = "SLDA" }]', "1")

TO_BE_CHANGED = {
    "tensor": Schema(kind="tensor", shape=(4,), open=True),
    "text": Schema(kind="text", length=512, open=True),
    "image": Schema(kind="image", channels=3, height=32, width=32, open=True),
    "table": Schema(
        kind="table",
        columns=(
            Column(name="amount"),
            Column(name="age", min=0.0, required=False, default=40.0),
            Column(name="country", type="category", buckets=1024),
        ),
        open=True,
    ),
}
"""What stands in the settings where there was no sample."""


@dataclass(frozen=True)
class Begun:
    """A new project.

    Args:
        directory: where it is.
        schema: of its rows.
        files: that were written.
        said: what was inferred from the sample and why, one sentence each.
    """

    directory: Path
    schema: Schema
    files: tuple[Path, ...]
    said: tuple[str, ...]

    def lines(self) -> list[str]:
        """What was inferred, what was written and what comes next, for a person."""
        return [
            *self.said,
            f"wrote {', '.join(map(str, self.files))}",
            f"next: perdure ingest FILE -C {self.directory}, or see {self.files[-1]}",
        ]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "directory": str(self.directory),
            "files": [str(file) for file in self.files],
            "schema": self.schema.model_dump(mode="json", exclude_defaults=True),
            "said": list(self.said),
        }


def begin(
    directory: str | Path,
    kind: Kind | None = None,
    *,
    sample: str | Path | None = None,
    name: str | None = None,
    label: str | None = None,
    scratch: bool = False,
    force: bool = False,
    write: bool = True,
) -> Begun:
    """Write the files of a new project.

    Args:
        directory: is made where it is missing.
        kind: of the features; None takes that of the sample, or a table.
        sample: a file or folder of rows to read the schema off.
        name: of the model; None takes that of the directory.
        label: the sample's column of classes; None looks for a customary name.
        scratch: take a small network that learns everything itself, even where a pretrained encoder
            is installed for the kind.
        force: replace the three files where they are.
        write: False only says what would be written.

    Raises:
        InvalidValue: a file is in the way, rows are stored there already, or the sample does not
            tell a schema.
    """
    directory = Path(directory)
    files = tuple(directory / file for file in FILES)
    _check_free(directory, files, force)
    if sample is None:
        schema = TO_BE_CHANGED[kind or "table"]
        said = [f"no sample was given: make the schema in {directory / SETTINGS} that of your rows"]
    else:
        schema, said = discover(sample, kind, label)
    name = _name(directory) if name is None else name
    encodes, why = _model(schema.kind, scratch)
    methods, epochs = FROZEN if encodes else TRAINED
    texts = (
        Template(_template(SETTINGS)).substitute(
            name=_toml(name), schema=as_toml(schema), methods=methods, epochs=epochs
        ),
        _template(f"{schema.kind}_encoder.py" if encodes else f"{schema.kind}.py"),
        _readme(name, schema, "rows.csv" if sample is None else relpath(sample, directory)),
    )
    if write:
        directory.mkdir(parents=True, exist_ok=True)
        for file, text in zip(files, texts, strict=True):
            file.write_text(text, encoding="utf-8")
    return Begun(directory, schema, files, (*said, why))


def as_toml(schema: Schema) -> str:
    """The table [schema] of the settings; what is at its default is left out."""
    held = schema.model_dump(mode="json", exclude_defaults=True)
    fields = held.pop("fields", {})
    if schema.columns:
        types = [{"name": column.name, "type": column.type} for column in schema.columns]
        held["columns"] = [a | b for a, b in zip(types, held["columns"], strict=True)]
    said = {"kind": schema.kind, "open": schema.open, "classes": [], **held}
    lines = ["[schema]", *(_setting(key, value) for key, value in said.items())]
    named = [_setting(key, value) for key, value in fields.items()]
    offered = [line for key, line in OFFERED.items() if key not in fields]
    lines += [
        "",
        "[schema.fields]  # what columns of files are, besides features",
        *named,
        *offered,
    ]
    return "\n".join(lines)


COMMENTS = {
    "open": "whether a label may name a new class",
    "classes": "those known from the start, in the order of the model's outputs",
    "tasks": "rows belong to tasks, and questions come with a task id",
    "length": "the most bytes of UTF-8",
    "label": "the column of files that holds the class",
    "id": "the column of the row's id; files without it are refused",
    "subject": "the column of whom the row is about; files without it are refused",
    "source": "the column of who sent it; files without it are refused",
    "time": "the column of the event's time; files without it are refused",
    "task": "the column of the task's id; files without it are refused",
    "ignore": "columns of files to leave out",
    "features": "the column of files to learn from",
}

OFFERED = {
    "id": '# id = "order_id"  # names a row, for labels that come later; else id or row_id',
    "time": '# time = "day"  # of the event, ISO 8601 or seconds; else event_time or timestamp',
    "subject": '# subject = "customer"  # whom `perdure erase` forgets; else subject or user_id',
    "source": '# source = "shop"  # who sent the row; else source',
}
"""Parts of a row that no sample tells: the schema is fixed once rows are stored."""


def _setting(key: str, value: Any) -> str:
    comment = f"  # {COMMENTS[key]}" if key in COMMENTS else ""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return f"{key} = [\n" + "".join(f"  {_toml(held)},\n" for held in value) + f"]{comment}"
    return f"{key} = {_toml(value)}{comment}"


def _model(kind: Kind, scratch: bool) -> tuple[bool, str]:
    """Whether the model is a pretrained encoder, and the sentence that says so."""
    small = "the model is a small network that learns everything from your rows"
    if scratch or kind not in ENCODED:
        return False, small
    found = offered(kind)
    if found is None:
        return False, (
            f"{small}, since no pretrained encoder of {kind}s is installed; most learn faster and "
            f"forget less on one: pip install {needed(kind)}, then init again"
        )
    return True, (
        f"the model is SLDA on features of the frozen encoder {found}; --scratch takes a small "
        "network that learns everything itself"
    )


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(held)}" for key, held in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(held) for held in value) + "]"
    # JSON's texts, numbers and truth values are TOML's, but for one character that JSON lets pass.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _readme(name: str, schema: Schema, rows_file: str) -> str:
    example = json.dumps(schema.example())
    return Template(_template("project.md")).substitute(
        name=name,
        rows=schema.describe(),
        rows_file=rows_file,
        example=example if len(example) < 2000 else '"..."',
        label=schema.classes[0] if schema.classes else "a",
    )


def _template(name: str) -> str:
    return (resources.files("perdure.live.templates") / name).read_text(encoding="utf-8")


def _name(directory: Path) -> str:
    """The directory's name, of characters that a URL may hold."""
    return re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9_.-]+", "", directory.resolve().name)[:64] or "model"


def _check_free(directory: Path, files: tuple[Path, ...], force: bool) -> None:
    if (directory / DATABASE).exists():
        raise InvalidValue(
            f"{directory} holds rows and versions already; begin in another directory"
        )
    there = [str(file) for file in files if file.exists()]
    if there and not force:
        raise InvalidValue(
            f"{', '.join(there)} would be overwritten; begin in another directory, or say force"
        )
