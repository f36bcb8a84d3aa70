"""The command line: quick to answer, clear about mistakes, readable for machines."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from perdure import __version__, cli
from perdure.bench import Experiment, Results, run
from perdure.bench.presets import PRESETS
from perdure.cli.bench import _experiments, bench
from perdure.folding import Schedule

SMALL = ("--hidden", "8,8", "--steps", "2", "--seeds", "1", "--workers", "1", "--tasks", "2")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["bench", "--help"], ["demo", "--help"], ["--version"]]
)
def test_help_does_not_wait_for_torch(arguments: list[str]) -> None:
    """Nor for numpy: the answer comes from the signatures alone."""
    code = (
        "import sys\n"
        "from perdure.cli import main\n"
        f"sys.argv = ['perdure', *{arguments}]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'numpy', 'scipy', 'matplotlib', 'jinja2', 'sklearn'} & {*sys.modules}\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr


def test_the_version_is_said() -> None:
    """And nothing else."""
    assert f"perdure {__version__}\n" == invoke("--version").stdout


def test_every_verb_teaches_by_example() -> None:
    """`perdure VERB --help` shows commands that one can copy."""
    for verb in ("demo", "bench", "report", "methods"):
        assert f"perdure {verb}" in invoke(verb, "--help").stdout.split("For example:")[1]


def test_the_defaults_of_bench_are_those_of_an_experiment() -> None:
    """One and the same run, whether it is asked for here or there."""
    defaults = {name: p.default for name, p in inspect.signature(bench).parameters.items()}
    plain = Experiment()
    for name in ("data", "kind", "tasks", "network", "head", "optimizer", "lr", "device"):
        assert getattr(plain, name) == defaults[name]
    assert ",".join(map(str, plain.hidden)) == defaults["hidden"]
    assert (plain.schedule.batch_size, plain.schedule.steps) == (
        defaults["batch_size"],
        defaults["steps"],
    )


def test_json_can_be_read_and_what_is_refused_is_listed(tmp_path: Path) -> None:
    """Standard output is JSON alone; a refusal is no failure."""
    done = invoke(
        *("bench", "--methods", "naive,progressive", "--scenario", "task,class", *SMALL),
        *("--json", "--out", str(tmp_path)),
    )
    assert 0 == done.exit_code, done.stderr
    held = json.loads(done.stdout)
    assert ["done", "done", "done", "refused"] == [run["status"] for run in held["runs"]]
    assert "gives no task id at inference" in held["summaries"][3]["reason"]
    assert "progressive (split digits, class): refused: a ProgressiveNet" in done.stderr
    assert "split digits, scenario task" in done.stderr
    assert "Only 2 updates a task" in done.stderr
    assert (tmp_path / "report.html").exists()
    again = invoke(
        *("bench", "--methods", "naive,progressive", "--scenario", "task,class", *SMALL),
        *("--json", "--no-report", "--out", str(tmp_path)),
    )
    assert held == json.loads(again.stdout)
    assert "4 of 4 runs are in" in again.stderr


def test_a_run_that_fails_is_recorded_and_the_exit_code_says_so(tmp_path: Path) -> None:
    """The others go on."""
    done = invoke(
        *("bench", "--methods", "ewc,naive", "--set", "ewc.strength=1e40", *SMALL),
        *("--out", str(tmp_path), "--no-report"),
    )
    assert 2 == done.exit_code
    ewc, naive = Results(tmp_path).read().values()
    assert ("failed", "ewc") == (ewc.status, ewc.experiment.method)
    assert "loss term 'ewc' is nan" in ewc.reason
    assert naive.cost.updates == 4
    assert "ewc (split digits, class): failed: loss term 'ewc' is nan" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bench", "--methods", "ewcc"], "did you mean 'ewc'"),
        (["bench", "--scenario", "klass"], "scenario is 'klass'"),
        (["bench", "--kind", "cut"], "kind is 'cut'"),
        (["bench", "--order", "1,two"], "--order takes whole numbers"),
        (["bench", "--set", "strength=3"], "write one as ewc.strength=100"),
        (["bench", "--set", "ewc.strength=much"], "strength is 'much'; it must be a number"),
        (["bench", "--set", "ewc.strength=-1"], "strength is -1; it must lie in [0, inf]"),
        (["bench", "--data", "mnst"], "did you mean 'mnist'"),
        (["bench", "--device", "gpu"], "device is 'gpu'; it must be 'cpu'"),
        (["bench", "--tasks", "3"], "10 classes do not divide into 3 tasks, but into 1, 2, 5, 10"),
        (["methods", "ewcc"], "did you mean 'ewc'"),
        (["report", "/nowhere"], "there is no /nowhere/results.csv"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On standard error, without a traceback, and before any run begins."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["perdure", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, errors = capsys.readouterr()
    assert 2 == end.value.code
    assert "" == out
    assert errors.startswith("perdure: ")
    assert said in errors
    assert 1 == errors.count("\n")


def test_methods_lists_every_method_with_what_it_does_and_needs() -> None:
    """The first line of each card."""
    listed = invoke("methods").stdout
    for name in PRESETS:
        assert f"\n{name} " in listed
    assert "replay" in listed
    assert "boundaries" in listed


def test_methods_prints_a_card() -> None:
    """The method's docstring, and what a bench gives it."""
    card = invoke("methods", "ewc").stdout
    assert card.startswith("ewc\n")
    assert "Source: Kirkpatrick et al. 2017" in card
    assert "In `perdure bench`, scenario task: strength=" in card
    assert "held out" in " ".join(card.split())


def test_report_is_drawn_again_from_the_results(tmp_path: Path, small_bench: Path) -> None:
    """Elsewhere, under another title."""
    target = tmp_path / "again.html"
    done = invoke("report", str(small_bench), "--to", str(target), "--title", "Once more")
    assert 0 == done.exit_code
    assert f"{target}\n" == done.stdout
    assert "<title>Once more</title>" in target.read_text("utf-8")


def test_options_come_to_what_they_say() -> None:
    """Two scenarios, three seeds, a common memory, one setting, an order: 2 x 3 x 2 runs."""
    made = experiments(
        methods="replay, naive",
        scenario="task,class",
        order="3,1,5,6,0,2,7,4,9,8",
        steps=7,
        batch_size=16,
        hidden="20,10",
        capacity=40,
        set_=["er.mix=tasks"],
    )
    assert 12 == len({experiment.key for experiment in made})
    assert {"task", "class"} == {experiment.scenario for experiment in made}
    assert {0, 1, 2} == {experiment.seed for experiment in made}
    assert {Schedule(16, steps=7)} == {experiment.schedule for experiment in made}
    first = made[0]
    assert ("er", 40, "tasks") == (first.method, *map(first.resolved.get, ("capacity", "mix")))
    assert ((20, 10), (3, 1, 5, 6, 0, 2, 7, 4, 9, 8)) == (first.hidden, first.order)


def test_all_is_every_method() -> None:
    """In the order in which `perdure methods` lists them; passes where no steps are given."""
    made = experiments(methods="all", seeds=1, epochs=2)
    assert list(PRESETS) == [experiment.method for experiment in made]
    assert {Schedule(64, epochs=2)} == {experiment.schedule for experiment in made}
    assert {None} == {experiment.order for experiment in made}


@pytest.mark.slow
def test_tuning_says_what_it_chose_and_the_runs_have_it(tmp_path: Path) -> None:
    """The choice is printed, stored beside the results, and used."""
    arguments = ("bench", "--methods", "icarl", "--tune", *SMALL, "--no-report")
    done = invoke(*arguments, "--out", str(tmp_path))
    assert 0 == done.exit_code
    (choice,) = json.loads((tmp_path / "tuned.json").read_text("utf-8"))
    assert f"icarl (class): capacity=500, temperature={choice['settings']['temperature']}" in (
        done.stdout
    )
    assert "on held-out rows, best of 4" in done.stdout
    (record,) = Results(tmp_path).read().values()
    assert choice["settings"] == record.experiment.resolved
    assert (choice["lr"], 0.0) == (record.experiment.lr, record.experiment.holdout)


@pytest.mark.slow
def test_the_demo_runs_and_concludes(tmp_path: Path) -> None:
    """All of it, as `make demo` does."""
    done = invoke("demo", "--lab", "--out", str(tmp_path))
    assert 0 == done.exit_code
    assert "At the end perdure answers" in " ".join(done.stdout.split())
    assert "perdure demo" in (tmp_path / "report.html").read_text("utf-8")


def test_few_updates_are_said_of_networks_alone(tmp_path: Path) -> None:
    """What learns in closed form has learned all that its rows say."""
    done = invoke(
        *("bench", "--methods", "ncm", "--epochs", "1", "--seeds", "1", "--tasks", "2"),
        *("--workers", "1", "--no-report", "--out", str(tmp_path)),
    )
    assert 0 == done.exit_code, done.stderr
    assert "updates a task" not in done.stdout


@pytest.fixture
def small_bench(tmp_path: Path) -> Path:
    """A folder with the results of a bench."""
    experiment = Experiment(hidden=(8, 8), tasks=2, schedule=Schedule(steps=2))
    Results(tmp_path / "bench").append(run(experiment))
    return tmp_path / "bench"


def experiments(**options: object) -> list[Experiment]:
    """What `perdure bench` would run with these options, the others left at their defaults."""
    defaults = {name: p.default for name, p in inspect.signature(bench).parameters.items()}
    return _experiments({**defaults, **options})


def invoke(*arguments: str):
    """Run a command in this process, as wide as no terminal is."""
    return CliRunner(env={"COLUMNS": "300", "TERM": "dumb"}).invoke(cli.app, list(arguments))
