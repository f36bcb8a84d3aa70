"""Digits: 1,797 handwritten digits of 8 by 8 pixels, which come with scikit-learn."""

from __future__ import annotations

import torch

from perdure.errors import require
from perdure.streams.dataset import Data
from perdure.streams.draws import stratified

LEVELS = 16  # grey levels above 0


def digits() -> Data:
    """Float images (n, 1, 8, 8) in [0, 1]; a fifth of each class, always the same, is for testing.

    Source: Alpaydin & Kaynak 1998, "Optical Recognition of Handwritten Digits", its test part.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    found = require("sklearn.datasets", "sklearn").load_digits()
    x = torch.from_numpy(found.images).float().div(LEVELS).unsqueeze(1)  # (n, 1, 8, 8)
    y = torch.from_numpy(found.target).long()
    train, test = stratified(y, 0.2, seed=0)
    return Data("digits", x[train], y[train], x[test], y[test], tuple(map(str, range(10))))
