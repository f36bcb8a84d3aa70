"""CLINC150 on frozen MiniLM features, and Fashion-MNIST on frozen EfficientNet-Lite0: ours, theirs.

    python benchmarks/clinc150.py                     # what is missing; minutes on one core
    python benchmarks/clinc150.py --only images

texts: 150 intents as 15 tasks of 10 classes or 10 tasks of 15, three orders of classes, 15,000 rows
    to learn from and 4,500 to measure on, features of all-MiniLM-L6-v2.
images: 10,000 training images at 96 pixels, ten classes as five tasks of two.

Closed-form methods read each row once. The others train a linear layer with an output for every
class by Adam at 0.01, in batches of 64: 8 passes over each task, 32 over everything for joint, to
which all rows come at once; replay recalls 256 rows an update. These were chosen on a tenth of the
training rows, held out at seed 1000 (passes 2 to 16, rates 0.001 to 0.03, 64 to 256 rows), and so
are ridge's strength and SLDA's shrinkage, at each run. Test rows are for the tables alone.

Runs are kept in results/clinc150.json and are not repeated; the tables are results/clinc150.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import features
import torch
from commit import commit
from options import options
from rich.console import Console
from spread import spread

from perdure import Learner, Method
from perdure.bench.running import environment, evaluate, one_thread
from perdure.folding import Schedule, fold
from perdure.measure import AccuracyMatrix
from perdure.methods import ER, NCM, SLDA, Naive, RanPAC, Ridge
from perdure.nets import Classifier, FixedHead, Flat, NoHead
from perdure.streams import Data, Stream, split

HERE = Path(__file__).parent
HELD_OUT, SEED = 0.1, 1000
PASSES, EVERYTHING, RATE, BATCH, RECALLED = 8, 32, 0.01, 64, 256
STRENGTHS = tuple(10.0**power for power in range(-2, 5))
SHRINKAGES = (1e-4, 1e-3, 1e-2, 0.1, 0.3)


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Args:
        label: of the method, as the reference has it.
        make: the method.
        theirs: accuracy in percent by the table's name; None where the reference has no such line.
        grid: values to choose from on held-out rows, by argument.
        passes: over each task; 0 for what learns in closed form.
        joint: all rows come at once.
    """

    label: str
    make: Callable[..., Method]
    theirs: Mapping[str, float | None]
    grid: Mapping[str, Sequence[float]] = field(default_factory=dict)
    passes: int = 0
    joint: bool = False


@dataclass(frozen=True)
class Table:
    """A stream and what the reference says of it."""

    title: str
    data: Callable[[Path], Data]
    tasks: int
    orders: int


TABLES = {
    "15 tasks": Table("CLINC150, 15 tasks of 10 classes", features.clinc150, 15, 3),
    "10 tasks": Table("CLINC150, 10 tasks of 15 classes", features.clinc150, 10, 3),
    "images": Table("Fashion-MNIST, 10,000 images, 5 tasks of 2", features.fashion_mnist, 5, 1),
}
LINES = (
    Line(
        "joint linear",
        Naive,
        {"15 tasks": 95.19, "10 tasks": 95.2},
        passes=EVERYTHING,
        joint=True,
    ),
    Line(
        "RanPAC, 4,000 projections",
        partial(RanPAC, projections=4000),
        {"15 tasks": None},
    ),
    Line(
        "RanPAC, 2,000 projections",
        partial(RanPAC, projections=2000),
        {"15 tasks": 94.44, "10 tasks": 94.4},
    ),
    Line(
        "SLDA",
        SLDA,
        {"15 tasks": 92.64, "10 tasks": 92.6, "images": 87.9},
        {"shrinkage": SHRINKAGES},
    ),
    Line("NCM", NCM, {"15 tasks": 92.00, "10 tasks": 92.0}),
    Line("NCM, cosine", partial(NCM, metric="cosine"), {"images": 77.9}),
    Line(
        "ridge",
        Ridge,
        {"15 tasks": 91.47, "10 tasks": 91.5, "images": 88.2},
        {"strength": STRENGTHS},
    ),
    Line(
        "ER, 1,500 rows",
        partial(ER, capacity=1500, rows=RECALLED),
        {"15 tasks": 90.07, "10 tasks": 90.7},
        passes=PASSES,
    ),
    Line(
        "ER, 300 rows",
        partial(ER, capacity=300, rows=RECALLED),
        {"15 tasks": 83.61, "10 tasks": 83.8},
        passes=PASSES,
    ),
    Line("naive", Naive, {"15 tasks": 65.07, "10 tasks": 63.3}, passes=PASSES),
)


NOTES = """
All orders of classes give the closed forms one and the same answer, but for RanPAC's projections,
which the seed draws. The best, RanPAC on 4,000 projections, is the reference's method made wider:
on held-out rows 3,500 gained 0.6 points over 2,000.

Replay of 1,500 rows does better than theirs, naive fine-tuning worse, for one reason: the budget.
It was chosen for replay; fine-tuning alone forgets more with every pass (held-out rows: 72 after
two passes, 63 after eight). Theirs is not recorded.

On images, SLDA and ridge end 1.3 to 1.4 points below theirs and NCM 0.6. Which 10,000 images theirs
were, which rows were measured and how images were enlarged is not recorded; here it is the first
10,000, all 10,000 test images, and bilinear enlargement.
"""


def learn(line: Line, stream: Stream, seed: int, settings: Mapping[str, float]) -> AccuracyMatrix:
    """Feed the stream to the method; accuracy of each task after each.

    What learns in closed form solves for each answer, so that it is asked after the last task only.
    """
    torch.manual_seed(seed)
    width = stream.input_shape[0]
    head = FixedHead(width, stream.classes) if line.passes else NoHead(width)
    learner = Learner(
        Classifier(Flat(width), head),
        line.make(**settings),
        optimizer=partial(torch.optim.Adam, lr=RATE, fused=True),
        seed=seed,
    )
    shown = [task.test if task.valid is None else task.valid for task in stream]
    schedule = Schedule(BATCH, epochs=line.passes) if line.passes else Schedule(1024)
    columns = []
    for position in fold(learner, stream, schedule, seed=seed):
        if position.closed:
            ends = position.task == len(stream) - 1
            here = range(position.task + 1) if line.passes or ends else ()
            known = [evaluate(learner, shown[t], stream.scenario) for t in here]
            columns.append(known + [None] * (len(stream) - len(known)))
    return AccuracyMatrix.from_columns(columns, [task.name for task in stream])


def chosen(line: Line, data: Data) -> dict[str, float]:
    """The settings that do best on held-out training rows; of equals the first."""
    held = split(data, 1, seed=SEED).holdout(HELD_OUT, SEED)
    best: dict[str, float] = {}
    for name, values in line.grid.items():
        scores = {v: learn(line, held, SEED, {**best, name: v}).accuracy() or 0 for v in values}
        best[name] = max(scores, key=lambda value: scores[value])
    return best


def run(line: Line, table: Table, data: Data, order: int) -> dict[str, Any]:
    """One cell: the mean over tasks after the last, forgetting, and what was chosen."""
    settings = chosen(line, data)
    stream = split(data, 1 if line.joint else table.tasks, "class", seed=order)
    matrix = learn(line, stream, order, settings)
    forgetting = matrix.forgetting() if line.passes else None
    return {"accuracy": matrix.accuracy(), "forgetting": forgetting, "settings": settings}


def table_text(name: str, runs: Mapping[str, Any]) -> list[str]:
    """One table in Markdown."""
    text = ["", f"## {TABLES[name].title}", "", "| method | theirs | ours | gap | forgetting |"]
    text.append("|---|---|---|---|---|")
    for line in LINES:
        if name not in line.theirs:
            continue
        found = [runs[key] for key in runs if key.startswith(f"{name}/{line.label}/")]
        theirs = line.theirs[name]
        cells = [line.label, "" if theirs is None else f"{theirs:.2f}"]
        if not found:
            text.append(f"| {' | '.join(cells)} | not run | | |")
            continue
        ours = [100 * cell["accuracy"] for cell in found]
        lost = [100 * cell["forgetting"] for cell in found if cell["forgetting"] is not None]
        cells += [
            spread(ours),
            "" if theirs is None else f"{mean(ours) - theirs:+.2f}",
            f"{mean(lost):.1f}" if lost else "",
        ]
        text.append(f"| {' | '.join(cells)} |")
    return text


def summary(held: Mapping[str, Any]) -> str:
    """All tables, and how they came about: when the last of them was run."""
    said = (__doc__ or "").split("\n\n")
    text = ["# Frozen encoders: numbers of others, beside ours", "", said[2], "", said[3]]
    for name in TABLES:
        text += table_text(name, held["runs"])
    facts = ", ".join(f"{name} {value}" for name, value in held["environment"].items())
    return "\n".join([*text, NOTES, f"Commit {held['commit']}; {facts}."]) + "\n"


def main() -> None:
    """Run what is missing, then write the tables."""
    parser = options(__doc__)
    parser.add_argument("--only", default="", choices=[*TABLES], help="one table; default all")
    parser.add_argument("--cache", type=Path, default=features.FOLDER, help="of features")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="where results are")
    said = parser.parse_args()
    only, cache, out = said.only, said.cache, said.out
    console = Console(highlight=False)
    kept = out / "clinc150.json"
    held = json.loads(kept.read_text()) if kept.exists() else {"runs": {}}
    runs = held["runs"]
    for name, table in TABLES.items():
        missing = [
            (f"{name}/{line.label}/{order}", line, order)
            for order in range(table.orders)
            for line in LINES
            if name in line.theirs
            and only in ("", name)
            and f"{name}/{line.label}/{order}" not in runs
        ]
        data = table.data(cache) if missing else None
        for key, line, order in missing:
            with one_thread():
                runs[key] = run(line, table, data, order)
            console.print(f"{key}: {100 * runs[key]['accuracy']:.2f} {runs[key]['settings']}")
            held |= {"commit": commit(), "environment": environment()}
            kept.write_text(json.dumps(held, indent=1) + "\n")
    (out / "clinc150.md").write_text(summary(held))


if __name__ == "__main__":
    main()
