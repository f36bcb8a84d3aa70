"""Errors as answers: one shape for each family of routes, and nothing of our insides."""

from __future__ import annotations

import logging
import math
import sqlite3
from typing import Any, Final

import pydantic_core
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from perdure.errors import InvalidValue
from perdure.live.refusals import UNSAID, NotAllowed, Refused, RowRefused

logger = logging.getLogger(__name__)
DISK_SECONDS: Final = 5.0
"""After which a full or busy disk may be another one."""
EXPECTED: Final[tuple[type[Exception], ...]] = (
    Refused,
    InvalidValue,
    RequestValidationError,
    ValidationError,
    OSError,
    sqlite3.OperationalError,
)
"""What goes wrong without any fault of ours; everything else is answered with 500."""
CODES: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    410: "erased",
    413: "too_large",
    415: "wrong_media_type",
    422: "invalid",
    429: "full",
    503: "unavailable",
}


class Unauthorized(Refused):
    """No token, or one that is unknown, expired or revoked."""

    status = 401


class Unavailable(Refused):
    """Nothing can answer yet."""

    status = 503


class Problem(BaseModel):
    """What was wrong with a request."""

    code: str
    """A word for programs."""
    message: str
    """A sentence for people."""
    field: str | None = None
    """What it is about: a column, an argument, a header."""
    value: str | None = None
    """What that held, shortened."""
    row: int | None = None
    """The row within the request, from 0."""


class Failure(BaseModel):
    """The body of an answer that refuses."""

    error: Problem


class InferenceFailure(BaseModel):
    """The same in the Open Inference Protocol, where `error` is a sentence."""

    error: str
    code: str
    field: str | None = None
    value: str | None = None
    row: int | None = None


def refusals(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """How a route may refuse, for its description."""
    said = {
        400: "The body cannot be read.",
        401: "No live token.",
        403: "The token's roles do not reach that far.",
        404: "There is no such thing.",
        409: "Somebody was faster, or the state forbids it.",
        410: "Of a subject who was erased.",
        413: "Too much at once.",
        422: "The request does not fit.",
        429: "Not now; `Retry-After` says when.",
        503: "Not now; `Retry-After` says when.",
    }
    return {status: {"model": model, "description": why} for status, why in said.items()}


def problem(said: Refused) -> Problem:
    """A refusal in words."""
    return Problem(
        code=CODES.get(said.status, "refused"),
        message=str(said),
        field=said.field,
        value=said.value,
        row=said.row,
    )


def answer(path: str, status: int, said: Problem, headers: dict[str, str]) -> Response:
    """A refusal in the shape of its family of routes."""
    body: dict[str, Any] = {"error": said.model_dump()}
    if path.startswith("/v2"):
        body = {**said.model_dump(exclude={"message"}), "error": said.message}
    content = pydantic_core.to_json(body, inf_nan_mode="strings")
    return Response(content, status, headers, media_type="application/json")


def refusal(request: Request, said: Refused) -> Response:
    """What a refused request gets."""
    headers = {}
    if said.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(said.retry_after))
    if said.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="perdure"'
    return answer(request.url.path, said.status, problem(said), headers)


def from_validation(error: ValidationError | RequestValidationError) -> RowRefused:
    """The first thing that pydantic found, as a refusal."""
    found = error.errors()[0]
    place = [part for part in found["loc"] if part not in ("body", "query", "path", "header")]
    row = None
    if place[:1] in (["rows"], ["labels"]):  # lines have no such word before their number
        place = place[1:]
    if place and isinstance(place[0], int):
        row, place = place[0], place[1:]
    value = found.get("input", UNSAID)
    return RowRefused(
        found["msg"],
        field=".".join(map(str, place)) or None,
        value=UNSAID if isinstance(value, dict | list | bytes) else value,
        row=row,
    )


def refused(error: Exception) -> Refused:
    """Whatever is `EXPECTED` to go wrong with a request, as a refusal."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, RequestValidationError | ValidationError):
        return from_validation(error)
    if isinstance(error, OSError | sqlite3.OperationalError):
        logger.error("the state directory: %s", error)
        return Unavailable(
            f"the state directory cannot be read or written: {error}; nothing was changed",
            retry_after=DISK_SECONDS,
        )
    return RowRefused(str(error))


def install(app: FastAPI) -> None:
    """Have every error of a request answered in words."""

    async def on_expected(request: Request, error: Exception) -> Response:
        return refusal(request, refused(error))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        code = CODES.get(error.status_code, "refused")
        message = f"{request.method} {request.url.path}: {error.detail}"
        said = Problem(code=code, message=message)
        return answer(request.url.path, error.status_code, said, dict(error.headers or {}))

    for kind in EXPECTED:
        app.add_exception_handler(kind, on_expected)
    app.add_exception_handler(HTTPException, on_http)


def forbidden(name: str, role: str) -> NotAllowed:
    """The token is good, and its roles are not enough."""
    return NotAllowed(f"token {name!r} has no role {role!r}; an admin can give it one")
