"""Advice as a whole: consistent, complete, and honest about what it does not know."""

from __future__ import annotations

import ast
import json
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.advise.advice import Advice, advise, scenario_of
from perdure.advise.architecture import NAMES, Architecture
from perdure.advise.catalogue import catalogue
from perdure.advise.compatibility import judge
from perdure.advise.course import Course
from perdure.advise.limits import impossible
from perdure.advise.questions import QUESTIONS, Situation
from perdure.advise.records import Columns
from perdure.advise.sample import measure
from perdure.bench import presets
from perdure.scenario import Scenario

ANSWERS = {"yes or no": st.booleans(), "number": st.integers(1, 300), "duration": st.floats(1, 1e5)}
SITUATIONS = st.builds(Situation, **{q.name: st.none() | ANSWERS[q.kind] for q in QUESTIONS})
BY_NAME = {question.name: question for question in QUESTIONS}
TOLD = Situation(
    past_matters=True,
    task_known=False,
    growing=True,
    drifting=True,
    boundaries=True,
    keep_raw=True,
    zero_forgetting=False,
    pretrained=False,
)


def texts(advice: Advice) -> str:
    return json.dumps(asdict(advice))


# -- scenario --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        (Situation(task_known=True), Scenario.TASK),
        (Situation(task_known=True, boundaries=False, growing=True), Scenario.TASK),
        (Situation(task_known=False, growing=True, boundaries=True), Scenario.CLASS),
        (Situation(task_known=False, growing=False, boundaries=True), Scenario.DOMAIN),
        (Situation(task_known=False, growing=False, boundaries=False), Scenario.FREE),
        (Situation(task_known=False, growing=True, boundaries=False), Scenario.FREE),
        (Situation(), Scenario.CLASS),
    ],
)
def test_the_scenario_follows_from_what_is_known_at_inference(
    situation: Situation, expected: Scenario
) -> None:
    """First the task id, then boundaries, then whether classes grow; the hardest is assumed."""
    assert expected is scenario_of(situation)
    assert expected is advise(situation).scenario


# -- any situation ---------------------------------------------------------------------------------


@given(SITUATIONS)
def test_there_is_advice_for_every_situation(situation: Situation) -> None:
    """With reasons, something to try, a yardstick, commands, code that parses, and as JSON."""
    advice = advise(situation)
    assert all([advice.because, *advice.reasons, *advice.notes, *advice.commands])
    assert advice.tries
    ast.parse(advice.code)
    again = json.loads(texts(advice))
    assert advice.scenario == again["scenario"]
    assert advice.course == again["course"]
    assert asdict(situation) == again["situation"]


@given(SITUATIONS)
def test_commands_name_methods_that_the_bench_knows(situation: Situation) -> None:
    """Naive at one end and all rows at the other, whatever lies between."""
    command, card = advise(situation).commands
    methods = command.split("--methods ")[1].split(",")
    assert methods == [presets.canonical(name) for name in methods]
    assert "naive" == methods[0]
    assert {"joint", "cumulative"} & set(methods)
    assert presets.find(card.split()[-1])


@given(SITUATIONS)
def test_what_is_said_to_be_impossible_is_and_what_would_fit_does(situation: Situation) -> None:
    """By the same judge that refuses it in a bench."""
    full, scenario = situation.assumed(), scenario_of(situation)
    places = {called: architecture for architecture, called in NAMES.items()}
    for one in impossible(full, scenario):
        if one.what in places:
            assert not judge(scenario, places[one.what]).possible
            assert all(judge(scenario, places[fit]).possible for fit in one.instead.split(" or "))
        elif one.what != "exactly zero forgetting" and "holds at most" not in one.reason:
            name, place = one.instead.split(" on ")
            fitting = catalogue(scenario)[name]
            raw = bool(full.keep_raw)
            assert judge(scenario, places[place], fitting, retention=raw).possible
            for method in map(catalogue(scenario).__getitem__, one.what.split(", ")):
                verdicts = [judge(scenario, on, method, retention=raw) for on in Architecture]
                assert [False] * len(Architecture) == [verdict.possible for verdict in verdicts]


@given(SITUATIONS)
def test_a_missing_answer_is_listed_where_it_would_change_the_advice_and_only_there(
    situation: Situation,
) -> None:
    """Giving the assumed answer changes nothing; the other one gives what was said."""
    now = advise(situation)
    listed = {one.name: one for one in now.depends}
    for question in QUESTIONS:
        if getattr(situation, question.name) is not None or question.assumed is None:
            assert question.name not in listed
            continue
        same = advise(situation.with_answer(question, question.assumed))
        other = advise(situation.with_answer(question, not question.assumed))
        assert outcome(now) == outcome(same)
        if question.name in listed:
            assert outcome(now) != outcome(other)
            assert question.assumed is listed[question.name].assumed
            assert described(listed[question.name].otherwise, now, other)


def outcome(advice: Advice) -> tuple[object, ...]:
    return advice.scenario, advice.course, advice.tries


def described(words: str, now: Advice, then: Advice) -> bool:
    """Whether the words say what is different."""
    return (
        (f"scenario '{then.scenario}'" in words) == (then.scenario is not now.scenario)
        and (then.course in words) == (then.course is not now.course)
        and (then.tries == now.tries or f"try {then.tries[0].method} on" in words)
    )


# -- told in full ----------------------------------------------------------------------------------


def test_where_everything_was_said_nothing_is_left_to_depend_on() -> None:
    """Durations apart, which are in the reasons."""
    assert () == advise(TOLD).depends


def test_where_nothing_was_said_the_answers_that_matter_are_asked_for() -> None:
    """Those that would change scenario, course or order by themselves."""
    names = [one.name for one in advise(Situation()).depends]
    expected = ["past_matters", "task_known", "growing", "boundaries", "keep_raw", "pretrained"]
    assert expected == names


def test_a_class_incremental_problem_gets_a_growing_head_and_replay() -> None:
    """And is told that heads and columns by task cannot work, with what would."""
    advice = advise(TOLD)
    assert Scenario.CLASS is advice.scenario
    assert Architecture.GROWING is advice.tries[0].architecture
    ruled_out = {one.what: one for one in advice.impossible}
    by_task = {"a MultiHead", "a ProgressiveNet", "a GatedMLP", "hat, packnet, progressive"}
    assert by_task == set(ruled_out)
    assert "no task id at inference" in ruled_out["a ProgressiveNet"].reason
    assert "a GrowingHead or a FixedHead" == ruled_out["a ProgressiveNet"].instead


def test_exactly_zero_forgetting_without_task_ids_is_refused_with_a_way_out() -> None:
    """A task id, or a bound that is measured."""
    advice = advise(replace(TOLD, zero_forgetting=True))
    (first, *_) = advice.impossible
    assert "exactly zero forgetting" == first.what
    assert "shared outputs" in first.reason
    assert "progressive or packnet" in first.instead


def test_with_task_ids_nothing_is_impossible_but_packing_too_many_tasks() -> None:
    """255 masks fit a byte."""
    told = replace(TOLD, task_known=True)
    assert () == advise(told).impossible
    (refusal,) = advise(replace(told, tasks=300)).impossible
    assert ("packnet", "progressive on a ProgressiveNet") == (refusal.what, refusal.instead)


def test_methods_that_keep_rows_are_ruled_out_together() -> None:
    """One line for one reason, not one a method."""
    rows = [one for one in advise(replace(TOLD, keep_raw=False)).impossible if "raw" in one.reason]
    (only,) = rows
    assert {"er", "der++", "joint", "icarl"} <= set(only.what.split(", "))
    assert only.reason.startswith("keeps raw rows")


def test_growing_classes_without_old_rows_get_a_warning() -> None:
    """Before anybody spends a week on tuning."""
    (note,) = [n for n in advise(replace(TOLD, keep_raw=False)).notes if "near chance" in n]
    assert "ask to keep a few rows a class" in note


def test_closed_form_heads_are_said_to_be_missing_as_long_as_they_are() -> None:
    """Only methods of this version are recommended; what it lacks is said plainly."""
    said = " ".join(advise(replace(TOLD, pretrained=True)).notes)
    have = {"ncm", "slda"} & set(catalogue(Scenario.CLASS))
    assert bool(have) != ("this version has none" in said)
    assert "BatchNorm" in said
    assert "requires_grad_(False)" in advise(replace(TOLD, pretrained=True)).code


def test_a_free_stream_is_told_how_to_be_another() -> None:
    """By a timer or a detector; the scenario follows from whether classes grow."""
    for growing, other in ((True, "'class'"), (False, "'domain'")):
        said = " ".join(advise(replace(TOLD, boundaries=False, growing=growing)).notes)
        assert "drift detector" in said
        assert other in said


def test_where_the_past_does_not_matter_nothing_is_ruled_out() -> None:
    """There is nothing to protect it with."""
    advice = advise(replace(TOLD, past_matters=False))
    assert Course.FINE_TUNE is advice.course
    assert () == advice.impossible


def test_a_sample_fills_in_what_was_left_open(tmp_path: Path) -> None:
    """Here: classes that do not grow in an order of times, and inputs that move."""
    frame = pd.DataFrame({"day": range(1000), "heat": range(1000), "kind": ["ok", "dent"] * 500})
    frame.to_parquet(tmp_path / "parts.parquet")
    sample = measure(tmp_path / "parts.parquet", Columns("kind", time="day"))
    advice = advise(Situation(), sample)
    assert Scenario.DOMAIN is advice.scenario
    assert (False, True) == (advice.situation.growing, advice.situation.drifting)
    assert "by_column(data, 'day', tasks=5, scenario='domain')" in advice.code
    assert Scenario.CLASS is advise(Situation(growing=True), sample).scenario


def test_the_reasons_speak_plainly() -> None:
    """No jargon that only the code explains, and no sentence with its own full stop."""
    for situation in (Situation(), TOLD, replace(TOLD, task_known=True, zero_forgetting=True)):
        advice = advise(situation)
        for text in (advice.because, *advice.reasons, *advice.notes):
            assert text[0].islower()
            assert not text.endswith(".")
