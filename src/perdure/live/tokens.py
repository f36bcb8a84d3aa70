"""Tokens: who may do what over HTTP. Hashed at rest, compared in constant time."""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from perdure.errors import InvalidValue
from perdure.live import audit
from perdure.live.database import Database
from perdure.live.refusals import Conflict, NotFound

ROLES: Final = ("predict", "ingest", "operate", "admin")
FRESH_SECONDS: Final = 1.0
"""How long another process's revocation may go unseen."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED = ("operator", "updater")  # what the audit calls the command line and the updater
_LIVE = "SELECT name FROM tokens WHERE revoked IS NULL AND (expires IS NULL OR expires > ?)"


@dataclass(frozen=True)
class Token:
    """What is known of a token, without its secret.

    Args:
        id: public, the middle of the token's text.
        name: who or what has it; the actor of the audit.
        roles: some of `ROLES`.
        created: seconds since the epoch.
        expires: the same, or None for never.
        revoked: when it was revoked, or None.
    """

    id: str
    name: str
    roles: frozenset[str]
    created: float
    expires: float | None = None
    revoked: float | None = None

    def allows(self, role: str) -> bool:
        """Whether the token has `role`; `admin` has every role."""
        return role in self.roles or "admin" in self.roles

    def live(self, now: float) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or now < self.expires)


class Tokens:
    """The tokens of a state directory.

    Args:
        database: holds the table `tokens`.
        clock: seconds since the epoch.

    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self._clock = clock
        self._read_at = float("-inf")
        self._held: dict[str, tuple[Token, str, str]] = {}  # with salt and hash

    def create(
        self,
        name: str,
        roles: Iterable[str],
        expires: float | None = None,
        actor: str = "operator",
    ) -> str:
        """Make a token; its text is returned here and is nowhere else.

        Args:
            name: who gets it: letters, digits and `.`, `_`, `-`, at most 64.
            roles: some of `ROLES`; `admin` includes all.
            expires: seconds since the epoch, or None for never.
            actor: who makes it, for the audit.

        Raises:
            InvalidValue: the name, a role or the expiry cannot be right.
            Conflict: a live token has this name.
        """
        wanted = self.vet(name, roles, expires)
        id_, secret, salt = secrets.token_hex(6), secrets.token_hex(32), secrets.token_hex(16)

        def work(connection: sqlite3.Connection) -> None:
            now = self._clock()
            _check_free(name, connection.execute(_LIVE, (now,)).fetchall())
            connection.execute(
                "INSERT INTO tokens (id, name, roles, salt, hash, created, expires)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (id_, name, " ".join(wanted), salt, _hash(salt, secret), now, expires),
            )
            detail = {"token": id_, "name": name, "roles": wanted, "expires": expires}
            audit.write(connection, actor, "token", detail)

        self.database.transact(work)
        return f"pdr_{id_}_{secret}"

    def check(self, text: str) -> Token | None:
        """The live token that this text is, or None; takes as long for a wrong one."""
        parts = text.split("_", 2)
        id_, secret = (parts[1], parts[2]) if len(parts) == 3 and parts[0] == "pdr" else ("", "")
        held = self._find(id_)
        salt, expected = ("", "") if held is None else held[1:]
        right = compare_digest(_hash(salt, secret), expected)
        return self._if_live(held) if right else None

    def get(self, id_: str) -> Token | None:
        """The live token with this id, or None."""
        return self._if_live(self._find(id_))

    def revoke(self, id_: str, actor: str = "operator") -> None:
        """End a token at once.

        Raises:
            NotFound: there is no such token, or it was revoked before.
        """

        def work(connection: sqlite3.Connection) -> None:
            ended = connection.execute(
                "UPDATE tokens SET revoked = ? WHERE id = ? AND revoked IS NULL",
                (self._clock(), id_),
            )
            if ended.rowcount == 0:
                raise NotFound("no live token has this id", field="token", value=id_)
            audit.write(connection, actor, "revoke", {"token": id_})

        self.database.transact(work)
        self._read_at = float("-inf")

    def all(self) -> list[Token]:
        """All tokens that ever were, oldest first."""
        return [_token(row) for row in self.database.read("SELECT * FROM tokens ORDER BY created")]

    def exist(self) -> bool:
        """Whether a live token exists."""
        return self.database.one(_LIVE, (self._clock(),)) is not None

    def vet(self, name: str, roles: Iterable[str], expires: float | None = None) -> list[str]:
        """The roles in order, where `create` would make such a token; else raise what it would."""
        wanted = sorted(set(roles), key=[*ROLES, *roles].index)
        unknown = [role for role in wanted if role not in ROLES]
        if not wanted or unknown:
            raise InvalidValue(
                f"a token's roles are {unknown or wanted!r}; give some of {', '.join(ROLES)}"
            )
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise InvalidValue(
                f"a token's name is {name!r}; give letters, digits and . _ -, at most 64, and not "
                + " or ".join(map(repr, _RESERVED))
            )
        if expires is not None and expires <= self._clock():
            raise InvalidValue(f"a token's expiry is {expires!r}, which is past")
        _check_free(name, self.database.read(_LIVE, (self._clock(),)))
        return wanted

    def _find(self, id_: str) -> tuple[Token, str, str] | None:
        now = time.monotonic()
        if now - self._read_at > FRESH_SECONDS or id_ not in self._held:
            found = self.database.read("SELECT * FROM tokens")
            self._held = {row["id"]: (_token(row), row["salt"], row["hash"]) for row in found}
            self._read_at = now
        return self._held.get(id_)

    def _if_live(self, held: tuple[Token, str, str] | None) -> Token | None:
        return held[0] if held is not None and held[0].live(self._clock()) else None


def _check_free(name: str, live: Sequence[sqlite3.Row]) -> None:
    if name in [row["name"] for row in live]:
        raise Conflict(
            "a live token has this name; revoke it first, or choose another",
            field="name",
            value=name,
        )


def _hash(salt: str, secret: str) -> str:
    # The secret has 256 random bits, so guessing is hopeless and a slow hash would add nothing.
    return hashlib.sha256(f"{salt}:{secret}".encode()).hexdigest()


def _token(row: sqlite3.Row) -> Token:
    return Token(
        id=row["id"],
        name=row["name"],
        roles=frozenset(row["roles"].split()),
        created=row["created"],
        expires=row["expires"],
        revoked=row["revoked"],
    )
