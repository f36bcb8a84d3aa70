"""Which side of a split a name falls on: the same in every process, on every machine, for ever.

A subject's rows all fall on one side, so that what is held out says how the model does on people
that it has not learnt from; where a row has no subject its own id decides.
"""

from __future__ import annotations

import hashlib
from typing import Literal

Part = Literal["train", "evaluation"]


def part(subject: str | None, id: str, share: float, salt: int) -> Part:  # noqa: A002
    """Whether a row is trained on or held out.

    Args:
        subject: whose row it is, or None.
        id: of the row.
        share: of subjects to hold out, in [0, 1]; a larger one holds out the same and more.
        salt: in [0, 2^63); another one draws another split.
    """
    name = id if subject is None else subject
    return "evaluation" if _uniform(name.encode(), salt, b"part") < share else "train"


def bucket(name: str, salt: int) -> float:
    """A number in [0, 1) for a subject or id: a share of the names has a number below the share.

    It says nothing about `part`: of the held-out subjects the same share is below it.
    """
    return _uniform(name.encode(), salt, b"bucket")


def priority(key: int, salt: int) -> float:
    """A number in [0, 1) for a row's signed 64-bit key: the lowest ones of a group are kept.

    It is apart from the key, so that nobody can choose ids that stay longer than others.
    """
    return _uniform(key.to_bytes(8, "big", signed=True), salt, b"priority")


def _uniform(name: bytes, salt: int, use: bytes) -> float:
    """53 bits of BLAKE2b, of which `use` makes a hash of its own."""
    digest = hashlib.blake2b(name, digest_size=8, salt=salt.to_bytes(16, "big"), person=use)
    return (int.from_bytes(digest.digest(), "big") >> 11) * 2.0**-53
