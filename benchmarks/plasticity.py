"""Does a network lose its ability to learn, and what keeps it? Digits, permuted over and over.

Each task shuffles the pixels of scikit-learn's digits anew and shows 1,600 rows once; each is
answered before it is learned, so that a task's online accuracy says how fast it was learned.
Nothing is to be remembered: a network that has learned fifty such tasks should learn the next as
fast as one that begins anew with every task ("fresh").

After "online permuted MNIST" of Dohare et al. 2024, https://doi.org/10.1038/s41586-024-07711-7,
made small and steep: Adam at 5e-3. Each method has the best of two or three settings, tried over 60
tasks at seed 0.

It shows: naive fine-tuning loses ten points in fifty tasks, and half of its units end dormant,
twice as many as of a fresh network. Each cure ends near "fresh" or above. The effective rank of
naive's features does not fall in so short a stream.

    python benchmarks/plasticity.py     # a minute of CPU time; stop and start again as you like
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean, stdev

import torch
from commit import commit
from options import options
from rich.console import Console
from rich.table import Table
from torch import Tensor

from perdure import Batch, Learner, Method, methods, nets
from perdure.bench.running import environment
from perdure.errors import require
from perdure.measure import dormant_share, effective_rank
from perdure.streams import load

HERE = Path(__file__).parent
RESULTS, FIGURE = HERE / "results" / "plasticity.json", HERE / "results" / "plasticity.svg"
TASKS, UPDATES, BATCH, SEEDS = 50, 100, 16, 3
SPAN = 5  # tasks at the beginning and at the end that a number is the mean of
HIDDEN, LR = (64, 64, 64), 5e-3
ARMS: dict[str, Callable[[], list[Method]]] = {
    "naive": list,
    "fresh": list,
    "continual-backprop": lambda: [methods.ContinualBackprop(rate=1e-3)],
    "l2-init": lambda: [methods.L2Init(strength=1e-2)],
    "shrink-perturb": lambda: [methods.ShrinkPerturb(shrink=0.1, noise=0.03)],
}
COLOURS = {
    "naive": "#8b93a1",
    "fresh": "#c4a35a",
    "continual-backprop": "#3b82f6",
    "l2-init": "#f97316",
    "shrink-perturb": "#10b981",
}
MEASURES = {
    "online accuracy": "online accuracy of the task, %",
    "dormant": "dormant units after it, %",
    "rank": "effective rank of the features after it",
}
Curve = dict[str, list[float]]


def digits() -> tuple[Tensor, Tensor]:
    """All rows (n, 64) in [0, 1], and their labels."""
    data = load("digits")
    assert isinstance(data.train_x, Tensor)
    assert isinstance(data.test_x, Tensor)
    x = torch.cat((data.train_x, data.test_x)).flatten(1).float()
    return x / x.max(), torch.cat((data.train_y, data.test_y))


def begun(arm: str, inputs: int) -> Learner:
    """An untrained learner."""
    model = nets.Classifier(nets.MLP(inputs, HIDDEN), nets.FixedHead(HIDDEN[-1], 10))
    optimizer = partial(torch.optim.Adam, lr=LR, fused=True)
    return Learner(model, *ARMS[arm](), optimizer=optimizer)


def run(arm: str, seed: int) -> Curve:
    """What each task's end shows."""
    x, y = digits()
    torch.manual_seed(seed)
    draws = torch.Generator().manual_seed(seed)
    learner, curve = begun(arm, x.shape[1]), {measure: [] for measure in MEASURES}
    for task in range(TASKS):
        if arm == "fresh" and task:
            learner = begun(arm, x.shape[1])
        pixels = torch.randperm(x.shape[1], generator=draws)
        order = torch.randperm(len(x), generator=draws)[: UPDATES * BATCH]
        right, shown = 0, x[:, pixels]
        for rows in order.split(BATCH):
            step = learner.observe(Batch(shown[rows], y[rows]))
            right += int((step.outputs.argmax(1) == y[rows]).sum())
        curve["online accuracy"].append(100 * right / len(order))
        curve["dormant"].append(100 * (dormant_share(learner.model, shown).overall or 0))
        curve["rank"].append(effective_rank(learner.features(shown)))
        learner.consolidate()
    return curve


def summary(curves: list[Curve]) -> dict[str, list[float]]:
    """Mean and standard deviation over seeds, at the beginning and at the end."""
    found = {}
    for measure in MEASURES:
        for when, span in (("first", slice(SPAN)), ("last", slice(-SPAN, None))):
            each = [mean(curve[measure][span]) for curve in curves]
            found[f"{measure}, {when} {SPAN}"] = [round(mean(each), 2), round(stdev(each), 2)]
    return found


def draw(curves: dict[str, list[Curve]]) -> None:
    """Each measure over the tasks: a line for the mean, a band for the standard deviation."""
    plt = require("matplotlib.pyplot", "lab")
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for ax, (measure, label) in zip(axes, MEASURES.items(), strict=True):
        for arm, of_arm in curves.items():
            values = torch.tensor([curve[measure] for curve in of_arm]).T  # (tasks, seeds)
            # Over five tasks, since one permutation is harder than another.
            smooth = values.unfold(0, SPAN, 1).mean(-1)
            middle, spread = smooth.mean(1), smooth.std(1)
            place = torch.arange(len(smooth)) + SPAN
            ax.plot(place, middle, color=COLOURS[arm], label=arm)
            ax.fill_between(
                place, middle - spread, middle + spread, color=COLOURS[arm], alpha=0.15, lw=0
            )
        ax.set(xlabel=f"tasks learned (mean of the last {SPAN})", title=label, ylim=(0, None))
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, loc="lower left")
    figure.savefig(FIGURE)


def settings() -> dict[str, object]:
    """All that a run's numbers follow from."""
    return {
        "stream": {"tasks": TASKS, "updates a task": UPDATES, "batch": BATCH, "mean of": SPAN},
        "network": {"hidden": list(HIDDEN), "optimizer": "adam", "lr": LR},
        "methods": {arm: [repr(method) for method in make()] for arm, make in ARMS.items()},
    }


def held() -> dict[str, Curve]:
    """The runs that are there already, under the same settings."""
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    same = all(found.get(name) == value for name, value in settings().items())
    return dict(found["curves"]) if same else {}


def main() -> None:
    """Do the runs that are missing, print a table, and keep numbers and figure."""
    options(__doc__).parse_args()
    torch.set_num_threads(1)
    runs = held()
    for seed, arm in product(range(SEEDS), ARMS):
        if f"{arm}, seed {seed}" in runs:
            continue
        start = time.process_time()
        curve = run(arm, seed)
        runs[f"{arm}, seed {seed}"] = {m: [round(v, 2) for v in curve[m]] for m in MEASURES}
        by_arm = {a: [c for name, c in runs.items() if name.startswith(f"{a},")] for a in ARMS}
        found = {a: summary(curves) for a, curves in by_arm.items() if len(curves) > 1}
        kept = {"commit": commit(), "environment": environment(), **settings()}
        RESULTS.write_text(json.dumps({**kept, "arms": found, "curves": runs}, indent=1) + "\n")
        print(f"{arm}, seed {seed}: {time.process_time() - start:.0f} s", flush=True)
    by_arm = {a: [c for name, c in runs.items() if name.startswith(f"{a},")] for a in ARMS}
    table = Table("", *(f"{m}, {when} {SPAN}" for m in MEASURES for when in ("first", "last")))
    for arm, curves in by_arm.items():
        table.add_row(arm, *(f"{m:.1f} ± {s:.1f}" for m, s in summary(curves).values()))
    Console().print(table)
    draw(by_arm)


if __name__ == "__main__":
    main()
