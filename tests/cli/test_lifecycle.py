"""`perdure lifecycle`: curves over a long stream, resumable, told with what was saved."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from perdure import cli
from perdure.cli.lifecycle import _experiments
from perdure.errors import Impossible, InvalidValue

SMALL = ("--batches", "12", "--hidden", "8,8", "--epochs", "1", "--every", "6")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["lifecycle", *arguments])


def test_every_method_is_held_against_the_reference(tmp_path: Path) -> None:
    """A line each with the gap beside what was saved, the page, and a file a life."""
    done = invoke("--methods", "naive,er", *SMALL, "--out", str(tmp_path))
    assert 0 == done.exit_code, done.output
    for name in ("naive", "er", "joint"):
        assert f"\n {name} " in done.stdout
    assert "final gap" in done.stdout
    assert "FLOPs saved" in done.stdout
    assert "Accuracy on all classes" in (tmp_path / "report.html").read_text()
    assert 3 == len(list(tmp_path.glob("*.json")))


def test_machines_read_the_curves(tmp_path: Path) -> None:
    """Twelve moments of each life, as JSON and nothing else; again from the files, to the bit."""
    arguments = ("--methods", "naive", *SMALL, "--out", str(tmp_path), "--json")
    first, again = (json.loads(invoke(*arguments).stdout) for _ in range(2))
    assert ["naive", "joint"] == [life["name"] for life in first]
    assert {12} == {len(life["moments"]) for life in first}
    assert first == again


def test_what_cannot_live_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    """A progressive network wants task ids."""
    done = invoke("--methods", "progressive,naive", *SMALL, "--out", str(tmp_path))
    assert 0 == done.exit_code, done.output
    assert "progressive was refused" in done.stdout
    assert "\n naive " in done.stdout


def test_a_reference_that_is_refused_is_a_mistake(tmp_path: Path) -> None:
    """There is nothing to hold the others against."""
    arguments = ("--methods", "naive", "--reference", "progressive", *SMALL)
    done = invoke(*arguments, "--out", str(tmp_path))
    assert isinstance(done.exception, Impossible)
    assert "name another with --reference" in str(done.exception)


def test_an_unknown_method_is_a_mistake(tmp_path: Path) -> None:
    """The message names the nearest."""
    done = invoke("--methods", "sldaa", "--out", str(tmp_path))
    assert isinstance(done.exception, InvalidValue)
    assert "did you mean" in str(done.exception)


def test_closed_forms_see_each_row_once_whatever_the_passes() -> None:
    """Their passes are 1, those of the others as asked for."""
    given = {
        "data": "digits",
        "encoder": "",
        "kind": "nic",
        "batches": 12,
        "hidden": "",
        "lr": 0.01,
        "batch_size": 16,
        "epochs": 7,
        "methods": "slda,er",
        "reference": "joint",
        "seed": 3,
        "set_": None,
        "capacity": 0,
    }
    asked = {experiment.method: experiment for experiment in _experiments(given)}
    assert {"slda": 1, "er": 7, "joint": 7} == {n: e.schedule.epochs for n, e in asked.items()}
    assert {()} == {experiment.hidden for experiment in asked.values()}
    assert {3} == {experiment.seed for experiment in asked.values()}


def test_help_says_that_it_can_be_stopped() -> None:
    """And where the curves are."""
    shown = " ".join(invoke("--help").stdout.split())
    assert "the same command goes on where it was" in shown
    assert "OUT/report.html" in shown
