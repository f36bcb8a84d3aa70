"""The notebooks run from the first cell to the last, as a reader would run them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from perdure.cli import app

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOKS = sorted((Path(__file__).parent.parent / "examples" / "notebooks").glob("*.ipynb"))
COMMANDS = {"live_loop"}  # each of its nine commands begins with torch: see the test below


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.slow] if path.stem in COMMANDS else [])
        for path in NOTEBOOKS
    ],
    ids=lambda path: path.stem,
)
def test_a_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its own folder, with nothing kept from another run; no cell fails or is silent at last."""
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": path.parent}}
    nbclient.NotebookClient(notebook, timeout=110, resources=where).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code[-1].outputs


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_commands_of_a_notebook_work_in_one_process(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every cell runs and no command ends with an error; only the processes are left out."""
    (path,) = (path for path in NOTEBOOKS if path.stem == name)
    done: list[str] = []
    start = subprocess.run

    def run(command: list[str], **said: object) -> subprocess.CompletedProcess[str]:
        if [sys.executable, "-m", "perdure"] != command[:3]:
            return start(command, **said)
        result = CliRunner().invoke(app, command[3:])
        held = command[3] == "update" and result.exit_code == 1  # the gate wants more rows
        assert held or 0 == result.exit_code, (command, result.output, result.exception)
        done.append(command[3])
        return subprocess.CompletedProcess(command, 0, result.stdout, result.stderr)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cells = nbformat.read(path, as_version=4).cells
    known: dict[str, object] = {}
    for source in (cell.source for cell in cells if cell.cell_type == "code"):
        exec(source, known)  # noqa: S102  # what a reader would run
    assert sum(cell.source.count('perdure("') for cell in cells) == len(done)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    """So that a change shows what was changed, and no page shows numbers of another version."""
    notebook = nbformat.read(path, as_version=4)
    assert [] == [cell.outputs for cell in notebook.cells if cell.get("outputs")]
