"""The River estimator: River's own checks, and what it does beyond them."""

from __future__ import annotations

import pickle

import pytest

pytest.importorskip("river")

from river import checks, datasets, drift, evaluate, metrics, preprocessing

from perdure.errors import InvalidValue
from perdure.methods import EWC, SI, Naive
from perdure.river import RECENT, ContinualClassifier

CHECKS = {}
for found in checks.yield_checks(ContinualClassifier()):
    CHECKS.setdefault(getattr(found, "__name__", "") or found.func.__name__, found)
LONG = "check_bounded_memory_growth"  # ten seconds


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - {LONG}))
def test_river_accepts_it(name: str) -> None:
    """Each check that River has, on the first of its data sets."""
    CHECKS[name](ContinualClassifier())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_river_accepts_it_on_all_of_its_data() -> None:
    """The same checks, and all data sets."""
    checks.check_estimator(ContinualClassifier())


def test_it_learns_a_stream() -> None:
    """Scored before each row is learnt, it is right more often than the commoner class."""
    model = preprocessing.StandardScaler() | ContinualClassifier(lr=3e-3, batch_size=4)
    stream = datasets.Phishing().take(600)
    assert 0.8 < evaluate.progressive_val_score(stream, model, metrics.Accuracy()).get()


def test_a_pickled_model_goes_on_like_one_that_never_stopped() -> None:
    """With a batch half full."""
    rows = list(datasets.ImageSegments().take(60))
    whole = ContinualClassifier(methods=[SI(strength=1.0)], batch_size=8)
    for x, y in rows[:29]:
        whole.learn_one(x, y)
    again = pickle.loads(pickle.dumps(whole))  # noqa: S301  our own bytes
    for x, y in rows[29:]:
        whole.learn_one(x, y)
        again.learn_one(x, y)
    assert whole.predict_proba_one(rows[0][0]) == again.predict_proba_one(rows[0][0])


def test_drift_closes_a_task() -> None:
    """A method that works at boundaries gets one where the detector finds drift, with few rows."""
    model = ContinualClassifier(
        methods=[EWC(strength=1.0)], lr=0.01, drift_detector=drift.ADWIN(delta=0.01)
    )
    for turn in range(2):
        for i in range(400):
            model.learn_one({"x": float(i % 2)}, (i + turn) % 2)
    assert 1 <= model.learner.consolidations <= 3
    assert RECENT >= len(model._recent)


def test_features_beyond_the_inputs_share_them() -> None:
    """The state is bounded, whatever names come."""
    model = ContinualClassifier(methods=[Naive()], inputs=4)
    for i in range(20):
        model.learn_one({f"f{i}": 1.0, "c": f"v{i}"}, i % 2)
    assert 4 == len(model._places)
    assert {0, 1} == set(model.predict_proba_one({"f19": 1.0}))


def test_arguments_out_of_range_are_refused() -> None:
    """With the value."""
    with pytest.raises(InvalidValue, match="-1"):
        ContinualClassifier(lr=-1.0)
    with pytest.raises(InvalidValue, match="0"):
        ContinualClassifier(inputs=0)


def test_a_feature_that_is_neither_number_nor_text_is_refused_by_name() -> None:
    """With its value, and before anything is learnt."""
    model = ContinualClassifier()
    with pytest.raises(InvalidValue, match="feature 'age' is None; give a number or a text"):
        model.learn_one({"age": None}, "old")
