"""The Fisher information of every row against autograd row by row, as a ratio of CPU time.

One thread; rounds alternate between the two sides and the median counts. Both sides are exact:
see tests/families/test_fisher.py.

    python benchmarks/fisher.py     # a minute
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
import torch.nn.functional as F
from options import options
from torch import Tensor, nn

from perdure import Batch, Learner, nets
from perdure.families.fisher import Labels, fisher

ROUNDS, ROWS, BY_HAND = 5, 2048, 64  # rows of a round, and how many of them go row by row


def loop(model: nn.Module, batch: Batch, labels: Labels) -> list[Tensor]:
    """What one would write: each row its own backward pass, or one a class."""
    params = list(model.parameters())
    total = [torch.zeros_like(p) for p in params]
    tasks = [()] * len(batch) if batch.task is None else batch.task.split(1)
    for x, y, task in zip(batch.x.split(1), batch.y, tasks, strict=True):
        args = (x, task) if len(task) else (x,)
        log_p = F.log_softmax(model(*args), 1)[0]
        p = log_p.detach().exp().tolist() if labels == "model" else {int(y): 1.0}
        classes = [c for c in range(len(log_p)) if p[c] > 0] if labels == "model" else list(p)
        for c in classes:
            grads = torch.autograd.grad(log_p[c], params, retain_graph=True, allow_unused=True)
            for t, g in zip(total, grads, strict=True):
                if g is not None:
                    t.addcmul_(g, g, value=p[c])
    return [t / len(batch) for t in total]


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """One line for each architecture and kind of labels."""
    options(__doc__).parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y = torch.rand(ROWS, 784), torch.randint(10, (ROWS,))
    heads = {task: [2 * task, 2 * task + 1] for task in range(5)}
    cases = {
        "MLP 784-256-256-10": (nets.MLP(784, (256, 256)), nets.FixedHead(256, 10), Batch(x, y)),
        "MLP 784-400-400, multi-head": (
            nets.MLP(784, (400, 400)),
            nets.MultiHead(400, heads),
            Batch(x, y, y // 2),
        ),
    }
    kinds: tuple[Labels, ...] = ("true", "model")
    for name, (backbone, head, batch) in cases.items():
        model = nets.Classifier(backbone, head)
        learner = Learner(model)
        for labels in kinds:
            ours = partial(fisher, learner, [batch], labels)
            theirs = partial(loop, model, batch[:BY_HAND], labels)
            ours(), theirs()
            pairs = [(seconds(ours) / ROWS, seconds(theirs) / BY_HAND) for _ in range(ROUNDS)]
            ratio = median(b / a for a, b in pairs)
            print(
                f"{name}, labels={labels!r}: {1e6 * median(a for a, _ in pairs):.1f} us a row, "
                f"{1e6 * median(b for _, b in pairs):.0f} row by row: {ratio:.1f} times as fast"
            )


if __name__ == "__main__":
    main()
