"""`perdure report`: draw the report of finished runs again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(help="Where `perdure bench` left results.csv.")]
Target = Annotated[
    Path | None, typer.Option("--to", help="The file to write; else report.html in the folder.")
]
Title = Annotated[str, typer.Option(help="Of the page.")]


def report(folder: Folder, to: Target = None, title: Title = "perdure bench") -> None:
    """Write report.html from the results in FOLDER: tables, heat maps, curves, costs.

    For example:

        perdure report runs/bench
        perdure report runs/bench --to /tmp/fashion.html --title "Split Fashion-MNIST"
    """
    from perdure.bench.report import write_report
    from perdure.bench.results import Results
    from perdure.bench.table import in_order
    from perdure.errors import InvalidValue

    results = Results(folder)
    if not results.path.exists():
        raise InvalidValue(f"there is no {results.path}; run `perdure bench --out {folder}` first")
    records = in_order(results.read().values())
    print(write_report(records, to or folder / "report.html", title))
