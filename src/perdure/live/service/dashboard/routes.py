"""The dashboard's routes: pages, their parts for refreshing, and logging in and out.

What buttons do goes to the routes under `/v1`, with the session's cookie and CSRF token: nothing is
done here that a token could not do there.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from fastapi.routing import APIRoute

from perdure.live.refusals import NotAllowed, NotFound, Refused
from perdure.live.service.dashboard import pages
from perdure.live.service.dashboard.renewal import renewed
from perdure.live.service.refusing import Unauthorized
from perdure.live.service.security import Caller
from perdure.live.service.service import Service, service_of

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
FOR_EVER: Final = "public, max-age=31536000, immutable"
LOGIN: Final = "/dashboard/login"


class Shown(APIRoute):
    """A route for browsers: strict headers, and whoever is not logged in is sent to do so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint, with headers."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                response = await inner(request)
            except Refused as refused:
                if request.url.path.endswith("/parts"):
                    raise
                response = _refusal(request, refused)
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return handle


router = APIRouter(route_class=Shown, include_in_schema=False)


def root_of(request: Request) -> str:
    """The prefix under which a proxy shows this service, or ""."""
    found: str = request.scope.get("root_path", "")
    return found.rstrip("/")


def viewer(request: Request) -> Caller:
    """Who is logged in, with whatever roles.

    Raises:
        Unauthorized: nobody is.
    """
    guard = service_of(request).guard
    token = guard.sessions.token(request, guard.tokens)
    if token is None:
        raise Unauthorized("log in with a token first")
    return Caller(token.name, token)


Here = Annotated[Service, Depends(service_of)]
Who = Annotated[Caller, Depends(viewer)]


@router.get("/")
def front(request: Request) -> Response:
    """To the dashboard."""
    return RedirectResponse(root_of(request) + "/dashboard", 303)


@router.get("/dashboard/static/{name:path}")
def file(name: str) -> Response:
    """A script or style sheet; its address changes with its content."""
    if name not in pages.FILES:
        raise NotFound("there is no such file", field="file", value=name)
    held = pages.FILES[name]
    return Response(held.body, media_type=held.media, headers={"Cache-Control": FOR_EVER})


@router.get(LOGIN)
def ask(request: Request, service: Here) -> Response:
    """The page that asks for a token."""
    model = service.project.settings.name
    return HTMLResponse(pages.render_login(root_of(request), model))


@router.post(LOGIN)
async def enter(request: Request, service: Here) -> Response:
    """Begin a session for the token that the form holds."""
    check_same_site(request)
    address = request.client.host if request.client else "unknown"
    try:
        token = service.tokens.check((await _form(request)).get("token", "").strip())
        if token is None:
            service.failures.charge(address, 1, "wrong tokens")
            raise Unauthorized("This is no live token. `perdure tokens create` makes one.")
    except Refused as refused:
        model = service.project.settings.name
        page = pages.render_login(root_of(request), model, str(refused))
        return HTMLResponse(page, refused.status)
    response = RedirectResponse(root_of(request) + "/dashboard", 303)
    service.sessions.begin(token, response, secure=request.url.scheme == "https")
    return response


@router.post("/dashboard/logout")
async def leave(request: Request, service: Here) -> Response:
    """End the session."""
    service.sessions.check_csrf(request, (await _form(request)).get("csrf", ""))
    response = RedirectResponse(root_of(request) + LOGIN, 303)
    service.sessions.end(response)
    return response


@router.get("/dashboard")
@router.get("/dashboard/{name}")
def page(request: Request, service: Here, who: Who, name: str = "overview") -> Response:
    """A page."""
    look = pages.Look(service, who, root_of(request), request.query_params)
    csrf = service.sessions.csrf(request)
    found = pages.page_named(name)
    return HTMLResponse(pages.render_page(found, look, csrf))


@router.get("/dashboard/{name}/parts")
def parts(request: Request, service: Here, who: Who, name: str) -> Response:
    """The parts of a page as they are now; 204 where they are as the browser has seen them."""
    look = pages.Look(service, who, root_of(request), request.query_params)
    held = renewed(pages.page_named(name), look)
    seen = pages.digest(held)
    if request.query_params.get("seen") == seen:
        return Response(status_code=204)
    return JSONResponse({"seen": seen, "parts": held})


def check_same_site(request: Request) -> None:
    """Refuse a login that another site makes a browser send.

    Raises:
        NotAllowed: the browser says that another site sent it.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise NotAllowed("another site sent this; log in from the dashboard's own page")


def _refusal(request: Request, refused: Refused) -> Response:
    if isinstance(refused, Unauthorized):
        return RedirectResponse(root_of(request) + LOGIN, 303)
    model = service_of(request).project.settings.name
    page = pages.render_refusal(root_of(request), model, str(refused))
    return HTMLResponse(page, refused.status)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form, the last of each name."""
    body = (await request.body()).decode("utf-8", "replace")
    return {name: values[-1] for name, values in parse_qs(body).items()}
