"""Other people's numbers beside ours, under their protocols, on full Split Fashion-MNIST.

    make reproduce                          # everything: about three hours on two cores
    python benchmarks/reproduce.py --only one-epoch
    python benchmarks/reproduce.py --only three-scenarios --methods er,si --seeds 1

Runs are resumable: stop whenever you like and start again. The tables go to
benchmarks/results/reproduce.md, with the mean and standard deviation over initialisations.

three-scenarios: GMvandeVen/continual-learning at e6d795a, one seed, class order as below.
    MLP 784-400-400, ReLU; Adam 1e-3, never reset; 2,000 updates a task, batch 128; pixels in [0, 1]
    Strengths are its authors', who chose them on Split MNIST with test accuracy: they are copied
    for the comparison and are not perdure's advice.
one-epoch: aimagelab/mammoth with its best arguments for Split MNIST at memory 500, one seed.
    MLP 784-100-100, weights as Xavier's and biases zero at first; SGD, one pass over each task,
    batch 10 or 64, classes in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from statistics import mean

import torch
from options import options
from rich.console import Console
from spread import spread
from torch import nn

from perdure import Schedule
from perdure.bench import Experiment, NoResult, Record, Result, Results, finished, pending, run_grid
from perdure.bench.build import build
from perdure.bench.running import collected, one_thread, stages

HERE = Path(__file__).parent
ORDER = (3, 1, 5, 6, 0, 2, 7, 4, 9, 8)
TOLERANCE = 2.5
Plain = str | int | float | bool | None

THREE = Experiment(
    "fashion-mnist",
    order=ORDER,
    hidden=(400, 400),
    optimizer="adam",
    lr=1e-3,
    schedule=Schedule(batch_size=128, epochs=None, steps=2000),
)
ONE = Experiment(
    "fashion-mnist",
    scenario="class",
    order=tuple(range(10)),
    hidden=(100, 100),
    optimizer="sgd",
    schedule=Schedule(batch_size=10),
)


@dataclass(frozen=True)
class Line:
    """One line of the reference's table.

    Args:
        label: the reference's name for it.
        method: ours.
        published: its accuracy in percent, by scenario.
        settings: arguments of the method.
        by_scenario: further arguments, by scenario.
        changes: to the experiment.
    """

    label: str
    method: str
    published: Mapping[str, float]
    settings: Mapping[str, Plain] = field(default_factory=dict)
    by_scenario: Mapping[str, Mapping[str, Plain]] = field(default_factory=dict)
    changes: Mapping[str, Plain] = field(default_factory=dict)


def strengths(**by_scenario: float) -> dict[str, dict[str, Plain]]:
    """A strength for each scenario."""
    return {scenario: {"strength": value} for scenario, value in by_scenario.items()}


def replay(rows: int) -> dict[str, Plain]:
    """So many rows a class, chosen where a task ends."""
    return {
        "capacity": 10 * rows,
        "policy": "balanced",
        "quota": rows,
        "write": "boundary",
        "mix": "tasks",
    }


THREE_LINES = (
    Line("none", "naive", {"task": 90.64, "domain": 77.40, "class": 19.97}),
    Line(
        "EWC",
        "ewc",
        {"task": 99.03, "domain": 78.54, "class": 20.00},
        by_scenario=strengths(task=1e5, domain=1e10, **{"class": 1e9}),
    ),
    Line(
        "online EWC",
        "online-ewc",
        {"task": 98.91, "domain": 77.39},
        {"decay": 1.0},
        strengths(task=1e5, domain=1e10),
    ),
    Line(
        "SI",
        "si",
        {"task": 98.92, "domain": 87.61, "class": 29.42},
        by_scenario=strengths(task=10.0, domain=5e4, **{"class": 5e3}),
    ),
    Line(
        "LwF",
        "lwf",
        {"task": 98.37, "domain": 78.61, "class": 20.97},
        by_scenario={"class": {"strength": 1.0}},
    ),
    Line("ER, 100 a class", "er", {"task": 98.44, "domain": 93.04, "class": 78.07}, replay(100)),
    Line("ER, 10 a class", "er", {"task": 97.91, "domain": 89.16, "class": 61.70}, replay(10)),
    Line(
        "A-GEM, 100 a class",
        "a-gem",
        {"task": 98.12, "domain": 91.78, "class": 48.04},
        {"capacity": 1000, "quota": 100, "rows": 128},
    ),
    Line(
        "iCaRL, 100 a class",
        "icarl",
        {"class": 79.46},
        {"capacity": 1000, "quota": 100, "temperature": 2.0},
    ),
    Line("generative replay (DGR)", "generative-replay", {"class": 76.33}),
    Line("joint", "joint", {"task": 99.16, "domain": 95.44, "class": 89.20}),
)


def memory(
    rows: int | None, lr: float, method: Mapping[str, Plain] | None = None
) -> dict[str, Mapping]:
    """Memory 500, a learning rate; the best arguments' draw at batch 10, 64 rows at batch 64."""
    drawn: dict[str, Plain] = {} if rows is None else {"rows": rows}
    return {
        "settings": {"capacity": 500, **(method or {})},
        "by_scenario": {"batch 10": drawn},
        "changes": {"lr": lr},
    }


def one(label: str, at_64: float, at_10: float, method: str, **rest: Mapping) -> Line:
    """A line of the one-epoch table."""
    return Line(label, method, {"batch 64": at_64, "batch 10": at_10}, **rest)


ONE_LINES = (
    one("sgd", 19.9, 20.0, "naive", changes={"lr": 0.03}),
    one("er", 74.9, 76.9, "er", **memory(10, 0.1)),
    one("der", 74.2, 78.4, "der", **memory(128, 0.03, {"alpha": 1.0})),
    one("der++", 79.2, 80.9, "der++", **memory(10, 0.03, {"alpha": 1.0, "beta": 0.5})),
    one("er-ace", 79.5, 78.2, "er-ace", **memory(10, 0.1)),
    one("gem", 80.1, 77.8, "gem", **memory(None, 0.03)),
    one("a-gem", 31.3, 31.8, "a-gem", **memory(128, 0.1, {"write": "step"})),
    one("si", 19.9, 19.9, "si", settings={"damping": 0.9, "strength": 1.0}, changes={"lr": 0.1}),
    one("lwf", 19.9, 19.9, "lwf", settings={"strength": 1.0}, changes={"lr": 0.03}),
    one("icarl", 58.2, 61.5, "icarl", **memory(None, 0.1)),
    one("gdumb", 78.0, 77.2, "gdumb", **memory(None, 0.05, {"epochs": 256})),
)


def experiments(protocol: str, line: Line, seeds: Iterable[int]) -> dict[str, list[Experiment]]:
    """The runs of one line, by column of its table."""
    runs = {}
    for column in line.published:
        base = replace(THREE, scenario=column) if protocol == "three-scenarios" else _one(column)
        settings = {**line.settings, **line.by_scenario.get(column, {})}
        base = replace(base, method=line.method, settings=settings, **line.changes)
        runs[column] = [replace(base, seed=seed) for seed in seeds]
    return runs


def _one(column: str) -> Experiment:
    return replace(ONE, schedule=Schedule(batch_size=int(column.removeprefix("batch "))))


def run_one_epoch(runs: Iterable[Experiment], folder: Path, workers: int) -> Iterator[Result]:
    """As `run_grid`, for networks that begin with Mammoth's weights."""
    results = Results(folder)
    with results.locked(), ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for result in pool.map(run_from_xavier, pending(runs, folder)):
            results.append(result)
            yield result


def run_from_xavier(experiment: Experiment) -> Result:
    """As `perdure.bench.run`, from other initial weights."""
    with one_thread():
        stream, learner = build(experiment)
        learner.model.apply(xavier)
        result = collected(experiment, stream, list(stages(experiment, stream, learner)))
    return replace(result, environment={**result.environment, "weights": "xavier"})


def xavier(module: nn.Module) -> None:
    """Uniform weights whose variance is 2 / (inputs + outputs), and no bias."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def table(protocol: str, lines: Sequence[Line], records: Mapping[str, Record], seeds: int) -> str:
    """The reference beside ours, in Markdown."""
    columns = list(dict.fromkeys(column for line in lines for column in line.published))
    head = "| method | " + " | ".join(f"{column}: theirs | ours | gap" for column in columns)
    rows = [f"{head} |", "|---" * (1 + 3 * len(columns)) + "|"]
    for line in lines:
        runs = experiments(protocol, line, range(seeds))
        cells = [
            cell
            for column in columns
            for cell in (_cells(line, column, runs[column], records) if column in runs else "---")
        ]
        rows.append(f"| {line.label} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _cells(
    line: Line, column: str, runs: Sequence[Experiment], records: Mapping[str, Record]
) -> tuple[str, str, str]:
    """Theirs, ours over the seeds that were run, and the gap in points, bold beyond TOLERANCE."""
    theirs = line.published[column]
    found = [records.get(run.key) for run in runs]
    ours = [100 * (r.matrix.accuracy() or 0) for r in found if isinstance(r, Result)]
    if not ours:
        return f"{theirs:.2f}", "not run", "-"
    gap = mean(ours) - theirs
    bold = "" if abs(gap) <= TOLERANCE else "**"
    return f"{theirs:.2f}", spread(ours), f"{bold}{gap:+.2f}{bold}"


def main() -> None:
    """Run what is missing, then write benchmarks/results/reproduce.md."""
    protocols = {"three-scenarios": THREE_LINES, "one-epoch": ONE_LINES}
    parser = options(__doc__)
    parser.add_argument("--only", default="", choices=[*protocols], help="one; default both")
    parser.add_argument("--methods", default="", help="names, separated by commas; all")
    parser.add_argument("--seeds", type=int, default=3, help="of each; %(default)s")
    results = HERE / "results" / "reproduce"
    parser.add_argument("--folder", type=Path, default=results, help="where runs are kept")
    parser.add_argument("--workers", type=int, default=2, help="processes; %(default)s")
    said = parser.parse_args()
    only, seeds, folder, workers = said.only, said.seeds, said.folder, said.workers
    console = Console()
    wanted = said.methods.split(",") if said.methods else []
    runs = {
        protocol: [
            run
            for seed in range(seeds)
            for line in lines
            if only in ("", protocol) and (not wanted or line.method in wanted)
            for column in experiments(protocol, line, [seed]).values()
            for run in column
        ]
        for protocol, lines in protocols.items()
    }
    runs["three-scenarios"].sort(key=lambda run: run.method == "joint")  # the longest last
    for event in chain(
        run_one_epoch(runs["one-epoch"], folder, workers),
        run_grid(runs["three-scenarios"], folder, workers),
    ):
        if isinstance(event, Result):
            console.print(f"{event.experiment.title}: {event.matrix.accuracy():.2%}")
        elif isinstance(event, NoResult):
            console.print(f"{event.experiment.title}: {event.status}, {event.reason}")
    everything = [
        run
        for protocol, lines in protocols.items()
        for line in lines
        for column in experiments(protocol, line, range(seeds)).values()
        for run in column
    ]
    records = {record.experiment.key: record for record in finished(everything, folder)}
    text = [
        "# Numbers of others, beside ours",
        "",
        "Final average accuracy in percent on the whole Split Fashion-MNIST, under each",
        "reference's own protocol; `make reproduce` writes it, and its script says what the",
        "protocols are. Ours are means and standard deviations over n initialisations, theirs one",
        "run each;",
        f"a gap beyond {TOLERANCE} points is bold, and [README.md](README.md) says why it may be.",
        f"torch {torch.__version__}, CPU, one thread.",
    ]
    for protocol, lines in protocols.items():
        text += ["", f"## {protocol}", "", table(protocol, lines, records, seeds)]
    target = HERE / "results" / "reproduce.md"
    target.write_text("\n".join(text) + "\n")
    console.print(f"wrote {target}")


if __name__ == "__main__":
    main()
