"""Task ids that stop coming."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure import Learner
from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.live.shift import Dependence, ScenarioShift, dependence, message, needs_task
from perdure.methods import ER, EWC, PackNet
from perdure.nets import MLP, Classifier, FixedHead, GrowingHead, MultiHead
from perdure.scenario import Scenario

bits = st.lists(st.booleans(), max_size=120)


def multi_head():
    return Classifier(MLP(4, (8,)), MultiHead(8, {0: [0, 1], 1: [2, 3]}))


def feed(shift, requests):
    return [index for index, with_task in enumerate(requests) if shift.observe(with_task)]


def test_requests_with_task_ids_are_no_shift():
    """Nor are the first few without."""
    shift = ScenarioShift()
    assert feed(shift, [True] * 1000) == []
    assert feed(ScenarioShift(), [False] * 19) == []
    assert shift.share() == 0.0


def test_the_request_is_named_by_which_the_scenario_has_shifted():
    """The twentieth of a hundred."""
    shift = ScenarioShift(window=100, share=0.2)
    assert feed(shift, [True] * 100 + [False] * 60) == [119]
    assert shift.shifted


def test_it_is_over_when_few_are_left_without():
    """Below half the share; then it can happen again."""
    shift = ScenarioShift(window=100, share=0.2)
    feed(shift, [False] * 100)
    assert feed(shift, [True] * 90) == []
    assert shift.shifted
    assert feed(shift, [True]) == []
    assert not shift.shifted
    assert feed(shift, [False] * 100)


@given(bits, st.integers(20, 60))
def test_the_share_is_that_of_the_window(requests, window):
    """Counted anew."""
    shift = ScenarioShift(window)
    feed(shift, requests)
    last = requests[-window:]
    assert shift.share() == (last.count(False) / len(last) if last else None)
    assert shift.rows == len(last)


@given(bits, bits)
def test_a_saved_one_goes_on(before, after):
    """The same answers from there."""
    shift, resumed = ScenarioShift(30), ScenarioShift(30)
    feed(shift, before)
    resumed.load_state_dict(shift.state_dict())
    assert feed(resumed, after) == feed(shift, after)
    assert resumed.share() == shift.share()


def test_settings_that_make_no_sense_are_refused():
    """And states of other settings."""
    with pytest.raises(InvalidValue, match="window"):
        ScenarioShift(window=5)
    with pytest.raises(InvalidValue, match="share"):
        ScenarioShift(share=0.0)
    with pytest.raises(CheckpointMismatch, match="window=30"):
        ScenarioShift(40).load_state_dict(ScenarioShift(30).state_dict())


def test_a_model_that_answers_by_task_says_what_to_switch_to():
    """Several heads need the id; a growing head with replay does not."""
    learner = Learner(multi_head(), ER(10))
    held = dependence(learner, Scenario.CLASS)
    assert "head of an input's task" in held.reason
    assert any("GrowingHead" in one for one in held.instead)
    assert needs_task(learner)
    said = message(0.31, 200, held)
    assert said.startswith("31% of the last 200 requests came without a task id")
    assert held.instead[0] in said


def test_a_method_that_answers_by_task_is_named():
    """Whatever the model."""
    learner = Learner(Classifier(MLP(4, (8,)), FixedHead(8, 4)), PackNet())
    assert "packnet" in dependence(learner, Scenario.DOMAIN).reason
    assert needs_task(learner)


def test_a_learner_that_ignores_task_ids_can_go_on():
    """It is told so, in place of a warning to switch."""
    learner = Learner(Classifier(MLP(4, (8,)), GrowingHead(8)), EWC(1.0))
    assert dependence(learner, Scenario.CLASS) == Dependence("", ())
    assert not needs_task(learner)
    assert "answers them from all of its outputs" in message(0.5, 40, Dependence("", ()))


def test_a_bare_model_is_judged_too():
    """No method at all."""
    assert dependence(Learner(multi_head()), Scenario.CLASS).instead
    assert dependence(Learner(torch.nn.Linear(2, 2)), Scenario.CLASS) == Dependence("", ())
