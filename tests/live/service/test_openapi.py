"""The description is true: whatever it allows is answered as it says, with a token and without."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import checks

from perdure.live.service.app import create
from perdure.live.service.security import OPEN, ROLES
from perdure.live.tokens import Tokens

FEW = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
# What is right as JSON may not fit the project's own schema, and a query or header that nobody
# reads is no error.
EXCLUDED = [checks.positive_data_acceptance, checks.negative_data_rejection]


@dataclass
class Api:
    """A service that listens, and a token for all of it."""

    url: str
    headers: dict[str, str]


@pytest.fixture
def api(project, listen) -> Api:
    """With a version that serves and some rows."""
    app = create(project)
    app.state.service.guard._charge_failure = lambda address: None  # many wrong tokens follow
    token = Tokens(project.database).create("tester", ["admin"])
    return Api(listen(app), {"Authorization": f"Bearer {token}"})


@pytest.fixture
def described(api: Api) -> schemathesis.BaseSchema:
    """The description, as whoever has a token gets it."""
    said = httpx.get(f"{api.url}/openapi.json", headers=api.headers).json()
    schema = schemathesis.openapi.from_dict(said)
    schema.config.update(base_url=api.url)
    return schema


def check_all(
    described: schemathesis.BaseSchema, check: Callable[[schemathesis.Case], None], examples: int
) -> None:
    """Draw some requests for each operation, right and wrong ones, and check their answers."""
    for held in described.get_all_operations():
        operation = held.ok()
        for mode in schemathesis.GenerationMode:

            @settings(FEW, max_examples=examples)
            @given(operation.as_strategy(generation_mode=mode))
            def one(case: schemathesis.Case) -> None:
                check(case)

            with suppress(Unsatisfiable):  # of some requests nothing can be wrong
                one()


def test_with_a_token_every_answer_is_as_described(api, described) -> None:
    """No failure of ours, and no status, type or body that is not described."""

    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=api.headers, excluded_checks=EXCLUDED)

    check_all(described, check, examples=5)


def test_without_a_token_every_closed_route_is_401(described) -> None:
    """Whatever else a request says; open routes answer as described."""

    def check(case: schemathesis.Case) -> None:
        answer = case.call()
        case.validate_response(answer, checks=[checks.status_code_conformance])
        if ROLES[case.method.upper(), case.path] != OPEN:
            assert 401 == answer.status_code

    check_all(described, check, examples=2)


def test_every_operation_names_its_role_and_how_it_refuses(api, described) -> None:
    """The table of roles is in the description, and so is the scheme of tokens."""
    said = described.raw_schema
    assert "bearer" == said["components"]["securitySchemes"]["token"]["scheme"]
    for (method, path), role in ROLES.items():
        if path == "/openapi.json":
            continue
        operation = said["paths"][path][method.lower()]
        if role == OPEN:
            assert "security" not in operation
        else:
            assert ([{"token": []}], role) == (operation["security"], operation["x-role"])
            assert {"401", "403", "404", "422", "429"} <= set(operation["responses"])
        assert operation["description"].endswith(".")
