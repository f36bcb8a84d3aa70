"""A learner's answers as one graph, for machines that know nothing of perdure, or of Python.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import torch
    >>> from perdure import Learner, export
    >>> learner = Learner(torch.nn.Linear(4, 2))
    >>> with TemporaryDirectory() as folder:
    ...     made = export.program(learner, torch.zeros(3, 4), Path(folder) / "model.pt2")
    >>> made.largest_difference
    0.0

`onnx` writes for ONNX Runtime, `program` for `torch.export.load`. Both take raw inputs, such as
uint8 images, and give what `Learner.predict` gives: preparation, model, and what methods decide.
Both ask the file as it was written, and keep it only where it answers as the learner does.
"""

from perdure.export.checked import TOLERANCE, Exported
from perdure.export.graph import onnx
from perdure.export.program import program

__all__ = ["TOLERANCE", "Exported", "onnx", "program"]
