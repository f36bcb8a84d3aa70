"""Predictions first: they go past what the rest of the application needs before it answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import Request, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from perdure.live.service.refusing import EXPECTED, refusal, refused
from perdure.live.service.security import Direct

Handle = Callable[[Request], Coroutine[Any, Any, Response]]


class Front:
    """ASGI middleware that answers `Direct` routes itself, and passes everything else on.

    The framework's way to an endpoint costs about as much as a small model's answer. What goes
    wrong is answered in the same words either way.

    Args:
        app: the rest.
        routes: of the application; those that are `Direct` are answered here.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self.app = app
        self.direct = [
            (route, route.path_regex, route.get_route_handler())
            for route in routes
            if isinstance(route, Direct)
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        handle = self._found(scope) if scope["type"] == "http" else None
        if handle is None:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await handle(request)
        except EXPECTED as error:
            response = refusal(request, refused(error))
        await response(scope, receive, send)

    def _found(self, scope: Scope) -> Handle | None:
        if scope["method"] != "POST":
            return None
        for route, pattern, handle in self.direct:
            match = pattern.match(scope["path"])
            if match is not None:
                scope["route"], scope["path_params"] = route, match.groupdict()
                return handle
        return None
