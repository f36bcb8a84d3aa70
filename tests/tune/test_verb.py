"""`perdure tune` says what it found, keeps it where a comparison reads it, and goes on."""

from __future__ import annotations

import json
from pathlib import Path

from tests.live import tiny
from typer.testing import CliRunner

from perdure import cli
from perdure.bench import read_choices
from perdure.errors import InvalidValue

SMALL = ("--hidden", "8", "--steps", "2", "--methods", "naive,er")


def test_what_was_tuned_is_what_the_bench_takes(tmp_path: Path) -> None:
    """From the one verb to the other, by the file; and the search is gone on with."""
    out = ("--out", str(tmp_path / "tune"))
    one = CliRunner().invoke(cli.app, ["tune", *SMALL, "--trials", "2", *out])
    assert 0 == one.exit_code, one.output
    more = CliRunner().invoke(cli.app, ["tune", *SMALL, "--trials", "3", *out, "--json"])
    found = json.loads(more.stdout)
    assert 3 == len(found["trials"])
    assert found["winner"]["candidate"]["method"] in {"naive", "er"}
    assert (tmp_path / "tune" / "report.html").exists()
    choices = {choice.method: choice for choice in read_choices(tmp_path / "tune" / "tuned.json")}
    bench = ("bench", "--methods", "er", "--hidden", "8", "--steps", "2", "--seeds", "1")
    place = ("--out", str(tmp_path / "bench"), "--workers", "1", "--no-report", "--json")
    tuned = ("--tuned", str(tmp_path / "tune" / "tuned.json"))
    done = CliRunner().invoke(cli.app, [*bench, *place, *tuned])
    (held,) = json.loads(done.stdout)["runs"]
    assert choices["er"].lr == held["experiment"]["lr"]
    assert choices["er"].settings == held["experiment"]["settings"]


def test_a_fair_search_gives_each_method_its_trials(tmp_path: Path) -> None:
    """And tells what could not be tried."""
    with_one_more = (*SMALL[:-1], "naive,er,packnet")
    done = CliRunner().invoke(
        cli.app,
        ["tune", *with_one_more, "--each", "--trials", "1", "--out", str(tmp_path), "--json"],
    )
    found = json.loads(done.stdout)
    assert ["naive", "er"] == [one["candidate"]["method"] for one in found["trials"]]
    assert ["packnet"] == list(found["refused"])


def test_what_would_be_left_unheard_is_refused(tmp_path: Path) -> None:
    """Options of the lab beside a directory, and the other way round; each is named."""
    project = tiny.written(tmp_path / "service")
    for options, said in (
        (["-C", str(project), "--steps", "5"], "--steps is for a data set"),
        (["-C", str(project), "--batch-size", "9"], "--batch-size is for a data set"),
        (["--write"], "--write is for a live project"),
        (["--spans", "4"], "--spans is for a live project"),
        (["--hidden", "8,x"], "--hidden takes whole numbers with commas, not '8,x'"),
        (["--from", str(tmp_path)], "no search has been there"),
    ):
        done = CliRunner().invoke(cli.app, ["tune", *options, "--out", str(tmp_path / "out")])
        assert isinstance(done.exception, InvalidValue)
        assert said in str(done.exception)
    assert not (tmp_path / "out").exists()
