"""`perdure drift`: what the detectors saw."""

from __future__ import annotations

import json

from perdure.cli.directory import HERE, Directory, Json, opened, say, table, when


def drift(directory: Directory = HERE, as_json: Json = False) -> None:
    """List the drifts that were noticed, the latest last.

    For example:

        perdure drift
    """
    with opened(directory) as project:
        found = project.database.read("SELECT * FROM drifts ORDER BY id DESC LIMIT 50")
    drifts = [{**dict(row), "detail": json.loads(row["detail"])} for row in reversed(found)]
    shown = table(
        "Drifts",
        ("when", "example", "detector", "detail"),
        ((when(d["at"]), d["seq"], d["detector"], json.dumps(d["detail"])) for d in drifts),
    )
    say(drifts, as_json, shown if drifts else "no drift was noticed")
