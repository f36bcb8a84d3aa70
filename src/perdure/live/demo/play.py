"""The demo as it happens: each scene goes to the service, and what the loop does is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from perdure.client import Client
from perdure.errors import PerdureError
from perdure.live.demo.beginning import begin, served
from perdure.live.demo.scenes import ERASED, Scene
from perdure.live.demo.traffic import Traffic

Tell = Callable[[str, str], None]
"""Is told what an event is called, "" for what follows from the last one, and a sentence."""
REST: Final = 120
"""Rows of a scene that come in last: answered by a version that has learnt the others."""
POLL_SECONDS, PATIENCE = 0.2, 90.0


@dataclass(frozen=True)
class Played:
    """What came of the demo.

    Args:
        champions: the version that served at the end of each scene.
        last: the newest version before the poison.
        requests: questions answered while all this happened.
        failures: what the others were told.
        slowest: seconds within which 99 of 100 questions were answered.
        poison: what became of the poisoned rows: "refuse" or another word of the gate.
        rollback_seconds: from the request to the answer.
    """

    champions: list[int]
    last: int
    requests: int
    failures: list[str]
    slowest: float
    poison: str
    rollback_seconds: float


def play(directory: Path, learnt: list[Scene], poison: Scene, tell: Tell) -> Played:
    """Let the service live through the scenes; takes about a minute.

    Args:
        directory: of the state; an earlier demo's is replaced.
        learnt: scenes to learn from.
        poison: one that nobody should.
        tell: what happens.

    Raises:
        PerdureError: the service did not come up, or did not come to rest.
    """
    with served(directory, begin(directory)) as client:
        champions = [_lives_through(client, learnt[0], tell, "the first rows")]
        with Traffic(client, learnt[0].test_x) as traffic:
            for scene in learnt[1:]:
                traffic.x = scene.test_x
                champions.append(_lives_through(client, scene, tell))
            last = client.versions()[0].version
            word = _poisoned(client, poison, tell)
            _erased(client, directory, tell)
            seconds = _rolled_back(client, tell)
    answered = sum(traffic.answered.values())
    return Played(champions, last, answered, traffic.failures, traffic.slowest(), word, seconds)


def _lives_through(client: Client, scene: Scene, tell: Tell, reason: str = "") -> int:
    """Most rows come in, are learnt, then the others; the version that serves in the end.

    Args:
        client: of the service.
        scene: whose rows.
        tell: what happens.
        reason: for an update that is asked for; "" waits for the loop's own.
    """
    rows = list(scene.rows())
    how = "a first update" if reason else "nobody asks for an update"
    tell(scene.name, f"{len(rows) - REST} labelled rows come in; {how}")
    _learn(client, rows[:-REST], tell, reason)
    tell("", f"{REST} more come in, for the version that serves now")
    client.ingest(rows[-REST:])
    return int(_at_rest(client)["champion"]["version"])


def _poisoned(client: Client, poison: Scene, tell: Tell) -> str:
    tell("poison", f"{poison.source} sends {len(poison.y)} rows with wrong labels")
    return _learn(client, list(poison.rows()), tell)


def _learn(client: Client, rows: list[dict[str, Any]], tell: Tell, reason: str = "") -> str:
    """Send rows; what the gate said of the update that they led to."""
    drifts, verdicts = len(client.drifts()), len(client.verdicts())
    client.ingest(rows, chunk=len(rows))
    if reason:
        client.update(reason, wait=True)
    _at_rest(client)
    for drift in client.drifts()[: len(client.drifts()) - drifts][::-1]:
        tell("", f"drift: {drift['detector']}, at example {drift['seq']}")
    if len(client.verdicts()) == verdicts:
        tell("", "nothing called for an update, so one is asked for")
        client.update("what came in is to be judged", wait=True)
        _at_rest(client)
    newest = client.verdicts()[0]
    tell("", f"gate: {newest['verdict']}: {newest['report']['reasons'][0]}")
    return str(newest["verdict"])


def _erased(client: Client, directory: Path, tell: Tell) -> None:
    tell("erasure", "a visitor wants to be forgotten")
    receipt = client.erase(ERASED)
    left = [path.name for path in sorted(directory.rglob("*")) if _names(path, ERASED.encode())]
    tell("", f"{receipt['rows']} rows are gone; files that still name the visitor: {_all(left)}")


def _rolled_back(client: Client, tell: Tell) -> float:
    before = client.status()["champion"]["version"]
    start = time.perf_counter()
    moved = client.rollback("to show that it can be done")
    seconds = time.perf_counter() - start
    tell("rollback", f"version {moved.version} serves again after {seconds:.2f} s")
    client.promote(before, "the rollback was but shown")
    tell("", f"and forward: version {before} serves")
    return seconds


def _names(path: Path, name: bytes) -> bool:
    return path.is_file() and name in path.read_bytes()


def _all(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _at_rest(client: Client) -> dict[str, Any]:
    """The status once all is scored, no update runs or is due, and the champion answers.

    Raises:
        PerdureError: it did not come to that.
    """
    end, calm = time.monotonic() + PATIENCE, 0
    while calm < 2:  # an update may be asked for while a status is put together
        held = client.status()
        champion = held["champion"] or {"version": held["service"]["version"]}
        behind = held["log"]["scored"] < held["log"]["head"]
        learns = held["job"] is not None or held["next"]["due"] is not None
        switches = held["service"]["version"] != champion["version"]
        calm = 0 if behind or learns or switches else calm + 1
        if time.monotonic() > end:
            raise PerdureError(f"the service did not come to rest within {PATIENCE:.0f} s")
        time.sleep(POLL_SECONDS)
    return held
