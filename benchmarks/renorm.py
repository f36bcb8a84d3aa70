"""What batch renormalisation is worth over 391 small batches that are unlike each other.

    python benchmarks/renorm.py                 # all, three seeds: minutes
    python benchmarks/renorm.py "ar1*" renorm   # only what has these words in its name

After NICv2-391 of CORe50 (Lomonaco et al. 2020), on Fashion-MNIST: a first batch of eight classes,
then 390 batches of 30 rows of one class, an old one or, over the first third, a new one. A CNN
learns each batch in two passes of three updates, and a boundary ends it. The number is the
accuracy over the first 2,000 test rows at the end; published with MobileNet on CORe50: AR1* 56.3
with batch renormalisation and 15.7 with batch normalisation, CWR* 57.0, naive 8.0.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from statistics import mean, stdev

import torch
import torch.nn.functional as F
from commit import commit
from options import options
from spread import spread
from torch import Generator, Tensor, nn

from perdure import Batch, Learner, Method
from perdure.methods import AR1Star, CWRStar
from perdure.nets import CNN, BatchRenorm2d, Classifier, ConsolidatedHead, GrowingHead, Limits
from perdure.streams import load

RESULTS = Path(__file__).parent / "results" / "renorm.json"
SEEDS = (0, 1, 2)
BATCHES, ROWS, SIZE, EPOCHS = 391, 30, 10, 2  # rows of a batch, of an update, passes over a batch
FIRST, KNOWN, PASSES = 1600, 8, 3  # rows of the first batch, its classes, and passes over it
LR = 0.3
LIMITS = Limits(rmax=1.25, dmax=0.5, warmup=0, rsteps=96, dsteps=96, momentum=0.1, later=1e-3)

NORMS: Mapping[str, Callable[[int], nn.Module] | None] = {
    "renorm": lambda features: BatchRenorm2d(features, LIMITS),
    "batch": nn.BatchNorm2d,
    "none": None,
}
loaded = cache(load)
METHODS: Mapping[str, Callable[[], list[Method]]] = {
    "ar1*": lambda: [AR1Star()],
    "cwr*": lambda: [CWRStar()],
    "naive": list,
}


def small(x: Tensor) -> Tensor:  # (n, 1, 28, 28) uint8 -> (n, 1, 14, 14) in [0, 1]
    """Images at half their size: the question is one of batches, not of pixels."""
    return F.avg_pool2d(x.float() / 255, 2)


def stream(seed: int) -> Iterator[Batch]:
    """The batches, in their order."""
    data = loaded("fashion-mnist")
    rng = Generator().manual_seed(seed)
    order = torch.randperm(10, generator=rng).tolist()
    rows = {c: (data.train_y == c).nonzero().flatten() for c in order}
    left = {c: iter(r[torch.randperm(len(r), generator=rng)].tolist()) for c, r in rows.items()}

    def drawn(classes: list[int], each: int) -> Batch:
        picked = torch.tensor([next(left[c]) for c in classes for _ in range(each)])
        picked = picked[torch.randperm(len(picked), generator=rng)]
        return Batch(small(data.train_x[picked]), data.train_y[picked])

    yield drawn(order[:KNOWN], FIRST // KNOWN)
    for number in range(1, BATCHES):
        here = min(10, KNOWN + (10 - KNOWN) * 3 * number // BATCHES)
        yield drawn([order[int(torch.randint(here, (), generator=rng))]], ROWS)


def accuracy(norm: str, method: str, seed: int) -> float:
    """At the end of the stream, over all ten classes."""
    torch.manual_seed(seed)
    backbone = CNN(1, 8, NORMS[norm])
    methods = METHODS[method]()
    head = (ConsolidatedHead if methods else GrowingHead)(backbone.out_features)
    sgd = partial(torch.optim.SGD, lr=LR)
    learner = Learner(Classifier(backbone, head), *methods, optimizer=sgd, seed=seed)
    for number, batch in enumerate(stream(seed)):
        for epoch in range(EPOCHS if number else PASSES):
            shown = batch if epoch == 0 else batch.seen()
            for start in range(0, len(batch), SIZE):
                learner.observe(shown[start : start + SIZE])
        learner.consolidate()
    data = loaded("fashion-mnist")
    x, y = small(data.test_x[torch.arange(2000)]), data.test_y[:2000]
    return float((learner.predict(x).argmax(1) == y).float().mean())


def main() -> None:
    """Measure, print, and keep the numbers of a full run."""
    parser = options(__doc__)
    parser.add_argument(
        "word",
        nargs="*",
        help=f"of a case: {', '.join(METHODS)}; {', '.join(NORMS)}. Without any the numbers of "
        f"all cases go to benchmarks/results/{RESULTS.name}",
    )
    wanted, began = parser.parse_args().word, time.process_time()
    unknown = [word for word in wanted if word not in {*METHODS, *NORMS}]
    if unknown:
        parser.error(f"no case has the word {unknown[0]!r}; see --help")
    torch.set_num_threads(1)
    cases = {}
    for method in METHODS:
        for norm in NORMS:
            name = f"{method} {norm}"
            if all(word in name.split() for word in wanted):
                found = [100 * accuracy(norm, method, seed) for seed in SEEDS]
                cases[name] = {
                    "mean": round(mean(found), 2),
                    "std": round(stdev(found), 2),
                    "seeds": [round(one, 2) for one in found],
                }
                print(f"{name}: {spread(found)}", flush=True)
    machine = {
        "processor": platform.machine(),
        "torch": torch.__version__,
        "commit": commit(),
        "cpu seconds": round(time.process_time() - began),
    }
    if not wanted:
        RESULTS.write_text(json.dumps({"machine": machine, "accuracy": cases}, indent=2) + "\n")


if __name__ == "__main__":
    main()
