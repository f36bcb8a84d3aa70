"""Features of rows on the disk: each row is encoded once, and none stays where its row may not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.live import tiny

from perdure.live import keeping, updater
from perdure.live.erasure import erase
from perdure.live.project import Project

MODEL = """
import torch
from torch import nn
from perdure.nets import Classifier, Encoder, GrowingHead, NoHead


def build(schema, classes):
    with torch.random.fork_rng():
        torch.manual_seed({seed})
        network = nn.Sequential(nn.Linear(schema.shape[0], 8), nn.Tanh())
    return Classifier(Encoder(network, "small", 8), {head})
"""
SUBJECT = "canary"
TRAINED = {"learner": {"methods": [{"name": "ER", "capacity": 12}], "epochs": 4}}
FROZEN = {"learner": {"methods": [{"name": "SLDA"}]}}


def written(directory: Path, said: Mapping[str, Any], seed: int = 0) -> Path:
    tiny.written(directory, said)
    frozen = said["learner"]["methods"] == FROZEN["learner"]["methods"]
    head = "NoHead(8)" if frozen else "GrowingHead(8, classes)"
    model = MODEL.replace("{seed}", str(seed)).replace("{head}", head)
    (directory / "model.py").write_text(model, "utf-8")
    return directory


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project(written(tmp_path / "state", TRAINED)) as held:
        yield held


def learnt(project: Project, first: int, count: int, subject: str | None = None) -> None:
    project.log.append(tiny.rows(first, count, subject)).result()
    assert "done" == tiny.updated(project).state


def features(project: Project, numbers: range) -> list[bytes]:
    """The features of rows, as a file would hold them."""
    x = torch.from_numpy(np.stack([tiny.row(n).features for n in numbers]))
    found = project.learner(cached=False).features(x)
    return [row.numpy().tobytes() for row in found]


def held(project: Project, wanted: list[bytes]) -> list[str]:
    """Files that hold any of these bytes."""
    files = (path for path in project.directory.rglob("*") if path.is_file())
    return [path.name for path in files if any(one in path.read_bytes() for one in wanted)]


def test_an_update_encodes_a_row_once_whatever_the_epochs(project: Project) -> None:
    """Features of learnt and held-out rows are there afterwards, and read by whoever comes next."""
    learnt(project, 0, 60)
    (path,) = project.features.iterdir()
    cache = project.learner().model.backbone.cache
    assert (path, 60) == (cache.path, len(cache))
    x = torch.from_numpy(np.stack([tiny.row(n).features for n in range(60)]))
    learner = project.load("champion")
    found: list[int] = []
    learner.model.backbone.module.register_forward_hook(lambda *given: found.append(1))
    learner.predict(x)
    assert [] == found


def test_what_is_learnt_is_the_same_with_and_without(tmp_path: Path) -> None:
    """Bit for bit: the files save time, and nothing else."""
    digests = []
    for keep in (0, 7, 1000):
        said = {**TRAINED, "log": {"keep_features": keep}}
        with Project(written(tmp_path / str(keep), said)) as project:
            for first in (0, 50):
                learnt(project, first, 50)
            digests.append(tiny.digest(project.registry.load("champion")["model"]))
            assert (keep == 0) == (not project.features.exists())
    assert 1 == len(set(digests))


def test_erasing_a_subject_removes_its_features(project: Project) -> None:
    """All go: nobody can tell whose the others are. The next update makes them anew."""
    learnt(project, 0, 30)
    learnt(project, 100, 30, SUBJECT)
    wanted = features(project, range(100, 130))
    assert [path.name for path in project.features.iterdir()] == held(project, wanted)
    assert "done" == erase(project, SUBJECT, "me").state
    assert [] == held(project, wanted)
    learnt(project, 200, 10)
    assert [] == held(project, wanted)
    assert 1 == len(list(project.features.iterdir()))


def test_where_no_raw_rows_may_stay_no_features_do(tmp_path: Path) -> None:
    """After an update neither the rows nor their features are in any file."""
    said = {**FROZEN, "retention": {"raw": False}}
    with Project(written(tmp_path / "state", said)) as project:
        for first in (0, 40):
            project.log.append(tiny.rows(first, 40)).result()
            rows = [np.asarray(tiny.row(n).features).tobytes() for n in range(first, first + 40)]
            wanted = [*rows, *features(project, range(first, first + 40))]
            project.jobs.ask("update", "to test", "me")
            assert held(project, wanted)
            with tiny.quick_gate():
                assert "done" == updater.turn(project).state
            assert [] == held(project, wanted)
        x = torch.from_numpy(np.stack([tiny.row(n).features for n in range(100, 130)]))
        answers = project.load("champion").predict(x).argmax(1)
        names = [project.classes()[label] for label in answers.tolist()]
        right = [a == tiny.row(n).label for a, n in zip(names, range(100, 130), strict=True)]
        assert np.mean(right) > 0.8


@pytest.mark.parametrize(
    "rule",
    [
        {"log": {"keep_days": 90.0}},
        {"retention": {"memory_days": 90.0}},
        {"evaluation": {"keep_days": 90.0}},
    ],
    ids=["log", "memory", "evaluation"],
)
def test_where_rows_go_by_time_features_go_with_every_tidying(tmp_path: Path, rule: Any) -> None:
    """They carry no time of their own."""
    with Project(written(tmp_path / "state", {**TRAINED, **rule})) as project:
        learnt(project, 0, 30)
        assert [] == list(project.features.iterdir())


def test_files_of_another_encoder_go(tmp_path: Path, project: Project) -> None:
    """Whoever changes the model keeps no features that nobody reads."""
    learnt(project, 0, 30)
    (old,) = project.features.iterdir()
    written(project.directory, TRAINED, seed=1)
    x = torch.from_numpy(np.stack([tiny.row(n).features for n in range(4)]))
    project.learner().predict(x)
    (new,) = project.features.iterdir()
    assert old.name != new.name


def test_the_service_and_the_gates_probe_write_none(project: Project) -> None:
    """What is only asked is not kept: a question may be of a row that nobody stores."""
    learnt(project, 0, 30)
    keeping.tidy(project)
    assert project.load("champion").model.backbone.cache is not None
    assert project.load("champion", cached=False).model.backbone.cache is None


def test_a_tidied_project_goes_on_where_it_was(project: Project) -> None:
    """Tidying keeps features where rows may stay."""
    learnt(project, 0, 30)
    keeping.tidy(project)
    assert 1 == len(list(project.features.iterdir()))
    assert updater.turn(project) is None
