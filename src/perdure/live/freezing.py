"""The emergency brake: while a project is frozen it serves and stores, and learns nothing."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import asdict, dataclass

from perdure.live import audit
from perdure.live.database import Database


@dataclass(frozen=True)
class Frozen:
    """Who froze a project, when (seconds since the epoch) and why."""

    actor: str
    at: float
    reason: str


def freeze(database: Database, actor: str, reason: str) -> Frozen:
    """Start no update and promote nothing by itself until `unfreeze`."""
    held = Frozen(actor, time.time(), reason)

    def work(connection: sqlite3.Connection) -> None:
        said = json.dumps(asdict(held))
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('frozen', ?)", (said,))
        audit.write(connection, actor, "freeze", {"reason": reason})

    database.transact(work)
    return held


def unfreeze(database: Database, actor: str, reason: str) -> None:
    """Go on."""

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM meta WHERE key = 'frozen'")
        audit.write(connection, actor, "unfreeze", {"reason": reason})

    database.transact(work)


def frozen(database: Database) -> Frozen | None:
    """Who froze the project, or None where nobody did."""
    held = database.value("SELECT value FROM meta WHERE key = 'frozen'")
    return None if held is None else Frozen(**json.loads(held))
