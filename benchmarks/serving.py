"""Micro-batched predictions beside a bare FastAPI endpoint that makes one forward pass each.

Both sides run the same learner behind uvicorn on loopback, one process each, and answer the same
rows (784 floats as JSON) over the same number of kept-alive connections. Rounds alternate between
the sides, so that a busy machine troubles both alike; a ratio is the median over rounds of ours
over theirs, in requests per CPU-second of the server and per second of the clock. The bare endpoint
writes nothing down; ours does it as the settings say: not at all ("off"), a moment later
("buffered"), or on the disk before it answers ("durable"); "binary" is "off" with the numbers as
bytes. Latency is that of one caller who waits
for each answer, at rest and while another process trains. One thread a process.

    python benchmarks/serving.py            # with 8 and with 64 connections
    python benchmarks/serving.py 8 64 256   # with others

The numbers go to benchmarks/results/serving.json.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import median, quantiles

import torch
import uvicorn
from fastapi import FastAPI
from options import options
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from perdure import Batch
from perdure.live.project import Project
from perdure.live.service import run
from perdure.live.tokens import Tokens

RESULTS = Path(__file__).parent / "results" / "serving.json"
ROUNDS, SECONDS, REST_SECONDS = 7, 1.0, 4.0
WIDTHS = (256, 1024)
SETTINGS = """
name = "bench"
[schema]
kind = "tensor"
shape = [784]
classes = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
[learner]
methods = []
[log]
predictions = "{predictions}"
"""
MODEL = """
from torch.nn import Linear, ReLU, Sequential


def build(schema, classes):
    return Sequential(
        Linear(784, {width}), ReLU(), Linear({width}, {width}), ReLU(), Linear({width}, classes)
    )
"""
SIDES = ("bare", "off", "binary", "buffered", "durable")


@dataclass(frozen=True)
class Round:
    """One side's requests in one stretch of time."""

    width: int
    side: str
    connections: int
    requests: int
    seconds: float
    cpu_seconds: float


def serve(side: str, directory: Path, port: int) -> None:
    """One side in this process, until it is told to stop."""
    project = Project(directory)
    if side != "bare":
        run.serve(project, port=port, learn=False)
        return
    torch.set_num_threads(1)
    uvicorn.run(bare(project), port=port, log_level="warning", access_log=False)


class Question(BaseModel):
    inputs: list[float]


class Answer(BaseModel):
    label: int
    probabilities: list[float]


def bare(project: Project) -> FastAPI:
    """The endpoint that one writes first."""
    learner = project.load("champion")
    app = FastAPI()

    @app.post("/predict")
    async def predict(question: Question) -> Answer:
        out = learner.predict(torch.tensor([question.inputs]))
        probabilities = torch.softmax(out, dim=1)[0]
        return Answer(label=int(probabilities.argmax()), probabilities=probabilities.tolist())

    return app


def train(directory: Path) -> None:
    """Learn without end, as an update does."""
    torch.set_num_threads(1)
    learner = Project(directory).learner()
    batch = Batch(torch.rand(64, 784), torch.randint(0, 10, (64,)))
    while True:
        learner.observe(batch)


# -- the callers ---------------------------------------------------------------------------------


def request(side: str, token: str) -> bytes:
    """One request as bytes on the wire."""
    row = torch.rand(784, generator=torch.Generator().manual_seed(0)).tolist()
    row = [round(number, 4) for number in row]
    if side == "bare":
        path, body = "/predict", {"inputs": row}
    else:
        tensor = {"name": "input", "shape": [1, 784], "datatype": "FP32", "data": row}
        path, body = "/v2/models/bench/infer", {"inputs": [tensor]}
    numbers, more = b"", ""
    if side == "binary":  # as `perdure.Client` does
        numbers = struct.pack("<784f", *tensor.pop("data"))
        tensor["parameters"] = {"binary_data_size": len(numbers)}
    data = json.dumps(body).encode()
    if side == "binary":
        more = f"Inference-Header-Content-Length: {len(data)}\r\n"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n{more}"
        f"Content-Type: application/json\r\nContent-Length: {len(data + numbers)}\r\n\r\n"
    )
    return head.encode() + data + numbers


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send, and read the answer to its end; anything but 200 is an error."""
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    await reader.readexactly(length)


async def load(port: int, data: bytes, connections: int, seconds: float) -> list[float]:
    """The latencies of all requests of so many callers, each of whom waits for his answer."""
    end = time.perf_counter() + seconds
    latencies = []

    async def call() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (start := time.perf_counter()) < end:
            await ask(reader, writer, data)
            latencies.append(time.perf_counter() - start)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(call() for _ in range(connections)))
    return latencies


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- the race ------------------------------------------------------------------------------------


def begin(folder: Path, side: str, width: int = 256) -> tuple[Path, str]:
    """A project with one version that serves; its directory and a token."""
    directory = folder / side
    directory.mkdir()
    how = side if side in ("buffered", "durable") else "off"
    (directory / "perdure.toml").write_text(SETTINGS.format(predictions=how))
    (directory / "model.py").write_text(MODEL.format(width=width))
    with Project(directory) as project:
        job = project.jobs.ask("update", "a benchmark", "bench")
        project.jobs.start(job.id, None, 0, 0)
        state = project.learner().state_dict()
        number = project.registry.create(state, parent=None, job=job.id, after=0, upto=0, note={})
        project.registry.promote(number, actor="bench", reason="the only one")
        return directory, Tokens(project.database).create("bench", ["predict"])


def wait(port: int) -> None:
    """Until the server takes connections."""
    for _ in range(600):
        try:
            asyncio.run(load(port, b"GET /ping HTTP/1.1\r\nHost: b\r\n\r\n", 1, 0.0))
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"nothing answers on port {port}")


def race(
    width: int, connections: list[int]
) -> tuple[list[Round], dict[str, dict[str, list[float]]]]:
    """All rounds of one model; each side's latencies, at rest and while another process trains."""
    rounds: list[Round] = []
    alone: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        held = {}
        for offset, side in enumerate(SIDES):
            directory, token = begin(Path(folder), side, width)
            port = 18440 + offset
            command = [sys.executable, __file__, "--serve", side, str(directory), str(port)]
            held[side] = (subprocess.Popen(command), port, request(side, token))
        try:
            for side, (_, port, data) in held.items():
                wait(port)
                asyncio.run(load(port, data, 4, 0.5))
                alone[side] = {"rest": asyncio.run(load(port, data, 1, REST_SECONDS))}
            command = [sys.executable, __file__, "--train", str(Path(folder) / "off")]
            with subprocess.Popen(command) as trainer:
                time.sleep(5)
                for side, (_, port, data) in held.items():
                    alone[side]["training"] = asyncio.run(load(port, data, 1, REST_SECONDS))
                trainer.terminate()
            for number in range(ROUNDS):
                for count in connections:
                    for side in SIDES if number % 2 else SIDES[::-1]:
                        process, port, data = held[side]
                        rounds.append(stretch(width, side, process.pid, port, data, count))
        finally:
            for process, _, _ in held.values():
                process.terminate()
                process.wait()
    return rounds, alone


def stretch(width: int, side: str, pid: int, port: int, data: bytes, count: int) -> Round:
    """One round of one side."""
    cpu, start = cpu_seconds(pid), time.perf_counter()
    latencies = asyncio.run(load(port, data, count, SECONDS))
    return Round(
        width, side, count, len(latencies), time.perf_counter() - start, cpu_seconds(pid) - cpu
    )


def rates(rounds: list[Round], width: int, side: str, connections: int, per: str) -> list[float]:
    """A side's requests per CPU-second, or per second, round by round."""
    mine = (width, side, connections)
    held = [one for one in rounds if (one.width, one.side, one.connections) == mine]
    return [one.requests / getattr(one, per) for one in held]


def shown(rounds: list[Round], connections: list[int]) -> Table:
    """Medians over rounds of each side's rate over the bare endpoint's."""
    table = Table(
        "hidden", "connections", "answers", "x per CPU-second", "x per second", "per second"
    )
    for width, count, side in product(WIDTHS, connections, SIDES):
        ratios = [
            median(
                ours / theirs
                for ours, theirs in zip(
                    rates(rounds, width, side, count, per),
                    rates(rounds, width, "bare", count, per),
                    strict=True,
                )
            )
            for per in ("cpu_seconds", "seconds")
        ]
        speed = median(rates(rounds, width, side, count, "seconds"))
        table.add_row(
            str(width), str(count), side, *(f"{one:.2f}" for one in ratios), f"{speed:.0f}"
        )
    return table


def main(connections: list[int]) -> None:
    rounds, waits = [], {}
    for width in WIDTHS:
        run_of_width, waits[width] = race(width, connections)
        rounds += run_of_width
    latency = Table("hidden", "answers", "p50 ms at rest", "p99", "p50 ms while training", "p99")
    cuts = {
        (width, side): [quantiles(s, n=100)[at] for s in held.values() for at in (49, 98)]
        for width, sides in waits.items()
        for side, held in sides.items()
    }
    for (width, side), seconds in cuts.items():
        latency.add_row(str(width), side, *(f"{1000 * one:.2f}" for one in seconds))
    Console().print(shown(rounds, connections), latency)
    names = ("p50 at rest", "p99 at rest", "p50 while training", "p99 while training")
    said = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "latency": [
            {"width": width, "side": side, **dict(zip(names, seconds, strict=True))}
            for (width, side), seconds in cuts.items()
        ],
        "rounds": [asdict(one) for one in rounds],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    elif sys.argv[1:2] == ["--train"]:
        train(Path(sys.argv[2]))
    else:
        parser = options(__doc__)
        parser.add_argument("connections", nargs="*", type=int, help="of each round; 8 and 64")
        main(parser.parse_args().connections or [8, 64])
