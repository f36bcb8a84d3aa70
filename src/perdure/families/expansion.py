"""Random features: more directions than the backbone gives, without learning any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perdure.errors import CheckpointMismatch


class Expansion:
    """relu(f W) with W (d, projections) from a normal distribution, drawn once and never learnt.

    W follows from a number that is the whole state. Ranks agree where their learners have one seed.

    Args:
        projections: columns of W; 0 leaves features as they are.

    Example:
        >>> wider = Expansion(projections=5)
        >>> wider(torch.zeros(3, 2)).shape, Expansion(projections=0)(torch.zeros(3, 2)).shape
        (torch.Size([3, 5]), torch.Size([3, 2]))
    """

    def __init__(self, projections: int) -> None:
        self.projections = projections
        self.origin = 0
        self._weight: Tensor | None = None

    def __call__(self, features: Tensor) -> Tensor:  # (n, d) -> (n, projections) float64
        """The random features."""
        if not self.projections:
            return features.double()
        weight = self._weight
        if weight is None or len(weight) != features.shape[1]:
            # The one generator of numpy whose numbers are promised never to change.
            drawn = np.random.RandomState(self.origin).standard_normal(
                (features.shape[1], self.projections)
            )
            weight = torch.from_numpy(drawn)
        self._weight = weight.to(features.device)
        return (features.double() @ self._weight).relu()

    def seed(self, seed: int) -> None:
        """Say which W is meant."""
        self.origin, self._weight = seed % 2**32, None

    def state_dict(self) -> dict[str, Any]:
        """The number that W follows from."""
        return {"origin": self.origin}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        """Restore what `state_dict` gave.

        Raises:
            CheckpointMismatch: it holds something else.
        """
        if set(state) != {"origin"}:
            raise CheckpointMismatch(f"an expansion is its origin; the checkpoint has {set(state)}")
        self.seed(state["origin"])
