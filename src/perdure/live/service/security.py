"""Who may call what: one table of routes and roles, and the gate that every route passes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute

from perdure.live.refusals import NotAllowed
from perdure.live.service.refusing import Unauthorized, forbidden
from perdure.live.tokens import Token, Tokens

OPEN: Final = "open"
"""The role of routes that need no token."""
ANY: Final = "any"
"""The role of routes for whoever has a live token."""

ROLES: Final[dict[tuple[str, str], str]] = {
    ("GET", "/ping"): OPEN,
    ("GET", "/v2/health/live"): OPEN,
    ("GET", "/v2/health/ready"): OPEN,
    ("GET", "/version"): ANY,
    ("GET", "/v2"): ANY,
    ("GET", "/v2/models/{model}"): ANY,
    ("GET", "/v2/models/{model}/ready"): ANY,
    ("GET", "/v2/models/{model}/versions/{version}"): ANY,
    ("GET", "/v2/models/{model}/versions/{version}/ready"): ANY,
    ("POST", "/v2/models/{model}/infer"): "predict",
    ("POST", "/v2/models/{model}/versions/{version}/infer"): "predict",
    ("POST", "/invocations"): "predict",
    ("POST", "/v2/repository/index"): "operate",
    ("POST", "/v2/repository/models/{model}/load"): "operate",
    ("POST", "/v1/models/{model}/examples"): "ingest",
    ("POST", "/v1/models/{model}/labels"): "ingest",
    ("GET", "/v1/models/{model}/status"): "operate",
    ("GET", "/v1/models/{model}/versions"): "operate",
    ("GET", "/v1/models/{model}/versions/{version}"): "operate",
    ("GET", "/v1/models/{model}/verdicts"): "operate",
    ("GET", "/v1/models/{model}/drifts"): "operate",
    ("GET", "/v1/models/{model}/matrix"): "operate",
    ("POST", "/v1/models/{model}/updates"): "operate",
    ("POST", "/v1/models/{model}/promote"): "operate",
    ("POST", "/v1/models/{model}/rollback"): "operate",
    ("POST", "/v1/models/{model}/freeze"): "operate",
    ("POST", "/v1/models/{model}/unfreeze"): "operate",
    ("GET", "/v1/jobs/{job}"): "operate",
    ("GET", "/v1/audit"): "operate",
    ("POST", "/v1/erasures"): "admin",
    ("GET", "/metrics"): ANY,
    ("GET", "/openapi.json"): ANY,
}
"""What each route asks of a token; a route that is not here cannot be made."""

SECURITY: Final[list[dict[str, list[str]]]] = [{"token": []}]
SCHEME: Final = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of this directory: `perdure tokens create`.",
    }
}


@dataclass(frozen=True)
class Caller:
    """Who sends a request.

    Args:
        name: the actor of the audit, and the source of rows.
        token: what it showed; None on open routes.
    """

    name: str
    token: Token | None

    def allows(self, role: str) -> bool:
        """Whether the caller has a role."""
        return self.token is not None and self.token.allows(role)


class Guard:
    """Lets a request through, or says why not.

    Args:
        tokens: of the state directory.
        sessions: of the dashboard.
        charge: called with the caller's name before anything else is done; refuses with `Full`.
        charge_failure: called with the address of a caller whose token is wrong.
    """

    def __init__(
        self,
        tokens: Tokens,
        sessions: Sessions,
        charge: Callable[[str], None],
        charge_failure: Callable[[str], None],
    ) -> None:
        self.tokens = tokens
        self.sessions = sessions
        self._charge = charge
        self._charge_failure = charge_failure

    def admit(self, request: Request, role: str) -> Caller:
        """The caller of a request who has this role.

        Raises:
            Unauthorized: no live token came with it.
            NotAllowed: the token lacks the role, or a browser's request its CSRF token.
            Full: too many requests.
        """
        if role == OPEN:
            return Caller("anyone", None)
        token = self._token(request)
        self._charge(token.name)
        if role != ANY and not token.allows(role):
            raise forbidden(token.name, role)
        return Caller(token.name, token)

    def _token(self, request: Request) -> Token:
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        address = request.client.host if request.client else "unknown"
        if kind:
            token = self.tokens.check(text.strip()) if kind.lower() == "bearer" else None
        else:
            token = self.sessions.token(request, self.tokens)
        if token is None:
            self._charge_failure(address)
            raise Unauthorized(
                "this needs a live token: send 'Authorization: Bearer pdr_...'; "
                "`perdure tokens create` makes one"
            )
        return token


class Sessions:
    """Browsers that logged in with a token: a signed cookie, and a CSRF token for what writes.

    The key lives in this process alone: a restart logs everybody out. A session ends with its
    token.

    Args:
        seconds: that a session lasts.
        clock: seconds since the epoch.
    """

    COOKIE: Final = "perdure_session"
    HEADER: Final = "x-csrf-token"

    def __init__(
        self, seconds: float = 12 * 3600.0, clock: Callable[[], float] = time.time
    ) -> None:
        self.seconds = seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def begin(self, token: Token, response: Response, *, secure: bool) -> None:
        """Log a browser in: scripts cannot read the cookie, and no other site can send it.

        Args:
            token: that it showed.
            response: gets the cookie.
            secure: whether the browser came by HTTPS.
        """
        said = f"{token.id}.{int(self._clock() + self.seconds)}.{secrets.token_hex(16)}"
        response.set_cookie(
            self.COOKIE,
            f"{said}.{self._sign('session', said)}",
            max_age=int(self.seconds),
            httponly=True,
            samesite="strict",
            secure=secure,
            path="/",
        )

    def end(self, response: Response) -> None:
        """Log a browser out."""
        response.delete_cookie(self.COOKIE, path="/", httponly=True, samesite="strict")

    def csrf(self, request: Request) -> str:
        """What this browser's forms and scripts must send back to write anything."""
        return self._sign("csrf", request.cookies.get(self.COOKIE, ""))

    def token(self, request: Request, tokens: Tokens) -> Token | None:
        """The token that a browser logged in with.

        Raises:
            NotAllowed: the request writes and does not bear the CSRF token.
        """
        cookie = request.cookies.get(self.COOKIE, "")
        said, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(self._sign("session", said).encode(), signature.encode()):
            return None
        id_, until, _ = said.split(".")
        if self._clock() >= int(until):
            return None
        if request.method not in ("GET", "HEAD"):
            self.check_csrf(request, request.headers.get(self.HEADER, ""))
        return tokens.get(id_)

    def check_csrf(self, request: Request, given: str) -> None:
        """Refuse what another site made a browser send.

        Raises:
            NotAllowed: `given` is not this session's CSRF token.
        """
        if not hmac.compare_digest(self.csrf(request).encode(), given.encode()):
            raise NotAllowed(
                "a browser's request must bear its CSRF token; load the page again",
                field=self.HEADER,
            )

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


class Guarded(APIRoute):
    """A route that asks the table who may call it, before it reads the body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint behind the guard."""
        inner = super().get_route_handler()
        role = _role(self)

        async def handle(request: Request) -> Response:
            request.state.caller = request.app.state.service.guard.admit(request, role)
            # Read here, where too long a body is refused in our words; FastAPI finds it read.
            await request.body()
            return await inner(request)

        return handle


class Direct(Guarded):
    """A guarded route whose endpoint takes the request with its path and gives the response."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint behind the guard, called as it is."""
        role = _role(self)
        endpoint: Callable[..., Coroutine[Any, Any, Response]] = self.endpoint

        async def handle(request: Request) -> Response:
            request.state.caller = request.app.state.service.guard.admit(request, role)
            return await endpoint(request, **request.path_params)

        return handle


def _role(route: APIRoute) -> str:
    return ROLES[next(iter(route.methods or ())), route.path_format]


def caller(request: Request) -> Caller:
    """Who sent a request; routes take it as a dependency."""
    found: Caller = request.state.caller
    return found
