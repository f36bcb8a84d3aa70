"""What to try, on what, in which order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure import nets
from perdure.advise.advice import scenario_of
from perdure.advise.architecture import Architecture
from perdure.advise.catalogue import catalogue
from perdure.advise.compatibility import judge
from perdure.advise.course import Course, course_of
from perdure.advise.questions import QUESTIONS, Situation
from perdure.advise.tries import MOST, Try, home, made, tries_for
from perdure.batch import Batch
from perdure.learner import Learner
from perdure.methods import PackNet
from perdure.scenario import Scenario

ANSWERS = {"yes or no": st.booleans(), "number": st.integers(1, 300), "duration": st.floats(1, 1e5)}
SITUATIONS = st.builds(Situation, **{q.name: st.none() | ANSWERS[q.kind] for q in QUESTIONS})

SCENARIOS = {
    Scenario.TASK: Situation(task_known=True),
    Scenario.CLASS: Situation(task_known=False, growing=True),
    Scenario.DOMAIN: Situation(task_known=False, growing=False),
    Scenario.FREE: Situation(task_known=False, boundaries=False),
}


def tried(situation: Situation) -> tuple[Try, ...]:
    return tries_for(situation.assumed(), scenario_of(situation), course_of(situation)[0])


def names(situation: Situation) -> list[str]:
    return [one.method for one in tried(situation)]


@given(SITUATIONS)
def test_what_is_recommended_is_possible(situation: Situation) -> None:
    """Each try is one that `judge` accepts under the same policy; there are one to four of them."""
    full, scenario = situation.assumed(), scenario_of(situation)
    found = tried(situation)
    assert 1 <= len(found) <= MOST
    assert len({one.method for one in found}) == len(found)
    for one in found:
        method = made(one.method, full, scenario)
        assert one.reason
        assert method.name == one.method
        verdict = judge(scenario, one.architecture, method, retention=bool(full.keep_raw))
        assert verdict.possible


@given(SITUATIONS)
def test_joint_is_recommended_only_where_all_rows_may_be_kept(situation: Situation) -> None:
    """And where it is, it comes first."""
    if "joint" in names(situation):
        assert situation.assumed().keep_raw
        assert Course.RETRAIN is course_of(situation)[0]
        assert "joint" == names(situation)[0]


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (Scenario.CLASS, ["der++", "er-ace", "er", "der"]),
        (Scenario.DOMAIN, ["er", "der++", "der", "gem"]),
        (Scenario.TASK, ["lwf", "online-ewc", "si", "er"]),
        (Scenario.FREE, ["er", "der++", "er-ace", "der"]),
    ],
)
def test_each_scenario_has_its_order(scenario: Scenario, expected: list[str]) -> None:
    """Replay first, but for given tasks, where keeping no rows is enough."""
    assert expected == names(SCENARIOS[scenario])


def test_without_old_rows_fixed_labels_leave_the_penalties() -> None:
    """SI before LwF, before the others."""
    situation = Situation(task_known=False, growing=False, keep_raw=False)
    assert ["si", "gpm", "lwf", "mas"] == names(situation)


def test_without_old_rows_growing_classes_leave_a_generator() -> None:
    """Nothing else is above chance there without a pretrained backbone."""
    assert ["generative-replay"] == names(Situation(task_known=False, growing=True, keep_raw=False))


@pytest.mark.parametrize("keep_raw", [True, False])
@pytest.mark.parametrize("boundaries", [True, False])
def test_on_a_frozen_pretrained_backbone_closed_form_comes_first(
    keep_raw: bool, boundaries: bool
) -> None:
    """Whether rows may be kept or not, and whether there are boundaries or not."""
    situation = Situation(
        task_known=False, growing=True, pretrained=True, keep_raw=keep_raw, boundaries=boundaries
    )
    found = tried(situation)
    assert ["ranpac", "slda"] == [one.method for one in found[:2]]
    assert all(Architecture.HEADLESS is one.architecture for one in found[:2])


def test_without_old_rows_or_boundaries_nothing_is_left_but_the_truth() -> None:
    """Naive, said to be no protection."""
    (only,) = tried(Situation(task_known=False, boundaries=False, keep_raw=False))
    assert "naive" == only.method
    assert "nothing here protects" in only.reason


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (None, ["progressive", "packnet"]),
        (3, ["progressive", "packnet"]),
        (20, ["packnet", "progressive"]),
        (255, ["packnet", "progressive"]),
        (256, ["progressive"]),
    ],
)
def test_exactly_zero_forgetting_is_left_to_what_freezes_the_past(
    tasks: int | None, expected: list[str]
) -> None:
    """Columns for few tasks, one packed network for many, and no more than it holds."""
    assert expected == names(Situation(task_known=True, zero_forgetting=True, tasks=tasks))


def test_what_zero_forgetting_costs_is_counted() -> None:
    """20 columns with 20 x 19 / 2 adapters between them; a twentieth of the weights a task."""
    found = tried(Situation(task_known=True, zero_forgetting=True, tasks=20))
    assert "each of 20 tasks owns 5%" in found[0].reason
    assert "20 columns and 190 adapters a layer" in found[1].reason


def test_on_a_frozen_backbone_a_head_a_task_forgets_nothing() -> None:
    """No method is needed; the others are for a backbone that must learn."""
    for strict in (True, False):
        situation = Situation(task_known=True, zero_forgetting=strict, pretrained=True)
        first, *others = tried(situation)
        assert Try("naive", Architecture.MULTI_HEAD, first.reason) == first
        assert all("where the backbone must learn too: " in other.reason for other in others)
        assert strict == (["progressive", "packnet"] == [other.method for other in others])


def test_a_head_a_task_on_a_frozen_backbone_indeed_forgets_nothing() -> None:
    """After two further tasks, the first one's answers are what they were."""
    backbone = nets.MLP(5, (8,)).requires_grad_(False)
    learner = Learner(nets.Classifier(backbone, nets.MultiHead(8)))
    x = torch.randn(40, 5)
    answers = []
    for task in range(3):
        batch = Batch(x + task, torch.arange(40) % 2, torch.full((40,), task))
        for _ in range(5):
            learner.observe(batch)
        learner.consolidate(batch)
        answers.append(learner.predict(x, 0))
    torch.testing.assert_close(answers[2], answers[0])
    assert not torch.equal(learner.predict(x, 2), learner.predict(x, 1))


def test_exactly_zero_forgetting_changes_nothing_where_nothing_can_promise_it() -> None:
    """Without task ids the order is the scenario's own; `impossible` says why."""
    wish = Situation(task_known=False, growing=True, zero_forgetting=True)
    assert names(SCENARIOS[Scenario.CLASS]) == names(wish)


def test_where_retraining_fits_it_comes_first_and_the_others_follow() -> None:
    """For the day when it no longer does."""
    fits = {"retrain": 60.0, "budget": 600.0}
    assert ["joint", "er", "der++", "der"] == names(Situation(growing=False, **fits))
    assert ["cumulative", "er", "der++", "er-ace"] == names(Situation(boundaries=False, **fits))


@pytest.mark.parametrize("situation", [Situation(past_matters=False), Situation(tasks=1)])
def test_where_nothing_is_to_be_kept_plain_training_is_all(situation: Situation) -> None:
    """One try, and no method."""
    assert ["naive"] == names(situation)


def test_a_free_stream_with_fixed_labels_needs_no_growing_head() -> None:
    """With growing ones it does."""
    free = {"task_known": False, "boundaries": False}
    assert Architecture.FIXED is tried(Situation(growing=False, **free))[0].architecture
    assert Architecture.GROWING is tried(Situation(growing=True, **free))[0].architecture


@pytest.mark.parametrize("scenario", Scenario)
def test_a_method_lives_on_its_own_network_where_that_is_possible(scenario: Scenario) -> None:
    """Progressive on progressive columns in scenario task, and never elsewhere."""
    place = home(catalogue(scenario)["progressive"], SCENARIOS[scenario].assumed(), scenario)
    assert (place is Architecture.PROGRESSIVE) == (scenario is Scenario.TASK)


def test_packnet_is_told_how_many_tasks_to_share_its_weights_among() -> None:
    """Where that is known."""
    assert 7 == made("packnet", Situation(tasks=7), Scenario.TASK).tasks
    assert repr(PackNet()) == repr(made("packnet", Situation(), Scenario.TASK))
