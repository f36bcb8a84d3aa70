"""What the live loop refuses: one sentence each, and the status that goes with it."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from perdure.errors import PerdureError
from perdure.live import refusals
from perdure.live.refusals import Full, Refused, RowRefused, shown

KINDS = [
    kind
    for kind in vars(refusals).values()
    if inspect.isclass(kind) and issubclass(kind, Refused) and kind is not Refused
]


def test_every_kind_has_its_status():
    """The numbers are HTTP's, and the tree in the module's docstring names each of them."""
    tree = refusals.__doc__
    assert {"RowRefused", "KeyReused", "Conflict", "Erased", "TooLarge", "Full"} <= {
        kind.__name__ for kind in KINDS
    }
    assert [] == [k.__name__ for k in KINDS if f"{k.__name__} {k.status} " not in tree]


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_is_caught_by_the_root_of_all_errors(kind):
    """`except PerdureError` is enough."""
    with pytest.raises(PerdureError, match=r"^no$"):
        raise kind("no")


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (RowRefused("too old"), "too old"),
        (RowRefused("give more", field="age"), "'age': give more"),
        (RowRefused("give more", field="age", value=3), "'age' is 3; give more"),
        (RowRefused("give more", value=3), "3: give more"),
        (
            RowRefused("give more", field="age", value=None, row=7),
            "row 7: 'age' is None; give more",
        ),
    ],
)
def test_the_message_holds_what_is_known(refused, message):
    """Row, field, value and reason, in this order."""
    assert message == str(refused)


def test_a_refusal_can_be_moved_to_its_row():
    """The copy has the row, the first one is as it was."""
    refused = Full("later", field="rows", value=9, retry_after=2.0)
    placed = refused.at(4)
    assert (4, "rows", "9", "later", 2.0, 429) == (
        placed.row,
        placed.field,
        placed.value,
        placed.reason,
        placed.retry_after,
        placed.status,
    )
    assert refused.row is None
    assert placed.at(None).row is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a" * 1000, "'aaa"),
        (list(range(1000)), "[0, 1, 2, 3, ...]"),
        (b"a" * 1000, "1000 bytes"),
        (b"short", "b'short'"),
        (np.zeros((2, 3), np.float32), "an array of float32 with shape (2, 3)"),
        (np.float32(0.5), "0.5"),
        (np.array(7), "7"),
        (None, "None"),
        ([10**5000], "[an integer of 16610 bits]"),
        ({str(i): i for i in range(100)}, "{"),
        (torch.zeros(1000), "tensor("),
    ],
)
def test_a_value_is_shown_short(value, text):
    """However large it is."""
    assert shown(value).startswith(text)
    assert len(shown(value)) <= 100
