"""Each hot path beside a hand-written loop that does the same arithmetic, as a ratio of CPU time.

Rounds of a few dozen steps alternate between the two sides, so that a busy machine troubles both
alike; a case's number is the median (p50) over rounds of our time over theirs. One thread.

    python benchmarks/speed.py            # all: minutes; writes benchmarks/results/speed.json
    python benchmarks/speed.py er gem     # cases with one of these words in their name
"""

from __future__ import annotations

import json
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles

import torch
import torch.nn.functional as F
from hand import HAND
from options import options
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from perdure import Batch, Engine, Learner, Method, memory, methods, nets
from perdure.families.fisher import fisher

RESULTS = Path(__file__).parent / "results" / "speed.json"
SGD = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
METHODS: dict[str, Callable[[], Method]] = {
    "er": lambda: methods.ER(capacity=500),
    "ewc": lambda: methods.EWC(strength=100.0),
    "lwf": lambda: methods.LwF(strength=1.0),
    "a-gem": lambda: methods.AGEM(capacity=500, rows=64),
    "gem": lambda: methods.GEM(capacity=1000),
    "der++": lambda: methods.DERpp(alpha=0.1, beta=0.5, capacity=500),
}
Rows = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Rounds:
    """CPU seconds of `what`, on both sides, a round each."""

    what: str
    ours: list[float]
    theirs: list[float]

    def ratios(self) -> tuple[float, float, float]:
        """Our time over theirs: the quartiles over rounds, p50 in the middle."""
        low, middle, high = quantiles(
            [a / b for a, b in zip(self.ours, self.theirs, strict=True)], n=4
        )
        return low, middle, high


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def race(
    what: str,
    times: int,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    rounds: int = 81,
) -> Rounds:
    """Both sides in turn, the first of a round alternating; each does `what` so many times."""
    ours(), theirs()
    spent: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for side in (0, 1) if number % 2 else (1, 0):
            spent[side].append(seconds((ours, theirs)[side]) / times)
    return Rounds(what, *spent)


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


def batches(size: int, count: int, inputs: int = 784) -> Rows:
    """Random rows."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(size * count, inputs, generator=generator)
    y = torch.randint(10, (size * count,), generator=generator)
    return list(zip(x.split(size), y.split(size), strict=True))


def observing(learner: Learner, rows: Rows, task: int | None = None) -> Callable[[], None]:
    """All rows once, as a user would give them."""

    def work() -> None:
        for x, y in rows:
            learner.observe(Batch(x, y, task))  # type: ignore[arg-type]  one id for all

    return work


def by_hand(model: nn.Module, rows: Iterable[tuple[Tensor, Tensor]]) -> Callable[[], None]:
    """All rows once, by the loop that everybody writes."""
    optimiser = SGD(model.parameters())

    def work() -> None:
        for x, y in rows:
            optimiser.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimiser.step()

    return work


def bare(size: int) -> Rounds:
    """A learner without methods."""
    rows = batches(size, 25 if size > 1 else 100)
    ours = observing(Learner(network(), optimizer=SGD), rows)
    return race("step", len(rows), ours, by_hand(plain(), rows))


def method(name: str) -> Rounds:
    """A learner with one method, in the third of three tasks that contradict one another."""
    learner = Learner(network(), METHODS[name](), optimizer=SGD)
    hand = HAND[name](plain(), SGD)
    given = batches(64, 20)
    tasks = [[(x, (y + 3 * task) % 10) for x, y in given] for task in range(3)]
    for task, rows in enumerate(tasks):
        observing(learner, rows, task)()
        for x, y in rows:
            hand.observe(x, y, task)
        if task < 2:
            learner.consolidate([Batch(x, y, task) for x, y in rows])  # type: ignore[arg-type]
            hand.consolidate(rows)
    if name == "gem":  # both sides read as many rows of each past task
        shares = list(learner.methods[0].memory.group_counts().values())  # type: ignore[attr-defined]
        assert shares[:2] == [len(y) for _, y in hand.past]

    def theirs() -> None:
        for x, y in tasks[2]:
            hand.observe(x, y, 2)

    rounds = 21 if name == "gem" else 81
    return race("step", len(given), observing(learner, tasks[2], 2), theirs, rounds)


def compiled(inputs: int, hidden: int) -> Rounds:
    """Engine(compile=True) against the eager learner: a ratio below 1 is a gain."""
    rows = batches(64, 25, inputs)
    fast = Learner(network(inputs, hidden), optimizer=SGD, engine=Engine(compile=True))
    eager = Learner(network(inputs, hidden), optimizer=SGD)
    return race("step", len(rows), observing(fast, rows), observing(eager, rows))


def compiled_beside_a_loader(inputs: int, hidden: int) -> Rounds:
    """Engine(compile=True) against an eager loop over a `DataLoader`, as tutorials write it."""
    rows = batches(64, 25, inputs)
    fast = Learner(network(inputs, hidden), optimizer=SGD, engine=Engine(compile=True))
    data = TensorDataset(*(torch.cat(column) for column in zip(*rows, strict=True)))
    loader = DataLoader(data, batch_size=64, shuffle=True)
    theirs = by_hand(plain(inputs, hidden), loader)
    return race("step", len(rows), observing(fast, rows), theirs)


def reservoir_insert() -> Rounds:
    """A new memory filled and kept full, against algorithm R row by row; batches of 64."""
    rows = [Batch((x * 255).byte(), y) for x, y in batches(64, 50)]

    def ours() -> None:
        store = memory.Reservoir(500)
        for batch in rows:
            store.add(batch)

    def theirs() -> None:
        kept_x, kept_y = torch.zeros(500, 784, dtype=torch.uint8), torch.zeros(500).long()
        seen = 0
        for batch in rows:
            for x, y in zip(batch.x, batch.y, strict=True):
                slot = seen if seen < len(kept_y) else random.randrange(seen + 1)
                seen += 1
                if slot < len(kept_y):
                    kept_x[slot], kept_y[slot] = x, y

    return race("row", 64 * len(rows), ours, theirs, rounds=21)


def reservoir_draw() -> Rounds:
    """Drawing 64 rows against a permutation of the memory and a stack of the rows."""
    store = memory.Reservoir(5000)
    for x, y in batches(500, 10):
        store.add(Batch((x * 255).byte(), y))
    held = store.rows()
    assert held is not None
    listed = list(zip(held.x, held.y, strict=True))

    def theirs() -> None:
        for _ in range(50):
            picked = [listed[i] for i in torch.randperm(len(listed))[:64].tolist()]
            torch.stack([x for x, _ in picked]), torch.stack([y for _, y in picked])

    return race("draw", 50, lambda: [store.sample(64) for _ in range(50)], theirs)


def row_by_row() -> Rounds:
    """The exact per-row Fisher of linear layers against autograd row by row."""
    learner, model = Learner(network()), plain()
    ((x, y),) = batches(256, 1)

    def theirs() -> None:
        total = [torch.zeros_like(p) for p in model.parameters()]
        for i in range(len(y)):
            loss = F.cross_entropy(model(x[i : i + 1]), y[i : i + 1])
            for t, g in zip(total, torch.autograd.grad(loss, model.parameters()), strict=True):
                t.addcmul_(g, g)

    return race("row", len(y), lambda: fisher(learner, [Batch(x, y)], "true"), theirs, rounds=11)


def imports() -> Rounds:
    """Importing the learner, methods and nets against importing torch alone, in new processes."""

    def spent(code: str) -> float:
        clock = "import time; start = time.process_time()\n"
        code = f"{clock}{code}\nprint(time.process_time() - start)"
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        return float(out.stdout)

    ours = "import perdure; perdure.Learner, perdure.methods, perdure.nets, perdure.streams"
    pairs = [(spent(ours), spent("import torch")) for _ in range(5)]
    return Rounds("import", [a for a, _ in pairs], [b for _, b in pairs])


CASES: dict[str, tuple[Callable[[], Rounds], float]] = {
    "bare, batch 64": (partial(bare, 64), 1.05),
    "bare, batch 1": (partial(bare, 1), 1.25),
    **{name: (partial(method, name), 1.10) for name in METHODS},
    "compiled 784-256-256 / eager": (partial(compiled, 784, 256), 1 / 1.4),
    "compiled 384-64-64 / eager": (partial(compiled, 384, 64), 1 / 1.4),
    "compiled 784-256-256 / loader": (partial(compiled_beside_a_loader, 784, 256), 1 / 1.4),
    "compiled 384-64-64 / loader": (partial(compiled_beside_a_loader, 384, 64), 1 / 1.4),
    "reservoir insert / loop": (reservoir_insert, 1.0),
    "reservoir draw / stack": (reservoir_draw, 1.0),
    "fisher / row by row": (row_by_row, 1 / 8),
    "import perdure / torch": (imports, 1.5),
}


def main() -> None:
    """Measure, print a table, and keep the numbers of a full run in benchmarks/results."""
    parser = options(__doc__)
    parser.add_argument("case", nargs="*", help=f"a word of a name, of: {'; '.join(CASES)}")
    wanted = parser.parse_args().case
    unknown = [word for word in wanted if not any(word in name for name in CASES)]
    if unknown:
        parser.error(f"no case has {unknown[0]!r} in its name; there are: {'; '.join(CASES)}")
    torch.set_num_threads(1)
    table = Table("case", "p50", "p25 to p75", "goal", "", "ours", "reference")
    kept = {}
    for name, (case, goal) in CASES.items():
        if wanted and not any(word in name for word in wanted):
            continue
        found = case()
        low, middle, high = found.ratios()
        costs = [1e6 * median(side) for side in (found.ours, found.theirs)]
        said = [f"{cost:,.1f} us a {found.what}" for cost in costs]
        mark = "ok" if middle <= goal else "missed"
        table.add_row(
            name, f"{middle:.3f}", f"{low:.3f} to {high:.3f}", f"<= {goal:.3f}", mark, *said
        )
        print(f"{name}: {middle:.3f} (goal {goal:.3f}), {said[0]}", flush=True)
        kept[name] = {
            **{
                key: round(r, 3)
                for key, r in zip(("p25", "p50", "p75"), found.ratios(), strict=True)
            },
            "goal": round(goal, 3),
            f"us a {found.what}": [round(cost, 2) for cost in costs],
        }
    Console().print(table)
    if not wanted:
        machine = {"processor": platform.machine(), "torch": torch.__version__}
        RESULTS.write_text(json.dumps({"machine": machine, "cases": kept}, indent=2) + "\n")


if __name__ == "__main__":
    main()
