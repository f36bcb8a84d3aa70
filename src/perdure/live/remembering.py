"""Features of a project's rows on the disk: a frozen encoder reads a row once, not once an epoch.

They are kept for what learns and judges alone: the service asks its encoder, and writes nothing.
Erasing a subject removes them all, and so does `keeping.tidy` where rows may not stay for long.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from perdure.live import files
from perdure.live.settings import Settings
from perdure.nets import Encoder

FOLDER = "features"


def remember(model: nn.Module, folder: Path, rows: int) -> None:
    """Have the frozen encoders of a model keep features in `folder`; those of others go.

    Args:
        model: whose encoders.
        folder: is made when there is something to keep.
        rows: to keep of each encoder; 0 keeps nothing.
    """
    encoders = [part for part in model.modules() if isinstance(part, Encoder) and part.frozen]
    used = [encoder.cached(folder, rows).cache for encoder in encoders if rows]
    paths = {cache.path for cache in used if cache is not None}
    for path in folder.glob("*.features"):
        if path not in paths:
            path.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove all features."""
    for path in folder.glob("*.features"):
        files.remove(path)


def must_not_stay(settings: Settings) -> bool:
    """Whether rows are to go by a rule of time, which features could not follow."""
    kept, retention = settings.log.keep_days, settings.retention
    days = (kept, retention.memory_days, settings.evaluation.keep_days)
    return not retention.raw or any(limit is not None for limit in days)
