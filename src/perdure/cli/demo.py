"""`perdure demo`: the whole loop, live, in under two minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perdure.cli.directory import console, percent, table

Out = Annotated[Path | None, typer.Option(help="Folder for the state directory and report.html.")]
Lab = Annotated[bool, typer.Option("--lab", help="Four learners side by side, without a service.")]
Seeds = Annotated[int, typer.Option(help="With --lab: times that each learner lives it.", min=1)]


def demo(lab: Lab = False, seeds: Seeds = 3, out: Out = None) -> None:
    """Watch a service on loopback live through new classes, drift, poison, an erasure, a rollback.

    Handwritten digits come in over HTTP, some classes later than others, then all of them
    inverted. The loop notices, learns, lets the gate look and promotes, while questions never stop.
    Compared with a model left alone, with naive fine-tuning and with retraining from scratch. Needs
    no download, writes report.html, ends by itself within two minutes.

    For example:

        perdure demo
        perdure demo --lab --seeds 1
        perdure serve -C runs/demo        # afterwards: the dashboard
    """
    if lab:
        _lab(seeds, out or Path("runs/lab"))
    else:
        _live(out or Path("runs/demo"))


def _live(out: Path) -> None:
    import time

    from perdure.live.demo.play import play
    from perdure.live.demo.rivals import fine_tuned, from_scratch
    from perdure.live.demo.scenes import scenes
    from perdure.live.project import Project
    report = ""

    start = time.monotonic()
    console.print("[bold]A service that keeps learning[/], on handwritten digits, over HTTP\n")
    played = play(
        out, lambda said: console.print(f"[dim]{time.monotonic() - start:5.1f} s[/]  {said}")
    )
    learnt, _ = scenes()
    names = [scene.name for scene in learnt]
    with Project(out) as project:
        rivals = [
            played.frozen,
            fine_tuned(project, learnt),
            played.live,
            from_scratch(project, learnt),
        ]
        rows = []
        for rival in rivals:
            matrix = rival.matrix(names)
            rows.append(
                (
                    rival.name,
                    *(percent(held) for held in rival.accuracy[-1]),
                    percent(matrix.accuracy()),
                    percent(matrix.forgetting()),
                    f"{rival.flops / 1e9:.2f}",
                )
            )
        # report = write_report(project, out / "report.html")
    console.print()
    columns = ("", *names, "accuracy", "forgetting", "GFLOP")
    console.print(table("Accuracy on each scene's test rows, in the end", columns, rows))
    console.print(
        f"{played.requests} questions were answered meanwhile, {len(played.failures)} failed; "
        f"99 of 100 within {1000 * played.slowest:.0f} ms."
    )
    console.print(f"\nReport: {report}\nDashboard: perdure serve -C {out}", soft_wrap=True)
    if played.failures:
        console.print(f"[red]first failure: {played.failures[0]}[/]", soft_wrap=True)
        raise typer.Exit(2)


def _lab(seeds: int, out: Path) -> None:
    from perdure.bench.demo import Play, conclusion, experiments
    from perdure.bench.report import write_report
    from perdure.bench.story import costs, matrices, tell

    staged = Play(experiments(seeds))
    tell(staged, console)
    results = staged.results()
    said = conclusion(results)
    console.print("\nEach task (rows) after each (columns):")
    console.print(matrices(results))
    console.print(costs(results))
    console.print(f"[bold]{said}[/]")
    console.print(f"\nReport: {write_report(results, out / 'report.html', 'perdure demo', said)}")
