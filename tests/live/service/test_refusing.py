"""Refusals in words: one shape a family of routes, and nothing of our insides."""

from __future__ import annotations

import json
import sqlite3

import pytest
from fastapi import Request
from pydantic import ValidationError

from perdure.errors import InvalidValue
from perdure.live.refusals import (
    Conflict,
    Erased,
    Full,
    KeyReused,
    NotAllowed,
    NotFound,
    RowRefused,
    TooLarge,
)
from perdure.live.service.bodies import ExamplesIn, LabelsIn, PromoteIn
from perdure.live.service.payloads import InferRequest
from perdure.live.service.refusing import (
    CODES,
    Failure,
    InferenceFailure,
    Unauthorized,
    Unavailable,
    from_validation,
    refusal,
    refusals,
    refused,
)


def request(path: str) -> Request:
    return Request({"type": "http", "method": "POST", "path": path, "headers": [], "server": None})


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RowRefused("no"), 422, "invalid"),
        (KeyReused("no"), 422, "invalid"),
        (NotAllowed("no"), 403, "not_allowed"),
        (NotFound("no"), 404, "not_found"),
        (Conflict("no"), 409, "conflict"),
        (Erased("no"), 410, "erased"),
        (TooLarge("no"), 413, "too_large"),
        (Full("no", retry_after=0.2), 429, "full"),
        (Unauthorized("no"), 401, "unauthorized"),
        (Unavailable("no", retry_after=3.0), 503, "unavailable"),
        (InvalidValue("no"), 422, "invalid"),
        (OSError(28, "No space left on device"), 503, "unavailable"),
        (sqlite3.OperationalError("database is locked"), 503, "unavailable"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
@pytest.mark.parametrize("path", ["/v1/models/x/examples", "/v2/models/x/infer", "/invocations"])
def test_each_error_has_its_status_and_word(
    error: Exception, status: int, code: str, path: str
) -> None:
    """And the shape of its routes: `error` is a sentence in the Open Inference Protocol."""
    said = refusal(request(path), refused(error))
    body = json.loads(said.body)
    assert status == said.status_code
    shape = InferenceFailure if path.startswith("/v2") else Failure
    held = shape.model_validate(body)
    assert code == (held.code if isinstance(held, InferenceFailure) else held.error.code)
    assert ("retry-after" in said.headers) == (status in (429, 503))
    assert ("www-authenticate" in said.headers) == (status == 401)


def test_seconds_are_rounded_up() -> None:
    """Zero would have the caller come again at once."""
    said = refusal(request("/v1"), Full("no", retry_after=0.2))
    assert "1" == said.headers["Retry-After"]


def test_field_value_and_row_are_apart_from_the_sentence() -> None:
    """For programs; and together in it, for people."""
    error = RowRefused("give a number", field="age", value="x" * 500, row=3)
    held = json.loads(refusal(request("/v1"), error).body)["error"]
    assert ("age", 3) == (held["field"], held["row"])
    assert len(held["value"]) < 100
    assert held["message"].startswith("row 3: 'age' is")


@pytest.mark.parametrize(
    ("model", "body", "field", "row"),
    [
        (ExamplesIn, {"rows": [{"features": 1}, {"features": 1, "x": 2}]}, "x", 1),
        (ExamplesIn, {}, None, None),
        (ExamplesIn, {"rows": []}, None, None),
        (LabelsIn, {"labels": [{"id": "", "label": "a"}]}, "id", 0),
        (PromoteIn, {"version": 0, "reason": "x"}, "version", None),
        (PromoteIn, {"version": 1, "reason": ""}, "reason", None),
        (PromoteIn, {"version": True, "reason": "x"}, "version", None),
        (InferRequest, {"inputs": [{"name": "x", "shape": [1]}]}, "inputs.0.datatype", None),
    ],
)
def test_what_pydantic_finds_is_placed(model, body, field, row) -> None:
    """A row by its number, a field by its path; whole objects are not repeated."""
    with pytest.raises(ValidationError) as found:
        model.model_validate(body)
    said = from_validation(found.value)
    assert (field, row) == (said.field, said.row) or (field is None and said.row is None)
    assert said.status == 422
    assert said.value is None or len(said.value) < 100


def test_every_status_that_is_described_has_a_word() -> None:
    """And is described for both families."""
    for model in (Failure, InferenceFailure):
        described = refusals(model)
        assert set(described) <= set(CODES)
        assert all(held["model"] is model and held["description"] for held in described.values())
