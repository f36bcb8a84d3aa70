"""Logging in and out, who sees what, and what no page may do."""

from __future__ import annotations

import re

import httpx
import pytest
from tests.live.dashboard.conftest import logged_in, token_for, visited

from perdure.live.project import Project
from perdure.live.service.dashboard.pages import FILES, PAGES
from perdure.live.service.dashboard.routes import HEADERS, router

INLINE = re.compile(r"\son\w+=|\sstyle=|javascript:", re.IGNORECASE)


def csrf_of(client: httpx.Client) -> str:
    """What the page's buttons send back."""
    found = re.search(r'data-csrf="([0-9a-f]+)"', client.get("/dashboard").text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("name", ["", *(f"/{name}" for name in PAGES)])
def test_whoever_is_not_logged_in_is_sent_to_the_login(lived: Project, name: str) -> None:
    """From every page."""
    with visited(lived) as client:
        answer = client.get(f"/dashboard{name}")
    assert (303, "/dashboard/login") == (answer.status_code, answer.headers["location"])


def test_parts_without_a_session_are_401(lived: Project) -> None:
    """A script goes to the login by itself."""
    with visited(lived) as client:
        assert 401 == client.get("/dashboard/overview/parts").status_code


def test_the_front_door_leads_to_the_dashboard(lived: Project) -> None:
    """The bare address is what people type."""
    with visited(lived) as client:
        answer = client.get("/")
    assert (303, "/dashboard") == (answer.status_code, answer.headers["location"])


def test_a_live_token_begins_a_session(project: Project) -> None:
    """Its cookie is out of reach of scripts and of other sites."""
    with visited(project) as client:
        said = {"token": f" {token_for(project, 'ada', 'operate')}\n"}
        answer = client.post("/dashboard/login", data=said)
        assert (303, "/dashboard") == (answer.status_code, answer.headers["location"])
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert 200 == client.get("/dashboard").status_code


@pytest.mark.parametrize("token", ["", "pdr_x_y", "<script>", "\N{SNOWMAN}"])
def test_anything_else_does_not(project: Project, token: str) -> None:
    """The page says so, and does not say it back."""
    with visited(project) as client:
        answer = client.post("/dashboard/login", data={"token": token})
        assert 401 == answer.status_code
        assert "set-cookie" not in answer.headers
        assert "no live token" in answer.text
        assert "<script>" not in answer.text.replace('<script src="', "")


def test_guessing_tokens_is_slowed_down(project: Project) -> None:
    """After so many wrong ones a minute, even a right one is told to wait."""
    with visited(project) as client:
        answers = [client.post("/dashboard/login", data={"token": "no"}) for _ in range(40)]
    assert {401, 429} == {answer.status_code for answer in answers}


def test_another_site_cannot_log_a_browser_in(project: Project) -> None:
    """Its visitor would work under a name that is not theirs."""
    with visited(project) as client:
        answer = client.post(
            "/dashboard/login",
            data={"token": token_for(project, "mallory", "admin")},
            headers={"Sec-Fetch-Site": "cross-site"},
        )
        assert 403 == answer.status_code
        assert "set-cookie" not in answer.headers


def test_logging_out_ends_the_session(project: Project) -> None:
    """The cookie goes."""
    with logged_in(project) as client:
        answer = client.post("/dashboard/logout", data={"csrf": csrf_of(client)})
        assert (303, "/dashboard/login") == (answer.status_code, answer.headers["location"])
        assert 303 == client.get("/dashboard").status_code


def test_another_site_cannot_log_a_browser_out(project: Project) -> None:
    """It does not know the CSRF token."""
    with logged_in(project) as client:
        answer = client.post("/dashboard/logout", data={"csrf": "00"})
        assert 403 == answer.status_code
        assert "Not done" in answer.text
        assert 200 == client.get("/dashboard").status_code


@pytest.mark.parametrize("verb", ["promote", "rollback", "freeze", "unfreeze", "updates"])
def test_the_session_alone_does_nothing(project: Project, verb: str) -> None:
    """What buttons do needs the CSRF token of the page beside the cookie."""
    with logged_in(project) as client:
        body = {"reason": "forged", **({"version": 4} if verb == "promote" else {})}
        url = f"/v1/models/tiny/{verb}"
        assert 403 == client.post(url, json=body).status_code
        wrong = {"X-CSRF-Token": "f" * 64}
        assert 403 == client.post(url, json=body, headers=wrong).status_code
        right = {"X-CSRF-Token": csrf_of(client)}
        assert client.post(url, json=body, headers=right).status_code in (200, 202)


def test_a_viewer_cannot_operate(project: Project) -> None:
    """Even with the CSRF token of its own page."""
    with logged_in(project, "predict") as client:
        right = {"X-CSRF-Token": csrf_of(client)}
        body = {"version": 4, "reason": "let me"}
        assert 403 == client.post("/v1/models/tiny/promote", json=body, headers=right).status_code


@pytest.mark.parametrize("roles", ["predict", "ingest", "operate", "admin"])
def test_who_sees_what(project: Project, roles: str) -> None:
    """Names of people and sources are for those who operate; how the model does is for all."""
    with logged_in(project, roles) as client:
        audit, memory = client.get("/dashboard/audit").text, client.get("/dashboard/memory").text
        operates = roles in ("operate", "admin")
        assert operates == ("promote: 3 is good" in audit)
        assert operates == ("camera" in memory)
        assert "green" in memory
        assert "rule one of 3" in client.get("/dashboard/versions").text


def test_a_page_is_told_apart_from_one_that_is_not_there(lived: Project) -> None:
    """In words, with a way back."""
    with logged_in(lived) as client:
        answer = client.get("/dashboard/nowhere")
    assert 404 == answer.status_code
    assert "there is no such page" in answer.text
    assert 'href="/dashboard"' in answer.text


def test_parts_come_once_and_then_only_when_they_change(project: Project) -> None:
    """`seen` says what the browser has; 204 is all it gets for that."""
    with logged_in(project) as client:
        page = client.get("/dashboard/versions")
        seen = re.search(r'data-seen="(\w+)"', page.text)[1]
        url = "/dashboard/versions/parts"
        assert 204 == client.get(url, params={"seen": seen}).status_code
        project.registry.promote(4, actor="grace", reason="better")
        answer = client.get(url, params={"seen": seen, "fresh": ""}).json()
        assert seen != answer["seen"]
        assert {"warnings", "versions"} == answer["parts"].keys()
        again = client.get(url, params={"seen": answer["seen"], "fresh": ""})
        assert 204 == again.status_code


def test_every_answer_has_strict_headers(lived: Project) -> None:
    """Pages, parts, files, redirects and refusals."""
    with logged_in(lived) as client:
        for path in ("", "/login", "/overview/parts", "/static/dashboard.js", "/nowhere", "/audit"):
            answer = client.get(f"/dashboard{path}")
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert "nosniff" == answer.headers["x-content-type-options"]
            assert "DENY" == answer.headers["x-frame-options"]


def test_pages_are_never_kept_and_files_are_for_ever(lived: Project) -> None:
    """A file's address changes with its content."""
    with logged_in(lived) as client:
        page = client.get("/dashboard")
        assert HEADERS["Cache-Control"] == page.headers["cache-control"]
        links = re.findall(r'(?:src|href)="(/dashboard/static/[^"]+)"', page.text)
        assert 6 <= len(links)
        for link in links:
            answer = client.get(link)
            assert 200 == answer.status_code
            assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("name", ["%2e%2e%2froutes.py", "..%2Fpages.py", "no.js", "uplot/LICENSE"])
def test_only_files_that_pages_load_are_served(lived: Project, name: str) -> None:
    """Nothing else of the package, and nothing of the machine."""
    with visited(lived) as client:
        assert 404 == client.get(f"/dashboard/static/{name}").status_code


@pytest.mark.parametrize("name", PAGES)
def test_no_page_has_inline_scripts_styles_or_links_elsewhere(lived: Project, name: str) -> None:
    """What the policy would block is not there to begin with."""
    with logged_in(lived) as client:
        text = client.get(f"/dashboard/{name}").text
    assert [] == INLINE.findall(text)
    assert [] == re.findall(r'(?:src|href|action)="(?:https?:)?//', text)
    scripts = re.findall(r"<script(?![^>]*\ssrc=)[^>]*>", text)
    assert all('type="application/json"' in script for script in scripts)


def test_behind_a_proxy_every_link_has_its_prefix(lived: Project) -> None:
    """`root_path`, as ASGI servers call it."""
    with logged_in(lived, root="/models/tiny") as client:
        text = client.get("/dashboard").text
    links = re.findall(r'(?:src|href|action)="(/[^"]*)"', text)
    assert links
    assert [] == [link for link in links if not link.startswith("/models/tiny/")]


def test_the_dashboard_stays_out_of_the_api_document() -> None:
    """It is for people."""
    assert not any(route.include_in_schema for route in router.routes)


def test_the_chart_library_comes_with_its_licence() -> None:
    """And with its version, beside the files as they were published."""
    from perdure.live.service.dashboard.pages import STATIC

    assert "MIT License" in (STATIC / "uplot" / "LICENSE").read_text("utf-8")
    version = re.search(r"uPlot (\S+),", (STATIC / "uplot" / "VERSION").read_text("utf-8"))[1]
    assert f"(v{version})".encode() in FILES["uplot/uPlot.iife.min.js"].body[:200]
