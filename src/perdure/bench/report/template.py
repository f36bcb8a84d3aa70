"""Pages from templates, each with the style that all share."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from perdure.errors import require


def rendered(name: str, values: Mapping[str, Any]) -> str:
    """The template of that name beside this file, filled with the values.

    Args:
        name: such as "page.html.j2".
        values: every name that the template mentions but `style`.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    jinja = require("jinja2", "lab")
    here = files("perdure.bench.report")
    environment = jinja.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja.StrictUndefined
    )
    template = environment.from_string((here / name).read_text("utf-8"))
    style = (here / "style.css").read_text("utf-8")
    text: str = template.render({**values, "style": style})
    return text
