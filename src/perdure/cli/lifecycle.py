"""`perdure lifecycle`: methods over a long stream, against retraining at every batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.errors import Impossible

if TYPE_CHECKING:
    from rich.console import Console

    from perdure.bench.experiment import Experiment
    from perdure.measure import LifeCycle

Names = Annotated[str, typer.Option(help="Names that `perdure methods` lists, with commas.")]
Reference = Annotated[
    str, typer.Option(help="What they are held against; joint retrains from scratch at each batch.")
]
Data = Annotated[str, typer.Option(help="A data set's name, such as digits or fashion-mnist.")]
Encoder = Annotated[
    str,
    typer.Option(help="text or image: rows go through a frozen pretrained encoder first."),
]
Kind = Annotated[str, typer.Option(help="nic: small batches of old and new classes; or split.")]
Batches = Annotated[int, typer.Option(help="Batches of the stream.", min=2)]
Seed = Annotated[int, typer.Option(help="Of the stream, the weights and the methods.")]
Epochs = Annotated[int, typer.Option(help="Passes over each batch.", min=1)]
BatchSize = Annotated[int, typer.Option(help="Rows an update, at most.", min=1)]
Hidden = Annotated[str, typer.Option(help="Widths of the MLP's layers; empty for a linear model.")]
Rate = Annotated[float, typer.Option(help="Learning rate of Adam.")]
Capacity = Annotated[
    int, typer.Option(help="Rows that every method with a memory may keep; 0 for 500.", min=0)
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting of a method, as er.capacity=200; again for more."),
]
Every = Annotated[int, typer.Option(help="Batches from one look at accuracy to the next.", min=1)]
Out = Annotated[Path, typer.Option(help="Folder for the curves and report.html.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print the curves as JSON, and all else to stderr.")
]

PRINTED = (
    "method",
    "final accuracy",
    "final gap",
    "mean gap",
    "FLOPs saved",
    "seconds saved",
    "memory",
    "bytes a row",
)


def lifecycle(  # noqa: PLR0913, PLR0917  each is an option
    ctx: typer.Context,
    methods: Names = "naive,er,slda",
    reference: Reference = "joint",
    data: Data = "digits",
    encoder: Encoder = "",
    kind: Kind = "nic",
    batches: Batches = 40,
    seed: Seed = 0,
    epochs: Epochs = 4,
    batch_size: BatchSize = 64,
    hidden: Hidden = "256,256",
    lr: Rate = 1e-3,
    capacity: Capacity = 0,
    set_: Set = None,
    every: Every = 1,
    out: Out = Path("runs/lifecycle"),
    json: Json = False,
) -> None:
    """Let methods live through a long stream of small batches, and measure at every one.

    Accuracy, computation, time, rows and memory become curves in OUT/report.html, and what each
    method saves against the reference is told with the accuracy that it gives up. Stop with Ctrl-C;
    the same command goes on where it was.

    For example:

        perdure lifecycle
        perdure lifecycle --data fashion-mnist --batches 391 --methods er,slda --every 10
        perdure lifecycle --data clinc150 --encoder text --hidden "" --lr 0.01 --methods slda,er
    """
    from rich.console import Console

    console = Console(stderr=json, highlight=False)
    try:
        lives = _lives(_experiments(ctx.params), out, every, console)
    except KeyboardInterrupt:
        said = f"\nStopped. What was lived is in {out}; the same command goes on there."
        console.print(said, soft_wrap=True)
        raise typer.Exit(130) from None
    _show(lives, reference, out, console)
    if json:
        from json import dumps

        print(dumps([life.to_dict() for life in lives], indent=2))


def _experiments(given: dict[str, Any]) -> list[Experiment]:
    from perdure.bench.experiment import Experiment
    from perdure.bench.grids import grid
    from perdure.bench.settings import numbers, read_settings, words
    from perdure.folding import Schedule

    base = Experiment(
        data=given["data"],
        encoder=given["encoder"] or None,
        kind=given["kind"],
        tasks=given["batches"],
        hidden=tuple(numbers("--hidden", given["hidden"])),
        head="growing",
        lr=given["lr"],
        schedule=Schedule(given["batch_size"], epochs=given["epochs"]),
    )
    names = [*words(given["methods"]), given["reference"]]
    settings = read_settings(given["set_"] or [], names, given["capacity"])
    asked = grid(base, names, ["class"], [given["seed"]], settings)
    return [_once(experiment) for experiment in asked]


def _once(experiment: Experiment) -> Experiment:
    """What learns in closed form takes each row once, whatever the passes of the others."""
    from perdure.bench import presets

    if not presets.find(experiment.method).closed_form:
        return experiment
    return replace(experiment, schedule=replace(experiment.schedule, epochs=1))


def _lives(
    experiments: list[Experiment], out: Path, every: int, console: Console
) -> list[LifeCycle]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from perdure.bench.lifecycle import life

    lives = []
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bars:
        for experiment in experiments:
            bar = bars.add_task(experiment.method, total=experiment.tasks)

            def move(done: int, total: int, bar: Any = bar) -> None:
                bars.update(bar, completed=done, total=total)

            try:
                lives.append(life(experiment, out, every=every, progress=move))
            except Impossible as error:
                console.print(f"{experiment.method} was refused: {error}", soft_wrap=True)
            bars.update(bar, completed=experiment.tasks)
    return lives


def _show(lives: list[LifeCycle], reference: str, out: Path, console: Console) -> None:
    from rich import box
    from rich.table import Table

    from perdure.bench.presets import canonical
    from perdure.bench.report.lifecycle import row, write_life_cycles
    from perdure.bench.running import environment
    from perdure.bench.table import print_whole

    name = canonical(reference)
    held = next((life for life in lives if life.name == name), None)
    if held is None:
        raise Impossible(f"the reference {name!r} was refused; name another with --reference")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in PRINTED:
        table.add_column(column, justify="left" if column == "method" else "right", no_wrap=True)
    for cells in (row(life, held) for life in lives):
        table.add_row(*(cells.get(column, "") for column in PRINTED))
    print_whole(table, console)
    said = f"Saved against {name}: over the whole life / at the last batch, percent. "
    console.print(f"{said}Gaps: points of accuracy behind it; below zero, ahead.", soft_wrap=True)
    written = write_life_cycles(lives, name, out / "report.html", notes=environment())
    console.print(f"Report: {written}", soft_wrap=True)
