"""Around every request: its id, its time, and an answer in words where our code failed."""

from __future__ import annotations

import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure.live.service.metrics import Metrics
from perdure.live.service.refusing import Problem, answer

logger = logging.getLogger(__name__)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")


class Observed:
    """ASGI middleware: `X-Request-Id` on every answer, the caller's own if it is a plain word.

    Args:
        app: what is observed.
        metrics: gets count and time of each request, by the route's pattern.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `send` that looks at the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def looked_at(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self.app(scope, receive, looked_at)
        except Exception:
            logger.exception("request %s %s failed", request_id, scope["path"])
            if status:
                raise
            said = Problem(
                code="internal",
                message=f"the service failed; its log says more about request {request_id}",
            )
            await answer(scope["path"], 500, said, {})(scope, receive, looked_at)
        finally:
            self._count(scope, status, time.perf_counter() - start)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path_format", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.metrics.request(method, route, status, seconds)
