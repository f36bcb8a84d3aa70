"""A receipt says what was done and what remains, and only its directory can have written it; one
at a time works on the versions.
"""

from __future__ import annotations

import threading
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.live.alone import alone
from perdure.live.receipt import Receipt
from perdure.live.refusals import Conflict

SECRET, OTHER = "ab" * 32, "cd" * 32
WHOLE = Receipt(
    "done", "f" * 64, "ann", 1e9, 12, 3, 40, {"2": 7}, (2, 3), "exact", (2,), (3,), 1e9 + 5, 9
)
ANOTHER: dict[str, Any] = {
    "state": "pending",
    "subject": "e" * 64,
    "actor": "ben",
    "at": 2e9,
    "rows": 11,
    "held_out": 0,
    "first": None,
    "learnt": {"2": 8},
    "tainted": (2,),
    "rebuild": "none",
    "redacted": (2, 3),
    "removed": (),
    "finished": None,
    "job": None,
    "key": 5,
    "problem": "the disk is full",
}

numbers = st.lists(st.integers(1, 99), max_size=5).map(tuple)
receipts = st.builds(
    Receipt,
    st.sampled_from(["pending", "done", "dry run"]),
    st.text("0123456789abcdef", min_size=64, max_size=64),
    st.text(max_size=20),
    st.floats(0, 1e10),
    st.integers(0, 99),
    st.integers(0, 99),
    st.none() | st.integers(1, 99),
    st.dictionaries(st.integers(1, 99).map(str), st.integers(1, 99), max_size=4),
    numbers,
    st.sampled_from(["none", "exact", "scheduled"]),
    numbers,
    numbers,
    st.none() | st.floats(0, 1e10),
    st.none() | st.integers(1, 99),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.text(max_size=50),
)


@given(receipts)
def test_a_receipt_is_read_as_it_was_written(receipt: Receipt) -> None:
    """Signed or not, whatever it says; and so is its signature."""
    signed = receipt.signed(SECRET)
    assert receipt == Receipt.of(receipt.text())
    assert signed == Receipt.of(signed.text())
    assert signed.is_signed(SECRET)
    assert not signed.is_signed(OTHER)
    assert not receipt.is_signed(SECRET)
    assert signed == signed.signed(SECRET)


@pytest.mark.parametrize("name", ANOTHER)
def test_whoever_changes_anything_breaks_the_signature(name: str) -> None:
    """Field by field."""
    assert WHOLE.signed(SECRET).is_signed(SECRET)
    assert not replace(WHOLE.signed(SECRET), **{name: ANOTHER[name]}).is_signed(SECRET)


def test_every_field_is_one_that_the_signature_covers() -> None:
    """A new one must be looked at here."""
    assert {field.name for field in fields(Receipt)} == {*ANOTHER, "signature"}


def test_what_remains_is_said_plainly() -> None:
    """Weights are named only where there are any."""
    assert any("weights" in one and "2, 3" in one for one in WHOLE.remains)
    assert not any("weights" in one for one in replace(WHOLE, tainted=()).remains)
    for part in ("12 rows", "3 held-out", "versions 2", "job 9", "signature: none yet", "ann"):
        assert part in str(WHOLE)
    assert "still to do: the disk is full" in str(replace(WHOLE, problem="the disk is full"))


# -- alone ---------------------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path


def test_only_one_holds_the_lock(directory: Path) -> None:
    """The next one is refused, and gets it when the first has let go, by an error too."""
    with alone(directory), pytest.raises(Conflict, match="another updater"), alone(directory):
        raise AssertionError("two at once")
    with pytest.raises(ValueError, match="no"), alone(directory):
        raise ValueError("no")
    with alone(directory):
        assert (directory / "work" / "updater.lock").exists()


def test_one_may_wait_for_the_lock(directory: Path) -> None:
    """As long as it says, and not longer than it must."""
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with alone(directory):
            held.set()
            let_go.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    began = time.monotonic()
    with pytest.raises(Conflict), alone(directory, wait=0.1):
        raise AssertionError("two at once")
    assert 0.1 <= time.monotonic() - began
    threading.Timer(0.1, let_go.set).start()
    with alone(directory, wait=30.0):
        assert let_go.is_set()
    thread.join()
