"""A continual learner with River's manners: `learn_one`, `predict_one`, `predict_proba_one`.

Needs `pip install 'perdure[river]'`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any
from zlib import crc32

import torch
from torch import Tensor

from perdure import checkpoint, nets
from perdure.batch import Batch
from perdure.errors import InvalidValue, check_range, require
from perdure.learner import Learner
from perdure.method import Method

require("river", "river")

from river import base  # noqa: E402  after the check above

RECENT = 256
"""Rows, at most, that a boundary closes a task with."""


class ContinualClassifier(base.Classifier):
    """A classifier for one row at a time, which replays the past beside what comes in.

    A row is a dictionary of features. A number is an input; each value of any other feature is an
    input of its own, 1 where a row has it. A feature takes an input when it first comes; when all
    are taken, later ones share them by hash. Numbers are taken as they are: put a
    `preprocessing.StandardScaler()` before.

    Args:
        methods: what keeps it from forgetting; None is a replay memory of 500 rows that recalls 16
            an update, `()` is naive. They are copied, never written to.
        hidden: widths of the hidden layers.
        inputs: numbers that the network takes, >= 1.
        lr: learning rate of Adam, > 0.
        batch_size: rows an update, >= 1; those of an unfinished batch wait.
        drift_detector: fed with each error; where it finds drift, a task is closed, with the most
            recent rows, for methods that work at boundaries. None closes none.
        seed: of initialisation and memories.

    Raises:
        InvalidValue: a number out of range.

    Example:
        >>> model = ContinualClassifier(lr=0.01, seed=1)
        >>> for _ in range(50):
        ...     model.learn_one({"light": 1.0}, "day")
        ...     model.learn_one({"light": -1.0}, "night")
        >>> model.predict_one({"light": 0.8})
        'day'
    """

    def __init__(
        self,
        methods: Sequence[Method] | None = None,
        hidden: Sequence[int] = (64,),
        inputs: int = 64,
        lr: float = 1e-3,
        batch_size: int = 1,
        drift_detector: base.DriftDetector | None = None,
        seed: int = 0,
    ) -> None:
        check_range("ContinualClassifier", "inputs", inputs, 1, float("inf"))
        check_range("ContinualClassifier", "lr", lr, 0, float("inf"), open_low=True)
        check_range("ContinualClassifier", "batch_size", batch_size, 1, float("inf"))
        self.methods = methods
        self.hidden = hidden
        self.inputs = inputs
        self.lr = lr
        self.batch_size = batch_size
        self.drift_detector = drift_detector
        self.seed = seed
        self._places: dict[Hashable, int] = {}
        self._labels: dict[Any, int] = {}
        self._waiting: list[tuple[Tensor, int]] = []
        self._recent: list[tuple[Tensor, int]] = []
        self._detector = None if drift_detector is None else drift_detector.clone()
        self._learner: Learner | None = None

    @property
    def _multiclass(self) -> bool:
        return True

    @property
    def learner(self) -> Learner:
        """The `perdure.Learner` inside."""
        if self._learner is None:
            self._learner = self._begun()
        return self._learner

    def learn_one(self, x: dict[Hashable, Any], y: Any) -> None:
        """Learn one row; where a detector was given, score it before."""
        row = self._row(x, learning=True)
        drifted = self._drifted(row, y)
        label = self._labels.setdefault(y, len(self._labels))
        if drifted:
            self._close()
        self._waiting.append((row, label))
        if len(self._waiting) >= self.batch_size:
            batch, self._waiting = _batch(self._waiting), []
            if self._detector is not None:
                self._recent = [*self._recent, (row, label)][-RECENT:]
            with torch.random.fork_rng(devices=[]):
                self.learner.observe(batch)

    def predict_proba_one(self, x: dict[Hashable, Any], **kwargs: Any) -> dict[Any, float]:
        """The probability of each label seen so far; empty before the first update."""
        scores = self._scores(self._row(x, learning=False))
        shares = torch.softmax(scores[: len(self._labels)].double(), 0).tolist()
        return dict(zip(self._labels, shares, strict=False))

    def __getstate__(self) -> dict[str, Any]:
        """The arguments, and the learner as the bytes of a checkpoint."""
        held = None if self._learner is None else checkpoint.dumps(self._learner.state_dict())
        waiting = {"_waiting": _plain(self._waiting), "_recent": _plain(self._recent)}
        return {**self.__dict__, **waiting, "_learner": held}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Go on bit for bit from what `__getstate__` gave."""
        held = state["_learner"]
        self.__dict__.update({**state, "_learner": None})
        for key in ("_waiting", "_recent"):
            self.__dict__[key] = [(torch.tensor(x), y) for x, y in state[key]]
        if held is not None:
            self.learner.load_state_dict(checkpoint.loads(held))

    # -- inside ----------------------------------------------------------------------------------

    def _begun(self) -> Learner:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            backbone = nets.MLP(self.inputs, self.hidden)
            model = nets.Classifier(backbone, nets.GrowingHead(backbone.out_features))
            adam = partial(torch.optim.Adam, lr=self.lr)
            return Learner(model, *self._methods(), optimizer=adam, seed=self.seed)

    def _methods(self) -> Sequence[Method]:
        if self.methods is None:
            from perdure.methods import ER

            return [ER(capacity=500, rows=16)]
        return deepcopy(tuple(self.methods))

    def _scores(self, row: Tensor) -> Tensor:  # (classes learnt,)
        return self.learner.predict(row[None])[0]

    def _drifted(self, row: Tensor, y: Any) -> bool:
        if self._detector is None:
            return False
        scores = self._scores(row)
        right = len(scores) > 0 and self._labels.get(y) == int(scores.argmax())
        self._detector.update(float(not right))
        return bool(self._detector.drift_detected)

    def _close(self) -> None:
        if self._recent:
            self.learner.consolidate(_batch(self._recent).seen())
        self._recent = []

    def _row(self, x: Mapping[Hashable, Any], *, learning: bool) -> Tensor:  # (inputs,)
        row = torch.zeros(self.inputs)
        # By name, so that a row's own order decides nothing.
        for name, value in sorted(x.items(), key=lambda item: repr(item[0])):
            category = isinstance(value, str)
            key = (name, value) if category else name
            place = self._places.get(key)
            if place is None and learning and len(self._places) < self.inputs:
                place = self._places.setdefault(key, len(self._places))
            elif place is None:
                if len(self._places) < self.inputs:
                    continue  # nothing has been learnt of it
                place = crc32(repr(key).encode()) % self.inputs
            row[place] += 1.0 if category else _number(name, value)
        return row


def _number(name: Hashable, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InvalidValue(
            f"feature {name!r} is {value!r}; give a number or a text, or leave the feature out"
        ) from error


def _plain(rows: list[tuple[Tensor, int]]) -> list[tuple[list[float], int]]:
    return [(x.tolist(), y) for x, y in rows]


def _batch(rows: list[tuple[Tensor, int]]) -> Batch:
    return Batch(torch.stack([x for x, _ in rows]), torch.tensor([y for _, y in rows]))
