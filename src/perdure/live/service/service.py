"""What a running service consists of, and how it starts and stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from fastapi import Request

from perdure.live.project import Project
from perdure.live.refusals import NotFound
from perdure.live.service.answering import Answering
from perdure.live.service.batching import Batcher
from perdure.live.service.limits import Buckets
from perdure.live.service.metrics import Metrics
from perdure.live.service.security import Guard, Sessions
from perdure.live.service.serving import Served, Server
from perdure.live.service.supervision import Supervisor
from perdure.live.tokens import Tokens

FAILURES_PER_MINUTE: Final = 30.0
"""Wrong tokens that one address may show."""


class Service:
    """The parts of a service, open for as long as it runs.

    Args:
        project: that is served.
        child: the command of a process to keep running beside it.
    """

    def __init__(self, project: Project, child: Sequence[str] | None = None) -> None:
        said = project.settings.serve
        self.project = project
        self.metrics = Metrics()
        self.server = Server(project)
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="perdure-inference")
        self.batcher: Batcher[Served] = Batcher(
            Served.answer,
            self.thread,
            max_batch=said.max_batch,
            max_wait=said.max_wait_ms / 1000,
            max_queue=said.max_queue,
            watch=self.metrics.batches.observe,
        )
        self.answering = Answering(project, self.server, self.batcher, self.metrics)
        self.supervisor = None if child is None else Supervisor(child)
        self.tokens = Tokens(project.database)
        self.sessions = Sessions()
        self.requests = Buckets(said.requests_per_minute) if said.requests_per_minute else None
        self.failures = Buckets(FAILURES_PER_MINUTE)
        limit = project.settings.abuse.rows_per_minute
        self.rows = Buckets(limit) if limit else None
        self.guard = Guard(self.tokens, self.sessions, self._charge, self._charge_failure)
        self.started = time.time()
        self.metrics.observe(project, self.server, self.batcher, self.started)

    async def start(self) -> None:
        """Load what serves, and follow the registry."""
        await self.server.start()
        if self.supervisor is not None:
            self.supervisor.start()

    async def stop(self) -> None:
        """Let running answers end, then let go of the threads."""
        if self.supervisor is not None:
            await self.supervisor.stop()
        await self.answering.settle()
        await self.server.stop()
        await asyncio.to_thread(self.thread.shutdown)

    def charge_rows(self, source: str, count: int) -> None:
        """Count rows against what one source may send.

        Raises:
            Full: not so many now.
            TooLarge: never so many at once.
        """
        if self.rows is not None:
            self.rows.charge(source, count, "rows")

    def _charge(self, name: str) -> None:
        if self.requests is not None:
            self.requests.charge(name, 1, "requests")

    def _charge_failure(self, address: str) -> None:
        self.failures.charge(address, 1, "requests without a live token")

    def check_model(self, name: str) -> None:
        """Refuse another model's name.

        Raises:
            NotFound: the project is not called that.
        """
        if name != self.project.settings.name:
            raise NotFound(
                f"there is no such model here; this service has {self.project.settings.name!r}",
                field="model",
                value=name,
            )


def service_of(request: Request) -> Service:
    """The service that a request came to; routes take it as a dependency."""
    found: Service = request.app.state.service
    return found
