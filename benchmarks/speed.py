"""Each hot path beside a hand-written loop that does the same arithmetic, as a ratio of CPU time.

Rounds alternate between the two sides and the median ratio is reported, since machines are noisy.
One thread. Run all with `make bench`, or some: `python benchmarks/speed.py er gem`.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from hand import HAND
from rich.console import Console
from rich.table import Table
from torch import nn

from perdure import Batch, Engine, Learner, Method, memory, methods, nets

ROUNDS = 7
SGD = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
TARGETS = {"bare, batch 64": 1.05, "bare, batch 1": 1.25}
METHODS: dict[str, Callable[[], Method]] = {
    "er": lambda: methods.ER(capacity=500),
    "ewc": lambda: methods.EWC(strength=100.0),
    "lwf": lambda: methods.LwF(weight=1.0),
    "a-gem": lambda: methods.AGEM(capacity=500, rows=64),
    "gem": lambda: methods.GEM(capacity=1000),
    "der++": lambda: methods.DERpp(alpha=0.1, beta=0.5, capacity=500),
}


def network(inputs: int = 784, hidden: int = 256) -> nets.Classifier:
    """The MLP that every comparison trains, the same on both sides."""
    torch.manual_seed(0)
    return nets.Classifier(nets.MLP(inputs, (hidden, hidden)), nets.FixedHead(hidden, 10))


def plain(inputs: int = 784, hidden: int = 256) -> nn.Sequential:
    """The same network as a hand-written loop would have it."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 10),
    )


def batches(size: int, count: int, inputs: int = 784) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Random rows; the arithmetic does not depend on what they say."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(size * count, inputs, generator=generator)
    y = torch.randint(10, (size * count,), generator=generator)
    return list(zip(x.split(size), y.split(size), strict=True))


def ratio(ours: Callable[[], None], theirs: Callable[[], None]) -> tuple[float, float]:
    """Median over rounds of our CPU seconds over theirs, and their median seconds a round."""
    ours(), theirs()
    pairs = []
    for _ in range(ROUNDS):
        start = time.process_time()
        theirs()
        middle = time.process_time()
        ours()
        pairs.append((time.process_time() - middle, middle - start))
    return median(a / b for a, b in pairs), median(b for _, b in pairs)


def bare(size: int) -> tuple[float, float]:
    """A learner without methods."""
    rows = batches(size, 6400 // size if size > 1 else 400)
    learner, model = Learner(network(), optimizer=SGD), plain()
    optimiser = SGD(model.parameters())

    def ours() -> None:
        for x, y in rows:
            learner.observe(Batch(x, y))

    def theirs() -> None:
        for x, y in rows:
            optimiser.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimiser.step()

    return ratio(ours, theirs)


def method(name: str) -> tuple[float, float]:
    """A learner with one method, in the third task of three."""
    rows = batches(64, 60)
    learner = Learner(network(), METHODS[name](), optimizer=SGD)
    hand = HAND[name](plain(), SGD)
    for task in range(3):
        for x, y in rows[:20]:
            learner.observe(Batch(x, y, task=task))
            hand.observe(x, y, task)
        if task < 2:
            learner.consolidate([Batch(x, y, task=task) for x, y in rows[:20]])
            hand.consolidate(rows[:20])

    def ours() -> None:
        for x, y in rows:
            learner.observe(Batch(x, y, task=2))

    def theirs() -> None:
        for x, y in rows:
            hand.observe(x, y, 2)

    return ratio(ours, theirs)


def compiled(inputs: int, hidden: int) -> tuple[float, float]:
    """Engine(compile=True) against the eager learner: a ratio below 1 is a gain."""
    rows = batches(64, 100, inputs)
    eager = Learner(network(inputs, hidden), optimizer=SGD)
    fast = Learner(network(inputs, hidden), optimizer=SGD, engine=Engine(compile=True))
    return ratio(
        lambda: [fast.observe(Batch(x, y)) for x, y in rows] and None,
        lambda: [eager.observe(Batch(x, y)) for x, y in rows] and None,
    )


def reservoir_insert() -> tuple[float, float]:
    """Vectorised insertion against algorithm R as a Python loop, batches of 64."""
    import random

    rows = [Batch((x * 255).byte(), y) for x, y in batches(64, 200)]
    ours = memory.Reservoir(500)
    kept_x, kept_y, seen = torch.zeros(500, 784, dtype=torch.uint8), torch.zeros(500).long(), 0

    def theirs() -> None:
        nonlocal seen
        for batch in rows:
            for i in range(len(batch)):
                slot = seen if seen < 500 else random.randrange(seen + 1)
                seen += 1
                if slot < 500:
                    kept_x[slot], kept_y[slot] = batch.x[i], batch.y[i]

    def insert() -> None:
        for batch in rows:
            ours.add(batch)

    return ratio(insert, theirs)


def reservoir_draw() -> tuple[float, float]:
    """Drawing 64 rows against a permutation of the memory and a stack of the rows."""
    store = memory.Reservoir(5000)
    for x, y in batches(500, 10):
        store.add(Batch((x * 255).byte(), y))
    held = store.rows()
    assert held is not None
    listed = list(zip(held.x, held.y, strict=True))

    def theirs() -> None:
        for _ in range(200):
            picked = [listed[i] for i in torch.randperm(len(listed))[:64].tolist()]
            torch.stack([x for x, _ in picked]), torch.stack([y for _, y in picked])

    def draw() -> None:
        for _ in range(200):
            store.sample(64)

    return ratio(draw, theirs)


def fisher() -> tuple[float, float]:
    """The exact per-row Fisher of linear layers against autograd row by row."""
    from perdure.fisher import fisher as exact

    learner, model = Learner(network()), plain()
    x, y = batches(512, 1)[0]

    def theirs() -> None:
        total = [torch.zeros_like(p) for p in model.parameters()]
        for i in range(len(y)):
            loss = F.cross_entropy(model(x[i : i + 1]), y[i : i + 1])
            for t, g in zip(total, torch.autograd.grad(loss, model.parameters()), strict=True):
                t.add_(g * g)

    return ratio(lambda: exact(learner, [Batch(x, y)], labels="true") and None, theirs)


def imports() -> tuple[float, float]:
    """Importing the learner, methods and nets against importing torch alone, in new processes."""

    def run(code: str) -> Callable[[], float]:
        def seconds() -> float:
            clock = "import time; start = time.process_time()\n"
            tail = "\nprint(time.process_time() - start)"
            out = subprocess.run(
                [sys.executable, "-c", clock + code + tail], capture_output=True, check=True
            )
            return float(out.stdout)

        return seconds

    ours = run("import perdure; perdure.Learner, perdure.methods, perdure.nets, perdure.streams")
    theirs = run("import torch")
    pairs = [(ours(), theirs()) for _ in range(3)]
    return median(a / b for a, b in pairs), median(b for _, b in pairs)


CASES: dict[str, tuple[Callable[[], tuple[float, float]], float]] = {
    "bare, batch 64": (partial(bare, 64), 1.05),
    "bare, batch 1": (partial(bare, 1), 1.25),
    **{name: (partial(method, name), 1.10) for name in METHODS},
    "compiled 784-256-256 / eager": (partial(compiled, 784, 256), 1 / 1.4),
    "compiled 384-64-64 / eager": (partial(compiled, 384, 64), 1 / 1.4),
    "reservoir insert / loop": (reservoir_insert, 1.0),
    "reservoir draw / stack": (reservoir_draw, 1.0),
    "fisher / row by row": (fisher, 1 / 8),
    "import perdure / torch": (imports, 1.5),
}


def measured(wanted: list[str]) -> Iterator[tuple[str, float, float, float]]:
    """Name, ratio, goal and the reference's seconds of each case whose name holds a wanted word."""
    for name, (case, goal) in CASES.items():
        if not wanted or any(word in name for word in wanted):
            yield (name, *_flip(case(), goal))


def _flip(result: tuple[float, float], goal: float) -> tuple[float, float, float]:
    return result[0], goal, result[1]


def main() -> None:
    """Measure, print a table, and keep the numbers in benchmarks/results/speed.json."""
    torch.set_num_threads(1)
    table = Table("case", "ratio", "goal", "", "reference, CPU s a round")
    kept = {}
    for name, found, goal, seconds in measured(sys.argv[1:]):
        mark = "ok" if found <= goal else "missed"
        table.add_row(name, f"{found:.3f}", f"<= {goal:.3f}", mark, f"{seconds:.3f}")
        kept[name] = {"ratio": round(found, 3), "goal": round(goal, 3)}
        print(f"{name}: {found:.3f} (goal {goal:.3f})", flush=True)
    Console().print(table)
    if not sys.argv[1:]:
        machine = {"processor": platform.machine(), "torch": torch.__version__}
        target = Path(__file__).parent / "results" / "speed.json"
        target.write_text(json.dumps({"machine": machine, "cases": kept}, indent=2) + "\n")


if __name__ == "__main__":
    main()
