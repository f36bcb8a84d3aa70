"""Data sets and streams on a frozen encoder, whose features are kept on the disk between runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

from perdure.bench.experiment import Encoding
from perdure.nets import Encoder, encoder
from perdure.streams import Data, Stream, encoded, load
from perdure.streams.source import VARIABLE

Raw = TypeVar("Raw", Data, Stream)
ROWS = 100_000  # to keep of an encoder: those of all data sets here together


def folder() -> Path:
    """Where features are kept: beside the data sets."""
    root = os.environ.get(VARIABLE)
    return (Path(root) if root else Path.home() / ".cache" / "perdure") / "features"


@cache
def loaded(name: str, encoding: Encoding | None) -> Data:
    """A data set by its name, raw or as features; once in a process."""
    return load(name) if encoding is None else on_features(load(name), encoding)


def on_features(raw: Raw, encoding: Encoding) -> Raw:
    """The same rows as features; of processes that want them at a time one encodes.

    Raises:
        MissingExtra: the encoder is not installed.
    """
    with _alone():
        return encoded(raw, _encoder(encoding))


@cache
def _encoder(encoding: Encoding) -> Encoder:
    return encoder(encoding).cached(folder(), ROWS)


@contextmanager
def _alone() -> Iterator[None]:
    import fcntl

    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
