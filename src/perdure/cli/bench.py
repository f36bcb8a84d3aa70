"""`perdure bench`: compare methods in scenarios over seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from perdure.bench.experiment import Experiment
    from perdure.bench.result import Result
    from perdure.track import Guarded

FEW_UPDATES = 30

Names = Annotated[
    str, typer.Option(help="Names that `perdure methods` lists, with commas; 'all' for all.")
]
Scenarios = Annotated[str, typer.Option(help="task, domain, class or free; several with commas.")]
Data = Annotated[
    str, typer.Option(help="digits, fashion-mnist, mnist, cifar-10, cifar-100 or clinc150.")
]
Kind = Annotated[
    str, typer.Option(help="How tasks are made: split, permuted, rotated, gradual or shifting.")
]
Seeds = Annotated[int, typer.Option(help="Runs of each method, seeds 0, 1, ...", min=1)]
Tasks = Annotated[int, typer.Option(help="Tasks of the stream.", min=1)]
Order = Annotated[
    str, typer.Option(help="Classes in the order in which they come, as 3,1,5,6; else by seed.")
]
Steps = Annotated[int, typer.Option(help="Updates a task, in as many passes as it takes.", min=1)]
Epochs = Annotated[
    int, typer.Option(help="Passes over each task's rows, instead of --steps.", min=0)
]
BatchSize = Annotated[int, typer.Option(help="Rows an update.", min=1)]
Encoder = Annotated[
    str,
    typer.Option(
        help="text or image: rows go through a frozen pretrained encoder first; empty for raw rows."
    ),
]
Network = Annotated[str, typer.Option(help="mlp, cnn or resnet.")]
Hidden = Annotated[str, typer.Option(help="Widths of the MLP's layers.")]
Head = Annotated[str, typer.Option(help="fixed or growing, in scenario class.")]
Optimizer = Annotated[str, typer.Option(help="adam or sgd.")]
Rate = Annotated[float, typer.Option(help="Learning rate.")]
Capacity = Annotated[
    int, typer.Option(help="Rows that every method with a memory may keep; 0 for 500.", min=0)
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting of a method, as ewc.strength=100; again for more."),
]
Tuned = Annotated[
    Path | None,
    typer.Option(help="tuned.json of `perdure tune`: settings and learning rate by method."),
]
Track = Annotated[
    list[str] | None,
    typer.Option(help="Send runs to mlflow, mlflow:URI or tensorboard:FOLDER; again for more."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 or auto.")]
Workers = Annotated[int, typer.Option(help="Processes at a time; 0 for one a core.", min=0)]
Out = Annotated[Path, typer.Option(help="Folder for results.csv and report.html.")]
Report = Annotated[bool, typer.Option("--report/--no-report", help="Write report.html.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print results as JSON, and all else to stderr.")
]


def bench(  # noqa: PLR0913, PLR0917  each is an option
    ctx: typer.Context,
    methods: Names = "naive,ewc,er,joint",
    scenario: Scenarios = "class",
    data: Data = "digits",
    kind: Kind = "split",
    seeds: Seeds = 3,
    tasks: Tasks = 5,
    order: Order = "",
    steps: Steps = 300,
    epochs: Epochs = 0,
    batch_size: BatchSize = 64,
    encoder: Encoder = "",
    network: Network = "mlp",
    hidden: Hidden = "256,256",
    head: Head = "fixed",
    optimizer: Optimizer = "adam",
    lr: Rate = 1e-3,
    capacity: Capacity = 0,
    set_: Set = None,
    tuned: Tuned = None,
    track: Track = None,
    device: Device = "cpu",
    workers: Workers = 0,
    out: Out = Path("runs/bench"),
    report: Report = True,
    json: Json = False,
) -> None:
    """Compare methods in scenarios over seeds, all with the same budget of updates.

    Every run is a row of results.csv in the folder OUT, and there is a report.html beside it. Stop
    with Ctrl-C, or kill it: the same command goes on where it was. What cannot work is listed with
    the reason. Exit code 2 says that a run failed.

    For example:

        perdure bench --methods naive,ewc,replay,joint
        perdure bench --scenario task,domain,class --data fashion-mnist --methods all --seeds 5
        perdure bench --data clinc150 --encoder text --tasks 15 --methods ncm,slda,ranpac
        perdure bench --methods er,der++ --capacity 200 --set der++.alpha=0.5 --steps 500 --json
    """
    from rich.console import Console

    console = Console(stderr=json, highlight=False)
    experiments = _experiments(ctx.params)
    if tuned is not None:
        experiments = _tuned(experiments, tuned)
    trackers = _trackers(track or [])
    try:
        failed = _run(experiments, out, workers, console, trackers)
    except KeyboardInterrupt:
        said = f"\nStopped. Finished runs are in {out}; the same command goes on there."
        console.print(said, soft_wrap=True)
        raise typer.Exit(130) from None
    _show(experiments, out, console, as_json=json, report=report)
    _keep(experiments, out, console, trackers)
    raise typer.Exit(2 if failed else 0)


def _experiments(given: dict[str, Any]) -> list[Experiment]:
    from perdure.bench.experiment import Experiment
    from perdure.bench.grids import grid
    from perdure.bench.presets import PRESETS
    from perdure.bench.settings import numbers, read_settings, schedule, words

    names = list(PRESETS) if given["methods"] == "all" else words(given["methods"])
    base = Experiment(
        data=given["data"],
        kind=given["kind"],
        tasks=given["tasks"],
        order=tuple(numbers("--order", given["order"])) or None,
        encoder=given["encoder"] or None,
        network=given["network"],
        hidden=tuple(numbers("--hidden", given["hidden"])),
        head=given["head"],
        optimizer=given["optimizer"],
        lr=given["lr"],
        schedule=schedule(given["batch_size"], given["steps"], given["epochs"]),
        device=given["device"],
    )
    settings = read_settings(given["set_"] or [], names, given["capacity"])
    return grid(base, names, words(given["scenario"]), range(given["seeds"]), settings)


def _trackers(said: list[str]) -> list[Guarded]:
    from perdure.track import Guarded

    return [Guarded(one) for one in said]


def _keep(
    experiments: list[Experiment], out: Path, console: Console, trackers: list[Guarded]
) -> None:
    from perdure.bench.grids import finished
    from perdure.bench.tracking import keep

    keep(finished(experiments, out), [out / "report.html", out / "results.csv"], trackers)
    for tracker in trackers:
        said = f"{tracker.said}: {tracker.sent} runs sent"
        if tracker.problem is not None:
            said = f"not tracked: {tracker.problem}; the same command sends what is missing"
        console.print(said, soft_wrap=True, markup=False)


def _run(
    experiments: list[Experiment],
    out: Path,
    workers: int,
    console: Console,
    trackers: list[Guarded],
) -> int:
    from perdure.bench.build import foresee
    from perdure.bench.grids import pending, run_grid
    from perdure.bench.progress import follow
    from perdure.bench.tracking import tracked

    left = pending(experiments, out)
    foresee(left)
    if len(left) < len(experiments):
        done = len(experiments) - len(left)
        said = f"{done} of {len(experiments)} runs are in {out} already."
        console.print(said, soft_wrap=True)
    events = tracked(run_grid(experiments, out, workers or None), trackers)
    return follow(events, len(left), console)


def _tuned(experiments: list[Experiment], path: Path) -> list[Experiment]:
    from perdure.bench.tuning import read_choices, tuned

    return tuned(experiments, read_choices(path))


def _show(
    experiments: list[Experiment], out: Path, console: Console, *, as_json: bool, report: bool
) -> None:
    import json

    from perdure.bench.grids import finished
    from perdure.bench.report import write_report
    from perdure.bench.result import Result
    from perdure.bench.table import lines, show, to_json

    records = finished(experiments, out)
    show(lines(records), console)
    _warn_of_few_updates([one for one in records if isinstance(one, Result)], console)
    if as_json:
        print(json.dumps(to_json(records), indent=2))
    if report and any(isinstance(record, Result) for record in records):
        console.print(f"Report: {write_report(records, out / 'report.html')}", soft_wrap=True)


def _warn_of_few_updates(results: list[Result], console: Console) -> None:
    from perdure.bench.presets import find

    learnt = [one for one in results if not find(one.experiment.method).closed_form]
    least = min((one.cost.updates / one.experiment.tasks for one in learnt), default=FEW_UPDATES)
    if least < FEW_UPDATES:
        said = (
            f"[yellow]Only {least:.0f} updates a task[/]: a network learns little in them, and has "
            "little to forget. Give it more with --steps or --epochs."
        )
        console.print(said, soft_wrap=True)
