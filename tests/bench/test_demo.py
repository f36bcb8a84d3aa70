"""The demo tells what its runs measured, and nothing else."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from statistics import fmean

import pytest
from rich.console import Console

from perdure.bench import Result, run
from perdure.bench.demo import LEARNERS, Play, Scene, conclusion, experiments
from perdure.bench.story import costs, matrices, tell
from perdure.folding import Schedule
from perdure.measure import AccuracyMatrix


@pytest.fixture(scope="module")
def runs() -> list:
    """Both seeds of the demo, with a twentieth of its updates."""
    return [replace(e, schedule=Schedule(32, steps=5)) for e in experiments(2)]


@pytest.fixture(scope="module")
def play(runs: list) -> tuple[Play, list[Scene]]:
    made = Play(runs)
    return made, [event for event in made.scenes() if isinstance(event, Scene)]


def test_all_learners_live_through_the_same_stream(play: tuple[Play, list[Scene]]) -> None:
    """Five pairs of digits, then all of them noisy, then inverted."""
    scenes = play[1]
    assert ["before training", "0+1", "2+3", "4+5", "6+7", "8+9", "noise", "inversion"] == [
        scene.name for scene in scenes
    ]
    assert [set(LEARNERS)] * 8 == [set(scene.accuracy) for scene in scenes]


def test_a_scene_is_the_mean_over_seeds_and_the_tasks_so_far(
    play: tuple[Play, list[Scene]],
) -> None:
    """The same numbers as the matrices have, read after the same task."""
    made, scenes = play
    for name in LEARNERS:
        results = [result for result in made.results() if result.experiment.method == name]
        for count in range(1, 8):
            expected = fmean(result.matrix.until(count).accuracy() for result in results)
            assert expected == pytest.approx(scenes[count].accuracy[name])


def test_a_run_of_the_demo_is_a_run_of_the_bench(
    runs: list, play: tuple[Play, list[Scene]]
) -> None:
    """Told in step or run alone, an experiment gives the same matrix."""
    found = {result.experiment.key: result for result in play[0].results()}
    alone = run(next(one for one in runs if one.method == "der++"))
    assert alone.matrix == found[alone.experiment.key].matrix


def test_learners_have_equal_budgets_but_for_those_whose_point_it_is(
    play: tuple[Play, list[Scene]],
) -> None:
    """One stops after the first task; one makes as many updates again at every boundary."""
    spent = {r.experiment.method: r.cost.updates for r in play[0].results()}
    assert {"frozen": 5, "naive": 35, "der++": 35, "joint": 5 * sum(range(1, 8))} == spent


def test_the_conclusion_is_computed(play: tuple[Play, list[Scene]]) -> None:
    """Two sentences; other numbers make other words."""
    results = play[0].results()
    said = conclusion(results)
    assert 2 == len(re.findall(r"[.](?: |$)", said))
    for name in LEARNERS:
        mean = fmean(r.matrix.accuracy() for r in results if r.experiment.method == name)
        assert f"{mean:.1%}" in said
    assert "points below it." in conclusion(changed(results, ours=0.5, joint=0.75))
    assert "stands 25.0 points below it" in conclusion(changed(results, ours=0.5, joint=0.75))
    assert "stands 25.0 points above it" in conclusion(changed(results, ours=1.0, joint=0.75))


def test_the_conclusion_does_not_hide_a_higher_cost(play: tuple[Play, list[Scene]]) -> None:
    """Where perdure computes more than retraining, it says so."""
    flops = {"frozen": 1, "naive": 1, "der++": 300, "joint": 150}
    results = [
        replace(r, cost=replace(r.cost, flops=flops[r.experiment.method]))
        for r in play[0].results()
    ]
    assert "It computes 2.0 times more than retraining does" in conclusion(results)


def test_the_story_has_a_line_a_scene_and_fits_a_terminal(runs: list) -> None:
    """Eighty columns; what comes, then a number for each learner."""
    text = io.StringIO()
    console = Console(file=text, width=80, highlight=False)
    made = Play(runs)
    tell(made, console)
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    told = [line for line in lines if re.search(r"(\d+\.\d\s+){4}$", line + " ")]
    assert 8 == len(told)
    assert told[1].startswith("digits 0 and 1 arrive")
    assert told[6].startswith("all digits again: noise")
    console.print(matrices(made.results()))
    console.print(costs(made.results()))
    shown = text.getvalue()
    for method, name in LEARNERS.items():
        assert f"{name} ({method})" in shown
    assert max(map(len, shown.splitlines())) <= 80


def changed(results: list[Result], ours: float, joint: float) -> list[Result]:
    """The same runs, had perdure and retraining ended at these accuracies."""
    ends = {"der++": ours, "joint": joint}
    return [
        replace(r, matrix=AccuracyMatrix([[ends.get(r.experiment.method, 0.1)]])) for r in results
    ]
