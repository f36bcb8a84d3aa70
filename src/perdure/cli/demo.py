"""`perdure demo`: forget, then remember."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Seeds = Annotated[int, typer.Option(help="Times that each learner lives through it.", min=1)]
Out = Annotated[Path, typer.Option(help="Folder for report.html.")]


def demo(seeds: Seeds = 3, out: Out = Path("runs/demo")) -> None:
    """See four learners live through one stream of digits: who forgets, and what it costs.

    Digits come in pairs, then all of them come noisy, then inverted. One model is deployed once and
    left alone, one is fine-tuned, one remembers with perdure, one is retrained from scratch at
    every step. Takes under a minute on two cores, needs no download, writes report.html.

    For example:

        perdure demo
        perdure demo --seeds 1 --out /tmp/demo
    """
    from rich.console import Console

    from perdure.bench.demo import Play, conclusion, experiments
    from perdure.bench.report import write_report
    from perdure.bench.story import costs, matrices, tell

    console = Console(highlight=False)
    play = Play(experiments(seeds))
    tell(play, console)
    results = play.results()
    said = conclusion(results)
    console.print("\nEach task (rows) after each (columns):")
    console.print(matrices(results))
    console.print(costs(results))
    console.print(f"[bold]{said}[/]")
    console.print(f"\nReport: {write_report(results, out / 'report.html', 'perdure demo', said)}")
