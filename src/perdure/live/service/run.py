"""`perdure serve`: the service and the updater of one directory, until told to stop."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

import torch
import uvicorn
from fastapi import APIRouter

from perdure.errors import InvalidValue
from perdure.live.project import Project
from perdure.live.service.app import create
from perdure.live.service.supervision import updater
from perdure.live.tokens import Tokens

DRAIN_SECONDS: Final = 10
BACKLOG: Final = 2048


def serve(
    project: Project,
    host: str | None = None,
    port: int | None = None,
    *,
    learn: bool = True,
    pages: Sequence[APIRouter] = (),
    say: Callable[[str], None] = print,
) -> None:
    """Serve a project until SIGTERM or Ctrl-C, which end it by `SystemExit` once the requests that
    run have been answered. To be called in the main thread.

    Where the directory has no token yet, one with all roles is made and said once.

    Args:
        project: open; it stays open.
        host: address to listen on; the settings' by default.
        port: the same; 0 takes a free one.
        learn: whether the updater runs beside it.
        pages: the dashboard's routers.
        say: is told where the service listens.

    Raises:
        InvalidValue: the address can be reached from elsewhere and nobody has made a token, or it
            is taken.
    """
    host = project.settings.serve.host if host is None else host
    port = project.settings.serve.port if port is None else port
    check_host(project, host)
    with listen(host, port) as listening:
        steady()
        app = create(project, pages, child=updater(project.directory) if learn else None)
        first = first_token(project)
        if first is not None:
            say(f"a token with all roles, shown this once: {first}")
        say(f"serving {project.settings.name!r} at {url_of(listening)}")
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # anybody could say where they come from
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        with ending():
            uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def ending() -> Iterator[None]:
    """Within it SIGTERM and Ctrl-C end the process by `SystemExit`, so that files are closed.

    uvicorn lets running requests end first, and then sends itself the signal again.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def steady() -> None:
    """Set this process up for small models and steady answers; to be called before the first one.

    One thread a process; a thread that waits for the interpreter gets it soon; and the same bits
    for a row wherever in a batch it lies, which Intel's library promises only when asked.
    """
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
    torch.set_num_threads(1)
    sys.setswitchinterval(0.0005)


def first_token(project: Project) -> str | None:
    """A token with all roles where there is none yet."""
    tokens = Tokens(project.database)
    return None if tokens.exist() else tokens.create("first", ["admin"])


def check_host(project: Project, host: str) -> None:
    """Refuse to be reached from elsewhere by whoever comes.

    Raises:
        InvalidValue: `host` is no loopback address and no live token exists.
    """
    if not is_loopback(host) and not Tokens(project.database).exist():
        raise InvalidValue(
            f"{host} can be reached from other machines and this directory has no token; "
            "make one first (`perdure tokens create NAME --roles admin`), or listen on 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        InvalidValue: the address is taken, or is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns off Nagle's delay (40 ms) for named TCP alone.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise InvalidValue(
            f"cannot listen on {host}:{port}: {error.strerror}; give another --host or --port"
        ) from error
    return listening


def url_of(listening: socket.socket) -> str:
    """Where a socket listens."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
