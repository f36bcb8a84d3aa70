"""`perdure demo`: forget, then remember."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from perdure.bench.demo import Play

Seeds = Annotated[int, typer.Option(help="Times that each learner lives through it.", min=1)]
Out = Annotated[Path, typer.Option(help="Folder for report.html.")]


def demo(seeds: Seeds = 3, out: Out = Path("runs/demo")) -> None:
    """Four learners live through one stream of digits; see who forgets, and what it costs.

    Digits come in pairs, then all of them come noisy, then inverted. One model is deployed once and
    left alone, one is fine-tuned, one remembers with perdure, one is retrained from scratch each
    time. Takes under a minute on two cores and needs no download.

    Examples:

        perdure demo

        perdure demo --seeds 1 --out /tmp/demo
    """
    from rich.console import Console

    from perdure.bench.demo import Play, conclusion, experiments
    from perdure.bench.report import write_report
    from perdure.bench.show import costs, matrices

    console = Console(highlight=False)
    play = Play(experiments(seeds))
    _tell(play, console)
    results = play.results()
    for block in (*matrices(results), costs(results)):
        console.print(block)
    said = conclusion(results)
    console.print(f"\n{said}\n")
    console.print(f"Report: {write_report(results, out / 'report.html', 'perdure demo', said)}")
