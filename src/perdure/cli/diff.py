"""`perdure diff`: what one version gets right that another gets wrong."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from perdure.cli.directory import HERE, Directory, Json, opened, percent, say, table, version_of

Before = Annotated[str, typer.Argument(help="A version or an alias.")]
After = Annotated[str, typer.Argument(help="A version or an alias.")]


def diff(
    before: Before = "champion",
    after: After = "challenger",
    directory: Directory = HERE,
    as_json: Json = False,
) -> None:
    """Compare two versions on the same held-out rows; changes nothing.

    For example:

        perdure diff
        perdure diff 3 7 --json
    """
    from perdure.live.accuracy import diff as found

    with opened(directory) as project:
        lines = found(project, version_of(before), version_of(after))
    shown = table(
        f"{before} -> {after}, on the same held-out rows",
        ("of", "rows", "before", "after", "now wrong", "now right"),
        (
            (
                f"{one.rule} {one.name}",
                one.flips.rows,
                percent(one.before),
                percent(one.after),
                one.flips.negative,
                one.flips.positive,
            )
            for one in lines
        ),
    )
    say([asdict(one) for one in lines], as_json, shown)
