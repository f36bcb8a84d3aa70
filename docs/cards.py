"""Write docs/methods: a card for each method, and the page that says which one to take.

    make docs                   # or python docs/cards.py FOLDER

A card is the method's docstring, with what was measured beside it. Numbers come from
benchmarks/results: methods.json, which `python benchmarks/methods.py` writes, and reproduce.md,
which `make reproduce` writes; why some differ from other people's stands in README.md there. Where
a method was not measured, its card says so.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

from perdure.bench.presets import PRESETS, Preset, defaults

HERE = Path(__file__).parent
RESULTS = HERE.parent / "benchmarks" / "results"
TITLES = ("method", "family", "accuracy", "forgetting", "cost / naive", "memory", "seeds")
SCENARIOS = ("task", "domain", "class")
ADVICE = (
    "Ask `perdure advise` first: it knows what your stream, your model and your rules make "
    "impossible. These are our own measurements, of small networks learning pictures from "
    "scratch. With a pretrained encoder, the closed-form methods (family *analytic*) come "
    "first: see [which method](../which-method.md)."
)
SOLUTION = (
    "The cost of closed forms leaves out what they solve at their first answer after a task: "
    "[how much](../../benchmarks/results/README.md)."
)
OTHERS = (
    "Final average accuracy in percent on the whole Split Fashion-MNIST under the reference's own "
    "protocol, theirs one run; a gap beyond 2.5 points is bold. "
    "[All of them](../../benchmarks/results/reproduce.md)."
)
SECTION = re.compile(r"^(Source|Differs|Needs|Keeps|Args|Raises|Example|Returns|Attributes):(.*)$")
Line = dict[str, Any]


def main(target: Path = HERE / "methods", results: Path = RESULTS) -> None:
    """Write every page anew, and delete those of methods that are gone."""
    found = json.loads((results / "methods.json").read_text(encoding="utf-8"))
    others = beside((results / "reproduce.md").read_text(encoding="utf-8"))
    why = reasons((results / "README.md").read_text(encoding="utf-8"))
    target.mkdir(exist_ok=True)
    pages = {
        f"{slug(name)}.md": card(name, preset, found, others.get(name, []), why.get(name, []))
        for name, preset in PRESETS.items()
    }
    pages["README.md"] = overview(found)
    for stale in {path.name for path in target.glob("*.md")} - pages.keys():
        (target / stale).unlink()
    for name, text in pages.items():
        (target / name).write_text(text, encoding="utf-8")


def slug(name: str) -> str:
    """The name as a file's."""
    return name.replace("+", "p").replace("*", "-star")


def card(
    name: str, preset: Preset, found: dict[str, Any], others: list[str], why: list[str]
) -> str:
    """One method's page."""
    said = "\n".join(markdown(inspect.getdoc(preset.make) or ""))
    call = getattr(preset.make, "__name__", name)
    settings = [
        f"- {scenario}: {', '.join(f'`{k}={v!r}`' for k, v in defaults(name, scenario).items())}"
        for scenario in SCENARIOS
        if defaults(name, scenario)
    ]
    parts = [
        f"# {name}",
        f"`perdure.methods.{call}`, family *{preset.family}*. All methods: [README](README.md).",
        said,
        "## In `perdure bench`",
        "\n".join(settings) or "As constructed.",
        f"Where these come from: {preset.origin}.",
        "## Measured",
        numbers(name, found),
    ]
    if others:
        title = head("protocol", "line", "scenario or batch", "theirs", "ours", "gap")
        parts += ["## Beside other implementations", "\n".join([title, *others]), OTHERS]
        parts += ["\n".join(f"- {reason}" for reason in why)] if why else []
    return "\n\n".join(parts) + "\n"


def beside(text: str) -> dict[str, list[str]]:
    """Rows of the tables of reproduce.md by method: one a cell that theirs and ours both have."""
    rows: dict[str, list[str]] = {}
    for section in text.split("\n## ")[1:]:
        protocol, titles, _, *lines = [line for line in section.splitlines() if line]
        columns = re.findall(r"(\w[\w ]*): theirs", titles)
        for label, *cells in ([c.strip() for c in line.strip("|").split("|")] for line in lines):
            for column, place in zip(columns, range(0, len(cells), 3), strict=True):
                if cells[place] != "-":
                    row = (protocol, label, column, *cells[place : place + 3])
                    rows.setdefault(method_of(label), []).append(f"| {' | '.join(row)} |")
    return rows


def reasons(text: str) -> dict[str, list[str]]:
    """Why a gap is wide, by method: the bullets of README.md's section on gaps."""
    section = text.split("\n## Where a gap", 1)[1].partition("\n\n")[2].partition("\n## ")[0]
    found: dict[str, list[str]] = {}
    for bullet in re.findall(r"^- (.*(?:\n  .*)*)", section, flags=re.MULTILINE):
        label = bullet.removeprefix("**").partition("**")[0]
        found.setdefault(method_of(label), []).append(bullet)
    return found


def method_of(label: str) -> str:
    """Which method a line of somebody else's table is about."""
    name = re.split(r",| \(", label)[0].lower().replace(" ", "-")
    return {"none": "naive", "sgd": "naive"}.get(name, name)


def numbers(name: str, found: dict[str, Any]) -> str:
    """The table of a card."""
    lines = {line["scenario"]: line for line in found["lines"] if line["method"] == name}
    if not lines:
        return "Not measured yet."
    naive = {line["scenario"]: line for line in measured_of(found, "naive")}
    rows = [head("scenario", *TITLES[2:])]
    for scenario in (s for s in SCENARIOS if s in lines):
        line = lines[scenario]
        if not line["seeds"]:
            rows.append(f"| {scenario} | not possible: {line['reason']} | | | | |")
            continue
        cells = (
            percent(line, "accuracy"),
            percent(line, "forgetting"),
            relative(line, naive.get(scenario)),
            size(line),
            str(line["seeds"]),
        )
        rows.append(f"| {scenario} | {' | '.join(cells)} |")
    lacking = f" {SOLUTION}" if PRESETS[name].closed_form else ""
    return "\n".join([*rows, "", source(found) + lacking])


def overview(found: dict[str, Any]) -> str:
    """All methods in all scenarios, the best of each first."""
    parts = [
        "# Which method?",
        ADVICE,
        f"{source(found)} {SOLUTION}",
    ]
    for scenario in SCENARIOS:
        lines = [line for line in found["lines"] if line["scenario"] == scenario and line["seeds"]]
        naive = next((line for line in lines if line["method"] == "naive"), None)
        lines.sort(key=lambda line: -line["measures"]["accuracy"]["mean"])
        rows = [head(*TITLES)]
        for line in lines:
            name = line["method"]
            cells = (
                f"[{name}]({slug(name)}.md)",
                PRESETS[name].family,
                percent(line, "accuracy"),
                percent(line, "forgetting"),
                relative(line, naive),
                size(line),
                str(line["seeds"]),
            )
            rows.append(f"| {' | '.join(cells)} |")
        parts += [f"## Scenario {scenario}", "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def measured_of(found: dict[str, Any], name: str) -> list[Line]:
    """The lines of a method that have runs."""
    return [line for line in found["lines"] if line["method"] == name and line["seeds"]]


def head(*titles: str) -> str:
    """The first two lines of a table."""
    return f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|"


def source(found: dict[str, Any]) -> str:
    """Where the numbers come from."""
    where = found["environment"]
    machine = f"{where['machine']}, torch {where['torch']}, {where['threads']} thread"
    return (
        f"{found['protocol']} Mean and standard deviation in percent; cost is floating-point "
        f"operations. Commit {found['commit']}, {machine}."
    )


def percent(line: Line, measure: str) -> str:
    """Mean ± standard deviation."""
    held = line["measures"].get(measure)
    if held is None:
        return "-"
    spread = "" if held["std"] is None else f" ± {100 * held['std']:.1f}"
    return f"{100 * held['mean'] + 0.0:.1f}{spread}"


def relative(line: Line, naive: Line | None) -> str:
    """Floating-point operations as a multiple of naive fine-tuning's."""
    if naive is None or line["measures"].get("flops") is None:
        return "-"
    return f"{line['measures']['flops']['mean'] / naive['measures']['flops']['mean']:.2f}"


def size(line: Line) -> str:
    """Bytes of the method's state."""
    held = line["measures"].get("state_bytes")
    if held is None:
        return "-"
    value = held["mean"]
    return f"{value / 1e6:.2f} MB" if value >= 1e4 else f"{value / 1e3:.2f} kB"


def markdown(doc: str) -> list[str]:
    """A docstring as Markdown: sections, equations and examples as blocks, arguments as a list."""
    out: list[str] = []
    section, fenced = "", False
    for line in [*doc.splitlines(), ""]:
        matched = SECTION.match(line)
        indented = line.startswith("    ")
        block = indented and (section in ("", "Example"))
        if fenced and not block and line.strip():
            out.append("```")
            fenced = False
        if matched:
            section = matched[1]
            out += ["", f"**{section}.**{matched[2]}"]
            if section in ("Args", "Raises", "Example", "Attributes"):
                out.append("")
        elif block:
            if not fenced:
                out.append("```python" if section == "Example" else "```")
                fenced = True
            out.append(line[4:])
        elif indented and section in ("Args", "Raises", "Attributes"):
            entry = re.match(r"^    (\w+): (.*)$", line)
            out.append(f"- `{entry[1]}`: {entry[2]}" if entry else f"  {line.strip()}")
        elif not fenced or line.strip():
            out.append(line.strip() if section else line)
    if fenced:
        out.append("```")
    return out


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
