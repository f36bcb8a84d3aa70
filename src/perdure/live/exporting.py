"""A version outside its directory: what another machine needs to answer with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from perdure.errors import InvalidValue
from perdure.live.project import SETTINGS, Project
from perdure.live.registry import STATE, digest_of


def export(
    project: Project, name: int | str, target: Path, *, weights_only: bool = False
) -> dict[str, Any]:
    """Write a version to a new directory: weights, settings, model file, classes, checksums.

    Args:
        project: that has the version.
        name: its number or an alias.
        target: must not exist.
        weights_only: the model's tensors as a plain safetensors file, without memory and
            optimiser; otherwise the learner's whole state, from which learning can go on.

    Returns:
        What `export.json` says: version, lineage, classes, and SHA-256 of each file.

    Raises:
        InvalidValue: the target exists.
        NotFound: there is no such version.
    """
    if target.exists():
        raise InvalidValue(f"{target} exists; name a directory that does not")
    held, state = project.registry.get(name), project.registry.load(name)
    target.mkdir(parents=True)
    if weights_only:
        tensors = {key: tensor.contiguous() for key, tensor in state["model"].items()}
        save_file(tensors, target / "model.safetensors")
    else:
        shutil.copyfile(project.registry.path(held) / STATE, target / STATE)
    module = project.settings.learner.model.partition(":")[0] + ".py"
    for file in (SETTINGS, module):
        shutil.copyfile(project.directory / file, target / file)
    said = {
        "name": project.settings.name,
        "version": held.version,
        "parent": held.parent,
        "examples": {"after": held.after, "upto": held.upto},
        "classes": project.classes(),
        "files": {path.name: digest_of(path) for path in sorted(target.iterdir())},
    }
    (target / "export.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return said
