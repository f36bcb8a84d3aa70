"""The demo as it happens: each scene goes to the service, and what the loop does is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perdure.client import Client
from perdure.live.demo.beginning import begin, served
from perdure.live.demo.rivals import Rival
from perdure.live.demo.scenes import ERASED, Scene, scenes
from perdure.live.demo.traffic import Traffic
from perdure.live.ledger import entries
from perdure.live.project import Project

Tell = Callable[[str], None]
QUIET_SECONDS = 2.0
PATIENCE = 90.0


@dataclass(frozen=True)
class Played:
    """What came of the demo.

    Args:
        live: the loop's accuracy, a line a scene; its FLOPs are the ledger's.
        frozen: the first version, left alone.
        requests: answered while all this happened.
        failures: what the others were told.
        slowest: seconds within which 99 of 100 questions were answered.
        poison: what became of the poisoned rows: "refuse" or another word of the gate.
        rollback_seconds: from the request to the answer.
    """

    live: Rival
    frozen: Rival
    requests: int
    failures: list[str]
    slowest: float
    poison: str
    rollback_seconds: float


def play(directory: Path, tell: Tell) -> Played:
    """Let the service live through the scenes; takes about a minute.

    Raises:
        PerdureError: the service did not come up, or an update did not end.
    """
    learnt, poison = scenes()
    live, frozen = Rival("perdure, live"), Rival("deployed once, left alone")
    token = begin(directory)
    with served(directory, token) as client:
        _first(client, learnt[0], tell)
        everything = np.concatenate([scene.test_x for scene in learnt])
        with Traffic(client, everything) as traffic:
            for scene in learnt:
                if scene is not learnt[0]:
                    _lives_through(client, scene, tell)
                live.accuracy.append([accuracy(client, held) for held in learnt])
                frozen.accuracy.append([accuracy(client, held, 1) for held in learnt])
            word = _poisoned(client, poison, tell)
            _erased(client, directory, tell)
            seconds = _rolled_back(client, tell)
    with Project(directory) as project:
        spent = [entry.flops for entry in entries(project)]
    live.flops, frozen.flops = sum(spent), spent[0]
    answered = sum(traffic.answered.values())
    return Played(
        live, frozen, answered, traffic.failures, traffic.slowest(), word, seconds
    )


def accuracy(client: Client, scene: Scene, version: int | None = None) -> float:
    """On a scene's test rows, over HTTP."""
    answers = client.predict(scene.test_x.tolist(), version=version)
    return float(np.mean([a.label == str(y) for a, y in zip(answers, scene.test_y, strict=True)]))


def _first(client: Client, scene: Scene, tell: Tell) -> None:
    tell(f"[bold]{scene.name}[/] come in: {len(scene.y)} labelled rows, and a first update")
    client.ingest(scene.rows())
    client.update("the first rows", wait=True)
    _until_quiet(client)
    _tell_verdict(client, tell)


def _lives_through(client: Client, scene: Scene, tell: Tell) -> None:
    drifts = len(client.drifts())
    tell(f"[bold]{scene.name}[/] come in: {len(scene.y)} labelled rows; nobody asks for an update")
    client.ingest(scene.rows())
    _until_quiet(client)
    for drift in reversed(client.drifts()[: len(client.drifts()) - drifts]):
        tell(f"  drift: {drift['detector']} at example {drift['seq']}")
    _tell_verdict(client, tell)


def _poisoned(client: Client, poison: Scene, tell: Tell) -> str:
    tell(f"[bold]poison[/]: {poison.source} sends {len(poison.y)} rows with wrong labels")
    before = client.status()["champion"]["version"]
    client.ingest(poison.rows())
    _until_quiet(client)
    held = client.status()
    if held["champion"]["version"] == before and not held["log"]["quarantined"]:
        client.update("have the gate look at what came in", wait=True)
    return _tell_verdict(client, tell)


def _erased(client: Client, directory: Path, tell: Tell) -> None:
    tell(f"[bold]erasure[/]: {ERASED} wants to be forgotten")
    receipt = client.erase(ERASED)
    left = [path.name for path in sorted(directory.rglob("*")) if _names(path, ERASED.encode())]
    tell(f"  {receipt['rows']} rows are gone; files that still name {ERASED}: {left or 'none'}")


def _rolled_back(client: Client, tell: Tell) -> float:
    start = time.perf_counter()
    moved = client.rollback("to show that it can be done")
    seconds = time.perf_counter() - start
    tell(f"[bold]rollback[/]: version {moved.version} serves again after {seconds:.2f} s")
    return seconds


def _names(path: Path, name: bytes) -> bool:
    return path.is_file() and name in path.read_bytes()


def _until_quiet(client: Client) -> None:
    """Wait until everything was scored, no update runs, and none was begun for a moment."""
    end, quiet = time.monotonic() + PATIENCE, time.monotonic()
    while time.monotonic() < end and time.monotonic() - quiet < QUIET_SECONDS:
        held = client.status()
        behind = held["log"]["scored"] < held["log"]["head"]
        switching = held["champion"] and held["service"]["version"] != held["champion"]["version"]
        if held["job"] is not None or behind or switching:
            quiet = time.monotonic()
        time.sleep(0.2)


def _tell_verdict(client: Client, tell: Tell) -> str:
    verdict: dict[str, Any] = client.verdicts()[0]
    tell(f"  gate: {verdict['verdict']}: {verdict['report']['reasons'][0]}")
    return str(verdict["verdict"])


