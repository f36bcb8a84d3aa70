"""Every benchmark says what it measures and how to ask for it."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if "__main__" in path.read_text("utf-8"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_help_is_what_the_script_begins_with(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its docstring, with a command to copy; and nothing is measured."""
    source = script.read_text("utf-8")
    assert "options(__doc__)" in source  # or it would begin to measure here
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr("sys.argv", [script.name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert 0 == ended.value.code
    said = capsys.readouterr().out
    assert (ast.get_docstring(ast.parse(source)) or "absent") in said
    assert f"python benchmarks/{script.name}" in said


def test_what_several_runs_come_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """1, 2 and 3 have mean 2 and deviation 1; one run has none."""
    monkeypatch.syspath_prepend(FOLDER)
    spread = runpy.run_path(str(FOLDER / "spread.py"))["spread"]
    assert "2.00 ± 1.00 (n=3)" == spread([1.0, 2.0, 3.0])
    assert "4.00 (n=1)" == spread([4.0])
