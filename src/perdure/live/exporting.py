"""A version outside its directory: what another machine needs to answer with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save_file
from torch import Tensor

from perdure.errors import InvalidValue
from perdure.live.project import SETTINGS, Project
from perdure.live.registry import STATE, digest_of

Part = Literal["learner", "model", "backbone"]


def export(
    project: Project,
    name: int | str,
    target: Path,
    part: Part = "learner",
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
            bare of the heads that grew on it.
        write: False only says what would be written.

    Returns:
        What `export.json` says: version, lineage, classes, and SHA-256 of each file.

    Raises:
        InvalidValue: the target exists, or the model has no `backbone`.
        NotFound: there is no such version.
    """
    if target.exists():
        raise InvalidValue(f"{target} exists; name a directory that does not")
    held, state = project.registry.get(name), project.registry.load(name)
    tensors = _bare(state["model"]) if part == "backbone" else state["model"]
    said: dict[str, Any] = {
        "name": project.settings.name,
        "version": held.version,
        "parent": held.parent,
        "examples": {"after": held.after, "upto": held.upto},
        "classes": project.classes(),
    }
    if not write:
        return said
    target.mkdir(parents=True)
    if part == "learner":
        shutil.copyfile(project.registry.path(held) / STATE, target / STATE)
    else:
        whole = {key: tensor.contiguous() for key, tensor in tensors.items()}
        save_file(whole, target / f"{part}.safetensors")
    module = project.settings.learner.model.partition(":")[0] + ".py"
    for file in (SETTINGS, module):
        shutil.copyfile(project.directory / file, target / file)
    said["files"] = {path.name: digest_of(path) for path in sorted(target.iterdir())}
    (target / "export.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return said


def _bare(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = "backbone."
    found = {key[len(start) :]: held for key, held in tensors.items() if key.startswith(start)}
    if not found:
        raise InvalidValue(
            "the model has no `backbone`; wrap it in perdure.nets.Classifier, or export the model"
        )
    return found
