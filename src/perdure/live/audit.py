"""Who did what, when and why: rows that are only ever added."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from typing import Any


def write(
    connection: sqlite3.Connection, actor: str, action: str, detail: Mapping[str, Any]
) -> None:
    """Add an entry within the transaction that does what it speaks of.

    Args:
        connection: the writer's.
        actor: a token's name, "operator" for the command line, or "updater".
        action: one word: "promote", "rollback", "erase", ...
        detail: plain values; never a subject's name or data.
    """
    connection.execute(
        "INSERT INTO audit (at, actor, action, detail) VALUES (?, ?, ?, ?)",
        (time.time(), actor, action, json.dumps(detail)),
    )
