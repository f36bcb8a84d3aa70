"""Which methods may share a learner; pairs that may not are refused at construction, by name."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from perdure.errors import IllegalCombination, InvalidValue
from perdure.method import Method

SLOTS = ("forward", "loss", "update")
ADAPTED = ("progressive", "gated", "lora", "prompted", "pool")
"""Architectures whose features learn by the method that needs them."""
HEADLESS = ("progressive", "gated")
"""Architectures that are one piece, without a head that could be trained apart."""


def check_combination(methods: Sequence[Method]) -> None:
    """Raise `IllegalCombination` where two methods claim one name, one slot or one memory.

    A method that owns the whole update stands alone, since no other verb would be called.

    Raises:
        InvalidValue: one of them is no method, such as its name or the class itself.
    """
    for method in methods:
        if not isinstance(method, Method):
            raise InvalidValue(
                f"{method!r} is no method; give an object such as `methods.ER(capacity=200)`"
            )
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
    one, two = a.needs.architecture, b.needs.architecture
    if one is not None and two is not None and (one != two or one in ADAPTED):
        raise IllegalCombination(
            f"{a} works on architecture {one!r} and {b} on {two!r}, and a learner's model has "
            "one, which serves one of them; keep one"
        )
    if (one in ADAPTED and b.needs.frozen) or (two in ADAPTED and a.needs.frozen):
        raise IllegalCombination(
            f"of {a} and {b}, one trains what is under the head and the other holds features "
            "against later ones; keep one of them"
        )
    if (one in HEADLESS and b.needs.head) or (two in HEADLESS and a.needs.head):
        raise IllegalCombination(
            f"of {a} and {b}, one works on a network of one piece and the other trains a head "
            "apart; keep one of them"
        )
    shared = [key for key, part in a.parts().items() if part in b.parts().values()]
    if shared:
        raise IllegalCombination(
            f"{a} and {b} write one and the same {shared[0]}; give each its own"
        )
    _check_answers(a, b)


def _check_answers(a: Method, b: Method) -> None:
    """Refuse two that answer alone, and one that reads features which another lets learn."""
    if a.answers and b.answers:
        raise IllegalCombination(f"{a} and {b} both answer alone; keep one of them")
    for reader, other in ((a, b), (b, a)):
        if other.freezes and reader.needs.frozen and not reader.needs.data:
            raise IllegalCombination(
                f"{reader} reads features from the first row on, and {other} lets them learn until "
                'the first task ends; where it can, let it read at the boundary: write="boundary"'
            )
