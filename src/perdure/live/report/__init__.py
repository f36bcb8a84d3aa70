"""One HTML file that holds everything about a live model: what it knew, did, cost, and saved."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined

from perdure import __version__
from perdure.live.project import Project
from perdure.live.report.course import plot
from perdure.live.report.facts import Facts, facts
from perdure.live.report.saved import accuracies, cumulative
from perdure.live.service.dashboard.wording import FILTERS
from perdure.live.settings import Settings

__all__ = ["Facts", "Section", "facts", "write_report"]


class Section(NamedTuple):
    """A table that somebody wants on top of the page.

    Args:
        title: of it.
        columns: heads; the first column names the rows.
        rows: a cell a column, as they are to be read.
        note: a sentence or more on how the numbers came about.
        emphasis: the place of the row that matters most.
        words: whether the cells are words rather than numbers.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""
    emphasis: int | None = None
    words: bool = False


def write_report(
    project: Project,
    path: str | Path,
    title: str = "",
    lead: str = "",
    sections: Sequence[Section] = (),
) -> Path:
    """Write one HTML file without references to any other, light or dark as its reader has it.

    Args:
        project: of the page; nothing of it changes.
        path: of the file; its folder is made.
        title: of the page; the model's name by default.
        lead: a sentence or two below it.
        sections: tables that come first.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    said = project.settings
    text = page(facts(project, time.time()), said, title or said.name, lead, sections)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return target


def page(
    held: Facts, settings: Settings, title: str, lead: str = "", sections: Sequence[Section] = ()
) -> str:
    """The HTML that `write_report` writes; the same for the same facts."""
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters |= FILTERS
    oldest_first = held.savings.entries[::-1]
    template = environment.from_string((files(__name__) / "page.html.j2").read_text("utf-8"))
    return template.render(
        title=title,
        lead=lead,
        sections=sections,
        held=held,
        settings=settings,
        course=plot(held.course),
        cumulative=cumulative(oldest_first),
        accuracies=accuracies(oldest_first, held.served),
        perdure=__version__,
    )
