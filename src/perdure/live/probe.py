"""Load-and-query: a version is loaded from its files by a process of its own, and asked.

    python -m perdure.live.probe DIRECTORY VERSION [--against CHAMPION]

It loads as a server would, warms, asks held-out rows or the schema's example, and says in one line
of JSON what it found. Whatever a damaged version does, it does there: a crash, a hang or an answer
that is no answer is a finding, with its reason. Latency is a ratio of medians of interleaved calls
in that one process, which a busy machine slows alike.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from perdure.errors import PerdureError, UnseenTask
from perdure.learner import Learner
from perdure.live import evaluation
from perdure.live.probed import Probed
from perdure.live.project import Project
from perdure.model import takes_task

TIMEOUT_SECONDS = 120.0
ROWS, CALLS = 32, 30
Ask = tuple[Tensor, int | None]


def probe(
    directory: Path, version: int, against: int | None = None, timeout: float = TIMEOUT_SECONDS
) -> Probed:
    """Have another process load a version and ask it; death, silence and garbage are failures.

    Args:
        directory: of the project.
        version: to load.
        against: the champion, to compare the latency with; or None.
        timeout: seconds that it may take.
    """
    command = [sys.executable, "-m", "perdure.live.probe", str(directory), str(version)]
    command += [] if against is None else ["--against", str(against)]
    command += ["--seconds", str(int(timeout) + 5)]
    with subprocess.Popen(  # noqa: S603  # our own module, by the same Python
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            said, complaints = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            return Probed.failed(f"version {version} did not answer within {timeout:g} seconds")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # and what it may have started
    return _understood(version, process.returncode, said, complaints)


def _understood(version: int, code: int, said: bytes, complaints: bytes) -> Probed:
    if code < 0:
        name = signal.Signals(-code).name
        return Probed.failed(f"version {version}: the process that asked it died of {name}")
    try:
        found = Probed(**json.loads(said))
    except (ValueError, TypeError):
        last = complaints.decode(errors="replace").strip().splitlines()[-1:] or ["no complaint"]
        return Probed.failed(f"version {version} could not be asked: {last[0][:300]}")
    return found


# -- in the other process ------------------------------------------------------------------------


def inspect(project: Project, version: int, against: int | None = None) -> Probed:
    """Load a version in this process, ask it, and compare its speed with another's."""
    try:
        learner = project.load(version, cached=False)
        asks = questions(project, learner)
        classes = len(project.classes())
        before = _copy(learner)
        answers = [_answer(learner, ask) for ask in asks]
        reason = _fault(answers, asks, classes) or _unsteady(learner, asks, answers, before)
    except Exception as error:  # noqa: BLE001  # whatever it raises, it would raise in the server
        return Probed.failed(f"version {version} fails: {type(error).__name__}: {error}")
    if reason is not None:
        return Probed.failed(f"version {version}: {reason}")
    champion = None if against is None else project.load(against, cached=False)
    mine, other = _latency(learner, champion, asks)
    rows = sum(len(x) for x, _ in asks)
    return Probed(
        ok=True,
        reason=f"loaded from its files, it answered {rows} rows in {mine:.2f} ms",
        latency_ms=mine,
        latency_ratio=None if other is None else mine / other,
    )


def questions(project: Project, learner: Learner) -> list[Ask]:
    """Rows to ask, a batch for each task that the learner knows, or one batch of any.

    Raises:
        UnseenTask: it knows none of the tasks that rows came with.
    """
    held = evaluation.read(project)
    x, task = held.x[:ROWS], held.task[:ROWS]
    if not len(x):
        x = example(project)
    if not takes_task(learner.model):
        return [(x, None)]
    sql = "SELECT DISTINCT task FROM rows WHERE task IS NOT NULL LIMIT ?"
    said = [row["task"] for row in project.database.read(sql, (ROWS,))]
    asks: list[Ask] = [(x, one) for one in said]
    if len(held.x):
        asks = [(x[task == one], one) for one in task.unique().tolist()]
    known = [ask for ask in asks if _knows(learner, ask)]
    if not known:
        raise UnseenTask(f"the version has no part for any of the tasks {[t for _, t in asks]}")
    return known


def example(project: Project, rows: int = 4) -> Tensor:  # (rows, ...)
    """The schema's example, so many times: what to ask where nothing is held out."""
    data = np.frombuffer(project.schema.encode(project.schema.example()), dtype=np.uint8)
    return project.schema.decode(np.tile(data, (rows, 1)))


def _knows(learner: Learner, ask: Ask) -> bool:
    try:
        _answer(learner, ask)
    except UnseenTask:
        return False
    return True


def _answer(learner: Learner, ask: Ask) -> Tensor:
    return learner.predict(*ask)


def _copy(learner: Learner) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}


def _fault(answers: Sequence[Tensor], asks: Sequence[Ask], classes: int) -> str | None:
    for out, (x, _) in zip(answers, asks, strict=True):
        if out.dim() != 2 or len(out) != len(x) or not out.shape[1]:
            return f"{len(x)} rows were answered with {tuple(out.shape)}, not with (rows, classes)"
        if not out[:, :classes].isfinite().all():
            return "an answer is not finite"
    return None


def _unsteady(
    learner: Learner, asks: Sequence[Ask], answers: Sequence[Tensor], before: dict[str, Tensor]
) -> str | None:
    if any(
        not torch.equal(_answer(learner, ask), out) for ask, out in zip(asks, answers, strict=True)
    ):
        return "the same rows were answered differently the second time"
    after = learner.model.state_dict()
    changed = [name for name, tensor in before.items() if not torch.equal(after[name], tensor)]
    return f"answering changed {', '.join(changed[:5])}" if changed else None


def _latency(
    learner: Learner, champion: Learner | None, asks: Sequence[Ask]
) -> tuple[float, float | None]:
    """Median milliseconds to answer everything, of both, in turn."""
    mine, other = [], []
    theirs = [] if champion is None else [ask for ask in asks if _knows(champion, ask)]
    shared = theirs or asks
    for _ in range(CALLS):
        mine.append(_milliseconds(learner, shared))
        if champion is not None and theirs:
            other.append(_milliseconds(champion, shared))
    return statistics.median(mine), statistics.median(other) if other else None


def _milliseconds(learner: Learner, asks: Sequence[Ask]) -> float:
    began = time.perf_counter()
    for ask in asks:
        _answer(learner, ask).cpu()
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    """Say on standard output what was found; whatever the model prints goes elsewhere."""
    parser = argparse.ArgumentParser(description="Load a version and ask it.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("version", type=int)
    parser.add_argument("--against", type=int)
    parser.add_argument("--seconds", type=int, default=int(TIMEOUT_SECONDS))
    said = parser.parse_args()
    signal.alarm(said.seconds)  # nobody may be left to end it
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        with Project(said.directory) as project:
            found = inspect(project, said.version, said.against)
    except PerdureError as error:
        found = Probed.failed(str(error))
    os.write(answer, json.dumps(found.to_dict()).encode())


if __name__ == "__main__":
    main()
