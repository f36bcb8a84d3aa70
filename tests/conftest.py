"""What every test stands on: one thread, a fixed seed, and the source of perdure as trees."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from hypothesis import settings

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "perdure"

torch.set_num_threads(1)

# The same examples on every run; `pytest --hypothesis-profile=explore` looks for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("fixed")


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Every test starts from the same global seed, whichever process runs it and in which order."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def sources() -> dict[str, Path]:
    """Every source file by the dotted name of its module."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@pytest.fixture(scope="session")
def trees(sources: dict[str, Path]) -> dict[str, ast.Module]:
    """The syntax tree of every module by its dotted name."""
    return {name: ast.parse(path.read_text("utf-8")) for name, path in sources.items()}
