"""`perdure status`: how the loop is doing."""

from __future__ import annotations

from rich.text import Text

from perdure.cli.directory import HERE, Directory, Json, as_lines, opened, percent, say, table, when


def status(directory: Directory = HERE, as_json: Json = False) -> None:
    """Say who serves, what is new, how accurate it is, what comes next, and what is wrong.

    For example:

        perdure status
        perdure status -C shop --json
    """
    from perdure.live.status import status as found

    with opened(directory) as project:
        held = found(project)
        versions = project.registry.all()[-10:]
    aliases: dict[int, list[str]] = {}
    for alias, number in held["aliases"].items():
        aliases.setdefault(number, []).append(alias)
    log, job = held["log"], held["job"]
    lines = {
        "model": f"{held['name']}, mode {held['mode']}, {len(held['classes'])} classes",
        "log": f"{log['rows']} rows, {log['new']} labelled ones to learn, "
        f"{log['waiting_for_label']} wait for a label, {log['quarantined']} set aside",
        "accuracy": ", ".join(
            f"{name} {percent(value)}"
            for name, value in held["accuracy"].items()
            if isinstance(value, float)
        )
        or "nothing was scored yet",
        "update": f"job {job['id']} {job['state']}: {job['progress']}"
        if job
        else held["next"]["reason"],
    }
    shown = table(
        "Versions",
        ("version", "state", "learnt up to", "made", "aliases"),
        (
            (v.version, v.state, v.upto, when(v.created), ", ".join(aliases.get(v.version, [])))
            for v in versions
        ),
    )
    warned = [Text.assemble(("! ", "bold red"), warning) for warning in held["warnings"]]
    say(held, as_json, *as_lines(lines), shown, *warned)
