"""Predictions take a short way, and nobody can tell."""

from __future__ import annotations

import httpx
import pytest

from perdure.live.service import app as application
from perdure.live.service.app import create
from perdure.live.service.security import Direct
from perdure.live.tokens import Tokens

pytestmark = pytest.mark.anyio
A = [0.5, -1.0, 2.0, 0.25]
INFER = "/v2/models/flowers/infer"


class Nothing:
    """Stands in the place of `Front` and passes everything on."""

    def __init__(self, app, routes) -> None:
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        await self.app(scope, receive, send)


@pytest.fixture
async def both(project, monkeypatch):
    """Two clients of one project: with the short way and without."""
    token = Tokens(project.database).create("tester", ["admin"])
    headers = {"Authorization": f"Bearer {token}", "X-Request-Id": "same"}
    short = create(project)
    monkeypatch.setattr(application, "Front", Nothing)
    long = create(project)
    async with (
        short.router.lifespan_context(short),
        long.router.lifespan_context(long),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(short), base_url="http://test", headers=headers
        ) as first,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(long), base_url="http://test", headers=headers
        ) as second,
    ):
        yield first, second


@pytest.mark.parametrize(
    ("method", "path", "change"),
    [
        ("POST", INFER, {}),
        ("POST", "/v2/models/flowers/versions/2/infer", {}),
        ("POST", "/v2/models/flowers/versions/99/infer", {}),
        ("POST", "/v2/models/flowers/versions/x/infer", {}),
        ("POST", "/v2/models/trees/infer", {}),
        ("POST", INFER, {"inputs": []}),
        ("POST", INFER, {"inputs": 7}),
        ("POST", "/invocations", {}),
        ("GET", INFER, {}),
        ("DELETE", "/invocations", {}),
        ("POST", INFER + "/", {}),
        ("POST", "/v2/models/a/b/infer", {}),
    ],
)
async def test_an_answer_is_the_same_either_way(both, question, method, path, change) -> None:
    """Status, headers and body, for answers and refusals alike; only made ids differ."""
    body = {**question(A, id="p"), **change}
    answers = [await client.request(method, path, json=body) for client in both]
    assert answers[0].status_code == answers[1].status_code
    assert answers[0].content == answers[1].content
    assert sorted(answers[0].headers.items()) == sorted(answers[1].headers.items())


async def test_roles_and_limits_hold_on_the_short_way_too(both, project, question) -> None:
    """A token without the role, none at all, and a body that is too long."""
    camera = Tokens(project.database).create("camera", ["ingest"])
    for headers, content, status in (
        ({"Authorization": f"Bearer {camera}"}, b"{}", 403),
        ({"Authorization": "Bearer pdr_0_0"}, b"{}", 401),
        ({}, b" " * (project.settings.serve.max_body_bytes + 1), 413),
    ):
        for client in both:
            answer = await client.post(INFER, content=content, headers=headers)
            assert status == answer.status_code
            assert isinstance(answer.json()["error"], str)


async def test_requests_are_counted_under_their_route_either_way(both, question) -> None:
    """The metrics do not know of two ways."""
    for client in both:
        await client.post("/v2/models/flowers/versions/2/infer", json=question(A))
        text = (await client.get("/metrics")).text
        assert 'route="/v2/models/{model}/versions/{version}/infer",status="200"} 1.0' in text


async def test_every_prediction_route_is_direct_and_is_described(client) -> None:
    """What FastAPI describes is what is answered."""
    direct = {route.path for route in application.protocol.direct.routes}
    assert {INFER.replace("flowers", "{model}"), "/invocations"} <= direct
    assert all(isinstance(route, Direct) for route in application.protocol.direct.routes)
    assert direct <= set(client.app.openapi()["paths"])
