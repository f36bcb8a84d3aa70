"""What is promised of a GPU, tried on the simulated device: `python -m tests.devices.crossing`.

Prints a JSON object from each case to its fault, or to null; arguments name the cases to try.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.devices.simulated import NAME  # registers the device: before any backward pass
from tests.live import tiny
from tests.methods.test_contract import MAKES
from torch import Generator, nn
from torch.optim import SGD, Adam, AdamW, NAdam, RMSprop

from perdure import (
    Batch,
    Engine,
    Learner,
    bench,
    checkpoint,
    memory,
    methods,
    nets,
    streams,
    testing,
)
from perdure.bench.build import build
from perdure.bench.lifecycle import live_through
from perdure.folding import Schedule
from perdure.live import watch
from perdure.live.erasure import erase
from perdure.live.service.serving import Served
from perdure.measure import Meter, brier_score, dormant_share, effective_rank

OPTIONS: dict[str, Callable[[], Any]] = {
    "EWC, labels drawn": lambda: methods.EWC(labels="sampled", rows=5),
    "EWC, labels given": lambda: methods.EWC(labels="true"),
    "ER, balanced": lambda: methods.ER(capacity=12, policy="balanced", mix="tasks"),
    "ER, herding": lambda: methods.ER(capacity=12, policy="herding", write="boundary"),
    "AGEM, at each step": lambda: methods.AGEM(capacity=12, write="step"),
    "LoRA, nearest": lambda: methods.LoRA(route="nearest"),
    "LoRA, by task": lambda: methods.LoRA(route="task"),
    "NCM, by task": lambda: methods.NCM(metric="cosine", per_task=True),
    "Ridge, by task": lambda: methods.Ridge(projections=8, per_task=True),
    "FeCAM, by task": lambda: methods.FeCAM(per_task=True),
    "three": lambda: [methods.DERpp(capacity=12), methods.EWC(strength=0.1), methods.GPM()],
}


def lives(make: testing.Make) -> None:
    """As on the CPU, with a checkpoint that the CPU and the device both answer from and go on."""
    events, (x, task) = testing.toy_events(make, rows=10), testing.toy_question(make)
    half = len(events) // 2 + 1
    twin = testing.toy_learner(make, growing=True)
    testing.play(twin, events)
    learner = testing.toy_learner(make, growing=True, engine=Engine(NAME))
    testing.play(learner, events[:half])
    expected = learner.predict(x, task)
    assert expected.device.type == NAME
    with tempfile.TemporaryDirectory() as folder:
        for device in ("cpu", NAME):
            learner.save(Path(folder) / "state")
            learner = testing.toy_learner(make, growing=True, engine=Engine(device), seed=9)
            learner.load(Path(folder) / "state")
            torch.testing.assert_close(learner.predict(x, task).cpu(), expected.cpu())
    testing.play(learner, events[half:])
    ids = None if task is None else torch.full((len(x),), task)
    torch.testing.assert_close(learner.predict(x, ids).cpu(), twin.predict(x, task))


def refuses() -> None:
    """The device itself: CUDA refuses these, and allows those."""
    there, here = torch.ones(3, device=NAME), torch.ones(3)
    refused: list[Callable[[], Any]] = [
        lambda: there + here,
        lambda: here * there.sum(),
        lambda: here.sum().add_(there.sum()),
        lambda: torch.cat((there, here)),
        lambda: torch.stack((there.sum(), here.sum())),
        lambda: here[torch.tensor([0], device=NAME)],
        lambda: there.index_select(0, torch.tensor([0])),
        lambda: there.masked_fill(torch.tensor([True, False, True]), 0.0),
        lambda: torch.isin(there, here),
        lambda: torch.equal(there, here),
        lambda: nn.functional.cross_entropy(there[None], torch.tensor([0])),
        lambda: torch.randn(3, device=NAME, generator=Generator()),
        lambda: torch.multinomial(there, 1, generator=Generator()),
        lambda: nn.Linear(3, 1)(there),
        there.numpy,
    ]
    for number, ask in enumerate(refused):
        try:
            ask()
        except (RuntimeError, TypeError):
            continue
        raise AssertionError(f"number {number} was not refused")
    allowed = there * here.sum(), there[torch.tensor([0])], there[[0]], here.to(there)
    assert all(found.device.type == NAME for found in allowed)
    assert [1.0, 1.0, 1.0] == there.tolist() == there.cpu().numpy().tolist()


def resumes(optimizer: Callable[..., torch.optim.Optimizer]) -> None:
    """Moments are found again where the optimiser wants them."""
    rows = Batch(torch.randn(8, 4), torch.arange(8) % 2)
    make = partial(Learner, optimizer=optimizer, engine=Engine(NAME))
    first, second = make(nn.Linear(4, 2)), make(nn.Linear(4, 2))
    first.observe(rows)
    second.load_state_dict(checkpoint.loads(checkpoint.dumps(first.state_dict())))
    for learner in (first, second):
        learner.observe(rows)
    assert first.params["weight"].tolist() == second.params["weight"].tolist()


def engines(**settings: Any) -> None:
    """Clipping, accumulation and half precision."""
    held = [methods.ER(capacity=12), methods.EWC(strength=0.1), methods.LwF()]
    learner = testing.toy_learner(lambda: held, engine=Engine(NAME, **settings))
    testing.play(learner, testing.toy_events(lambda: held, rows=20))
    testing.assert_finite(learner)


def remembers(held: memory.Memory, folder: Path) -> None:
    """Rows come from the device and lie in RAM, in files or in a database."""
    extras = {"row": torch.arange(20), "source": torch.arange(20) % 3, "time": torch.rand(20)}
    rows = Batch(torch.randn(20, 4), torch.arange(20) % 2, 0, extras).to(NAME)
    held.add_all([rows], lambda x: x)
    for storage in (
        memory.MappedStorage(held.capacity, folder / "mapped"),
        memory.DatabaseStorage(held.capacity, folder / "rows.db"),
    ):
        held.move(storage)
        held.add_all([rows], lambda x: x)
        drawn = held.sample(4)
        assert drawn is not None
        assert drawn.x.device.type == "cpu"
        held.erase(torch.tensor([0], device=NAME))
    keys = torch.arange(10, device=NAME)
    memory.forget(Learner(nn.Linear(4, 2), methods.ER(), engine=Engine(NAME)), keys)


def learns(model: nn.Module, shape: tuple[int, ...]) -> None:
    """A network of ours in a learner on the device."""
    learner = Learner(model, methods.ER(capacity=12), methods.EWC(), engine=Engine(NAME))
    for first in (0, 2):
        rows = Batch(torch.rand(8, *shape), torch.arange(8) % 2 + first)
        learner.observe(rows)
        learner.consolidate(rows)
    assert learner.predict(rows.x).device.type == NAME
    again = checkpoint.loads(checkpoint.dumps(learner.state_dict()))
    learner.load_state_dict(again)
    learner.observe(rows)


def encodes(folder: Path) -> None:
    """A frozen encoder, and its features from a file."""
    encoder = nets.Encoder(nn.Linear(4, 6), "linear", 6).cached(folder)
    for _ in range(2):
        learns(nets.Classifier(encoder, nets.GrowingHead(6)), (4,))


def measures() -> None:
    """The meter, its FLOPs, and diagnostics of what it learnt."""
    learner = Learner(nets.Classifier(nets.MLP(4, (8,)), nets.FixedHead(8, 2)), engine=Engine(NAME))
    rows = Batch(torch.randn(8, 4), torch.arange(8) % 2)
    with Meter(learner) as meter:
        meter.observe(rows)
    assert meter.cost.flops > 0
    dormant_share(learner.model, rows.x.to(NAME))
    effective_rank(learner.features(rows.x))
    brier_score(learner.predict(rows.x).softmax(1), rows.y.to(NAME))


def streams_there() -> None:
    """Streams of data that lie on the device already."""
    raw = streams.load("digits")
    parts = {
        name: getattr(raw, name).to(NAME) for name in ("train_x", "train_y", "test_x", "test_y")
    }
    data = replace(raw, **parts)
    ages = np.arange(len(data.train_y)) % 7, np.arange(len(data.test_y)) % 7
    split = streams.split(data, tasks=2)
    for stream in (
        split.holdout(0.2),
        streams.split(data, tasks=2, scenario="domain"),
        streams.gradual(split),
        streams.gradual(streams.permuted(data, tasks=2)),
        streams.rotated(data, tasks=2),
        streams.corrupted(data, ("noise", "blur")),
        streams.by_column(data, ages, tasks=2),
        streams.nic(data, batches=20),
        streams.encoded(split, lambda x: x.flatten(1).float()),
    ):
        for task in stream.tasks[:2]:
            drawn = [*task.train.batches(8, seed=0, steps=2), next(iter(task.test))]
            drawn += [] if task.valid is None else [next(iter(task.valid))]
            assert {NAME} == {batch.x.device.type for batch in drawn}


def benches(scenario: str, method: str, folder: Path) -> None:
    """An experiment that says `device`."""
    schedule = Schedule(batch_size=32, steps=2)
    said = bench.Experiment(
        "digits", scenario, method=method, hidden=(16,), schedule=schedule, device=NAME
    )
    bench.run(said)
    if scenario == "class":
        stream, learner = build(said)
        live_through(learner, stream, schedule, folder / "life.json", name=method)


def updates(folder: Path) -> None:
    """The live loop whose settings say `device`: update, gate, serve, watch, twin, erase."""
    said = {
        "update": {"device": NAME, "checkpoint_seconds": 0.0, "twin_every": 1},
        "learner": {"methods": [{"name": "DERpp", "capacity": 12}, {"name": "EWC"}]},
    }
    with tiny.project(folder / "state", said) as project:
        for first in (0, 100):
            rows = tiny.rows(first, 40) + tiny.rows(first + 40, 8, "somebody")
            project.log.append(rows).result()
            watch.advance(project, 0.0)
            assert "done" == tiny.updated(project).state
        learner = project.load("champion")
        assert learner.engine.device.type == NAME
        served = Served(1, "", learner, project.schema, tiny.CLASSES, 0.0, 0.0)
        assert (3, 3) == served.answer(np.zeros((3, tiny.ROW_BYTES), np.uint8), None).shape
        watch.advance(project, 1.0)
        assert "done" == erase(project, "somebody", "me").state


def with_folder(check: Callable[..., None], *given: Any) -> Callable[[], None]:
    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            check(*given, Path(folder))

    return run


def networks() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Networks with labels that come, and the shape of an input."""
    pixels = nets.Transformer(nets.Patches((1, 4, 4), 2, width=8))
    renormalised = nn.Sequential(nn.Linear(4, 8), nets.BatchRenorm1d(8))
    table, cnn = nets.Tabular([1, 1, 5, 1]), nets.CNN(1, 4)
    return {
        "CNN": (nets.Classifier(cnn, nets.GrowingHead(cnn.out_features)), (1, 8, 8)),
        "Transformer": (nets.Classifier(pixels, nets.GrowingHead(8)), (1, 4, 4)),
        "BatchRenorm": (nets.Classifier(renormalised, nets.CosineHead(8)), (4,)),
        "Tabular": (nets.Classifier(table, nets.GrowingHead(table.out_features)), (4,)),
    }


CASES: dict[str, Callable[[], None]] = {
    **{name: partial(lives, make) for name, make in {**MAKES, **OPTIONS}.items()},
    "what CUDA refuses": refuses,
    "SGD": partial(resumes, partial(SGD, lr=0.1, momentum=0.9)),
    "Adam": partial(resumes, Adam),
    "Adam, one by one": partial(resumes, partial(Adam, foreach=False)),
    "AdamW, fused": partial(resumes, partial(AdamW, fused=True)),
    "NAdam": partial(resumes, NAdam),
    "RMSprop": partial(resumes, partial(RMSprop, momentum=0.9)),
    "clip and accumulate": partial(engines, clip=0.1, accumulate=2),
    "bf16": partial(engines, precision="bf16"),
    "fp16": partial(engines, precision="fp16"),
    "reservoir": with_folder(remembers, memory.Reservoir(12)),
    "balanced": with_folder(remembers, memory.Balanced(12)),
    "capped": with_folder(remembers, memory.Capped(12, share=0.5)),
    "herding": with_folder(remembers, memory.Herding(12)),
    **{name: partial(learns, *held) for name, held in networks().items()},
    "encoder": with_folder(encodes),
    "measures": measures,
    "streams": streams_there,
    "bench, by task": with_folder(benches, "task", "ewc"),
    "bench, by class": with_folder(benches, "class", "der++"),
    "the live loop": with_folder(updates),
}


def fault(check: Callable[[], None]) -> str | None:
    """What it raised, and where; None where it passed."""
    torch.manual_seed(0)
    try:
        check()
    except Exception:  # noqa: BLE001  # whatever it is, the case has failed
        return traceback.format_exc(limit=-6)
    return None


if __name__ == "__main__":
    torch.set_num_threads(1)
    faults = {name: fault(CASES[name]) for name in sys.argv[1:] or CASES}
    sys.__stdout__.write(json.dumps(faults) + "\n")
