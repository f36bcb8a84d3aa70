"""A continual learner with scikit-learn's manners: `partial_fit`, `fit`, `predict`.

Needs `pip install 'perdure[sklearn]'`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from perdure import nets
from perdure.errors import InvalidValue, require
from perdure.families.analytic import Analytic
from perdure.learner import Learner
from perdure.method import Method
from perdure.optimiser import Factory
from perdure.streams import Rows

require("sklearn", "sklearn")

from sklearn.base import BaseEstimator, ClassifierMixin  # noqa: E402  after the check above
from sklearn.utils.multiclass import check_classification_targets  # noqa: E402
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data  # noqa: E402

FEWEST_ROWS = 4


class ContinualClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that learns chunk after chunk, new classes included, without forgetting.

    Args:
        methods: what keeps it from forgetting; None is a replay memory of 500 rows
            (`ER(capacity=500)`), `()` is naive fine-tuning. They are copied, never written to.
        hidden: widths of the hidden layers of the default network.
        network: makes the backbone from the number of input features instead: any module with
            `out_features`. Methods in closed form alone (NCM, SLDA, Ridge, RanPAC, FeCAM) take it
            as it is, frozen, and where there is none the columns themselves.
        optimizer: makes the optimiser from parameters; None is Adam at 1e-3.
        batch_size: rows an update.
        epochs: passes over the rows of each `fit` or `partial_fit`.
        boundary: "call" closes a task at the end of each `fit` and `partial_fit`; "manual" leaves
            that to `consolidate`, for streams of small chunks.
        random_state: seed of initialisation, order and memories; an int for repeatable results.

    Attributes:
        classes_: labels seen so far (k,), sorted: the columns of `predict_proba`.
        n_features_in_: columns of X.
        learner_: the `perdure.Learner` inside.

    Example:
        >>> import numpy as np
        >>> X = np.repeat(np.eye(2), 20, axis=0); y = np.repeat(["a", "b"], 20)
        >>> model = ContinualClassifier(epochs=20, random_state=0).partial_fit(X, y)
        >>> model.predict(np.eye(2)).tolist()
        ['a', 'b']
    """

    _random: torch.Tensor

    def __init__(
        self,
        methods: Sequence[Method] | None = None,
        hidden: Sequence[int] = (100,),
        network: Callable[[int], nn.Module] | None = None,
        optimizer: Factory | None = None,
        batch_size: int = 32,
        epochs: int = 10,
        boundary: Literal["call", "manual"] = "call",
        random_state: int | None = None,
    ) -> None:
        self.methods = methods
        self.hidden = hidden
        self.network = network
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.epochs = epochs
        self.boundary = boundary
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Forget everything, then learn X (n, d) with labels y (n,)."""
        self.__dict__.pop("learner_", None)
        return self._learn(X, y, None)

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Learn X (n, d) with labels y (n,) beside what is known.

        Args:
            X: rows.
            y: labels, new ones allowed.
            classes: all labels that will ever come, to have their columns from the start; may be
                left out, since the label space grows.

        Raises:
            InvalidValue: `classes` was given and y holds another label.
        """
        return self._learn(X, y, classes)

    def consolidate(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Close a task with its rows, where `boundary="manual"`."""
        check_is_fitted(self, "learner_")
        rows = self._rows(*self._checked(X, y, reset=False))
        self.learner_.consolidate(rows)
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Scores (n, k) for X (n, d), columns as `classes_`; (n,) for the second of two classes."""
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities (n, k) for X (n, d), columns as `classes_`."""
        scores = self._scores(X)
        each = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(each / each.sum(axis=1, keepdims=True))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable label (n,) of each row of X (n, d)."""
        best = self._scores(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def __sklearn_tags__(self) -> Any:
        """Dense rows in, classes out, results repeatable with a seed."""
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.random_state is None
        return tags

    # -- inside ----------------------------------------------------------------------------------

    def _learn(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None) -> Self:
        first = "learner_" not in self.__dict__
        inputs, labels = self._checked(X, y, reset=first)
        if first:
            self._begin(inputs.shape[1], classes)
        self._admit(labels)
        rows = self._rows(inputs, labels)
        size = min(self.batch_size, len(rows))
        seed = self.learner_.seed + self.learner_.updates
        with self._own_random_state():
            for batch in rows.batches(size, seed=seed, epochs=self.epochs):
                self.learner_.observe(batch)
            if self.boundary == "call":
                self.learner_.consolidate(rows)
        return self

    @contextmanager
    def _own_random_state(self) -> Iterator[None]:
        """Draw from this estimator's own state of torch's generator, and put the caller's back."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._random)
            yield
            self._random = torch.get_rng_state()

    def _checked(self, X: ArrayLike, y: ArrayLike, *, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(self, X, y, reset=reset, dtype=np.float32)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return np.ascontiguousarray(X), y

    def _begin(self, features: int, classes: ArrayLike | None) -> None:
        if self.boundary not in ("call", "manual"):
            raise InvalidValue(f"boundary is {self.boundary!r}; it must be 'call' or 'manual'")
        seed = 0 if self.random_state is None else int(self.random_state)
        if self.random_state is None:
            seed = torch.seed() % 2**31
        self._order: list[Any] = [] if classes is None else np.unique(classes).tolist()
        self._closed = classes is not None
        self.classes_ = np.unique(self._order) if self._order else np.array([])
        self._random = torch.Generator().manual_seed(seed).get_state()
        methods = self._methods()
        closed_form = bool(methods) and all(isinstance(method, Analytic) for method in methods)
        with self._own_random_state():
            self.learner_ = Learner(
                self._model(features, closed_form=closed_form),
                *methods,
                optimizer=self.optimizer or partial(torch.optim.Adam, lr=1e-3),
                seed=seed,
            )

    def _model(self, features: int, *, closed_form: bool) -> nets.Classifier:
        plain = nets.Flat if closed_form else partial(nets.MLP, hidden=tuple(self.hidden))
        backbone: Any = (self.network or plain)(features)
        if closed_form:
            backbone.requires_grad_(False)
            return nets.Classifier(backbone, nets.NoHead(backbone.out_features))
        head = nets.GrowingHead(backbone.out_features, range(len(self._order)))
        return nets.Classifier(backbone, head)

    def _methods(self) -> list[Method]:
        if self.methods is None:
            from perdure.methods import ER

            return [ER(capacity=500)]
        return list(deepcopy(tuple(self.methods)))

    def _admit(self, y: NDArray[Any]) -> None:
        new = [label for label in np.unique(y).tolist() if label not in self._order]
        if new and self._closed:
            raise InvalidValue(f"labels {new} are not among the classes given: {self._order}")
        self._order += new
        self.classes_ = np.unique(np.asarray(self._order))

    def _rows(self, X: NDArray[np.float32], y: NDArray[Any]) -> Rows:
        index = {label: i for i, label in enumerate(self._order)}
        return Rows(torch.from_numpy(X), torch.tensor([index[label] for label in y.tolist()]))

    def _scores(self, X: ArrayLike) -> NDArray[np.float64]:
        check_is_fitted(self, "learner_")
        given: NDArray[np.float32] = validate_data(self, X, reset=False, dtype=np.float32)
        # BLAS answers fewer rows by other kernels, whose last bits differ.
        rows = np.resize(given, (max(len(given), FEWEST_ROWS), *given.shape[1:]))
        outputs = self.learner_.predict(torch.from_numpy(rows)).double().numpy()
        columns = [self._order.index(label) for label in self.classes_.tolist()]
        return np.asarray(outputs[: len(given), columns])
