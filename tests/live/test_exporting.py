"""What leaves the directory is whole, checked, and enough to answer with."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.live import tiny

from perdure import checkpoint
from perdure.errors import InvalidValue
from perdure.live import evaluation
from perdure.live.exporting import Form, export
from perdure.live.project import Project
from perdure.live.refusals import NotFound

TOML = """\
[schema]
kind = "tensor"
shape = [4]
classes = ["no", "yes"]
"""
MODEL = """\
from perdure.nets import MLP, Classifier, FixedHead


def build(schema, classes):
    return Classifier(MLP(4, (8,)), FixedHead(8, classes))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """With one version, untrained."""
    directory = tmp_path_factory.mktemp("project")
    (directory / "perdure.toml").write_text(TOML)
    (directory / "model.py").write_text(MODEL)
    with Project(directory) as opened:
        job = opened.jobs.ask("update", "a test", "test")
        opened.jobs.start(job.id, None, 0, 0)
        opened.registry.create(
            opened.learner().state_dict(), parent=None, job=job.id, after=0, upto=0, note={}
        )
        yield opened


def test_a_learner_goes_on_elsewhere(project: Project, tmp_path: Path) -> None:
    """The exported state loads into a learner made from the exported settings and model."""
    export(project, 1, tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "new")
    x = torch.randn(3, 4)
    with Project(tmp_path / "new") as other:
        learner = other.learner()
        learner.load_state_dict(checkpoint.load(tmp_path / "out" / "learner.safetensors"))
    assert torch.equal(project.load(1).predict(x), learner.predict(x))


def test_the_model_alone_is_a_plain_safetensors_file(project: Project, tmp_path: Path) -> None:
    """Anybody can read it, and it holds the same tensors."""
    export(project, "challenger", tmp_path / "out", "model")
    model = project.model()
    model.load_state_dict(load_file(tmp_path / "out" / "model.safetensors"))
    x = torch.randn(3, 4)
    assert torch.equal(project.load(1).predict(x), model(x))


def test_a_backbone_is_bare_of_its_head(project: Project, tmp_path: Path) -> None:
    """Its tensors load into the backbone, bit for bit, and nothing else is there."""
    export(project, 1, tmp_path / "out", "backbone")
    tensors = load_file(tmp_path / "out" / "backbone.safetensors")
    ours = project.load(1).model.get_submodule("backbone").state_dict()
    assert set(ours) == set(tensors)
    assert all(torch.equal(ours[name], tensors[name]) for name in ours)


def test_checksums_are_those_of_the_files(project: Project, tmp_path: Path) -> None:
    """And every file is named."""
    said = export(project, 1, tmp_path / "out")
    there = {p.name: p for p in (tmp_path / "out").iterdir() if p.name != "export.json"}
    digests = {n: hashlib.sha256(path.read_bytes()).hexdigest() for n, path in there.items()}
    assert digests == said["files"]
    assert said == json.loads((tmp_path / "out" / "export.json").read_text())


def test_nothing_is_written_over(project: Project, tmp_path: Path) -> None:
    """A target that exists is refused."""
    with pytest.raises(InvalidValue, match="exists"):
        export(project, 1, tmp_path)


def test_a_version_must_be_there(project: Project, tmp_path: Path) -> None:
    """And where it is not, no directory is made."""
    with pytest.raises(NotFound, match="no such version"):
        export(project, 7, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("form", "file"), [("onnx", "model.onnx"), ("torch-export", "model.pt2")])
def test_a_graph_answers_as_the_version_does(
    project: Project, tmp_path: Path, form: Form, file: str
) -> None:
    """It is in the directory, with its checksum, its classes and how far off it is."""
    said = export(project, 1, tmp_path / "out", form=form)
    assert {file} == set(said["files"])
    assert said["graph"]["largest_difference"] < 1e-5
    assert ["no", "yes"] == said["graph"]["metadata"]["classes"]
    assert {"dtype": "float32", "shape": [4]} == said["graph"]["metadata"]["input"]
    assert {file, "export.json"} == {path.name for path in (tmp_path / "out").iterdir()}


def test_a_graph_has_no_parts(project: Project, tmp_path: Path) -> None:
    """And a refused export leaves no directory behind."""
    with pytest.raises(InvalidValue, match="a graph is whole"):
        export(project, 1, tmp_path / "out", "model", "onnx")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["safetensors", "torch-export"])
def test_a_dry_run_says_the_same_and_writes_nothing(
    project: Project, tmp_path: Path, form: Form
) -> None:
    """But for checksums and answers of what was not written."""
    said = export(project, 1, tmp_path / "out", form=form, write=False)
    assert [] == list(tmp_path.iterdir())
    done = export(project, 1, tmp_path / "out", form=form)
    assert said == {key: done[key] for key in said}
    assert {"files"} <= done.keys() - said.keys() <= {"files", "graph"}


def test_an_export_that_fails_leaves_no_directory(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the target nor what was begun beside it; the next one goes through."""

    def broken(*arguments: object, **named: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("perdure.live.exporting.digest_of", broken)
        with pytest.raises(OSError, match="disk is full"):
            export(project, 1, tmp_path / "out")
    assert [] == list(tmp_path.iterdir())
    export(project, 1, tmp_path / "out")
    assert ["out"] == [path.name for path in tmp_path.iterdir()]


def test_what_a_killed_export_left_is_in_nobody_s_way(project: Project, tmp_path: Path) -> None:
    """A half-written folder beside the target goes, and nothing of it is in the new one."""
    left = tmp_path / ".out.part"
    left.mkdir()
    (left / "half.safetensors").write_bytes(b"half")
    said = export(project, 1, tmp_path / "out", "model")
    assert "half.safetensors" not in said["files"]
    assert ["out"] == [path.name for path in tmp_path.iterdir()]


def test_a_model_without_a_backbone_says_so(tmp_path: Path) -> None:
    """And what to do; the model as a whole goes out all the same."""
    with tiny.project(tmp_path / "state") as held:
        held.log.append(tiny.rows(0, 40)).result()
        tiny.updated(held)
        with pytest.raises(InvalidValue, match=r"no `backbone`; wrap it in"):
            export(held, 1, tmp_path / "out", "backbone")
        assert not (tmp_path / "out").exists()
        export(held, 1, tmp_path / "out", "model")


def test_a_graph_is_compared_on_the_rows_that_are_held_out(tmp_path: Path) -> None:
    """All of them, where they are fewer than it takes; and none of them is in what is written."""
    with tiny.project(tmp_path / "state") as held:
        held.log.append(tiny.rows(0, 60)).result()
        tiny.updated(held)
        questions = evaluation.read(held)
        said = export(held, 1, tmp_path / "out", form="torch-export")
        assert len(questions.x) == said["graph"]["rows"] > 5
        assert 1.0 == said["graph"]["same_label"]
        data = (tmp_path / "out" / "model.pt2").read_bytes()
        assert not any(row.numpy().tobytes() in data for row in questions.x)
        graph = torch.export.load(tmp_path / "out" / "model.pt2").module()
        assert torch.allclose(held.load(1).predict(questions.x), graph(questions.x), atol=1e-5)
