"""Errors as answers: one shape for each family of routes, and nothing of our insides."""

from __future__ import annotations

import math
from typing import Any, Final

import pydantic_core
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from perdure.errors import InvalidValue
from perdure.live.refusals import UNSAID, NotAllowed, Refused, RowRefused

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


def problem(refused: Refused) -> Problem:
    """A refusal in words."""
    return Problem(
        code=CODES.get(refused.status, "refused"),
        message=str(refused),
        field=refused.field,
        value=refused.value,
        row=refused.row,
    )


def answer(path: str, status: int, said: Problem, headers: dict[str, str]) -> Response:
    """A refusal in the shape of its family of routes."""
    body: dict[str, Any] = {"error": said.model_dump()}
    if path.startswith("/v2"):
        body = {**said.model_dump(exclude={"message"}), "error": said.message}
    content = pydantic_core.to_json(body, inf_nan_mode="strings")
    return Response(content, status, headers, media_type="application/json")


def refusal(request: Request, refused: Refused) -> Response:
    """What a refused request gets."""
    headers = {}
    if refused.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(refused.retry_after))
    if refused.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="perdure"'
    return answer(request.url.path, refused.status, problem(refused), headers)


def from_validation(error: ValidationError | RequestValidationError) -> RowRefused:
    """The first thing that pydantic found, as a refusal."""
    found = error.errors()[0]
    place = [part for part in found["loc"] if part not in ("body", "query", "path", "header")]
    value = found.get("input", UNSAID)
    return RowRefused(
        found["msg"],
        field=".".join(map(str, place)) or None,
        value=UNSAID if isinstance(value, dict | list | bytes) else value,
    )


def install(app: FastAPI) -> None:
    """Have every error of a request answered in words."""

    async def on_refused(request: Request, error: Exception) -> Response:
        return refusal(request, _refused(error))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        code = CODES.get(error.status_code, "refused")
        message = f"{request.method} {request.url.path}: {error.detail}"
        said = Problem(code=code, message=message)
        return answer(request.url.path, error.status_code, said, dict(error.headers or {}))

    for kind in (Refused, InvalidValue, RequestValidationError, ValidationError):
        app.add_exception_handler(kind, on_refused)
    app.add_exception_handler(HTTPException, on_http)


def _refused(error: Exception) -> Refused:
    if isinstance(error, Refused):
        return error
    if isinstance(error, RequestValidationError | ValidationError):
        return from_validation(error)
    return RowRefused(str(error))


def forbidden(name: str, role: str) -> NotAllowed:
    """The token is good, and its roles are not enough."""
    return NotAllowed(f"token {name!r} has no role {role!r}; an admin can give it one")
