"""A grid goes on where it was, whatever stopped it."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from typer.testing import CliRunner

from perdure.bench import Experiment, NoResult, Result, Results, finished, grid, pending
from perdure.cli import app
from perdure.errors import InvalidValue

OPTIONS = (
    *("bench", "--methods", "naive,frozen", "--seeds", "2", "--hidden", "16,16"),
    *("--steps", "150", "--batch-size", "8", "--workers", "1", "--no-report", "--out"),
)
PERDURE = (sys.executable, "-c", "from perdure.cli import main; main()")


def test_a_grid_is_the_product_of_methods_scenarios_and_seeds(small: Experiment) -> None:
    """Each once, with the data and the budget of the base, and settings where they belong."""
    settings = {"replay": {"rows": 4}}
    made = grid(small, ["ewc", "replay", "er"], ["task", "class"], range(3), settings)
    assert 2 * 2 * 3 == len({experiment.key for experiment in made}) == len(made)
    assert {small.schedule} == {experiment.schedule for experiment in made}
    assert {4} == {e.resolved["rows"] for e in made if e.method == "er"}
    assert [{}] * 6 == [e.settings for e in made if e.method == "ewc"]


def test_an_unknown_method_is_refused(small: Experiment) -> None:
    """Before any process starts."""
    with pytest.raises(InvalidValue, match="did you mean 'si'"):
        grid(small, ["s1"], ["task"], [0])


def test_finished_and_refused_runs_are_not_repeated_and_failed_ones_are(
    tmp_path: Path, naive: Result, few: list[Result]
) -> None:
    """Nothing changes by trying again what is impossible; a failure may have been the machine's."""
    refused = replace(naive.experiment, method="lwf")
    failed = replace(naive.experiment, method="si")
    new = replace(naive.experiment, seed=7)
    results = Results(tmp_path)
    for record in (
        naive,
        NoResult(refused, "refused", "it cannot be"),
        NoResult(failed, "failed", "it rained"),
        few[3],
    ):
        results.append(record)
    wanted = [naive.experiment, refused, failed, new, naive.experiment]
    assert [failed, new] == pending(wanted, tmp_path)
    assert [naive.experiment.key, refused.key, failed.key] == [
        record.experiment.key for record in finished(wanted, tmp_path)
    ]


def test_a_grid_that_was_killed_goes_on_and_does_every_run_once(tmp_path: Path) -> None:
    """The real process, SIGKILL after its first result; its worker does not outlive it."""
    process = subprocess.Popen([*PERDURE, *OPTIONS, tmp_path], stderr=subprocess.DEVNULL)
    wait_for(lambda: rows(tmp_path))
    workers = children(process.pid)
    process.kill()
    process.wait()
    before = rows(tmp_path)
    assert 1 <= len(before) < 4
    assert workers
    wait_for(lambda: not any(alive(pid) for pid in workers))
    again = CliRunner().invoke(app, [*OPTIONS, str(tmp_path)])
    assert 0 == again.exit_code, again.stderr
    assert f"{len(before)} of 4 runs are in {tmp_path} already" in again.stdout
    after = rows(tmp_path)
    assert before == after[: len(before)]
    done = Counter((row["method"], row["seed"]) for row in after)
    assert dict.fromkeys(product(("naive", "frozen"), ("0", "1")), 1) == done
    assert {"done"} == {row["status"] for row in after}


@pytest.mark.timeout(300)
def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path: Path) -> None:
    """One sentence, no traceback, exit code 130; what was finished is kept, no process is left."""
    many = [*OPTIONS, str(tmp_path), "--seeds", "200"]  # not done however late the signal comes
    # A process that was started in the background, as the tests may be, is deaf to Ctrl-C.
    hearing = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [PERDURE[0], "-c", f"{hearing}; {PERDURE[2]}", *PERDURE[3:], *many]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: rows(tmp_path))
    workers = children(process.pid)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=240)
    assert 130 == process.returncode
    assert "the same command goes on there" in " ".join(said.split())
    assert "Traceback" not in said
    wait_for(lambda: not any(alive(worker) for worker in workers))
    assert 1 <= len(rows(tmp_path)) < 400


def rows(folder: Path) -> list[dict[str, str]]:
    path = folder / "results.csv"
    return list(csv.DictReader(path.read_text("utf-8").splitlines())) if path.exists() else []


def wait_for(ready: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
