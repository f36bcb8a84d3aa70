"""Durable files: the one place where bytes are written, forced to the disk and given their name.

Everything that must survive a crash goes through these functions, in this order: write beside,
`sync`, `rename`, `sync_directory`. A crash test can therefore stop the process at each of them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset` (bytes) of an open file; not yet durable.

    Raises:
        OSError: the disk is full, or the file may not grow.
    """
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def sync(descriptor: int) -> None:
    """Force an open file's bytes to the disk."""
    os.fsync(descriptor)


def sync_directory(path: Path) -> None:
    """Force a directory's entries to the disk."""
    with opened(path, os.O_RDONLY) as descriptor:
        sync(descriptor)


def rename(source: Path, target: Path) -> None:
    """Give a file or directory its final name, durably: it is there whole, or not at all."""
    source.replace(target)
    sync_directory(target.parent)


def write_file(path: Path, data: bytes) -> None:
    """Write a whole file, durably but under its own name: for files inside a directory that is
    renamed afterwards.
    """
    with opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as descriptor:
        write_at(descriptor, data, 0)
        sync(descriptor)


def sync_file(path: Path) -> None:
    """Force a closed file's bytes to the disk."""
    with opened(path, os.O_RDONLY) as descriptor:
        sync(descriptor)


def remove(path: Path) -> None:
    """Remove a file or a directory with all that is in it, durably; what is absent is fine."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    sync_directory(path.parent)


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """A file descriptor, closed in the end; a new file is readable by its owner alone."""
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
