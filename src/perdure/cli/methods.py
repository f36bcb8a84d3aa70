"""`perdure methods`: which methods there are, and what each says of itself."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

Name = Annotated[str | None, typer.Argument(help="A method, to read its card.", show_default=False)]


def methods(name: Name = None) -> None:
    """List the methods with what they do and need, or print one method's card.

    For example:

        perdure methods
        perdure methods ewc
    """
    from rich.console import Console
    from rich.table import Table

    from perdure.bench import presets

    console = Console()
    if name is not None:
        console.print(_card(name), markup=False, highlight=False, soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False)
    for title in ("method", "family", "what it does", "needs"):
        table.add_column(title, no_wrap=title == "method")
    for known, preset in presets.PRESETS.items():
        first = (inspect.getdoc(preset.make) or "").splitlines()[0]
        table.add_row(known, preset.family, first, _needs(preset.make))
    console.print(table)
    console.print("\nperdure methods NAME prints a method's card.", highlight=False)


def _card(name: str) -> str:
    from perdure.bench import presets

    preset = presets.find(name)
    card = [presets.canonical(name), "", inspect.getdoc(preset.make) or ""]
    for scenario in ("task", "domain", "class"):
        found = presets.defaults(name, scenario)
        said = ", ".join(f"{key}={value!r}" for key, value in found.items())
        card.append(f"In `perdure bench`, scenario {scenario}: {said or 'as constructed'}")
    return "\n".join([*card[:3], "", *card[3:], f"({preset.origin})"])


def _needs(make: Any) -> str:
    """What the method cannot do without, in a few words."""
    needs = make().needs
    words = {
        "boundaries": "boundaries",
        "data": "the task's rows there",
        "task_at_inference": "task ids at inference",
        "task_in_training": "task ids in training",
        "raw_rows": "past rows kept",
        "features": "features",
    }
    return ", ".join(word for name, word in words.items() if getattr(needs, name)) or "nothing"
