"""A small project with versions that can be told apart, and its service in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import torch

from perdure.live.project import Project
from perdure.live.service.app import create
from perdure.live.service.service import Service
from perdure.live.tokens import Tokens

SETTINGS = """
name = "flowers"
seed = 7

[schema]
kind = "tensor"
shape = [4]
classes = ["rose", "lily", "iris"]

[learner]
methods = []
"""
MODEL = """
from torch import nn


def build(schema, classes):
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, classes))
"""
ROW = [0.5, -1.0, 2.0, 0.25]


def write(directory: Path, settings: str = SETTINGS, model: str = MODEL) -> Path:
    """A state directory before its first row."""
    directory.mkdir(exist_ok=True)
    (directory / "perdure.toml").write_text(settings)
    (directory / "model.py").write_text(model)
    return directory


def add_version(project: Project) -> int:
    """A version with weights of its own: no two of them answer alike."""
    job = project.jobs.ask("update", "a test", "tester")
    project.jobs.start(job.id, None, 0, 0)
    learner = project.learner()
    torch.manual_seed(job.id)
    with torch.no_grad():
        for parameter in learner.model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    number = project.registry.create(
        learner.state_dict(), parent=None, job=job.id, after=0, upto=0, note={}
    )
    project.jobs.fail(job.id, "the test goes on")  # where `create` has not ended it already
    return number


def probabilities(project: Project, version: int, rows: list[list[float]]) -> list[float]:
    """What a version says to rows, computed apart from the service; at least four rows."""
    with torch.no_grad():
        out = project.load(version).predict(torch.tensor(rows))
    return torch.softmax(out, dim=1).ravel().tolist()


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Three versions; the first one serves."""
    with Project(write(tmp_path / "state")) as opened:
        for _ in range(3):
            add_version(opened)
        opened.registry.promote(1, actor="tester", reason="the first")
        yield opened


@asynccontextmanager
async def served(project: Project, roles: str = "admin") -> AsyncIterator[httpx.AsyncClient]:
    """A client of a project's service, with a token of these roles; the app is `client.app`."""
    app = create(project)
    name = "-".join(roles.split())
    token = Tokens(project.database).create(name, roles.split()) if roles else ""
    headers = {"Authorization": f"Bearer {token}"} if roles else {}
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=headers
        ) as client,
    ):
        client.app = app
        yield client


def service_of(client: httpx.AsyncClient) -> Service:
    """The service behind a client."""
    return client.app.state.service


def question(*rows: list[float], **parameters: object) -> dict[str, object]:
    """The body of an infer request."""
    flat = [number for row in rows for number in row]
    tensor = {"name": "input", "shape": [len(rows), 4], "datatype": "FP32", "data": flat}
    return {"inputs": [tensor], "parameters": parameters}
