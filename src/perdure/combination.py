"""Which methods may share a learner; pairs that may not are refused at construction, by name."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from perdure.errors import IllegalCombination
from perdure.method import Method

SLOTS = ("forward", "loss", "update")


def check_combination(methods: Sequence[Method]) -> None:
    """Raise `IllegalCombination` where two methods claim one name, one slot or one memory.

    A method that owns the whole update stands alone, since no other verb would be called.
    """
    for a, b in combinations(methods, 2):
        _check_pair(a, b)


def _check_pair(a: Method, b: Method) -> None:
    if a.name == b.name:
        raise IllegalCombination(
            f"two methods are named {a.name!r}: {a} and {b}; their loss terms and state would "
            "collide. Keep one"
        )
    owner = next((method for method in (a, b) if method.implements("update")), None)
    if owner is not None:
        other = b if owner is a else a
        raise IllegalCombination(
            f"{owner} owns the whole update, so {other} would never act; use one or the other"
        )
    for slot in SLOTS:
        if a.implements(slot) and b.implements(slot):
            raise IllegalCombination(f"{a} and {b} both fill the slot {slot!r}; keep one of them")
    shared = [key for key, part in a.parts().items() if part in b.parts().values()]
    if shared:
        raise IllegalCombination(
            f"{a} and {b} write one and the same {shared[0]}; give each its own"
        )
