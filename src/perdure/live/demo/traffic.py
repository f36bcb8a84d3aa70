"""Questions that never stop: what a swap, an update or an erasure must not disturb."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Self

import numpy as np

from perdure.client import Client
from perdure.errors import PerdureError
from perdure.live.demo.scenes import Pixels


class Traffic:
    """Asks the service one row after the other from a thread of its own.

    Args:
        client: of the service.
        x: rows (n, 64) to ask about; others may take their place at any time.
        pause: seconds between two questions.
    """

    def __init__(self, client: Client, x: Pixels, pause: float = 0.05) -> None:
        self.client = client
        self.x = x
        self.pause = pause
        self.answered: Counter[int] = Counter()
        self.failures: list[str] = []
        self.seconds: list[float] = []
        self._going = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._going.set()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop, and wait for the last answer."""
        self._going.clear()
        self._thread.join()

    def slowest(self, share: float = 0.99) -> float:
        """Seconds within which this share of the questions was answered."""
        return float(np.quantile(self.seconds, share)) if self.seconds else float("nan")

    def _ask(self) -> None:
        rng = np.random.default_rng(0)
        while self._going.is_set():
            rows = self.x
            row = rows[rng.integers(len(rows))]
            start = time.perf_counter()
            try:
                answer = self.client.predict([row.tolist()])[0]
            except PerdureError as error:
                self.failures.append(str(error))
            else:
                self.answered[answer.version] += 1
                self.seconds.append(time.perf_counter() - start)
            time.sleep(self.pause)
