"""What Prometheus scrapes: counted as it happens, and read from the project when it asks."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from perdure.live.project import Project
from perdure.live.service.batching import Batcher
from perdure.live.service.serving import Served, Server

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "perdure_requests_total",
            "Requests, by route and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "perdure_request_seconds",
            "Time from a request's first byte to its answer's last.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batches = Histogram(
            "perdure_batch_rows",
            "Rows of one forward pass.",
            buckets=ROWS,
            registry=self.registry,
        )
        self.predictions = Counter(
            "perdure_predictions_total",
            "Rows answered, by version and alias.",
            ["version", "alias"],
            registry=self.registry,
        )
        self.taskless = Counter(
            "perdure_predictions_without_task_total",
            "Rows answered without a task id though the schema has tasks.",
            registry=self.registry,
        )
        self.shadow = Counter(
            "perdure_shadow_rows_total",
            "Rows answered by the shadow too, by whether it agreed.",
            ["version", "agrees"],
            registry=self.registry,
        )
        self.examples = Counter(
            "perdure_examples_total", "Rows taken in.", ["status"], registry=self.registry
        )
        self.labels = Counter(
            "perdure_labels_total", "Labels taken in.", ["status"], registry=self.registry
        )

        # Looking a child up by its labels takes longer than counting.
        self._counts = cache(self.requests.labels)
        self._times = cache(self.seconds.labels)
        self._answers = cache(self.predictions.labels)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that took so long."""
        self._counts(method, route, status).inc()
        self._times(route).observe(seconds)

    def answered(self, version: int, alias: str, rows: int) -> None:
        """Count answers of a version under the alias by which it was asked."""
        self._answers(version, alias).inc(rows)

    def observe(
        self, project: Project, server: Server, batcher: Batcher[Served], started: float
    ) -> None:
        """Have gauges read from these whenever Prometheus asks."""
        self.registry.register(_State(project, server, batcher, started))

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)


class _State(Collector):
    def __init__(
        self, project: Project, server: Server, batcher: Batcher[Served], started: float
    ) -> None:
        self.project = project
        self.server = server
        self.batcher = batcher
        self.started = started

    def collect(self) -> Iterator[Metric]:
        project, server = self.project, self.server
        champion = project.registry.champion()
        head = project.log.head()
        learnt = 0 if champion is None else champion.upto
        held = project.database.value("SELECT count(*) FROM rows")
        drifts = project.database.value("SELECT max(id) FROM drifts")
        yield gauge("queue_rows", "Rows that wait for an answer.", self.batcher.queued)
        yield gauge("log_rows", "Rows in the log.", held)
        yield gauge("log_head", "Labelled rows that ever came.", head)
        yield gauge("lag_rows", "Labelled rows that the champion has not learnt.", head - learnt)
        yield gauge("drifts", "Drifts that were ever found.", drifts or 0)
        yield gauge("generation", "Changes of an alias.", project.registry.generation())
        yield gauge("switches", "Changes of who serves, in this process.", server.switches)
        yield gauge("versions_in_memory", "Versions not yet freed.", len(server.living))
        yield gauge("load_failures", "Versions that could not be loaded.", len(server.failures))
        yield gauge("disk_bytes", "Bytes of the state directory.", bytes_of(project.directory))
        yield gauge("resident_bytes", "Resident memory of this process.", resident_bytes())
        yield gauge("start_time_seconds", "When this process began to serve.", self.started)
        yield self._aliases()
        yield self._accuracy()

    def _aliases(self) -> Metric:
        family = GaugeMetricFamily("perdure_version", "Versions by alias.", labels=["alias"])
        for alias, number in self.project.registry.aliases().items():
            family.add_metric([alias], number)
        return family

    def _accuracy(self) -> Metric:
        family = GaugeMetricFamily(
            "perdure_accuracy",
            "Of each version on the rows that it was asked, over its last 500 outcomes.",
            labels=["version"],
        )
        found = self.project.database.read(
            "SELECT version, avg(predicted = label) AS accuracy FROM"
            " (SELECT version, predicted, label FROM outcomes ORDER BY seq DESC LIMIT 500)"
            " GROUP BY version"
        )
        for row in found:
            family.add_metric([str(row["version"])], row["accuracy"])
        return family


def gauge(name: str, help_: str, value: float) -> Metric:
    """One number without labels."""
    return GaugeMetricFamily(f"perdure_{name}", help_, value=value)


def bytes_of(directory: Path) -> int:
    """Bytes of all files under a directory; those that vanish meanwhile count as nothing."""
    return sum(
        _size(Path(folder) / name) for folder, _, names in os.walk(directory) for name in names
    )


def resident_bytes() -> int:
    """Resident memory of this process; its peak where the system does not say."""
    said = Path("/proc/self/statm")
    if said.exists():
        return int(said.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
