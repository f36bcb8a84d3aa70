"""`perdure tune`: choose method, settings and learning rate by living through the past again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from perdure.tune import LabSource, Outcome, Source, Space
    from perdure.tune.replay import ReplaySource
    from perdure.tune.report import Found

Directory = Annotated[
    Path | None,
    typer.Option("--directory", "-C", help="A state directory, whose learnt rows are replayed."),
]
Names = Annotated[
    str,
    typer.Option(
        help="Names that `perdure methods` lists, with commas. Default: naive, ewc, lwf, er, "
        "er-ace and der++; of a directory, what is in use."
    ),
]
Data = Annotated[str, typer.Option(help="A data set's name, such as digits or fashion-mnist.")]
Scenario = Annotated[str, typer.Option(help="task, domain, class or free.")]
Kind = Annotated[str, typer.Option(help="split, permuted, rotated, gradual or shifting.")]
Tasks = Annotated[int, typer.Option(help="Tasks of the stream.", min=1)]
Steps = Annotated[int, typer.Option(help="Updates a task, in as many passes as it takes.", min=1)]
Epochs = Annotated[
    int, typer.Option(help="Passes over each task's rows, instead of --steps.", min=0)
]
BatchSize = Annotated[int, typer.Option(help="Rows an update.", min=1)]
Network = Annotated[str, typer.Option(help="mlp, cnn or resnet.")]
Hidden = Annotated[str, typer.Option(help="Widths of the MLP's layers.")]
Optimizer = Annotated[str, typer.Option(help="adam or sgd.")]
Rate = Annotated[float, typer.Option(help="A learning rate; a tenth to ten times it is searched.")]
Capacity = Annotated[int, typer.Option(help="Rows of a memory at most; 0 for as now.", min=0)]
Spans = Annotated[
    int, typer.Option(help="Stretches of a directory's rows; 0 for its updates.", min=0)
]
Trials = Annotated[int, typer.Option(help="Trials in all, earlier ones included.", min=1)]
Each = Annotated[
    bool, typer.Option("--each", help="So many trials for each method, to compare methods fairly.")
]
Minutes = Annotated[
    float, typer.Option(help="Begin no trial after so long; 0 for no limit.", min=0)
]
Workers = Annotated[int, typer.Option(help="Processes at a time.", min=1)]
Prefer = Annotated[
    Literal["accuracy", "forgetting", "cost"],
    typer.Option(
        help="accuracy: the most accurate; forgetting, cost: the least of it among those within 2 "
        "points of the most accurate."
    ),
]
Limit = Annotated[
    float, typer.Option(help="The most FLOPs that the winner may have cost; 0 for none.", min=0)
]
From = Annotated[
    list[Path] | None,
    typer.Option("--from", help="A folder of an earlier search, to begin with what was best."),
]
Out = Annotated[
    Path | None, typer.Option(help="Folder; default runs/tune, of a directory its tuning/.")
]
Write = Annotated[
    bool, typer.Option("--write", help="Put the winner into the directory's perdure.toml.")
]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON, and all else to stderr.")]

LAB_METHODS = "naive,ewc,lwf,er,er-ace,der++"
OF_LAB = (
    *("data", "scenario", "kind", "tasks", "steps", "epochs", "batch_size"),
    *("network", "hidden", "optimizer", "lr", "capacity"),
)
OF_DIRECTORY = ("spans", "write")


def tune(  # noqa: PLR0913, PLR0917  each is an option
    ctx: typer.Context,
    directory: Directory = None,
    methods: Names = "",
    data: Data = "digits",
    scenario: Scenario = "class",
    kind: Kind = "split",
    tasks: Tasks = 5,
    steps: Steps = 100,
    epochs: Epochs = 0,
    batch_size: BatchSize = 64,
    network: Network = "mlp",
    hidden: Hidden = "256,256",
    optimizer: Optimizer = "adam",
    lr: Rate = 1e-3,
    capacity: Capacity = 0,
    spans: Spans = 0,
    trials: Trials = 40,
    each: Each = False,
    minutes: Minutes = 0.0,
    workers: Workers = 1,
    prefer: Prefer = "accuracy",
    limit: Limit = 0.0,
    from_: From = None,
    out: Out = None,
    write: Write = False,
    json: Json = False,
) -> None:
    """Choose method, settings and learning rate by living through the past again.

    Every trial learns the same stream with the same updates and is measured on rows held out of
    its past: training rows of a data set, or the learnt rows of a live project. Nothing that a
    report or a gate measures on is looked at. Stop with Ctrl-C, or kill it: the same command goes
    on where it was, and a new search begins with what earlier ones of the same model found best.

    For example:

        perdure tune --methods er,der++ --scenario class --steps 100
        perdure tune --methods er,der++,ewc --each && perdure bench --tuned runs/tune/tuned.json
        perdure tune -C service --methods er,der++,lwf --prefer cost --write
    """
    from rich.console import Console

    _check(ctx)
    console = Console(stderr=json, highlight=False)
    source = _lab(ctx.params) if directory is None else _replay(ctx.params)
    folder = out or (Path("runs/tune") if directory is None else directory / "tuning")
    try:
        found = _found(ctx.params, source, folder, console)
    except KeyboardInterrupt:
        said = f"\nStopped. Finished trials are in {folder}; the same command goes on there."
        console.print(said, soft_wrap=True)
        raise typer.Exit(130) from None
    _keep(found, source, folder, console)
    if json:
        _print_json(found)
    if directory is not None:
        _settle(directory, found, console, write=write)


def _check(ctx: typer.Context) -> None:
    """Refuse what would be left unheard: a directory's settings say what the lab's options do."""
    from perdure.errors import InvalidValue
    from perdure.tune.study import FILE

    held = ctx.params["directory"] is not None
    for name in OF_LAB if held else OF_DIRECTORY:
        source = ctx.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        option = f"--{name.replace('_', '-')}"
        raise InvalidValue(
            f"{option} is for a data set, and of a directory perdure.toml says that"
            if held
            else f"{option} is for a live project; name its directory with -C"
        )
    for folder in ctx.params["from_"] or ():
        if not (folder / FILE).exists():
            raise InvalidValue(f"--from {folder}: no search has been there, as {FILE} would be")


def _lab(given: dict[str, Any]) -> LabSource:
    from perdure.bench import Experiment
    from perdure.bench.presets import CAPACITY
    from perdure.bench.settings import numbers, schedule, words
    from perdure.tune import LabSource

    same = ("data", "kind", "scenario", "tasks", "network", "optimizer", "lr")
    experiment = Experiment(
        **{name: given[name] for name in same},
        hidden=tuple(numbers("--hidden", given["hidden"])),
        schedule=schedule(given["batch_size"], given["steps"], given["epochs"]),
    )
    names = tuple(words(given["methods"] or LAB_METHODS))
    return LabSource(experiment, names, given["capacity"] or CAPACITY)


def _replay(given: dict[str, Any]) -> ReplaySource:
    from perdure.bench.settings import words
    from perdure.live.project import Project
    from perdure.tune.replay import ReplaySource

    with Project(given["directory"]) as project:
        return ReplaySource.of(project, tuple(words(given["methods"])), given["spans"] or None)


def _found(given: dict[str, Any], source: Source, folder: Path, console: Console) -> Found:
    from perdure.tune import choose
    from perdure.tune.report import Found
    from perdure.tune.search import possible, refusals

    space = source.space()
    refused = refusals(source, space)
    for method, reason in refused.items():
        console.print(f"{method} is left out: {reason}", soft_wrap=True, markup=False)
    space = possible(source, space)
    spaces = [space.only(method) for method in space.methods] if given["each"] else [space]
    outcomes = _searched(given, source, spaces, folder, console)
    winner = choose(outcomes, given["prefer"], given["limit"] or None)
    return Found(source.title(), tuple(outcomes), winner, given["prefer"], refused)


def _searched(
    given: dict[str, Any],
    source: Source,
    spaces: list[Space],
    folder: Path,
    console: Console,
) -> list[Outcome]:
    from rich.progress import Progress

    from perdure.tune import Budget, search

    budget = Budget(given["trials"], given["workers"], given["minutes"] or None)
    outcomes: list[Outcome] = []
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bars:
        bar = bars.add_task("trials", total=budget.trials * len(spaces))

        def said(one: Outcome) -> None:
            bars.advance(bar)
            console.print(_line(one), soft_wrap=True, markup=False)

        for space in spaces:
            outcomes += search(
                source, folder, budget, said, space=space, earlier=given["from_"] or ()
            )
    return outcomes


def _line(one: Outcome) -> str:
    how = one.reason or f"accuracy {one.last.accuracy:.1%}, forgetting {one.last.forgetting:.1%}"
    where = f" after span {len(one.course)}" if one.state == "pruned" else ""
    return f"{one.number:>3} {one.state}{where}: {one.candidate}: {how}"


def _keep(found: Found, source: Source, folder: Path, console: Console) -> None:
    import json

    from perdure.bench.tuning import write_choices
    from perdure.tune.report import choices, table, write_page

    write_choices(choices(found, source.space().scenario), folder / "tuned.json")
    text = json.dumps(found.to_dict(), indent=1)
    (folder / "search.json").write_text(text + "\n", encoding="utf-8")
    page = write_page(found, folder / "report.html")
    console.print(table(found))
    console.print(found.lead, soft_wrap=True, markup=False)
    console.print(f"Taken: {found.winner.candidate}", soft_wrap=True, markup=False)
    console.print(f"Report: {page}", soft_wrap=True, markup=False)


def _print_json(found: Found) -> None:
    import json

    print(json.dumps(found.to_dict(), indent=1))


def _settle(directory: Path, found: Found, console: Console, *, write: bool) -> None:
    """Show what perdure.toml would say, or write it."""
    from perdure.tune import settings

    change = settings.patch(directory, found.winner.candidate)
    if not change:
        console.print("perdure.toml says so already.")
        return
    console.print(change, soft_wrap=True, markup=False)
    if write:
        settings.write(directory, found.winner.candidate)
    said = "perdure.toml is changed." if write else "--write changes perdure.toml so."
    console.print(said)
    if settings.begins_anew(directory, found.winner.candidate):
        console.print(
            "The champion's state belongs to other methods: set [update] start to 'scratch' for "
            "the next update, and back to 'champion' after it.",
            soft_wrap=True,
            markup=False,
        )
