"""Which program measured: what every result is kept with."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit() -> str:
    """The commit that is checked out, and whether files differ from it; "unknown" outside git."""
    command = ["git", "describe", "--always", "--dirty"]
    here = Path(__file__).parent
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=here)
    return done.stdout.strip() or "unknown"
