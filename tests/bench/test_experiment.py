"""An experiment is plain values that say everything about a run, and a key that names it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.bench import Experiment
from perdure.bench.presets import CAPACITY, PRESETS
from perdure.errors import InvalidValue
from perdure.folding import Schedule

EXPERIMENTS = st.builds(
    Experiment,
    data=st.sampled_from(["digits", "fashion-mnist"]),
    scenario=st.sampled_from(["task", "domain", "class", "free"]),
    kind=st.sampled_from(["split", "permuted", "rotated", "gradual", "shifting", "nic"]),
    tasks=st.integers(1, 20),
    order=st.none() | st.permutations(range(10)).map(tuple),
    method=st.sampled_from(sorted(PRESETS)),
    hidden=st.lists(st.integers(1, 400), min_size=1, max_size=3).map(tuple),
    optimizer=st.sampled_from(["adam", "sgd"]),
    lr=st.floats(1e-6, 10),
    schedule=st.integers(1, 9).map(lambda n: Schedule(epochs=n))
    | st.integers(1, 9).map(lambda n: Schedule(steps=n)),
    seed=st.integers(0, 99),
    holdout=st.sampled_from([0.0, 0.1]),
)


@given(EXPERIMENTS)
def test_an_experiment_survives_json_with_its_key(experiment: Experiment) -> None:
    """What a results file holds is the whole run: read back, it has the same key."""
    back = Experiment.from_dict(json.loads(json.dumps(experiment.to_dict())))
    assert experiment.key == back.key
    assert experiment.group == back.group
    assert experiment.to_dict() == back.to_dict()


@given(EXPERIMENTS, st.integers(100, 200))
def test_the_seed_changes_the_key_and_not_the_group(experiment: Experiment, seed: int) -> None:
    """Runs over which a table takes its mean differ in their seed alone."""
    other = replace(experiment, seed=seed)
    assert experiment.key != other.key
    assert experiment.group == other.group


def test_a_default_that_is_given_makes_no_other_run() -> None:
    """The key is of the values as they are resolved, wherever they came from."""
    plain, same, other = (
        Experiment(method="er", settings=settings)
        for settings in ({}, {"capacity": CAPACITY}, {"capacity": 7})
    )
    assert plain.key == same.key != other.key


def test_replay_is_er() -> None:
    """A name that others use leads to the method's own, and to the same run."""
    assert "er" == Experiment(method="replay").method
    assert Experiment(method="ER").key == Experiment(method="replay").key


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"method": "ewcc"}, "did you mean 'ewc'"),
        ({"scenario": "klass"}, "'class'"),
        ({"kind": "cut"}, "'split'"),
        ({"network": "transformer"}, "'mlp'"),
        ({"optimizer": "lion"}, "'adam'"),
        ({"tasks": 0}, "tasks is 0"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"holdout": 1.0}, "holdout is 1.0"),
        ({"method": "ewc", "settings": {"lambda": 3}}, "it has strength"),
        ({"method": "naive", "settings": {"strength": 3}}, "it has none"),
    ],
)
def test_a_wrong_value_is_refused_with_what_would_be_right(wrong: dict, said: str) -> None:
    """When the experiment is written down, not when it runs."""
    with pytest.raises(InvalidValue, match=said):
        Experiment(**wrong)
