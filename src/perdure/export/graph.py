"""ONNX: one file that ONNX Runtime answers from, in any language."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from perdure.errors import Impossible, require
from perdure.export.answering import ROWS, quiet, traced
from perdure.export.checked import TOLERANCE, Ask, Exported, as_text, described, kept
from perdure.learner import Learner

INPUT, OUTPUT = "x", "outputs"


def onnx(
    learner: Learner,
    example: Tensor,
    path: str | Path,
    *,
    classes: Sequence[str] = (),
    probe: Tensor | None = None,
    tolerance: float = TOLERANCE,
) -> Exported:
    """Write what the learner answers as an ONNX graph, checked with ONNX Runtime.

    The graph has one input `x` (rows, ...), raw as `predict` takes it, and one output `outputs`
    (rows, classes), for any number of rows. Classes, input and methods are in its metadata.

    Args:
        learner: on the CPU; it stays as it is.
        example: raw inputs (n, ...), n >= 1, such as questions will be.
        path: of the file.
        classes: names of the outputs, in order; by default their numbers.
        probe: rows to compare answers on; the example by default.
        tolerance: of |graph - learner| / (1 + |learner|), the largest over all outputs.

    Raises:
        Impossible: a part of the answer is no graph, or answers otherwise there than here.
        InvalidValue: there is nothing to export yet, or from this device.
        MissingExtra: onnx, onnxscript or onnxruntime is not installed.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require(module, "onnx")
    program = traced(learner, example)
    metadata = described(learner, example, classes)
    with quiet():
        try:
            made = torch.onnx.export(
                program,
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: ROWS},),
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise Impossible(
                f"ONNX has no words for a part of this graph: {str(error).splitlines()[0]}; "
                "`export.program` writes it for torch"
            ) from error
    assert made is not None  # noqa: S101  None is for the exporter of old
    made.model.metadata_props.update(as_text(metadata))
    target = Path(path)
    beside = target.with_name(f".{target.name}.part")
    made.save(beside)
    held = example if probe is None else probe
    return kept(target, learner, held, tolerance, metadata, _opened, beside)


def _opened(path: Path) -> Ask:
    runtime = require("onnxruntime", "onnx")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def ask(x: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: x.contiguous().numpy()})[0])

    return ask
