"""The code that the advice ends with runs as it stands."""

from __future__ import annotations

from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from perdure.advise.architecture import CHOICES, Architecture
from perdure.advise.catalogue import catalogue
from perdure.advise.compatibility import judge
from perdure.advise.records import Columns
from perdure.advise.sample import Sample, measure
from perdure.advise.snippet import snippet
from perdure.methods import ER, SI, Naive, Progressive
from perdure.scenario import Scenario

PAIRS = [pair for scenario in Scenario for pair in product([scenario], CHOICES[scenario])]
NAMED = [
    (Columns("kind", time="day", source="site"), Scenario.CLASS, Architecture.GROWING),
    (Columns("kind", time="day"), Scenario.FREE, Architecture.FIXED),
    (Columns("kind", source="site"), Scenario.DOMAIN, Architecture.FIXED),
    (Columns("kind", task="site"), Scenario.TASK, Architecture.MULTI_HEAD),
    (Columns("kind", task="site"), Scenario.TASK, Architecture.PROGRESSIVE),
]


@pytest.mark.parametrize(("scenario", "architecture"), PAIRS)
def test_the_lines_run_on_the_readers_own_tensors(
    scenario: Scenario, architecture: Architecture
) -> None:
    """Given what the comments ask for: `tasks`, or a `stream`, of inputs and labels."""
    method = Progressive() if architecture == "progressive" else catalogue(scenario)["er"]
    tasks = [(torch.rand(70, 784), torch.arange(70) % 5 + 5 * task) for task in range(2)]
    found = run(snippet(scenario, architecture, method), tasks=tasks, stream=tasks)
    assert 70 == len(found["outputs"])
    assert type(method) is type(found["learner"].methods[0])
    assert (2 if scenario.boundaries else 0) == found["learner"].consolidations


@pytest.mark.parametrize("scenario", Scenario)
def test_every_method_that_fits_can_be_written_down(scenario: Scenario) -> None:
    """Import, constructor and all: the lines up to the loop run for each of them."""
    for method in catalogue(scenario).values():
        place = Architecture(method.needs.architecture or CHOICES[scenario][0])
        if judge(scenario, place, method).possible:
            head, _ = snippet(scenario, place, method).split("\n\nfor ")
            assert repr(method) == repr(run(head)["learner"].methods[0])


@pytest.mark.parametrize(("columns", "scenario", "architecture"), NAMED)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_lines_run_on_the_table_that_was_looked_at(
    tmp_path: Path, columns: Columns, scenario: Scenario, architecture: Architecture, suffix: str
) -> None:
    """In its order, without showing the model a time, a place or a name."""
    sample = seen(tmp_path / f"parts.{suffix}", columns)
    method = Progressive() if architecture is Architecture.PROGRESSIVE else Naive()
    found = run(snippet(scenario, architecture, method, sample))
    assert scenario is found["stream"].scenario
    assert (3 if columns.time is None else 5) == len(found["stream"])
    assert found["learner"].updates >= len(found["stream"])
    shown = {"day", "site"} - set(columns.named().values())
    assert 2 + 3 * ("site" in shown) + ("day" in shown) == found["stream"].input_shape[0]


def test_a_table_without_an_order_is_not_made_a_stream_of(tmp_path: Path) -> None:
    """There is no column to cut it along; nor are folders and arrays."""
    sample = seen(tmp_path / "parts.csv", Columns("kind"))
    assert "tables" not in snippet(Scenario.CLASS, Architecture.GROWING, ER(), sample)
    np.savez(tmp_path / "parts.npz", x=np.eye(4), y=np.arange(4), t=np.arange(4))
    arrays = measure(tmp_path / "parts.npz", Columns(time="t"))
    assert "tables" not in snippet(Scenario.CLASS, Architecture.GROWING, ER(), arrays)


def test_a_pretrained_backbone_is_frozen() -> None:
    """Only the head is left to the learner."""
    code = snippet(Scenario.TASK, Architecture.MULTI_HEAD, Naive(), frozen=True)
    learner = run(code.split("\n\nfor ")[0])["learner"]
    assert [] == list(learner.params)
    assert "your pretrained module" in code


def test_arguments_that_matter_are_written_out() -> None:
    """Those at their defaults are not."""
    assert "SI(strength=3.0)" in snippet(Scenario.TASK, Architecture.MULTI_HEAD, SI(strength=3.0))


def seen(path: Path, columns: Columns) -> Sample:
    """A table of ten days, three sites and a new class from the sixth day on, looked at."""
    rng = np.random.default_rng(0)
    day = np.repeat(np.arange(10), 30)
    frame = pd.DataFrame(
        {
            "day": day,
            "site": rng.choice(["north", "south", "west"], 300),
            "part": [f"part {i}" for i in range(300)],
            "heat": rng.normal(size=300),
            "weight": rng.normal(size=300),
            "kind": np.where(rng.random(300) < 0.4 * (day > 5), "dent", "ok"),
        }
    ).sample(frac=1, random_state=0)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return measure(path, columns)


def run(code: str, **given: Any) -> dict[str, Any]:
    """The names that the lines leave behind."""
    names: dict[str, Any] = deepcopy(given)
    exec(compile(code, "snippet", "exec"), names)  # noqa: S102  to run it is the test
    assert isinstance(names["model"], nn.Module)
    return names
