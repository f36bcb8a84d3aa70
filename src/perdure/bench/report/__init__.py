"""One HTML file that holds everything: tables, plots, and how the numbers came about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from perdure.bench import presets
from perdure.bench.report.colours import colours, dashes
from perdure.bench.report.group import groups
from perdure.bench.report.template import rendered
from perdure.bench.result import Record, Result
from perdure.bench.table import MEASURES, Line, cell, lines
from perdure.errors import InvalidValue

SHARED = (
    "data",
    "tasks",
    "order",
    "network",
    "hidden",
    "head",
    "optimizer",
    "lr",
    "momentum",
    "device",
)
"""Of an experiment: what the page says of its configuration, beside the method's settings."""


def write_report(
    records: Iterable[Record], path: str | Path, title: str = "perdure bench", lead: str = ""
) -> Path:
    """Write one HTML file without references to any other, light or dark as its reader has it.

    Args:
        records: of a grid, as `finished` reads them.
        path: of the file; its folder is made.
        title: of the page.
        lead: a sentence or two below it.

    Raises:
        InvalidValue: no run has finished.
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    text = page(list(records), title, lead)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return target


def page(records: Sequence[Record], title: str, lead: str) -> str:
    """The HTML that `write_report` writes."""
    results = [record for record in records if isinstance(record, Result)]
    if not results:
        raise InvalidValue("no run has finished, so there is nothing to report")
    found = lines(records)
    colour = colours([line.label for line in found])
    shared, configuration = _configuration(found)
    return rendered(
        "page.html.j2",
        {
            "title": title,
            "lead": lead,
            "groups": groups(found, colour),
            "measures": MEASURES,
            "cell": cell,
            "colour": colour,
            "dash": {
                line.label: " ".join(str(2 * on) for on in dashes(line.method)) for line in found
            },
            "shared": shared,
            "configuration": configuration,
            "environment": dict(results[0].environment),
        },
    )


def _configuration(found: Sequence[Line]) -> tuple[str, list[tuple[Line, str, str]]]:
    """What all runs share, and each line's own settings with where those come from."""
    done = [line for line in found if line.results]
    held = {id(line): _shared(line) for line in done}
    first = held[id(done[0])]
    common = {name for name in first if all(own.get(name) == first[name] for own in held.values())}
    rows = []
    for line in done:
        own = {name: value for name, value in held[id(line)].items() if name not in common}
        settings = line.results[0].experiment.resolved
        rows.append((line, _said({**settings, **own}), _origin(line)))
    return _said({name: first[name] for name in first if name in common}), rows


def _origin(line: Line) -> str:
    """Where the settings come from: the preset, or whoever asked for the run."""
    experiment = line.results[0].experiment
    usual = presets.defaults(experiment.method, experiment.scenario)
    given = [name for name, value in experiment.resolved.items() if usual.get(name) != value]
    origin = presets.find(experiment.method).origin
    return f"{', '.join(given)} given for these runs; otherwise {origin}" if given else origin


def _shared(line: Line) -> dict[str, Any]:
    held = line.results[0].experiment.to_dict()
    flat = {**{name: held[name] for name in SHARED}, **held["schedule"]}
    return {name: value for name, value in flat.items() if value is not None}


def _said(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
