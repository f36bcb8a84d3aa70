"""Which parts a page has, what each part is made from, and how it becomes HTML."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from perdure.live.freezing import frozen
from perdure.live.refusals import NotFound
from perdure.live.registry import Version
from perdure.live.service.dashboard import wording
from perdure.live.service.dashboard.views import composition, curve, heatmap, history, standing
from perdure.live.service.dashboard.views.savings import savings
from perdure.live.service.security import Caller
from perdure.live.service.service import Service
from perdure.live.status import status

STATIC: Final = Path(__file__).parent / "static"
PACKAGE: Final = __name__.rpartition(".")[0]


@dataclass(frozen=True)
class Look:
    """Somebody who looks at a page.

    Args:
        service: that is looked at.
        caller: who looks.
        root: the prefix under which a proxy shows the service, or "".
        said: the query: which slice, how many versions, which audit entries.
    """

    service: Service
    caller: Caller
    root: str = ""
    said: Mapping[str, str] = field(default_factory=dict)

    @property
    def operates(self) -> bool:
        """Whether buttons work, and whether names of people and sources are shown."""
        return self.caller.allows("operate")

    @cached_property
    def status(self) -> dict[str, Any]:
        """How the project stands, read once for all parts."""
        return status(self.service.project)

    def count(self, name: str, default: int | None = None, most: int = 1000) -> int | None:
        """A number of the query; the default where it is none."""
        found = self.said.get(name, "")
        return min(int(found), most) if found.isascii() and found.isdigit() else default


@dataclass(frozen=True)
class Page:
    """A page: its place in the navigation, and its parts from top to bottom."""

    name: str
    title: str
    parts: tuple[str, ...]


PAGES: Final = {
    page.name: page
    for page in (
        Page("overview", "Overview", ("warnings", "cards", "loop", "curve", "drifts")),
        Page("accuracy", "Accuracy", ("warnings", "heatmap", "groups")),
        Page("versions", "Versions", ("warnings", "versions")),
        Page("memory", "Memory", ("warnings", "log", "memory")),
        Page("savings", "Savings", ("warnings", "savings")),
        Page("audit", "Audit", ("warnings", "audit")),
    )
}


def render_page(page: Page, look: Look, csrf: str) -> str:
    """A whole page; `csrf` is what its buttons send back."""
    parts = render_parts(page, look)
    return ENVIRONMENT.get_template("page.html").render(
        page=page,
        pages=PAGES.values(),
        parts=parts,
        seen=digest(parts),
        look=look,
        csrf=csrf,
        root=look.root,
        model=look.service.project.settings.name,
    )


def render_login(root: str, model: str, problem: str = "") -> str:
    """The page that asks for a token; `problem` says what was wrong with the last one."""
    return ENVIRONMENT.get_template("login.html").render(root=root, model=model, problem=problem)


def render_refusal(root: str, model: str, problem: str) -> str:
    """A page that says why there is none."""
    return ENVIRONMENT.get_template("refusal.html").render(root=root, model=model, problem=problem)


def render_parts(page: Page, look: Look) -> dict[str, Markup]:
    """The parts of a page by name; the same text as long as nothing has changed."""
    return {name: Markup(_part(name, look)) for name in page.parts}  # noqa: S704


def digest(parts: Mapping[str, str]) -> str:
    """Identifies what a page shows."""
    return blake2b("\0".join(parts.values()).encode(), digest_size=12).hexdigest()


def static(name: str) -> str:
    """The address of a file below `static`, which changes with its content."""
    return f"/dashboard/static/{name}?v={FILES[name].digest}"


@dataclass(frozen=True)
class File:
    """A file that browsers load as it is."""

    body: bytes
    media: str

    @property
    def digest(self) -> str:
        """Identifies the content."""
        return blake2b(self.body, digest_size=6).hexdigest()


_MEDIA: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FILES: Final = {
    path.relative_to(STATIC).as_posix(): File(path.read_bytes(), _MEDIA[path.suffix])
    for path in sorted(STATIC.rglob("*"))
    if path.suffix in _MEDIA
}
"""All files below `static`, by name."""


# -- parts ---------------------------------------------------------------------------------------

Context = dict[str, Any]


def _part(name: str, look: Look) -> str:
    context = _PARTS[name](look)
    template = ENVIRONMENT.get_template(f"parts/{name}.html")
    return template.render(look=look, model=look.service.project.settings.name, **context)


def _warnings(look: Look) -> Context:
    said = look.status["warnings"]
    failed = look.service.server.failures.items()
    broken = [f"version {version} cannot be loaded: {why}" for version, why in failed]
    return {"warnings": [*said, *broken]}


def _cards(look: Look) -> Context:
    project = look.service.project
    held = standing.cards(project)
    return {
        "champion": next((card for card in held if card.alias == "champion"), None),
        "others": [card for card in held if card.alias != "champion"],
        "generation": project.registry.generation(),
        "said": look.status,
    }


def _loop(look: Look) -> Context:
    project = look.service.project
    return {
        "said": look.status,
        "queue": standing.queue(project),
        "work": standing.work(project),
        "frozen": frozen(project.database),
        "previous": project.registry.aliases().get("previous"),
    }


def _curve(look: Look) -> Context:
    return {"curve": curve.curve(look.service.project)}


def _drifts(look: Look) -> Context:
    project = look.service.project
    return {"drifts": curve.drifts(project), "said": look.status}


def _heatmap(look: Look) -> Context:
    limit = look.count("versions", heatmap.VERSIONS) or heatmap.VERSIONS
    return {"map": heatmap.heatmap(look.service.project, look.said.get("slice", ""), limit)}


def _groups(look: Look) -> Context:
    held = curve.groups(look.service.project, sources=look.operates)
    return {"groups": held, "window": curve.WINDOW}


def _versions(look: Look) -> Context:
    project = look.service.project
    limit = look.count("limit", history.PAGE) or history.PAGE
    held = history.versions(project, limit)
    return {
        "entries": held,
        "promotable": standing.promotable(project, [entry.version for entry in held]),
        "generation": project.registry.generation(),
        "limit": limit,
        "more": len(held) == limit,
    }


def _log(look: Look) -> Context:
    project = look.service.project
    return {"said": look.status, "queue": standing.queue(project)}


def _memory(look: Look) -> Context:
    project = look.service.project
    champion: Version | None = project.registry.champion()
    held = [] if champion is None else composition.compositions(project, champion)
    methods = [str(said["name"]) for said in project.settings.learner.methods]
    return {"champion": champion, "memories": held, "methods": methods}


def _savings(look: Look) -> Context:
    return {"savings": savings(look.service.project)}


def _audit(look: Look) -> Context:
    if not look.operates:
        return {"acts": [], "more": False, "before": None}
    before = look.count("before", most=2**62)
    acts = history.audit(look.service.project, before)
    return {"acts": acts, "more": len(acts) == history.PAGE, "before": before}


_PARTS: Final[dict[str, Callable[[Look], Context]]] = {
    "warnings": _warnings,
    "cards": _cards,
    "loop": _loop,
    "curve": _curve,
    "drifts": _drifts,
    "heatmap": _heatmap,
    "groups": _groups,
    "versions": _versions,
    "log": _log,
    "memory": _memory,
    "savings": _savings,
    "audit": _audit,
}


def page_named(name: str) -> Page:
    """A page.

    Raises:
        NotFound: there is none of that name.
    """
    if name not in PAGES:
        raise NotFound("there is no such page", field="page", value=name)
    return PAGES[name]


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(wording.FILTERS)
    made.globals.update(static=static, now=time.time)
    return made


ENVIRONMENT: Final = _environment()
