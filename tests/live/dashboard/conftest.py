"""Projects for the pages, and the service that shows them."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from tests.live import tiny
from tests.live.dashboard import story

from perdure.live.project import Project
from perdure.live.service.app import create
from perdure.live.service.dashboard.routes import router
from perdure.live.tokens import Tokens

SECONDS = 20.0
"""That a server may take to start."""


@pytest.fixture(scope="session")
def lived_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a project that has lived, closed."""
    directory = tmp_path_factory.mktemp("story") / "state"
    story.told(directory).close()
    return directory


@pytest.fixture(scope="module")
def lived(lived_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that has lived; for tests that only read."""
    copy = shutil.copytree(lived_directory, tmp_path_factory.mktemp("lived") / "state")
    with Project(copy) as project:
        yield project


@pytest.fixture
def project(lived_directory: Path, tmp_path: Path) -> Iterator[Project]:
    """A project that has lived; for tests that change it."""
    with Project(shutil.copytree(lived_directory, tmp_path / "state")) as project:
        yield project


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Project]:
    """A project before its first row."""
    with tiny.project(tmp_path / "fresh") as project:
        yield project


def token_for(project: Project, name: str, roles: str) -> str:
    """A new token's text."""
    return Tokens(project.database).create(name, roles.split())


@contextmanager
def served(project: Project, root: str = "") -> Iterator[str]:
    """The address of a service, in a thread of this process; a proxy has taken `root` off."""
    app = create(project, [router])
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="on", root_path=root)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        end = time.monotonic() + SECONDS
        while not server.started and time.monotonic() < end:
            time.sleep(0.01)
        assert server.started, "the service did not start"
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def visited(project: Project, root: str = "") -> Iterator[httpx.Client]:
    """A browser without scripts, before it has logged in."""
    with served(project, root) as home, httpx.Client(base_url=home) as client:
        yield client


@contextmanager
def logged_in(project: Project, roles: str = "admin", root: str = "") -> Iterator[httpx.Client]:
    """The same, logged in by a new token of these roles."""
    count = project.database.value("SELECT count(*) FROM tokens")
    said = {"token": token_for(project, f"ada-{count}", roles)}
    with visited(project, root) as client:
        assert 303 == client.post("/dashboard/login", data=said).status_code
        yield client
