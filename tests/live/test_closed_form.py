"""Learners without parameters in the live loop: closed-form classifiers on a frozen backbone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.live import tiny
from tests.live.test_erasure import canaries, found, learnt, mixed, others
from tests.live.test_no_retention import SETTINGS, canary, texts, turned
from tests.live.test_no_retention import found as rows_found

from perdure.live import conclusion, ledger, updater
from perdure.live.erasure import erase
from perdure.live.project import Project
from perdure.live.repair import interpolate, movement

MODEL = """
from torch import nn
from perdure.nets import Classifier, {head}

def build(schema, classes):
    first = nn.Linear(schema.shape[0], 8)
    backbone = nn.Sequential(first, nn.ReLU()).requires_grad_(False)
    return Classifier(backbone, {head}(8))
"""
METHODS = [
    {"name": "NCM"},
    {"name": "SLDA"},
    {"name": "Ridge"},
    {"name": "RanPAC", "projections": 20},
    {"name": "FeCAM"},
    {"name": "SLDA", "write": "boundary"},
]
SUBJECT = "canary-subject-7f3a"


def tensors(directory: Path, method: dict | None = None, head: str = "NoHead") -> Project:
    """A project for vectors whose learner answers in closed form."""
    said = {"learner": {"methods": [method or {"name": "SLDA"}]}}
    tiny.written(directory, said)
    (directory / "model.py").write_text(MODEL.format(head=head), "utf-8")
    return Project(directory)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with tensors(tmp_path / "state") as held:
        yield held


def word(project: Project, first: int, count: int = 60) -> str:
    """What the gate says of an update that learns so many rows more."""
    project.log.append(tiny.rows(first, count)).result()
    job = tiny.updated(project)
    assert "done" == job.state, job.error
    return conclusion.verdict_of(project, job).word


# -- the loop ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "head"), [*((one, "NoHead") for one in METHODS), ({"name": "SLDA"}, "GrowingHead")]
)
def test_updates_are_learnt_judged_and_served(tmp_path: Path, method: dict, head: str) -> None:
    """Two updates, each promoted; the second version knows the rows of both."""
    with tensors(tmp_path / "state", method, head) as project:
        assert ["promote", "promote"] == [word(project, 0), word(project, 60)]
        learner = project.load("champion")
        x = torch.stack([torch.from_numpy(tiny.row(n).features) for n in range(300, 330)])
        assert 24 <= int((learner.predict(x).argmax(1) == torch.arange(30) % 3).sum())
        learnt_rows = sum(version.note["rows"] for version in project.registry.all())
        assert learnt_rows == learner.methods[0].moments.rows


def test_several_passes_count_a_row_once(tmp_path: Path) -> None:
    """The passes that gradients need say nothing new to sums."""
    with tensors(tmp_path / "state") as once:
        word(once, 0)
        moments = once.load("champion").methods[0].moments
    again = tmp_path / "again"
    tiny.written(again, {"learner": {"methods": [{"name": "SLDA"}], "epochs": 4}})
    (again / "model.py").write_text(MODEL.format(head="NoHead"), "utf-8")
    with Project(again) as fourfold:
        word(fourfold, 0)
        assert moments.rows == fourfold.load("champion").methods[0].moments.rows


def test_the_ledger_holds_what_an_update_cost(project: Project) -> None:
    """Its FLOPs are counted though nothing runs backwards; the twin learns in closed form too."""
    word(project, 0)
    with tiny.quick_gate():
        project.log.append(tiny.rows(60, 60)).result()
        updater.turn(project)
    first = ledger.entries(project)[0]
    assert first.flops > 0
    learner, cost, rows = ledger.train_twin(project, project.registry.all()[-1].upto)
    assert rows == learner.methods[0].moments.rows
    assert cost.flops > 0
    assert 3 == learner.predict(torch.eye(4)).shape[1]


def test_there_is_nothing_to_interpolate(project: Project) -> None:
    """Frozen weights moved by nothing, and stay what they are at any share."""
    word(project, 0)
    word(project, 60)
    old, new = project.registry.load(1), project.registry.load(2)
    assert 0.0 == movement(old, new)
    assert tiny.digest(new["model"]) == tiny.digest(interpolate(old, new, 0.5)["model"])


# -- erasure -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [METHODS[1], METHODS[3], METHODS[5]], ids=str)
def test_an_exact_rebuild_never_saw_the_subject(tmp_path: Path, method: dict) -> None:
    """Bit for bit the sums of a project that the subject never wrote to."""
    with tensors(tmp_path / "state", method) as project:
        learnt(project, others(0, 40), mixed(40), others(80, 40))
        receipt = erase(project, SUBJECT, "me", "exact")
        assert "done" == receipt.state
        with tiny.quick_gate():
            job = updater.turn(project)
        assert ("rebuild", "done") == (job.kind, job.state), job.error
        assert project.registry.champion().tainted is None
        rebuilt = project.load("champion")
        assert [] == found(tmp_path / "state", *canaries())
    with tensors(tmp_path / "without", method) as project:
        kept = [row for row in mixed(40) if row.subject != SUBJECT]
        learnt(project, others(0, 40), kept, others(80, 40))
        never = project.load("champion")
    assert tiny.digest(never.methods[0].state_dict()) == tiny.digest(
        rebuilt.methods[0].state_dict()
    )


# -- no retention --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS[:5], ids=str)
def test_nothing_raw_is_left_under_no_retention(tmp_path: Path, method: dict) -> None:
    """Sums are all there is of the rows: what was learnt is known, and no byte of any is found."""
    with without_retention(tmp_path, method) as project:
        for first in (0, 60):
            project.log.append(texts(first, 60)).result()
            with tiny.quick_gate():
                assert "promote" == turned(project)
            assert set() == rows_found(project)
        assert 0 == project.database.value("SELECT count(*) FROM rows")
        learner = project.load("champion")
        encoded = b"".join(project.schema.encode(canary(n)) for n in range(1000, 1020))
        rows = np.frombuffer(encoded, np.uint8).reshape(20, -1)
        told = learner.predict(project.schema.decode(rows)).argmax(1)
        assert 17 <= int((told == torch.arange(20) % 2).sum())
    assert set() == rows_found(project)


def without_retention(directory: Path, method: dict) -> Project:
    """Texts on frozen vectors of their letters, with `[retention] raw = false`."""
    said = SETTINGS.format(methods=tiny._toml(method), min_rows=2, more="")
    (directory / "perdure.toml").write_text(said, "utf-8")
    (directory / "model.py").write_text(LETTERS, "utf-8")
    return Project(directory)


LETTERS = """
from torch import nn
from perdure.nets import Classifier, NoHead

class Letters(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(256, 32).requires_grad_(False)

    def forward(self, x):
        return self.bag((x * 255).round().long())

def build(schema, classes):
    return Classifier(Letters(), NoHead(32))
"""
