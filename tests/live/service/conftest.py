"""A small project with versions that can be told apart, and its service in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
import uvicorn
from fastapi import FastAPI

from perdure.live.project import Project
from perdure.live.service import run
from perdure.live.service.app import create
from perdure.live.service.service import Service
from perdure.live.tokens import Tokens

SCHEMA = """
kind = "tensor"
shape = [4]
classes = ["rose", "lily", "iris"]
"""
MODEL = """
from torch import nn


def build(schema, classes):
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, classes))
"""

Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Project]]:
    """Opens a new project: `begin(more settings, schema, model)`."""
    opened: list[Project] = []

    def make(more: str = "", schema: str = SCHEMA, model: str = MODEL) -> Project:
        directory = tmp_path / f"state-{len(opened)}"
        directory.mkdir()
        (directory / "model.py").write_text(model)
        (directory / "perdure.toml").write_text(
            f'name = "flowers"\nseed = 7\n[schema]\n{schema}\n[learner]\nmethods = []\n{more}'
        )
        opened.append(Project(directory))
        return opened[-1]

    yield make
    for project in opened:
        project.close()


@pytest.fixture
def add_version() -> Callable[[Project], int]:
    """Adds a version with weights of its own: no two of them answer alike."""

    def add(project: Project, **note: Any) -> int:
        job = project.jobs.ask("update", "a test", "tester")
        project.jobs.start(job.id, None, 0, 0)
        learner = project.learner()
        torch.manual_seed(job.id)
        with torch.no_grad():
            for parameter in learner.model.parameters():
                parameter.copy_(torch.randn_like(parameter))
        number = project.registry.create(
            learner.state_dict(), parent=None, job=job.id, after=0, upto=0, note=note
        )
        project.jobs.cancel(job.id, "tester")
        return number

    return add


@pytest.fixture
def project(begin: Callable[..., Project], add_version: Callable[..., int]) -> Project:
    """Three versions; the first one serves."""
    opened = begin()
    for _ in range(3):
        add_version(opened)
    opened.registry.promote(1, actor="tester", reason="the first")
    return opened


@pytest.fixture
def expected() -> Callable[..., list[float]]:
    """What a version says to rows, computed apart from the service: `(project, version, rows)`."""

    def compute(project: Project, version: int, rows: list[list[float]]) -> list[float]:
        padded = [*rows, *[rows[-1]] * 3]  # never fewer than four: other kernels answer these
        out = project.load(version).predict(torch.tensor(padded))[: len(rows)]
        return torch.softmax(out, dim=1).ravel().tolist()

    return compute


@pytest.fixture
def serve() -> Serve:
    """Opens a client of a project's service: `serve(project, roles="admin", app=None)`.

    Without roles it has no token. The service is `client.service`, and `client.app` the app.
    """

    @asynccontextmanager
    async def opened(
        project: Project, roles: str = "admin", **settings: Any
    ) -> AsyncIterator[httpx.AsyncClient]:
        app = create(project, **settings)
        tokens, name = Tokens(project.database), roles.replace(" ", "-")
        known = {token.name for token in tokens.all()}
        headers = {}
        if roles:
            name = next(n for n in (name, *(f"{name}-{i}" for i in range(9))) if n not in known)
            headers["Authorization"] = f"Bearer {tokens.create(name, roles.split())}"
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://test", headers=headers
            ) as client,
        ):
            client.app = app
            client.service = app.state.service
            yield client

    return opened


@pytest.fixture
async def client(project: Project, serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """Of the service of `project`, with all roles."""
    async with serve(project) as opened:
        yield opened


@pytest.fixture
def service(client: httpx.AsyncClient) -> Service:
    """The service behind `client`."""
    return client.app.state.service


@pytest.fixture
def listen() -> Iterator[Callable[[FastAPI], str]]:
    """Serves an application by uvicorn, on loopback and in a thread; gives its address."""
    with ExitStack() as running:
        yield lambda app: running.enter_context(_listening(app))


@contextmanager
def _listening(app: FastAPI) -> Iterator[str]:
    with run.listen("127.0.0.1", 0) as socket:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield run.url_of(socket)
        server.should_exit = True
        thread.join()


@pytest.fixture
def question() -> Callable[..., dict[str, Any]]:
    """The body of an infer request: `question([1, 2, 3, 4], ..., task=2)`."""

    def make(*rows: list[float], **parameters: Any) -> dict[str, Any]:
        flat = [number for row in rows for number in row]
        tensor = {"name": "input", "shape": [len(rows), 4], "datatype": "FP32", "data": flat}
        return {"inputs": [tensor], "parameters": parameters}

    return make


@pytest.fixture
def outputs() -> Callable[[httpx.Response], dict[str, list[Any]]]:
    """The outputs of an infer answer, by name."""

    def read(answer: httpx.Response) -> dict[str, list[Any]]:
        assert 200 == answer.status_code, answer.text
        return {output["name"]: output["data"] for output in answer.json()["outputs"]}

    return read
