"""The scikit-learn face."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from perdure import methods, nets
from perdure.errors import InvalidValue
from perdure.sklearn import ContinualClassifier


@parametrize_with_checks(
    [ContinualClassifier(epochs=30, batch_size=8, hidden=(32,), random_state=0)]
)
def test_scikit_learns_own_checks(estimator, check) -> None:
    """The estimator keeps scikit-learn's conventions."""
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, random_state=0, stratify=y)


def in_pairs(model: ContinualClassifier, X, y) -> ContinualClassifier:
    for low in range(0, 10, 2):
        mask = (y == low) | (y == low + 1)
        model.partial_fit(X[mask], y[mask])
    return model


def test_classes_that_come_in_pairs_are_all_remembered(digits) -> None:
    """Digits that arrive two at a time are told apart in the end with replay, and naively not."""
    X, X_test, y, y_test = digits
    replay = in_pairs(ContinualClassifier(random_state=0), X, y)
    naive = in_pairs(ContinualClassifier(methods=(), random_state=0), X, y)
    assert replay.score(X_test, y_test) > 0.8
    assert naive.score(X_test, y_test) < 0.5
    assert replay.classes_.tolist() == list(range(10))


def test_labels_of_any_kind_may_grow(digits) -> None:
    """Strings, out of order: columns follow the sorted labels seen so far."""
    X, _, y, _ = digits
    names = np.array(["zero", "one", "two"])
    model = ContinualClassifier(random_state=0)
    for digit in (2, 0, 1):
        model.partial_fit(X[y == digit], names[y[y == digit]])
    assert model.classes_.tolist() == ["one", "two", "zero"]
    probabilities = model.predict_proba(X[:5])
    assert probabilities.shape == (5, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    assert (names[y[y < 3]] == model.predict(X[y < 3])).mean() > 0.9


def test_classes_given_beforehand_have_columns_and_others_are_refused(digits) -> None:
    """As in scikit-learn; the message names the label."""
    X, _, y, _ = digits
    model = ContinualClassifier(random_state=0).partial_fit(X[y < 2], y[y < 2], classes=range(4))
    assert model.predict_proba(X[:1]).shape == (1, 4)
    with pytest.raises(InvalidValue, match=r"labels \[9\] are not among the classes given"):
        model.partial_fit(X[y == 9], y[y == 9])


def test_methods_are_copied_and_any_may_be_given(digits) -> None:
    """Fitting twice, or a clone, starts from methods that were never written to."""
    X, X_test, y, _ = digits
    mine = (methods.EWC(strength=10.0),)
    model = ContinualClassifier(methods=mine, random_state=0)
    first = model.fit(X, y).predict(X_test)
    again = clone(model).fit(X, y).predict(X_test)
    np.testing.assert_array_equal(first, again)
    assert not mine[0].fisher


@pytest.mark.parametrize("network", [None, nets.MLP])
def test_methods_in_closed_form_answer_from_frozen_features(digits, network) -> None:
    """Of the columns themselves, or of a network that stays as it was made."""
    train, test, labels, answers = digits
    model = ContinualClassifier([methods.SLDA()], network=network, random_state=0)
    in_pairs(model, train, labels)
    assert model.score(test, answers) > 0.9
    assert [] == list(model.learner_.params)


def test_boundaries_may_be_drawn_by_hand(digits) -> None:
    """With boundary="manual" a chunk is no task; `consolidate` makes one."""
    X, _, y, _ = digits
    model = ContinualClassifier(boundary="manual", random_state=0)
    model.partial_fit(X[:100], y[:100]).partial_fit(X[100:200], y[100:200])
    assert model.learner_.consolidations == 0
    model.consolidate(X[:200], y[:200])
    assert model.learner_.consolidations == 1


def test_it_works_at_the_end_of_a_pipeline(digits) -> None:
    """Scaled inputs, learned and scored by scikit-learn's own machinery."""
    X, X_test, y, y_test = digits
    pipeline = make_pipeline(StandardScaler(), ContinualClassifier(random_state=0))
    assert pipeline.fit(X, y).score(X_test, y_test) > 0.9


def test_predicting_before_learning_is_refused() -> None:
    """scikit-learn's own error."""
    with pytest.raises(NotFittedError):
        ContinualClassifier().predict(np.zeros((1, 2)))
