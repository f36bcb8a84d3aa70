"""`perdure advise` as one types it."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from perdure.advise.advice import advise as advised
from perdure.advise.answers import options
from perdure.advise.architecture import NAMES, Architecture
from perdure.advise.questions import QUESTIONS, Situation
from perdure.advise.render import LETTERS
from perdure.cli.advise import advise
from perdure.errors import InvalidValue

app = typer.Typer()
app.command()(advise)

ANSWERS = {"yes or no": st.booleans(), "number": st.integers(1, 999), "duration": st.floats(1, 1e5)}
SITUATIONS = st.builds(Situation, **{q.name: st.none() | ANSWERS[q.kind] for q in QUESTIONS})


def said(*args: str) -> str:
    """What the verb prints; an error is raised as it is."""
    run = CliRunner().invoke(app, list(args), catch_exceptions=False, env={"COLUMNS": "200"})
    assert 0 == run.exit_code, run.output
    return run.stdout


def parsed(*args: str) -> Any:
    return json.loads(said(*args, "--json"))


@settings(max_examples=20)
@given(SITUATIONS)
def test_every_situation_can_be_told_by_options(situation: Situation) -> None:
    """And the options that are printed after the questions are the same situation again."""
    found = parsed(*options(situation).split())
    told = Situation(**found["situation"])
    for question in QUESTIONS:
        expected = getattr(situation, question.name)
        kept = pytest.approx(expected) if question.kind == "duration" and expected else expected
        assert kept == getattr(told, question.name)
    assert advised(told).scenario == found["scenario"]


def test_without_a_terminal_nothing_is_asked_and_the_advice_says_what_hangs_on_it() -> None:
    """Unknown answers are assumed, in the open."""
    found = said()
    assert "You did not say, and it would change this advice" in found
    assert "Will new classes appear over time?" in found


def test_durations_are_given_with_their_units() -> None:
    """Seconds inside."""
    found = parsed("--retrain", "12m", "--budget", "1.5h")["situation"]
    assert (720.0, 5400.0) == (found["retrain"], found["budget"])
    with pytest.raises(InvalidValue, match="90s, 30m, 2h"):
        said("--budget", "soon")


def test_no_is_told_apart_from_nothing_said() -> None:
    """`--no-keep-raw` is an answer."""
    assert parsed("--no-keep-raw")["situation"]["keep_raw"] is False
    assert parsed()["situation"]["keep_raw"] is None


def test_a_number_below_one_is_refused() -> None:
    """By the option's own range."""
    assert 2 == CliRunner().invoke(app, ["--tasks", "0"]).exit_code


def test_json_holds_the_whole_advice(tmp_path: Path) -> None:
    """And nothing else is printed."""
    found = parsed("--growing", "--no-task-known")
    assert "class" == found["scenario"]
    assert "growing" == found["tries"][0]["architecture"]
    assert found["sample"] is None
    assert {"what", "reason", "instead"} == set(found["impossible"][0])


def test_a_table_is_looked_at(tmp_path: Path) -> None:
    """Columns that are no inputs are named by their part."""
    day = np.repeat(np.arange(10), 40)
    kind = np.where((day > 6) & (np.arange(400) % 2 == 0), "dent", "ok")
    path = tmp_path / "parts.csv"
    pd.DataFrame({"day": day, "heat": day * 0.1, "kind": kind}).to_csv(path, index=False)
    args = ("--sample", str(path), "--label", "kind", "--time", "day")
    found = parsed(*args)
    assert "class" == found["scenario"]
    assert ["dent", "ok"] == found["sample"]["classes"]
    assert str(path) == found["sample"]["path"]
    text = said(*args)
    assert "1 of 2 classes came later than chance allows" in text
    assert f"data = tables('{path}', 'kind', keep=['day'])" in text


def test_a_column_without_a_sample_is_refused() -> None:
    """It names the options that have nothing to stand on."""
    with pytest.raises(InvalidValue, match="--label, --time without --sample"):
        said("--label", "kind", "--time", "day")


def test_the_table_of_what_fits_what_is_printed() -> None:
    """A letter where it fits and a dot where not, under either policy; letters are explained."""
    text = said("--table", "--no-keep-raw")
    assert all(f"{letter}  {NAMES[one]}" in text for one, letter in LETTERS.items())
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}
    assert rows["er"] == ["·" * len(LETTERS)] * 4
    assert "·" * len(LETTERS) not in said("--table").split("er ")[1].split()[:3]
    trained = {**LETTERS, Architecture.HEADLESS: "·"}
    untold = {one: "·" if one.needs_task else letter for one, letter in trained.items()}
    task, *others, free = rows["si"]
    assert "".join(trained.values()) == task
    assert ["".join(untold.values())] * 2 == others
    assert "·" * len(LETTERS) == free


def test_the_table_as_json_has_every_reason() -> None:
    """Each cell with its verdict and what would fit."""
    cells = parsed("--table")
    refused = [cell for cell in cells if not cell["verdict"]["possible"]]
    assert len(refused) < len(cells)
    assert all(cell["verdict"]["reason"] and cell["verdict"]["instead"] for cell in refused)


def test_on_a_terminal_without_options_it_asks() -> None:
    """Only what still matters; a wrong answer is asked again; the options come back in words."""
    code, shown = typed("y\nn\nmaybe\nn\ny\n\ny\n\n\n6\n\n\n12m\n30m\n")
    assert 0 == code
    assert "'maybe' is neither yes nor no" in shown
    again = "perdure advise --past-matters --no-task-known --no-growing --drifting --keep-raw"
    assert f"{again} --tasks 6 --retrain 720s --budget 1800s" in shown
    assert "What to do: retrain from scratch" in shown


def test_with_any_option_a_terminal_is_not_asked() -> None:
    """Scripts run in terminals too; what is wrong with the option is said, in one sentence."""
    code, shown = typed("", "--budget", "soon")
    assert 2 == code
    assert "Press Enter" not in shown
    assert "perdure: a duration is 'soon'" in shown


def test_the_end_of_input_stops_the_questions_without_advice() -> None:
    """Ctrl-D at a question."""
    code, shown = typed("y\n\x04")
    assert 1 == code
    assert "Scenario" not in shown


def typed(keys: str, *args: str) -> tuple[int, str]:
    """Exit code and screen of the command run in a terminal of its own."""
    script = "import sys; sys.argv[0] = 'perdure'; from perdure.cli import main; main()"
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", script, "advise", *args],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "COLUMNS": "200", "TERM": "dumb"},
        )
        os.close(theirs)
        os.write(ours, keys.encode())
        shown = read_all(ours)
        return process.wait(timeout=60), shown
    finally:
        os.close(ours)


def read_all(descriptor: int) -> str:
    """Everything until the other side is closed, which a terminal reports as an error."""
    found = b""
    while select.select([descriptor], [], [], 60)[0]:
        try:
            piece = os.read(descriptor, 1 << 16)
        except OSError:
            break
        found += piece
        if not piece:
            break
    return found.decode().replace("\r\n", "\n")
