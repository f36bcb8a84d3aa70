"""What a frozen encoder costs, once and from then on, and what half precision does to accuracy.

    OMP_NUM_THREADS=1 python benchmarks/encoders.py

20,000 texts of CLINC150 go through all-MiniLM-L6-v2 on one thread, with their features kept on the
disk; a second pass, by an encoder made anew, reads them. Then all training and test texts go
through in half precision, and closed forms answer from either's features. Seconds are of one core,
beside whatever else runs: `busy` says how many processes wanted one, on the mean of a minute.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from options import options
from torch import Tensor

from perdure.batch import Batch
from perdure.bench.running import environment
from perdure.learner import Learner
from perdure.method import Method
from perdure.methods import NCM, SLDA
from perdure.nets import Classifier, Flat, NoHead, TextEncoder, encoder
from perdure.nets.encoders.text import as_texts
from perdure.streams import Data, load, text_rows

ROWS, BATCH = 20_000, 256
METHODS: tuple[Callable[[], Method], ...] = (NCM, SLDA)


def passed(by: TextEncoder, x: Tensor) -> tuple[Tensor, float, float]:
    """Features of all rows; seconds of the clock, and of the processor."""
    clock, cpu = time.perf_counter(), time.process_time()
    features = torch.cat([by(part) for part in x.split(BATCH)])
    return features, time.perf_counter() - clock, time.process_time() - cpu


def two_passes(x: Tensor) -> dict[str, object]:
    """Encode, then read."""
    with tempfile.TemporaryDirectory() as folder:
        first, *encoding = passed(encoder("text").cached(folder), x)
        (file,) = Path(folder).iterdir()
        again = encoder("text").cached(folder)
        second, *reading = passed(again, x)
        assert torch.equal(first, second)
        assert again.cache is not None
        return {
            "rows": len(x),
            "distinct": len(again.cache),
            "encoding": {"seconds": encoding[0], "cpu_seconds": encoding[1]},
            "reading": {"seconds": reading[0], "cpu_seconds": reading[1]},
            "texts_per_cpu_second": len(x) / encoding[1],
            "times_faster": encoding[1] / reading[1],
            "bytes": file.stat().st_size,
        }


def accuracies(data: Data, features: dict[str, tuple[Tensor, Tensor]]) -> dict[str, object]:
    """Of each closed form on each precision's features."""
    found: dict[str, object] = {}
    for make in METHODS:
        for precision, (train, test) in features.items():
            learner = Learner(Classifier(Flat(train.shape[1]), NoHead(train.shape[1])), make())
            for rows in torch.arange(len(train)).split(BATCH):
                learner.observe(Batch(train[rows], data.train_y[rows]))
            right = learner.predict(test).argmax(1) == data.test_y
            name = f"{type(learner.methods[0]).__name__} {precision}"
            found[name] = float(right.float().mean())
    return found


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="texts; %(default)s")
    results = Path(__file__).parent / "results" / "features.json"
    parser.add_argument("--out", type=Path, default=results, help="where the numbers go")
    said = parser.parse_args()
    torch.set_num_threads(1)
    data = load("clinc150")
    both = torch.cat((data.train_x, data.test_x))
    texts = as_texts(both)
    x = text_rows([*texts, *(f"please, {text}" for text in texts)][: said.rows])
    found = two_passes(x)
    cache = Path.home() / ".cache" / "perdure" / "features"
    features, rates = {}, {}
    for precision in ("fp32", "bf16"):
        by = encoder("text", precision=precision)
        if precision == "fp32":
            by.cached(cache)
        train, _, spent = passed(by, data.train_x)
        test, _, more_spent = passed(by, data.test_x)
        features[precision] = train, test
        rates[precision] = len(both) / (spent + more_spent)
    whole, half = features["fp32"][1], features["bf16"][1]
    found |= {
        "bf16": {
            "texts_per_cpu_second": rates["bf16"],
            "least_cosine": float(torch.cosine_similarity(whole, half).min()),
            "accuracy": accuracies(data, features),
        },
        "busy": os.getloadavg()[0],
        "cores": os.cpu_count(),
        "environment": environment(),
    }
    said.out.parent.mkdir(parents=True, exist_ok=True)
    said.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
