"""The three storages, each in a new place."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from perdure.memory import DatabaseStorage, MappedStorage, RamStorage, Storage

Make = Callable[[int], Storage]


def makes(folder: Path) -> dict[str, Make]:
    """By name, what makes a storage of a capacity in a place of its own under `folder`."""
    numbers = count()

    def place() -> Path:
        folder.mkdir(exist_ok=True)
        return folder / str(next(numbers))

    return {
        "ram": RamStorage,
        "mapped": lambda capacity: MappedStorage(capacity, place()),
        "database": lambda capacity: in_haste(DatabaseStorage(capacity, place())),
    }


def in_haste(storage: DatabaseStorage) -> DatabaseStorage:
    """The same storage without its waits for the disk, which no test that runs to its end needs."""
    storage._link.execute("PRAGMA synchronous = OFF")
    return storage


@pytest.fixture
def storages(tmp_path) -> dict[str, Make]:
    """All of them."""
    return makes(tmp_path / "storages")


@pytest.fixture(params=["ram", "mapped", "database"])
def make_storage(request, storages) -> Iterator[Make]:
    """Each in turn."""
    return storages[request.param]


@pytest.fixture
def files(tmp_path) -> Callable[[], bytes]:
    """Every byte that the storages made so far have in files, logs of the database included."""
    return lambda: b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


@pytest.fixture
def as_if_killed(tmp_path) -> Callable[[str, int], Iterator[Path]]:
    """What a process that writes into a folder for ever would leave, were it killed now, or now."""

    def folders(code: str, times: int) -> Iterator[Path]:
        source = tmp_path / "source"
        source.mkdir()
        command = [sys.executable, "-c", code, str(source)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            for number in range(times):
                time.sleep(0.003 * (1 + number % 7))
                process.send_signal(signal.SIGSTOP)
                yield Path(shutil.copytree(source, tmp_path / str(number)))
                process.send_signal(signal.SIGCONT)
            process.kill()

    return folders
