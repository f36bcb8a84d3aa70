"""TensorBoard: event files in a folder."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

from perdure.errors import Impossible, require
from perdure.track.run import Model, Run

SENT = "perdure.sent"  # keys of the runs that are there, one a line


class Board:
    """Writes runs for TensorBoard, each series into a folder of its own.

    Args:
        folder: what `tensorboard --logdir` is to be given.

    Raises:
        MissingExtra: tensorboard or matplotlib is not installed.
    """

    registers = False

    def __init__(self, folder: Path) -> None:
        require("tensorboard", "track")
        self.image = require("matplotlib.image", "lab")
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter
        self.folder = folder

    def send(self, run: Run) -> bool:
        """Write a run; the files that it has are named in its text."""
        held = self.folder / SENT
        if held.exists() and run.key in held.read_text("utf-8").split():
            return False
        writer = self.writer(self.folder / run.group / (run.series or f"{run.name} {run.key[:8]}"))
        step = max((metric.step for metric in run.metrics), default=0)
        for metric in run.metrics:
            writer.add_scalar(metric.name, metric.value, metric.step)
        for name, png in run.pictures.items():
            pixels = self.image.imread(io.BytesIO(png))[..., :3]
            writer.add_image(name, pixels, step, dataformats="HWC")
        said = {**run.parameters, **run.tags, "files": [str(path) for path in run.files]}
        writer.add_text(run.name, f"```json\n{json.dumps(said, indent=1)}\n```", step)
        writer.close()
        with held.open("a", encoding="utf-8") as file:
            file.write(f"{run.key}\n")
            file.flush()
            os.fsync(file.fileno())
        return True

    def register(self, model: Model) -> bool:
        """Raise: there is no registry."""
        raise Impossible("TensorBoard has no registry of models; MLflow has one")

    def point(self, name: str, aliases: Mapping[str, int]) -> None:
        """Raise: there is no registry."""
        raise Impossible("TensorBoard has no registry of models; MLflow has one")
