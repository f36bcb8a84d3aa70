"""A project small enough to be learnt from in milliseconds, and rows for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from perdure.live import conclusion, updater
from perdure.live.jobs import Job
from perdure.live.probe import inspect
from perdure.live.probed import Probed
from perdure.live.project import Project
from perdure.live.rows import Row

CLASSES = ("red", "green", "blue")
ROW_BYTES = 16  # four float32

MODEL = """
from torch import nn

def build(schema, classes):
    first = nn.Linear(schema.shape[0], 8)
    return nn.Sequential(first, nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, classes))
"""

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "": {"name": "tiny", "seed": 7},
    "schema": {"kind": "tensor", "shape": [4], "classes": CLASSES},
    "learner": {
        "methods": [{"name": "ER", "capacity": 12}],
        "optimizer": "sgd",
        "lr": 0.05,
        "momentum": 0.5,
        "batch_size": 8,
    },
    "log": {"segment_bytes": 4096},
    "evaluation": {"share": 0.2, "capacity": 60},
    "update": {"checkpoint_seconds": 0.0},
    "gate": {
        "min_rows": 5,
        "margin": 1.0,
        "max_forgetting": 1.0,
        "max_negative_flips": 1.0,
        "max_latency_ratio": 1e9,
        "max_bwt_drop": 1.0,
    },
}


def written(directory: Path, said: Mapping[str, Mapping[str, Any]] | None = None) -> Path:
    """Write settings and model into a directory; `said` changes what `SETTINGS` says."""
    directory.mkdir(parents=True, exist_ok=True)
    lines = []
    for section in {**SETTINGS, **(said or {})}:
        lines += [f"[{section}]"] if section else []
        held = {**SETTINGS.get(section, {}), **(said or {}).get(section, {})}
        lines += [f"{key} = {_toml(value)}" for key, value in held.items()]
    (directory / "perdure.toml").write_text("\n".join(lines), "utf-8")
    (directory / "model.py").write_text(MODEL, "utf-8")
    return directory


def project(directory: Path, said: Mapping[str, Mapping[str, Any]] | None = None) -> Project:
    """Write settings and model into a directory, and open it."""
    return Project(written(directory, said))


def updated(held: Project, kind: str = "update") -> Job:
    """Ask for a job and do it."""
    asked = held.jobs.ask(kind, "to test", "me")
    with quick_gate():
        return updater.perform(held, held.jobs.get(asked.id))


@contextmanager
def quick_gate() -> Iterator[None]:
    """Have the gate load and ask versions in this process: another one takes seconds to start."""
    before = conclusion.examine
    conclusion.examine = partial(before, asked=_asked)
    try:
        yield
    finally:
        conclusion.examine = before


def _asked(directory: Path, version: int, against: int | None = None) -> Probed:
    with Project(directory) as held:
        return inspect(held, version, against)


def row(
    number: int,
    *,
    label: str | None = "",
    subject: str | None = None,
    source: str | None = None,
    width: int = 4,
) -> Row:
    """Row number `number`: the same one every time, with its class unless told otherwise."""
    kind = number % len(CLASSES)
    noise = np.random.default_rng(number).normal(scale=0.3, size=width)
    x = (noise + np.eye(width)[kind]).astype(np.float32)
    named = CLASSES[kind] if label == "" else label
    return Row(f"row-{number}", x, named, float(number), subject, source)


def rows(first: int, count: int, subject: str | None = None) -> list[Row]:
    """`count` labelled rows from number `first` on."""
    return [row(number, subject=subject) for number in range(first, first + count)]


def digest(value: Any) -> str:
    """SHA-256 of nested tensors and plain values, by name: equal only where all bits are."""
    told = hashlib.sha256()
    _tell(told, value)
    return told.hexdigest()


def _tell(told: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        for key in sorted(value):
            told.update(f"{key}:".encode())
            _tell(told, value[key])
    elif isinstance(value, list | tuple):
        for held in value:
            told.update(b",")
            _tell(told, held)
    elif hasattr(value, "numpy"):
        told.update(f"{value.dtype}{tuple(value.shape)}".encode())
        told.update(value.detach().cpu().contiguous().numpy().tobytes())
    else:
        told.update(repr(value).encode())


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(held)}" for key, held in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(held) for held in value) + "]"
    return json.dumps(value)
