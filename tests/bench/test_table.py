"""Tables say means over seeds, what was refused, and what was not measured."""

from __future__ import annotations

import io
import json
import statistics
from dataclasses import replace

import pytest
from rich.console import Console

from perdure.bench import NoResult, Result, lines, tables, to_json
from perdure.bench.table import DASH, cell, in_order, percent, refusals, scaled, show
from perdure.measure import Cost


def test_a_line_is_the_mean_over_seeds(few: list[Result]) -> None:
    """With the standard deviation of n - 1; one line a method."""
    naive, progressive = lines(few)
    values = [result.matrix.accuracy() for result in few[:2]]
    assert statistics.fmean(values) == pytest.approx(naive.summaries["accuracy"].mean)
    assert statistics.stdev(values) == pytest.approx(naive.summaries["accuracy"].std)
    assert ["naive", "progressive"] == [naive.label, progressive.label]
    assert [0, 1] == [result.experiment.seed for result in progressive.results]


def test_what_was_not_measured_is_a_dash_and_not_a_zero(few: list[Result]) -> None:
    """A progressive network has no accuracy on a task to come, hence no forward transfer."""
    naive, progressive = lines(few)
    assert DASH == cell(progressive, "fwt")
    assert "±" in cell(naive, "fwt")
    assert "0.0 ± 0.0" == cell(progressive, "forgetting")


def test_refused_and_failed_runs_stand_beside_the_others(few: list[Result]) -> None:
    """With their reason: nothing is dropped in silence."""
    refused = replace(few[0].experiment, method="icarl")
    broken = replace(few[0].experiment, seed=9)
    records = [
        *few,
        NoResult(refused, "refused", "it needs what is not there"),
        NoResult(broken, "failed", "it rained"),
    ]
    naive, _, icarl = lines(records)
    assert 2 == len(naive.results)
    assert () == icarl.results
    assert [
        "naive (split digits, task): seed 9 failed: it rained",
        "icarl (split digits, task): refused: it needs what is not there",
    ] == refusals(lines(records))


def test_each_scenario_has_a_table(few: list[Result], naive: Result) -> None:
    """Printed: the methods, their numbers, and a title that says what they are of."""
    other = replace(naive, experiment=replace(naive.experiment, scenario="class"))
    text = io.StringIO()
    console = Console(file=text, width=120)
    for table in tables(lines([*few, other])):
        console.print(table)
    said = text.getvalue()
    assert ["split digits, scenario task", "split digits, scenario class"] == [
        line.strip() for line in said.splitlines() if "scenario" in line
    ]
    assert percent(few[0].matrix.accuracy())[:2] in said
    assert {"accuracy", "forgetting", "BWT", "FWT", "seconds", "FLOPs", "memory"} <= set(
        said.split()
    )


def test_lines_of_one_method_are_told_apart_by_what_differs(naive: Result) -> None:
    """And by nothing else."""
    fast = replace(naive, experiment=replace(naive.experiment, lr=0.01))
    small = replace(naive, experiment=replace(naive.experiment, hidden=(4, 4)))
    labels = [line.label for line in lines([naive, fast, small])]
    assert [
        "naive hidden=[16, 16] lr=0.001",
        "naive hidden=[16, 16] lr=0.01",
        "naive hidden=[4, 4] lr=0.001",
    ] == [label.replace("(", "[").replace(")", "]") for label in labels]


def test_the_json_form_has_every_run_and_every_summary(few: list[Result]) -> None:
    """As plain values, None where nothing was measured."""
    refused = NoResult(replace(few[0].experiment, method="icarl"), "refused", "no")
    held = json.loads(json.dumps(to_json([*few, refused])))
    assert 5 == len(held["runs"])
    assert ["naive", "progressive", "icarl"] == [line["method"] for line in held["summaries"]]
    assert few[0].matrix.to_dict() == held["runs"][0]["matrix"]
    assert few[0].cost.flops == held["runs"][0]["flops"]
    assert held["summaries"][1]["fwt"] is None
    assert {"mean", "std"} == set(held["summaries"][0]["accuracy"])
    assert "no" == held["runs"][4]["reason"]


def test_a_method_that_measures_more_on_one_seed_is_not_averaged(few: list[Result]) -> None:
    """`summarise` refuses a mean of other runs than those it names; costs may be zero."""
    free = replace(few[0], cost=Cost())
    assert 0 == lines([free])[0].summaries["flops"].mean


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 "), (999, "999 "), (5056, "5.06 k"), (7.27e10, "72.7 G"), (2e15, "2 P"), (1e6, "1 M")],
)
def test_large_numbers_have_a_prefix(value: float, shown: str) -> None:
    """Three digits and k, M, G, T or P."""
    assert shown == scaled(value)


def test_a_small_negative_is_no_negative_zero() -> None:
    """-0.0 would ask a question that has no answer."""
    assert ["0.0", "-0.1", "100.0"] == [percent(value) for value in (-0.0001, -0.001, 1)]


def test_records_of_a_file_come_in_the_order_of_the_methods(few: list[Result]) -> None:
    """Whichever run finished first: stream, scenario, method, seed."""
    other = replace(few[0], experiment=replace(few[0].experiment, scenario="class"))
    mixed = [few[3], other, few[1], few[2], few[0]]
    assert [*few, other] == in_order(mixed)


def test_a_narrow_console_cuts_no_number(few: list[Result]) -> None:
    """The lines run over, whole."""
    text = io.StringIO()
    show(lines(few), Console(file=text, width=30))
    said = text.getvalue()
    assert "…" not in said
    assert cell(lines(few)[0], "accuracy").replace(" ", "") in said


def test_what_was_refused_stands_below_the_tables(few: list[Result]) -> None:
    """In one line each, brackets and all."""
    text = io.StringIO()
    refused = replace(few[0].experiment, method="icarl")
    records = [*few, NoResult(refused, "refused", "it [bold]cannot[/] be")]
    show(lines(records), Console(file=text, width=40))
    assert text.getvalue().endswith(
        "- icarl (split digits, task): refused: it [bold]cannot[/] be\n"
    )


def test_where_nothing_was_measured_there_is_no_empty_table(few: list[Result]) -> None:
    """What failed stands below, and no head without a line above it."""
    assert [] == tables(lines([NoResult(few[0].experiment, "failed", "it rained")]))
