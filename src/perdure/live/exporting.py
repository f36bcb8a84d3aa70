"""A version outside its directory: what another machine needs to answer with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save_file
from torch import Tensor

from perdure import export as graphs
from perdure.engine import Engine
from perdure.errors import InvalidValue
from perdure.live import evaluation
from perdure.live.probe import example
from perdure.live.project import SETTINGS, Project
from perdure.live.registry import STATE, Version, digest_of

Part = Literal["learner", "model", "backbone"]
Form = Literal["safetensors", "onnx", "torch-export"]
WRITERS = {"onnx": (graphs.onnx, "model.onnx"), "torch-export": (graphs.program, "model.pt2")}
PROBED = 256  # rows that a graph is compared on


def export(
    project: Project,
    name: int | str,
    target: Path,
    part: Part = "learner",
    form: Form = "safetensors",
    *,
    write: bool = True,
) -> dict[str, Any]:
    """Write a version to a new directory: its tensors, settings, model file, classes, checksums.

    Args:
        project: that has the version.
        name: its number or an alias.
        target: must not exist.
        part: "learner" is the whole state, from which learning can go on; "model" the model's
            tensors as a plain safetensors file; "backbone" those under `model.backbone` alone,
            bare of the heads that grew on it. A graph has no parts.
        form: "safetensors" holds tensors; "onnx" and "torch-export" hold a graph of everything
            from a decoded row to the scores of its classes, which needs no perdure to answer. It
            is compared with the version on held-out rows, and kept where both answer the same.
        write: False only says what would be written.

    Returns:
        What `export.json` says: version, lineage, classes, SHA-256 of each file, and of a graph
        its inputs and how far its answers are from the version's.

    Raises:
        InvalidValue: the target exists, the model has no `backbone`, or a graph was to be a part.
        Impossible: the version cannot be written as a graph, or would answer otherwise.
        MissingExtra: what writes ONNX is not installed.
        NotFound: there is no such version.
    """
    if target.exists():
        raise InvalidValue(f"{target} exists; name a directory that does not")
    if form != "safetensors" and part != "learner":
        raise InvalidValue(f"a graph is whole; {part!r} goes out as safetensors alone")
    held = project.registry.get(name)
    said: dict[str, Any] = {
        "name": project.settings.name,
        "version": held.version,
        "parent": held.parent,
        "examples": {"after": held.after, "upto": held.upto},
        "classes": project.classes(),
        "format": form,
    }
    if not write:
        project.registry.check(held.version)
        return said
    with _whole(target) as folder:
        if form == "safetensors":
            _write_tensors(project, held, folder, part)
        else:
            said["graph"] = _write_graph(project, held, folder, form)
        said["files"] = {path.name: digest_of(path) for path in sorted(folder.iterdir())}
        (folder / "export.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return said


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A folder that gets the target's name when all is in it, and goes where something fails."""
    beside = target.with_name(f".{target.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write_tensors(project: Project, held: Version, folder: Path, part: Part) -> None:
    state = project.registry.load(held.version)
    if part == "learner":
        shutil.copyfile(project.registry.path(held) / STATE, folder / STATE)
    else:
        tensors = _bare(state["model"]) if part == "backbone" else state["model"]
        whole = {key: tensor.contiguous() for key, tensor in tensors.items()}
        save_file(whole, folder / f"{part}.safetensors")
    module = project.settings.learner.model.partition(":")[0] + ".py"
    for file in (SETTINGS, module):
        shutil.copyfile(project.directory / file, folder / file)


def _write_graph(project: Project, held: Version, folder: Path, form: Form) -> dict[str, Any]:
    """The graph's file; what it takes, and how it was found to answer."""
    writer, file = WRITERS[form]
    learner = project.learner(engine=Engine())
    learner.load_state_dict(project.registry.load(held.version))
    rows = evaluation.read(project).x[:PROBED]
    rows = rows if len(rows) else example(project)
    known = project.classes()[: learner.predict(rows[:1]).shape[1]]
    made = writer(learner, rows, folder / file, classes=known, probe=rows)
    return {**made.to_dict(), "path": file}


def _bare(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = "backbone."
    found = {key[len(start) :]: held for key, held in tensors.items() if key.startswith(start)}
    if not found:
        raise InvalidValue(
            "the model has no `backbone`; wrap it in perdure.nets.Classifier, or export the model"
        )
    return found
