"""`perdure advise`: which scenario a problem is, what fits, and what cannot work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from perdure.advise.questions import Answer, Question, Situation
    from perdure.advise.sample import Sample

YesNo = bool | None
PastMatters = Annotated[
    YesNo,
    typer.Option(
        "--past-matters/--no-past-matters",
        help="It will still be asked about what it learned before.",
    ),
]
TaskKnown = Annotated[
    YesNo,
    typer.Option("--task-known/--no-task-known", help="It is told which task an input belongs to."),
]
Growing = Annotated[
    YesNo, typer.Option("--growing/--no-growing", help="New classes will appear over time.")
]
Drifting = Annotated[
    YesNo, typer.Option("--drifting/--no-drifting", help="The inputs change over time.")
]
Boundaries = Annotated[
    YesNo,
    typer.Option(
        "--boundaries/--no-boundaries", help="It is known when one phase ends and the next begins."
    ),
]
KeepRaw = Annotated[
    YesNo, typer.Option("--keep-raw/--no-keep-raw", help="Rows of past data may be kept.")
]
ZeroForgetting = Annotated[
    YesNo,
    typer.Option(
        "--zero-forgetting/--no-zero-forgetting", help="Every old answer must stay as it was."
    ),
]
Pretrained = Annotated[
    YesNo,
    typer.Option("--pretrained/--no-pretrained", help="A pretrained backbone can stay frozen."),
]
Tasks = Annotated[int | None, typer.Option(help="Tasks, phases or updates to expect.", min=1)]
RowsToday = Annotated[int | None, typer.Option("--rows", help="Rows there are today.", min=1)]
NewRows = Annotated[int | None, typer.Option(help="Rows that each update brings.", min=1)]
Retrain = Annotated[
    str | None, typer.Option(help="Time to train from scratch on today's rows: 90s, 30m, 2h.")
]
Budget = Annotated[
    str | None, typer.Option(help="Time that the training of one update may take: 90s, 30m, 2h.")
]
SamplePath = Annotated[
    Path | None,
    typer.Option(
        "--sample", help="Data to look at: .csv, .parquet, .npz, or a folder of pictures."
    ),
]
Label = Annotated[str | None, typer.Option(help="The sample's column with the class.")]
Time = Annotated[str | None, typer.Option(help="The sample's column that says when a row came.")]
Task = Annotated[str | None, typer.Option(help="The sample's column with the task id.")]
Source = Annotated[
    str | None, typer.Option(help="The sample's column that says where a row came from.")
]
ShowTable = Annotated[
    bool, typer.Option("--table", help="Show what fits what: scenario, architecture and method.")
]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def advise(  # noqa: PLR0913, PLR0917  each is an option
    ctx: typer.Context,
    past_matters: PastMatters = None,
    task_known: TaskKnown = None,
    growing: Growing = None,
    drifting: Drifting = None,
    boundaries: Boundaries = None,
    keep_raw: KeepRaw = None,
    zero_forgetting: ZeroForgetting = None,
    pretrained: Pretrained = None,
    tasks: Tasks = None,
    rows: RowsToday = None,
    new_rows: NewRows = None,
    retrain: Retrain = None,
    budget: Budget = None,
    sample: SamplePath = None,
    label: Label = None,
    time: Time = None,
    task: Task = None,
    source: Source = None,
    show_table: ShowTable = False,
    as_json: Json = False,
) -> None:
    """Say which scenario a problem is, what to try in which order, and what cannot work.

    Without options it asks. What is left open is assumed, and the advice says what hangs on it.

    For example:

        perdure advise

        perdure advise --growing --no-task-known --keep-raw --tasks 10

        perdure advise --sample visits.csv --label outcome --time week

        perdure advise --table --no-keep-raw
    """
    from rich.console import Console

    console = Console(highlight=False)
    if show_table:
        _show_table(console, keep_raw=keep_raw is not False, as_json=as_json)
        return
    if not _given(ctx) and sys.stdin.isatty() and console.is_terminal:
        _show(_asked(console), None, console, as_json=False)
    else:
        _show(_told(ctx.params), _measured(ctx.params), console, as_json=as_json)


def _given(ctx: typer.Context) -> bool:
    """Whether any option stands on the command line."""
    sources = (ctx.get_parameter_source(name) for name in ctx.params)
    return any(source is not None and source.name == "COMMANDLINE" for source in sources)


def _told(given: dict[str, Any]) -> Situation:
    from perdure.advise.answers import seconds
    from perdure.advise.questions import QUESTIONS, Situation

    told = {question.name: given[question.name] for question in QUESTIONS}
    for name in ("retrain", "budget"):
        told[name] = None if told[name] is None else seconds(told[name])
    return Situation(**told)


def _measured(given: dict[str, Any]) -> Sample | None:
    from perdure.advise.records import Columns
    from perdure.advise.sample import measure
    from perdure.errors import InvalidValue

    columns = Columns(given["label"], given["task"], given["time"], given["source"])
    if given["sample"] is None:
        if columns.named():
            options = ", ".join(f"--{role}" for role in columns.named())
            raise InvalidValue(f"{options} without --sample: name the file that has the column")
        return None
    return measure(given["sample"], columns)


def _asked(console: Console) -> Situation:
    """Ask what matters still, one question after another."""
    from perdure.advise.answers import options
    from perdure.advise.questions import QUESTIONS, Situation

    console.print("A few questions. Press Enter where you do not know.")
    situation = Situation()
    for question in QUESTIONS:
        if question.asked(situation):
            situation = situation.with_answer(question, _answered(question, console))
    console.print("\nThe same without questions:")
    console.print(f"perdure advise {options(situation)}", soft_wrap=True)
    return situation


def _answered(question: Question, console: Console) -> Answer:
    from perdure.advise.answers import answer
    from perdure.errors import InvalidValue

    hint = " [dim](yes/no)[/]" if question.kind == "yes or no" else ""
    console.print(f"\n[bold]{question.text}[/]{hint}\n[dim]{question.why}[/]")
    while True:
        try:
            return answer(question, console.input("> "))
        except InvalidValue as error:
            console.print(str(error), style="red", markup=False)
        except (EOFError, KeyboardInterrupt):
            raise typer.Abort from None


def _show(situation: Situation, sample: Sample | None, console: Console, *, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from perdure.advise.advice import advise as advised
    from perdure.advise.render import print_advice

    advice = advised(situation, sample)
    if as_json:
        found = None if sample is None else asdict(sample)
        print(json.dumps({**asdict(advice), "sample": found}, indent=2, default=str))
        return
    print_advice(advice, sample, console)


def _show_table(console: Console, *, keep_raw: bool, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from perdure.advise.compatibility import table
    from perdure.advise.render import print_table

    cells = table(retention=keep_raw)
    if as_json:
        print(json.dumps([asdict(cell) for cell in cells], indent=2))
    else:
        print_table(cells, console)
