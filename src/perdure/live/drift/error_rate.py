"""River's detectors on the prequential errors, with a state that is plain and never pickled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch

from perdure.errors import CheckpointMismatch, InvalidValue, check_range, require
from perdure.live.drift.change import Change, change_point

_RIVER = {"adwin": "ADWIN", "page-hinkley": "PageHinkley"}


class ErrorDetector:
    """Whether predictions go wrong more or less often than they did.

    The detector is a function of the errors since an anchor and its state is those errors, one bit
    each: to restore it they are fed again, which takes less than a microsecond a row. After
    `2 * keep` rows the anchor moves: the detector is made anew from the last `keep` rows. After an
    alarm it starts anew from nothing.

    Source: Bifet & Gavaldà 2007 (ADWIN); Page 1954 (Page-Hinkley); both from River, at its
    defaults. Keeps: at most `2 * keep` bits.

    Args:
        name: "adwin" or "page-hinkley".
        keep: rows, at least 100.
        settings: of River's detector, where they differ from its defaults.

    Raises:
        InvalidValue: a name or number is out of range.
        MissingExtra: at the first row, where River is not installed.
    """

    def __init__(
        self,
        name: Literal["adwin", "page-hinkley"],
        keep: int = 10_000,
        settings: Mapping[str, float] | None = None,
    ) -> None:
        if name not in _RIVER:
            raise InvalidValue(f"there is no detector {name!r}; there are {', '.join(_RIVER)}")
        check_range("ErrorDetector", "keep", keep, 100, float("inf"))
        self.name = name
        self.keep = keep
        self.settings = dict(settings or {})
        self.restart()

    @property
    def rows(self) -> int:
        """Since the anchor."""
        return len(self._wrong)

    def restart(self) -> None:
        """Forget all rows: what comes next is the new normal."""
        self._wrong = bytearray()
        self._detector: Any = None

    def update(self, wrong: bool) -> Change | None:
        """Take one row, whether its prediction was wrong; the change where it gives the alarm."""
        if self._detector is None:
            self._replay()
        self._wrong.append(wrong)
        if len(self._wrong) <= 2 * self.keep:
            alarm = self._feed(wrong)
        else:
            del self._wrong[: -self.keep]
            alarm = self._replay()
        if not alarm:
            return None
        change = change_point(np.frombuffer(bytes(self._wrong), dtype=np.bool_))
        self.restart()
        return change

    def state_dict(self) -> dict[str, Any]:
        """The settings and the packed errors."""
        packed = np.packbits(np.frombuffer(bytes(self._wrong), dtype=np.uint8))
        return {
            "name": self.name,
            "keep": self.keep,
            "settings": dict(self.settings),
            "rows": len(self._wrong),
            "wrong": torch.from_numpy(packed),  # (ceil(rows / 8),) uint8
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, bit for bit.

        Raises:
            CheckpointMismatch: it is the state of another detector, or of other settings.
        """
        ours = (self.name, self.keep, self.settings)
        theirs = (state["name"], state["keep"], state["settings"])
        if ours != theirs:
            raise CheckpointMismatch(f"the state is that of {theirs}; this detector is {ours}")
        self.restart()
        self._wrong = bytearray(np.unpackbits(state["wrong"].numpy(), count=state["rows"]))

    def _replay(self) -> bool:
        """Make River's detector anew from the rows since the anchor; whether it gives the alarm."""
        river = require("river.drift", "live")
        self._detector = getattr(river, _RIVER[self.name])(**self.settings)
        return any(self._feed(wrong) for wrong in self._wrong)

    def _feed(self, wrong: int) -> bool:
        self._detector.update(float(wrong))
        return bool(self._detector.drift_detected)
