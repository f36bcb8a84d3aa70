"""`torch.export`: one file that torch loads without the classes that the model was made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from perdure.export.answering import quiet, traced
from perdure.export.checked import TOLERANCE, Ask, Exported, described, kept
from perdure.learner import Learner

METADATA = "perdure.json"


def program(
    learner: Learner,
    example: Tensor,
    path: str | Path,
    *,
    classes: Sequence[str] = (),
    probe: Tensor | None = None,
    tolerance: float = TOLERANCE,
) -> Exported:
    """Write what the learner answers as a `torch.export` program, checked by loading it.

    `torch.export.load(path).module()(x)` answers raw inputs (rows, ...) with (rows, classes), for
    any number of rows. Classes, input and methods are in the archive as `perdure.json`, which
    `torch.export.load(path, extra_files={"perdure.json": ""})` fills in. Graph and tensors are
    plain data; torch still says to load programs from people you trust alone.

    Args:
        learner: on the CPU; it stays as it is.
        example: raw inputs (n, ...), n >= 1, such as questions will be.
        path: of the file, which torch wants to end in .pt2.
        classes: names of the outputs, in order; by default their numbers.
        probe: rows to compare answers on; the example by default.
        tolerance: of |graph - learner| / (1 + |learner|), the largest over all outputs.

    Raises:
        Impossible: a part of the answer is no graph, or answers otherwise there than here.
        InvalidValue: there is nothing to export yet, or from this device.
    """
    made = traced(learner, example)
    metadata = described(learner, example, classes)
    target = Path(path)
    beside = target.with_name(f"{target.stem}.part.pt2")  # its end says to torch what it is
    with quiet():
        torch.export.save(made, beside, extra_files={METADATA: json.dumps(metadata)})
    held = example if probe is None else probe
    return kept(target, learner, held, tolerance, metadata, _opened, beside)


def _opened(path: Path) -> Ask:
    with quiet():
        module = torch.export.load(path).module()

    @torch.no_grad()
    def ask(x: Tensor) -> Tensor:
        out: Tensor = module(x)
        return out

    return ask
