"""The reference's own random numbers: what in its line of SI is rule, and what is rounding.

    python benchmarks/rounding.py           # half an hour on two cores; goes on where it stopped

GMvandeVen/continual-learning drew its weights and the order of its rows from torch's generator at
seed 2. Drawn alike, a plain loop ends at its published number to the last digit. The same loop with
a layer's product and bias in one call, and perdure from the same weights on the same batches, do
the same sums in another order, which under penalties as stiff as these is another run. The table
goes to benchmarks/results/rounding.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import mean

import torch
import torch.nn.functional as F
from options import options
from spread import spread
from torch import Tensor, nn

from perdure import Batch, Learner, methods
from perdure.streams.data import fashion_mnist

RESULTS = Path(__file__).parent / "results" / "rounding.json"
ORDER = (3, 1, 5, 6, 0, 2, 7, 4, 9, 8)
OUTPUTS = {"domain": 2, "class": 10}
STRENGTH = {"domain": 5e4, "class": 5e3}
PUBLISHED = {"domain": 87.61, "class": 29.42}
WHO = {
    "apart": "plain loop, product and bias apart (the reference's way)",
    "joined": "plain loop, product and bias in one call",
    "perdure": "perdure",
}
SEEDS = {"domain": (2, 3, 4), "class": (2, 3)}
Observe = Callable[[Tensor, Tensor], object]


def weights(outputs: int) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of three layers, drawn in the reference's order: each of them twice."""
    layers = []
    for inputs, width in pairwise((784, 400, 400, outputs)):
        layers.append((torch.empty(width, inputs), torch.empty(width)))
        torch.empty(width).uniform_(1, 1)  # a buffer of ones, which draws nevertheless
        draw(layers[-1])
    for layer in layers:
        draw(layer)
    return layers


def draw(layer: tuple[Tensor, Tensor]) -> None:
    """Uniform in +- 1 / sqrt(inputs)."""
    for tensor in layer:
        tensor.uniform_(-1 / math.sqrt(layer[0].shape[1]), 1 / math.sqrt(layer[0].shape[1]))


def seeds_drawn(count: int) -> int:
    """The last of so many seeds that a DataLoader takes from torch's generator."""
    return [int(torch.empty((), dtype=torch.int64).random_()) for _ in range(count)][-1]


def shuffled(rows: int, updates: int) -> Iterator[Tensor]:
    """Indices of batches of 128, as a DataLoader shuffles them, without the last partial one."""
    while True:
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(seeds_drawn(2)))
        for batch in order.split(128)[: rows // 128]:
            yield batch
            updates -= 1
            if not updates:
                return


def network(layers: list[tuple[Tensor, Tensor]], apart: bool) -> nn.Sequential:
    """784-400-400-outputs with these weights."""
    modules: list[nn.Module] = []
    for weight, bias in layers:
        linear = (
            Apart(weight.shape[1], weight.shape[0]) if apart else nn.Linear(*weight.shape[::-1])
        )
        linear.weight.data, linear.bias.data = weight.clone(), bias.clone()
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


class Apart(nn.Linear):
    """The product first, then the bias: in exact numbers the same."""

    def forward(self, x: Tensor) -> Tensor:
        return x.matmul(self.weight.t()) + self.bias


def plain(net: nn.Sequential, strength: float) -> tuple[Observe, Callable[[], None]]:
    """SI as a loop without perdure: what to do with a batch, and where a task ends."""
    params = list(net.parameters())
    optimiser = torch.optim.Adam(params, lr=1e-3)
    omega: list[Tensor] = []
    anchor, last = ([p.detach().clone() for p in params] for _ in range(2))
    path = [torch.zeros_like(p) for p in params]

    def observe(x: Tensor, y: Tensor) -> None:
        optimiser.zero_grad()
        loss = F.cross_entropy(net(x), y)
        if omega:
            held = zip(omega, params, anchor, strict=True)
            loss = loss + strength * sum((o * (p - a) ** 2).sum() for o, p, a in held)
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            for p, walked, before in zip(params, path, last, strict=True):
                walked.add_(-p.grad * (p - before))
                before.copy_(p)

    @torch.no_grad()
    def consolidate() -> None:
        gains = [w / ((p - a) ** 2 + 0.1) for w, p, a in zip(path, params, anchor, strict=True)]
        omega[:] = [o + g for o, g in zip(omega, gains, strict=True)] if omega else gains
        for p, walked, before in zip(params, path, anchor, strict=True):
            walked.zero_()
            before.copy_(p)

    return observe, consolidate


def ours(net: nn.Sequential, strength: float) -> tuple[Observe, Callable[[], None]]:
    """The same with perdure's learner and method."""
    adam = partial(torch.optim.Adam, lr=1e-3)
    learner = Learner(net, methods.SI(strength), optimizer=adam)
    return lambda x, y: learner.observe(Batch(x, y)), learner.consolidate


def run(who: str, scenario: str, seed: int) -> float:
    """Accuracy in percent, the mean over tasks after the last one."""
    torch.set_num_threads(1)
    data = fashion_mnist()
    place = torch.tensor(ORDER).argsort()  # a label's place in the order, two to a task
    x, y = data.train_x.flatten(1) / 255, place[data.train_y]
    x_test, y_test = data.test_x.flatten(1) / 255, place[data.test_y]
    outputs = OUTPUTS[scenario]
    torch.manual_seed(seed)
    drawn = weights(outputs)
    state = torch.get_rng_state()  # making modules draws as well
    net = network(drawn, apart=who == "apart")
    observe, consolidate = (ours if who == "perdure" else plain)(net, STRENGTH[scenario])
    torch.set_rng_state(state)
    accuracy: list[float] = []
    for task in range(5):
        mine = y // 2 == task
        rows, labels = x[mine], y[mine] % outputs
        for at in shuffled(len(labels), 2000):
            observe(rows[at], labels[at])
        consolidate()
        accuracy = []
        for past in range(task + 1):
            seeds_drawn(2)  # the reference measures through a DataLoader too
            asked = y_test // 2 == past
            with torch.no_grad():
                right = net(x_test[asked]).argmax(1) == y_test[asked] % outputs
            accuracy.append(100 * right.float().mean().item())
    return mean(accuracy)


def table(found: dict[str, float]) -> str:
    """Every run, with means, in Markdown."""
    lines = [
        "# SI from the reference's own random numbers",
        "",
        "Final average accuracy in percent on Split Fashion-MNIST under the reference's protocol;",
        "`python benchmarks/rounding.py` writes it. Weights and batches of a column are the same",
        "in all its lines; seed 2 is the reference's own run.",
        f"torch {torch.__version__}, CPU, one thread.",
    ]
    for scenario, seeds in SEEDS.items():
        head = " | ".join(f"seed {seed}" for seed in seeds)
        lines += ["", f"## {scenario}: published {PUBLISHED[scenario]} at seed 2", ""]
        lines += [f"| | {head} | mean |", "|---" * (len(seeds) + 2) + "|"]
        for who, words in WHO.items():
            ends = [found[key] for seed in seeds if (key := f"{who} {scenario} {seed}") in found]
            cells = " | ".join(f"{end:.2f}" for end in ends)
            if len(ends) == len(seeds):
                lines.append(f"| {words} | {cells} | {spread(ends)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing, then write the table."""
    parser = options(__doc__)
    parser.add_argument("--workers", type=int, default=2, help="processes at a time; %(default)s")
    workers = parser.parse_args().workers
    found: dict[str, float] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    cases = [(who, scenario, seed) for scenario in SEEDS for seed in SEEDS[scenario] for who in WHO]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        missing = [case for case in cases if " ".join(map(str, case)) not in found]
        running = {pool.submit(run, *case): case for case in missing}
        for done in as_completed(running):
            name = " ".join(map(str, running[done]))
            found[name] = round(done.result(), 2)
            print(f"{name}: {found[name]:.2f}", flush=True)
            RESULTS.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    RESULTS.with_suffix(".md").write_text(table(found))


if __name__ == "__main__":
    main()
