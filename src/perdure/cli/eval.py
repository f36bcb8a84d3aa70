"""`perdure eval`: how accurate the versions are on the held-out rows of each span."""

from __future__ import annotations

from perdure.cli.directory import HERE, Directory, Json, opened, percent, say, table


def evaluate(directory: Directory = HERE, as_json: Json = False) -> None:
    """Print the accuracy matrix: versions in lines, spans of time in columns.

    For example:

        perdure eval
        perdure eval --json
    """
    from perdure.live import spans
    from perdure.live.accuracy import cells, matrix

    with opened(directory) as project:
        found = cells(project)
        names = {span.span: span.name for span in spans.closed(project)}
        measures = matrix(project)
    held: dict[int, dict[str, float]] = {}
    for cell in found:
        name = "anchor" if cell.slice else names.get(cell.span, "now")
        held.setdefault(cell.version, {})[name] = cell.correct / cell.rows
    columns = list(dict.fromkeys(name for line in held.values() for name in line))
    shown = table(
        "Accuracy on rows that no version has learnt from, by span of time",
        ("version", *columns),
        ((v, *(percent(line.get(name)) for name in columns)) for v, line in held.items()),
    )
    said = None if measures is None else measures.to_dict()
    answer = {"accuracy": held, "measures": None if measures is None else measures.measures()}
    if not held:
        say(answer, as_json, "no version was judged yet")
        return
    say({**answer, "matrix": said}, as_json, shown, *([] if measures is None else [str(measures)]))
