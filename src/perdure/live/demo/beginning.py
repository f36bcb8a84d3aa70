"""The demo's state directory and its service."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perdure.client import Client, Unreachable
from perdure.errors import PerdureError
from perdure.live.project import SETTINGS, Project
from perdure.live.tokens import Tokens

TOML = """\
name = "digits"

[schema]
kind = "tensor"
shape = [64]
classes = []
open = true

[learner]
methods = [{ name = "ER", capacity = 1000 }]
lr = 0.003
batch_size = 32
epochs = 10

[triggers]
drift = true
min_rows = 150

[update]
mode = "auto"
twin_every = 2

[evaluation]
share = 0.25

[gate]
max_forgetting = 0.1

[log]
predictions = "buffered"
"""
MODEL = '''\
"""The model of the demo: a small network whose head grows as new digits come."""

from torch import nn

from perdure.nets import MLP, Classifier, GrowingHead


def build(schema, classes: int) -> nn.Module:
    """One hidden layer; an output for every class seen so far."""
    return Classifier(MLP(64, (128,)), GrowingHead(128))
'''
MARK = ".perdure-demo"
PATIENCE = 60.0


def begin(directory: Path) -> str:
    """Write the project, over an earlier demo's; its admin token.

    Raises:
        PerdureError: something that is no demo lies there.
    """
    if directory.exists() and any(directory.iterdir()) and not (directory / MARK).exists():
        raise PerdureError(f"{directory} holds something that is no demo; give another --out")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / MARK).touch()
    (directory / SETTINGS).write_text(TOML, encoding="utf-8")
    (directory / "model.py").write_text(MODEL, encoding="utf-8")
    with Project(directory) as project:
        return Tokens(project.database).create("demo", ["admin"])


@contextmanager
def served(directory: Path, token: str) -> Iterator[Client]:
    """A service in a process of its own, on a free port of the loopback; it ends with the block.

    Raises:
        PerdureError: it did not come up.
    """
    port = _free_port()
    command = (sys.executable, "-m", "perdure", "serve", "-C", str(directory), "--port", str(port))
    with (directory / "service.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        try:
            with Client(f"http://127.0.0.1:{port}", token, patience=5.0) as client:
                _wait_for(client, process, directory)
                yield client
        finally:
            _end(process)


def _wait_for(client: Client, process: subprocess.Popen[bytes], directory: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not _answers(client):
        if process.poll() is not None or time.monotonic() > end:
            raise PerdureError(f"the service did not come up; see {directory / 'service.log'}")
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, and its updater with it: politely, then by force."""
    process.terminate()
    try:
        process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(client: Client) -> bool:
    try:
        client.status()
    except Unreachable:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
