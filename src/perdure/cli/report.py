"""`perdure report`: one HTML file about a live model, or about finished runs of a bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perdure.cli.directory import HERE, Json, say

Folder = Annotated[
    Path,
    typer.Argument(
        envvar="PERDURE_DIRECTORY",
        help="A state directory, or where `perdure bench` left results.csv.",
    ),
]
Target = Annotated[
    Path | None, typer.Option("--to", help="The file to write; else report.html in the folder.")
]
Title = Annotated[str, typer.Option(help="Of the page.")]


def report(
    folder: Folder = HERE, to: Target = None, title: Title = "", as_json: Json = False
) -> None:
    """Write report.html about FOLDER; the file refers to no other and works offline.

    About a live model: what serves, its accuracy over time and by version, every verdict with its
    reasons, what the memory holds, what updating saved, who did what. About finished runs: tables,
    heat maps, curves, costs. With --json, what is known of a live model is printed instead.

    For example:

        perdure report shop
        perdure report shop --json
        perdure report runs/bench --to /tmp/fashion.html --title "Split Fashion-MNIST"
    """
    if (folder / "perdure.toml").exists():
        _live(folder, to, title, as_json)
    else:
        _bench(folder, to, title, as_json)


def _live(folder: Path, to: Path | None, title: str, as_json: bool) -> None:
    import time

    from perdure.live.project import Project
    from perdure.live.report import facts, write_report

    with Project(folder) as project:
        if as_json:
            say(facts(project, time.time()).to_dict(), as_json)
        else:
            print(write_report(project, to or folder / "report.html", title))


def _bench(folder: Path, to: Path | None, title: str, as_json: bool) -> None:
    from perdure.bench.report import write_report
    from perdure.bench.results import Results
    from perdure.bench.table import in_order
    from perdure.errors import InvalidValue

    results = Results(folder)
    if not results.path.exists():
        raise InvalidValue(
            f"there is no {results.path} and no perdure.toml beside it; name a state directory, or "
            f"run `perdure bench --out {folder}` first"
        )
    if as_json:
        raise InvalidValue(
            f"{results.path} is the data already: --json speaks of a state directory"
        )
    records = in_order(results.read().values())
    print(write_report(records, to or folder / "report.html", title or "perdure bench"))
