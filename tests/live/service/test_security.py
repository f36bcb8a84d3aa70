"""Who may call what: the table is walked, and each of its lines is true."""

from __future__ import annotations

import pytest
from fastapi import APIRouter, Request, Response

from perdure.live.service.app import create
from perdure.live.service.security import ANY, OPEN, ROLES, Guarded, Sessions
from perdure.live.tokens import ROLES as ALL
from perdure.live.tokens import Tokens

pytestmark = pytest.mark.anyio
STAND_INS = {"{model}": "flowers", "{version}": "1", "{job}": "1"}
CLOSED = {route: role for route, role in ROLES.items() if role != OPEN}


def filled(path: str) -> str:
    for name, value in STAND_INS.items():
        path = path.replace(name, value)
    return path


async def test_every_route_of_the_application_is_in_the_table(client) -> None:
    """And every line of the table is a route: nothing is served that nobody thought about."""
    served = {
        (method.upper(), path)
        for path, methods in client.app.openapi()["paths"].items()
        for method in methods
    }
    assert served | {("GET", "/openapi.json")} == set(ROLES)


async def test_only_health_is_open() -> None:
    """Nothing else answers a stranger."""
    assert {"/ping", "/v2/health/live", "/v2/health/ready"} == {
        path for (_, path), role in ROLES.items() if role == OPEN
    }


async def test_without_a_token_closed_routes_say_401_and_open_ones_answer(project, serve) -> None:
    """Before the body is looked at, and with the header that says how to log in."""
    async with serve(project, roles="") as client:
        client.service.guard._charge_failure = lambda address: None
        for (method, path), role in ROLES.items():
            answer = await client.request(method, filled(path), content=b"{")
            assert (answer.status_code == 401) == (role != OPEN), path
            if role != OPEN:
                assert "Bearer" in answer.headers["WWW-Authenticate"]
                assert "live token" in answer.text


@pytest.mark.parametrize("role", ALL)
async def test_a_role_opens_its_own_routes_and_no_others(project, serve, role) -> None:
    """403 exactly where the table asks for another role; `admin` has them all."""
    async with serve(project, roles=role) as client:
        for (method, path), asked in CLOSED.items():
            answer = await client.request(method, filled(path), content=b"{")
            allowed = asked in (role, ANY) or role == "admin"
            assert (answer.status_code == 403) == (not allowed), (path, answer.text)
            assert allowed or f"no role '{asked}'" in answer.text
            assert answer.status_code != 401


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer pdr_x_y", "Basic YTpi", "pdr_1_2", "Bearer é"]
)
async def test_what_is_no_token_is_401(project, serve, header) -> None:
    """Whatever stands in the header, the answer is 401 and never an error."""
    async with serve(project, roles="") as client:
        answer = await client.get("/v2", headers={"Authorization": header.encode("latin-1")})
        assert 401 == answer.status_code


async def test_revoking_a_token_ends_it_within_a_second(project, serve) -> None:
    """In this process at once."""
    async with serve(project, roles="predict") as client:
        assert 200 == (await client.get("/v2")).status_code
        tokens = client.service.tokens
        tokens.revoke(next(token.id for token in tokens.all() if token.name == "predict"))
        assert 401 == (await client.get("/v2")).status_code


async def test_guessing_is_slowed_down(project, serve) -> None:
    """After some wrong tokens an address gets 429; whoever has a live token does not notice."""
    async with serve(project) as client:
        wrong = {"Authorization": "Bearer pdr_0_0"}
        codes = [(await client.get("/v2", headers=wrong)).status_code for _ in range(40)]
        assert [401] * 30 == codes[:30]
        assert {429} == set(codes[31:])
        assert 200 == (await client.get("/v2")).status_code


async def test_a_token_may_send_so_many_requests_a_minute(
    begin, serve, add_version, question
) -> None:
    """429 with the seconds to wait; another token has its own measure."""
    project = begin("[serve]\nrequests_per_minute = 5")
    project.registry.promote(add_version(project), actor="tester", reason="first")
    async with serve(project, roles="predict") as client:
        path = "/v2/models/flowers/infer"
        codes = []
        for _ in range(7):
            answer = await client.post(path, json=question([1, 2, 3, 4]))
            codes.append(answer.status_code)
        assert [200] * 5 + [429] * 2 == codes
        assert 1 <= int(answer.headers["Retry-After"]) <= 12
        other = Tokens(project.database).create("other", ["predict"])
        headers = {"Authorization": f"Bearer {other}"}
        answer = await client.post(path, json=question([1, 2, 3, 4]), headers=headers)
        assert 200 == answer.status_code


async def test_a_route_that_is_not_in_the_table_cannot_be_made() -> None:
    """It fails when the module is imported, not when somebody calls it."""
    router = APIRouter(route_class=Guarded)
    with pytest.raises(KeyError, match="/secret"):
        router.get("/secret")(lambda: None)


# -- browsers ------------------------------------------------------------------------------------


@pytest.fixture
def pages() -> APIRouter:
    """Stands for the dashboard: a page that says its CSRF token."""
    return APIRouter()


async def browse(client, token, **cookie_settings) -> None:
    """Log a client in as a browser does: with a cookie and no header."""
    response = Response()
    client.service.sessions.begin(token, response, secure=False)
    header = response.headers["set-cookie"]
    assert "HttpOnly" in header
    assert "SameSite=strict" in header
    client.cookies.set(Sessions.COOKIE, header.split(";")[0].split("=", 1)[1])


async def test_a_browser_reads_with_its_cookie(project, serve) -> None:
    """The session has the roles of the token it began with."""
    async with serve(project, roles="") as client:
        tokens = client.service.tokens
        token = tokens.check(tokens.create("ada", ["operate"]))
        await browse(client, token)
        assert 200 == (await client.get("/v1/models/flowers/status")).status_code
        answer = await client.post("/v1/erasures", json={}, headers=await csrf(client))
        assert 403 == answer.status_code


async def csrf(client) -> dict[str, str]:
    cookie = f"{Sessions.COOKIE}={client.cookies[Sessions.COOKIE]}"
    request = Request({"type": "http", "headers": [(b"cookie", cookie.encode())]})
    return {Sessions.HEADER: client.service.sessions.csrf(request)}


async def test_a_browser_writes_only_with_its_csrf_token(project, serve) -> None:
    """Another site can make a browser send a request, but not this header."""
    async with serve(project, roles="") as client:
        tokens = client.service.tokens
        await browse(client, tokens.check(tokens.create("ada", ["operate"])))
        path, body = "/v1/models/flowers/freeze", {"reason": "a drift that is none"}
        for headers in ({}, {Sessions.HEADER: ""}, {Sessions.HEADER: "é".encode("latin-1")}):
            answer = await client.post(path, json=body, headers=headers)
            assert 403 == answer.status_code
            assert "CSRF" in answer.text
        answer = await client.post(path, json=body, headers=await csrf(client))
        assert "ada" == answer.json()["frozen"]["actor"]


async def test_a_forged_or_old_session_is_none(project, serve) -> None:
    """A cookie with a character changed, of another process, past its time, or of a dead token."""
    async with serve(project, roles="") as client:
        service = client.service
        token = service.tokens.check(service.tokens.create("ada", ["operate"]))
        await browse(client, token)
        good = client.cookies[Sessions.COOKIE]

        async def status(cookie: str) -> int:
            client.cookies.set(Sessions.COOKIE, cookie)
            return (await client.get("/v2")).status_code

        assert 200 == await status(good)
        for wrong in ("", "x", "a.b.c.d", good[:-1] + "x", good.replace(token.id, "0" * 12)):
            assert 401 == await status(wrong)
        client.cookies.clear()
        service.sessions._clock = lambda: 2e10
        assert 401 == await status(good)
        service.sessions._clock = lambda: 0.0
        assert 200 == await status(good)
        service.tokens.revoke(token.id)
        assert 401 == await status(good)


async def test_sessions_of_two_processes_have_two_keys(project) -> None:
    """A restart logs everybody out."""
    first, second = create(project).state.service, create(project).state.service
    assert first.sessions._key != second.sessions._key
