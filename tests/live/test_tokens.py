"""Tokens: shown once, hashed at rest, and good for their roles as long as they live."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.errors import InvalidValue
from perdure.live.database import Database
from perdure.live.refusals import Conflict, NotFound
from perdure.live.tokens import FRESH_SECONDS, ROLES, Token, Tokens


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """At 1000 seconds."""
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty one."""
    opened = Database(tmp_path / "perdure.db")
    yield opened
    opened.close()


@pytest.fixture
def tokens(database: Database, clock: Clock) -> Tokens:
    """No token yet."""
    return Tokens(database, clock)


def test_a_token_is_known_by_its_text_alone(tokens: Tokens) -> None:
    """The text that `create` returned is the token; with one character changed it is none."""
    text = tokens.create("camera-7", ["ingest", "predict"])
    found = tokens.check(text)
    assert ("camera-7", {"predict", "ingest"}) == (found.name, found.roles)
    other = "0" if text[-1] != "0" else "1"
    assert [None] * 2 == [tokens.check(text[:-1] + other), tokens.check(text[:-1])]


@pytest.mark.parametrize("text", ["", "pdr", "pdr_", "pdr__", "Bearer x", "pdr_000000000000_", "é"])
def test_what_is_no_token_is_none(tokens: Tokens, text: str) -> None:
    """Any text is checked without an error."""
    assert tokens.check(text) is None


def test_the_secret_is_nowhere_on_the_disk(tokens: Tokens, database: Database) -> None:
    """Neither the secret nor the text is in the files, the write-ahead log included."""
    secret = tokens.create("camera-7", ["predict"]).split("_")[2]
    files = [path.read_bytes() for path in database.path.parent.iterdir()]
    assert any(b"camera-7" in held for held in files)
    assert not any(secret.encode() in held or bytes.fromhex(secret) in held for held in files)


def test_two_tokens_with_one_secret_would_differ_at_rest(
    tokens: Tokens, database: Database
) -> None:
    """Each has a salt of its own, of 128 bits, and a hash of 256."""
    for number in range(5):
        tokens.create(f"camera-{number}", ["predict"])
    held = database.read("SELECT salt, hash FROM tokens")
    assert 5 == len({row["salt"] for row in held})
    assert {(32, 64)} == {(len(row["salt"]), len(row["hash"])) for row in held}


def test_a_token_ends_when_it_expires(tokens: Tokens, clock: Clock) -> None:
    """One second before it is good, and at the second it is not."""
    text = tokens.create("guest", ["predict"], expires=1060.0)
    clock.now = 1059.0
    assert tokens.check(text) is not None
    clock.now = 1060.0
    assert tokens.check(text) is None
    assert not tokens.exist()


def test_a_revoked_token_is_dead_at_once(tokens: Tokens) -> None:
    """And cannot be revoked again."""
    text = tokens.create("guest", ["predict"])
    id_ = tokens.check(text).id
    tokens.revoke(id_)
    assert [None, None] == [tokens.check(text), tokens.get(id_)]
    with pytest.raises(NotFound, match="no live token has this id"):
        tokens.revoke(id_)


def test_another_process_learns_of_tokens_and_revocations(
    tokens: Tokens, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new token is good everywhere at once; a revoked one is dead after `FRESH_SECONDS`."""
    seconds = 0.0
    monkeypatch.setattr("time.monotonic", lambda: seconds)
    elsewhere = Tokens(database)
    text = tokens.create("guest", ["predict"])
    assert elsewhere.check(text) is not None
    tokens.revoke(tokens.check(text).id)
    seconds = FRESH_SECONDS + 0.1
    assert elsewhere.check(text) is None


def test_admin_has_every_role_and_others_their_own() -> None:
    """Roles do not include each other, apart from `admin`."""
    for role in ROLES:
        token = Token("1", "x", frozenset({role}), 0.0)
        assert {role} | (set(ROLES) if role == "admin" else set()) == {
            one for one in ROLES if token.allows(one)
        }


@pytest.mark.parametrize(
    ("name", "roles", "expires"),
    [
        ("", ["predict"], None),
        ("with space", ["predict"], None),
        ("a" * 65, ["predict"], None),
        ("updater", ["predict"], None),
        ("operator", ["predict"], None),
        ("x", [], None),
        ("x", ["root"], None),
        ("x", ["predict"], 999.0),
    ],
)
def test_what_cannot_be_right_is_refused(
    tokens: Tokens, name: str, roles: list[str], expires: float | None
) -> None:
    """Names that the audit could not tell apart, unknown roles, and tokens dead from the start."""
    with pytest.raises(InvalidValue, match="a token's"):
        tokens.create(name, roles, expires)
    assert [] == tokens.all()


def test_a_name_belongs_to_one_live_token(tokens: Tokens) -> None:
    """The audit's actor is one token; after it is revoked its name is free."""
    first = tokens.create("camera", ["predict"])
    with pytest.raises(Conflict, match="'camera'"):
        tokens.create("camera", ["ingest"])
    tokens.revoke(tokens.check(first).id)
    tokens.create("camera", ["ingest"])
    assert [True, False] == [token.revoked is not None for token in tokens.all()]


def test_making_and_ending_a_token_is_in_the_audit(tokens: Tokens, database: Database) -> None:
    """With the actor, and without the secret."""
    text = tokens.create("camera", ["predict"], actor="ada")
    tokens.revoke(tokens.check(text).id, actor="bob")
    entries = [tuple(row) for row in database.read("SELECT actor, action, detail FROM audit")]
    assert [("ada", "token"), ("bob", "revoke")] == [entry[:2] for entry in entries]
    assert not any(text.split("_")[2] in entry[2] for entry in entries)


def test_a_row_of_the_table_is_no_token(tokens: Tokens, database: Database) -> None:
    """Whoever reads the database has nothing to log in with."""
    tokens.create("camera", ["predict"])
    row: sqlite3.Row = database.read("SELECT * FROM tokens")[0]
    assert tokens.check(f"pdr_{row['id']}_{row['hash']}") is None
