"""Directories that lie in main memory, and processes that may be killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

MEMORY = Path("/dev/shm")  # noqa: S108


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """An empty directory, in main memory where the machine offers that."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < 2**30:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY, ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def ask(root: Path) -> Iterator[Callable[..., Any]]:
    """A question to a process of its own: (exit status, answer)."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "tests.live.crashing"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=root,
        env=environment,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert "ready" == json.loads(server.stdout.readline())

        def asked(do: str, place: Path, **more: Any) -> Any:
            said = {
                "do": do,
                "directory": str(place / "state"),
                "acknowledged": str(place / "acknowledged"),
            }
            server.stdin.write(json.dumps({**said, **more}) + "\n")
            server.stdin.flush()
            return tuple(json.loads(server.stdout.readline()))

        yield asked
        server.stdin.close()
