"""The service: one application over one project."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from perdure import __version__
from perdure.live.project import Project
from perdure.live.service import api, protocol, refusing
from perdure.live.service.front import Front
from perdure.live.service.limits import BoundedBody
from perdure.live.service.observing import Observed
from perdure.live.service.security import OPEN, ROLES, SCHEME, SECURITY
from perdure.live.service.service import Service


def create(
    project: Project, pages: Sequence[APIRouter] = (), child: Sequence[str] | None = None
) -> FastAPI:
    """The application of a project; it leaves the project open when it stops.

    Args:
        project: that is served.
        pages: further routers, the dashboard's: their routes are `Guarded` too.
        child: the command of a process that runs beside it, the updater.
    """
    service = Service(project, child)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = FastAPI(
        title=f"perdure: {project.settings.name}",
        version=__version__,
        summary="A model that keeps learning.",
        lifespan=lifespan,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        openapi_url=None,  # served below, to whoever has a token
    )
    app.state.service = service
    # Routes are tried in this order, and predictions are most of what comes.
    for router in (protocol.direct, protocol.router, protocol.mlflow, api.router, *pages):
        app.include_router(router)
    app.add_middleware(Front, routes=protocol.direct.routes)
    app.add_middleware(BoundedBody, max_bytes=project.settings.serve.max_body_bytes)
    app.add_middleware(Observed, metrics=service.metrics)
    refusing.install(app)
    app.openapi = lambda: described(app)  # type: ignore[method-assign]
    return app


def described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the bodies that routes read by themselves, and with roles."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    project = app.state.service.project
    said = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    for (method, path), role in ROLES.items():
        operation = said["paths"].get(path, {}).get(method.lower())
        if operation is not None and role != OPEN:
            operation |= {"security": SECURITY, "x-role": role}
            _name_the_model(operation, project.settings.name)
    models: list[tuple[type[BaseModel], Literal["validation"]]] = [
        (model, "validation") for model in (*protocol.BODIES, *api.BODIES)
    ]
    _, made = models_json_schema(models, ref_template="#/components/schemas/{model}")
    made["$defs"]["RowIn"]["properties"]["features"]["examples"] = [project.schema.example()]
    said["components"]["schemas"] |= made["$defs"]
    said["components"]["securitySchemes"] = SCHEME
    app.openapi_schema = said
    return said


def _name_the_model(operation: dict[str, Any], name: str) -> None:
    for argument in operation.get("parameters", ()):
        if argument["name"] == "model":
            argument["schema"] = {"type": "string", "enum": [name]}
