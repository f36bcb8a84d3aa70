"""`perdure serve` as a process: where it listens, how it ends, and what keeps running beside it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from perdure.errors import InvalidValue
from perdure.live.service import run
from perdure.live.service.supervision import Supervisor, updater
from perdure.live.tokens import Tokens

A = [0.5, -1.0, 2.0, 0.25]
INFER = "/v2/models/flowers/infer"
SERVE = """
import sys
from perdure.live.project import Project
from perdure.live.service.run import serve
try:
    with Project(sys.argv[1]) as project:
        serve(project, port=0, learn=False, say=lambda line: print(line, flush=True))
finally:
    print("closed", flush=True)
"""


@pytest.fixture
def process(project):
    """A service of `project` in a process of its own: it, its address and a token."""
    token = Tokens(project.database).create("tester", ["admin"])
    command = [sys.executable, "-c", SERVE, str(project.directory)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = started.stdout.readline()
    url = line.split(" at ")[1].strip()
    client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    yield started, client
    client.close()
    started.kill()
    started.wait()
    started.stdout.close()


def test_a_service_swaps_under_load_and_ends_without_a_failed_request(
    process, project, question
) -> None:
    """Four callers over real connections see each of nine promotions and no failure; then SIGTERM
    lets running requests end.
    """
    started, client = process
    seen: Counter[str] = Counter()
    failed: list[object] = []
    stop = threading.Event()

    def call() -> None:
        with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=30) as mine:
            while not stop.is_set():
                try:
                    answer = mine.post(INFER, json=question(A))
                except httpx.HTTPError as error:
                    failed.append(error)
                    return
                if answer.status_code != 200:
                    failed.append(answer.text)
                seen[answer.headers["X-Model-Version"]] += 1

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    deadline = time.monotonic() + 60
    for number in range(9):
        version = (2, 3, 1)[number % 3]
        before = seen[str(version)]
        project.registry.promote(version, actor="operator", reason=f"swap {number}")
        while seen[str(version)] == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    stop.set()
    for caller in callers:
        caller.join()
    assert [] == failed
    started.send_signal(signal.SIGTERM)
    assert "closed" in started.stdout.read()
    assert 0 == started.wait()


def test_a_service_that_is_killed_kept_every_answer_it_gave(process, project, question) -> None:
    """With `predictions = "durable"`, SIGKILL loses no row whose answer arrived."""
    started, client = process
    ids = []
    for number in range(20):
        answer = client.post(INFER, json=question(A, id=f"p{number}"))
        ids.append(answer.json()["outputs"][2]["data"][0])
    started.send_signal(signal.SIGKILL)
    started.wait()
    kept = {row["id"] for row in project.database.read("SELECT id FROM rows")}
    assert set(ids) <= kept


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104
def test_nobody_elsewhere_reaches_a_service_without_tokens(begin, host) -> None:
    """The refusal says how to make one."""
    project = begin()
    with pytest.raises(InvalidValue, match="make one first") as refused:
        run.serve(project, host=host, port=0)
    assert host in str(refused.value)
    Tokens(project.database).create("somebody", ["predict"])
    run.check_host(project, host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_reaches_it_without_ceremony(begin, host) -> None:
    """Loopback needs no token to begin with."""
    run.check_host(begin(), host)


def test_the_first_token_is_made_once(begin) -> None:
    """It has all roles, and there is no second one."""
    project = begin()
    text = run.first_token(project)
    assert Tokens(project.database).check(text).allows("admin")
    assert run.first_token(project) is None


def test_an_address_that_is_taken_is_said_as_such() -> None:
    """With what to do."""
    with run.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidValue, match="give another --host or --port"):
            run.listen("127.0.0.1", port)


def test_the_updaters_command_is_a_module_of_ours(tmp_path: Path) -> None:
    """Run by the same interpreter."""
    assert [sys.executable, "-m", "perdure.live.updater", str(tmp_path)] == updater(tmp_path)


# -- supervision ---------------------------------------------------------------------------------


def supervise(code: str, scene, **settings) -> Supervisor:
    """Play a scene with a supervised child that runs some code."""

    async def play() -> Supervisor:
        supervisor = Supervisor([sys.executable, "-c", code], **settings)
        supervisor.start()
        await scene(supervisor)
        await supervisor.stop()
        return supervisor

    return asyncio.run(play())


async def until(condition) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


def test_a_child_that_dies_is_started_again() -> None:
    """Killed, it comes back under another number; its exit code is known."""
    pids = []

    async def scene(supervisor: Supervisor) -> None:
        for _ in range(3):
            await until(lambda: supervisor.pid is not None and supervisor.pid not in pids)
            pids.append(supervisor.pid)
            os.kill(supervisor.pid, signal.SIGKILL)

    supervisor = supervise("import time; time.sleep(60)", scene, first_pause=0.01)
    assert 3 == len(set(pids))
    assert supervisor.restarts >= 2
    assert -signal.SIGKILL == supervisor.exit_code


def test_restarts_come_slower_and_slower() -> None:
    """A child that dies at once does not eat the machine: after 0.1, 0.2 and 0.4 seconds."""
    start = time.monotonic()
    supervisor = supervise(
        "raise SystemExit(3)", lambda s: until(lambda: s.restarts == 3), first_pause=0.1
    )
    assert 3 == supervisor.exit_code
    assert time.monotonic() - start >= 0.7


def test_a_command_that_cannot_run_is_no_crash() -> None:
    """It is tried again, and whoever serves goes on."""

    async def play() -> Supervisor:
        supervisor = Supervisor(["/nowhere/at/all"], first_pause=0.01)
        supervisor.start()
        await until(lambda: supervisor.restarts > 1)
        await supervisor.stop()
        return supervisor

    assert asyncio.run(play()).pid is None


def test_stopping_ends_the_child() -> None:
    """Politely: it may clean up."""
    seen = []

    async def scene(supervisor: Supervisor) -> None:
        await until(lambda: supervisor.pid is not None)
        seen.append(supervisor.pid)

    supervise("import time; time.sleep(60)", scene)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


@pytest.mark.anyio
async def test_predictions_go_on_while_the_updater_is_dead(project, serve, question) -> None:
    """A child that dies all the time changes no answer, and the status tells of it."""
    async with serve(project, child=[sys.executable, "-c", "raise SystemExit(7)"]) as client:
        keeper = client.service.supervisor
        await until(lambda: keeper.exit_code == 7)
        assert 200 == (await client.post(INFER, json=question(A))).status_code
        status = (await client.get("/v1/models/flowers/status")).json()
        assert (None, 7) == tuple(status["service"]["updater"][k] for k in ("pid", "exit_code"))


STEADY = """
from perdure.live.service.run import steady
steady()
import torch
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(33, 17), nn.ReLU(), nn.Linear(17, 7))
rows = torch.randn(64, 33)
with torch.no_grad():
    whole = model(rows)
    for start in range(60):
        for stop in range(start + 4, 65, 9):
            assert torch.equal(whole[start:stop], model(rows[start:stop].clone())), (start, stop)
"""


def test_a_process_that_serves_gives_a_row_the_same_bits_wherever_it_lies() -> None:
    """Of widths that fill no register, too; batches have at least four rows."""
    ended = subprocess.run(
        [sys.executable, "-c", STEADY], capture_output=True, text=True, check=False
    )
    assert "" == ended.stderr
