"""Prequential accuracy, and the marks on it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.live.dashboard import story

from perdure.live.project import Project
from perdure.live.service.dashboard.views import curve as views
from perdure.live.service.dashboard.views.curve import curve, drifts, groups
from perdure.measure import Prequential

hits_ = st.lists(st.booleans(), min_size=1, max_size=60)


@given(hits_, st.integers(1, 20), st.floats(0.5, 1.0))
def test_both_lines_are_those_of_the_prequential_score(
    hits: list[bool], window: int, decay: float
) -> None:
    """At every place, as `perdure.measure.Prequential` counts them one row at a time."""
    values = np.array(hits, dtype=np.float64)
    score = Prequential(window, decay)
    windowed, fading = views.windowed_mean(values, window), views.fading_mean(values, decay)
    for place, hit in enumerate(hits):
        score.observe(torch.tensor([int(hit)]), torch.tensor([1]))
        assert score.windowed() == pytest.approx(windowed[place])
        assert score.fading() == pytest.approx(fading[place])


def test_a_curve_has_a_point_for_each_answer(lived: Project) -> None:
    """From the twentieth on, while there are few of them: before, an accuracy says nothing."""
    found = curve(lived)
    assert tuple(range(20, 121)) == found.seq
    assert 120 == found.rows
    assert (0.9, 0.9048, 0.575) == (*found.windowed[:2], found.windowed[-1])
    assert [1, 2, 3] == sorted(set(found.version))
    assert list(found.at) == sorted(found.at)


def test_the_lowest_point_is_named(lived: Project) -> None:
    """After the drift it went down to the end."""
    assert 120 == curve(lived).seq[curve(lived).lowest]


def test_drifts_promotions_and_rollbacks_are_marked_in_order(project: Project) -> None:
    """Each at the last row before it."""
    project.registry.rollback(actor="ada", reason="worse")
    marks = [(mark.kind, mark.seq, mark.label) for mark in curve(project).marks]
    assert [
        ("promotion", 40, "v1"),
        ("drift", 70, "ADWIN"),
        ("promotion", 80, "v2"),
        ("promotion", 120, "v3"),
        ("rollback", 120, "v2"),
    ] == marks


def test_a_long_line_is_thinned_and_ends_where_it_ends(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First and last point stay, in order and without doubles."""
    monkeypatch.setattr(views, "POINTS", 10)
    found = curve(project)
    assert 10 == len(found.seq) == len(found.windowed)
    assert (20, 120) == (found.seq[0], found.seq[-1])
    assert sorted(set(found.seq)) == list(found.seq)
    assert 120 == found.rows


def test_a_line_cut_from_a_longer_one_begins_with_a_full_window(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was answered before is not there to be averaged."""
    monkeypatch.setattr(views, "LONGEST", 100)
    monkeypatch.setattr(views, "WINDOW", 30)
    found = curve(project)
    assert (51, 120) == (found.seq[0], found.seq[-1])


def test_a_clock_that_was_set_back_does_not_turn_the_line_around(project: Project) -> None:
    """Times never fall along it."""
    project.database.transact(
        lambda c: c.execute("UPDATE examples SET labelled = labelled - 1000 WHERE seq > 60")
    )
    at = curve(project).at
    assert list(at) == sorted(at)


def test_before_the_first_answer_there_is_no_point(fresh: Project) -> None:
    """And no lowest one."""
    found = curve(fresh)
    assert ((), (), 0, None) == (found.seq, found.marks, found.rows, found.lowest)
    assert [] == groups(fresh, sources=True)
    assert [] == drifts(fresh)


def test_a_curve_is_plain_values(lived: Project) -> None:
    """As a chart in a browser takes them."""
    held = json.loads(json.dumps(curve(lived).to_dict()))
    assert {"seq", "at", "windowed", "fading", "version", "marks"} <= held.keys()
    assert "drift" in {mark["kind"] for mark in held["marks"]}


def test_groups_are_counted_over_the_last_answers_the_worst_first(lived: Project) -> None:
    """Of each kind all rows once."""
    found = groups(lived, sources=True)
    assert [one.accuracy for one in found] == sorted(one.accuracy for one in found)
    for kind in ("version", "class", "source"):
        assert 120 == sum(one.rows for one in found if one.kind == kind)
    assert {"red", "green", "blue"} == {one.name for one in found if one.kind == "class"}


def test_names_of_sources_are_given_only_if_asked_for(lived: Project) -> None:
    """They say who takes part."""
    assert "source" not in {one.kind for one in groups(lived, sources=False)}


@pytest.mark.parametrize(
    ("detector", "detail", "said"),
    [
        (
            "page-hinkley",
            {"error_before": 0.05, "error_since": 0.3, "rows_since": 40, "version": 3},
            "Page-Hinkley: errors rose from 5.0% to 30.0% over 40 answers of v3",
        ),
        (
            "features",
            {"position": 7, "statistic": 0.1, "threshold": 1.0, "window": 9},
            "Inputs: the inputs of the last 9 rows are not those of before: 0.1 over a limit of 1",
        ),
        (
            "scenario",
            {"without_task": 0.9, "requests": 50},
            "Scenario shift: 90% of the last 50 requests came without a task id",
        ),
        ("own", {"level": 0.12345, "why": "who knows"}, "own: level 0.123, why who knows"),
    ],
)
def test_a_drift_is_said_in_words(
    project: Project, detector: str, detail: dict[str, object], said: str
) -> None:
    """By each detector that there is; of one that is not known, its own words."""
    project.database.transact(
        lambda c: c.execute(
            "INSERT INTO drifts (at, seq, detector, detail) VALUES (1.0, 99, ?, ?)",
            (detector, json.dumps(detail)),
        )
    )
    latest = drifts(project)[0]
    assert said == f"{latest.label}: {latest.text}"


def test_the_latest_drifts_come_first(project: Project) -> None:
    """And no more than were asked for."""
    story.drift(project, 90)
    story.drift(project, 110)
    assert [110, 90] == [mark.seq for mark in drifts(project, limit=2)]
