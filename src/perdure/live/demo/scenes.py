"""What the demo's service lives through: handwritten digits, as they come in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.errors import require

Pixels = NDArray[np.float32]  # (n, 64), from 0 to 1
Labels = NDArray[np.int64]  # (n,)
VISITORS = 60
ERASED = "visitor-7"
POISONER = "mallory"


@dataclass(frozen=True)
class Scene:
    """Rows that come in together, and rows to test with afterwards.

    Args:
        name: for people.
        x, y: what comes in.
        test_x, test_y: never sent with their labels.
        source: who sends it.
    """

    name: str
    x: Pixels
    y: Labels
    test_x: Pixels
    test_y: Labels
    source: str = "web"

    def rows(self) -> Iterator[dict[str, Any]]:
        """As the service takes them."""
        for number, (pixels, label) in enumerate(zip(self.x, self.y, strict=True)):
            yield {
                "id": f"{self.name}-{number}",
                "features": pixels.tolist(),
                "label": str(label),
                "subject": f"visitor-{number % VISITORS}",
                "source": self.source,
            }


def scenes(seed: int = 0) -> tuple[list[Scene], Scene]:
    """Four scenes to learn from, and one that nobody should."""
    data = require("sklearn.datasets", "sklearn")
    x, y = data.load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    x, y = (x[order] / 16).astype(np.float32), y[order].astype(np.int64)
    test = np.arange(len(y)) % 5 == 0
    found = [_of_classes(x, y, test, range(*span)) for span in ((0, 4), (4, 7), (7, 10))]
    dark = np.clip(1 - x + rng.normal(scale=0.1, size=x.shape), 0, 1).astype(np.float32)
    found.append(Scene("inverted", dark[~test], y[~test], dark[test], y[test]))
    wrong = rng.permutation(np.flatnonzero(~test))[:500]
    poison = Scene("poison", x[wrong], (y[wrong] + 1) % 10, x[test], y[test], POISONER)
    return found, poison


def _of_classes(x: Pixels, y: Labels, test: NDArray[np.bool_], classes: range) -> Scene:
    mine = np.isin(y, list(classes))
    name = f"digits {classes[0]} to {classes[-1]}"
    return Scene(name, x[mine & ~test], y[mine & ~test], x[mine & test], y[mine & test])
