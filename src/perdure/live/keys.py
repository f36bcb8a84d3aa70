"""Numbers that stand for names: the same in every process and every log."""

from __future__ import annotations

import hashlib
import hmac


def key(name: str) -> int:
    """A signed 64-bit hash of a name: a row's id, a subject, a source."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def subject_digest(secret: str, subject: str) -> str:
    """What stays of an erased subject: enough to refuse later rows, useless without `secret`."""
    return hmac.new(bytes.fromhex(secret), subject.encode(), hashlib.sha256).hexdigest()
