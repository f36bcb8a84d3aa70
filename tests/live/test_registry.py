"""Versions: whole or not there, named by aliases that move together, back where they served."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from perdure.errors import CheckpointMismatch
from perdure.live import files
from perdure.live.database import Database
from perdure.live.jobs import Jobs, finish
from perdure.live.refusals import Conflict, NotFound
from perdure.live.registry import MANIFEST, STATE, Registry


@pytest.fixture
def registry(tmp_path: Path):
    (tmp_path / "versions").mkdir()
    database = Database(tmp_path / "perdure.db")
    database.transact(lambda c: c.execute("INSERT INTO meta VALUES ('generation', '0')"))
    yield Registry(database, tmp_path / "versions")
    database.close()


def state(number: float) -> dict:
    return {"weights": torch.full((3,), number), "updates": int(number)}


def made(registry: Registry, parent: int | None = None, number: float = 1.0) -> int:
    """A version of a job that ends."""
    jobs = Jobs(registry.database)
    job = jobs.start(jobs.ask("update", "to test", "me").id, parent, 0, 9)
    version = registry.create(
        state(number), parent=parent, job=job.id, after=0, upto=9, note={"seed": 1}
    )
    registry.database.transact(lambda c: finish(c, job.id, "done"))
    return version


def promoted(registry: Registry, *versions: int) -> None:
    for version in versions:
        registry.promote(version, actor="me", reason="to test")


def back(registry: Registry) -> int:
    return registry.rollback(actor="me", reason="to test").version


def watch(registry: Registry, text: str | None = None) -> str:
    if text is not None:
        registry.database.transact(
            lambda c: c.execute("INSERT OR REPLACE INTO watch VALUES (1, 5, ?)", (text,))
        )
    return registry.database.value("SELECT state FROM watch")


def taint(registry: Registry, *versions: int) -> None:
    registry.database.transact(
        lambda c: c.executemany(
            "UPDATE versions SET tainted = 1 WHERE version = ?", [(v,) for v in versions]
        )
    )


# -- versions ------------------------------------------------------------------------------------


def test_a_version_comes_back_as_it_was_made(registry: Registry) -> None:
    """By number and by alias; it is the challenger, and its job knows it."""
    number = made(registry, number=4.0)
    for name in (number, "challenger"):
        held = registry.load(name)
        assert torch.equal(torch.full((3,), 4.0), held["weights"])
        assert 4 == held["updates"]
    version = registry.get(number)
    assert ("candidate", 0, 9, None) == (version.state, version.after, version.upto, None)
    assert number == Jobs(registry.database).get(version.job).version
    assert {"seed": 1} == version.note
    assert version.bytes == sum(f.stat().st_size for f in registry.path(version).iterdir())


def test_the_manifest_says_where_a_version_comes_from(registry: Registry) -> None:
    """Parent, positions in the log, code version, and a checksum for each file."""
    first = made(registry)
    second = made(registry, parent=first)
    said = registry.verify(registry.get(second))
    assert first == said["parent"]
    assert {"after": 0, "upto": 9} == said["examples"]
    assert [STATE] == list(said["files"])
    assert {"perdure", "seed", "job", "format"} <= set(said)


@pytest.mark.parametrize("name", [STATE, MANIFEST])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_damaged_file_is_noticed_and_named(registry: Registry, name: str, harm: str) -> None:
    """At loading and at promotion, before anything has changed."""
    number = made(registry)
    path = registry.path(registry.get(number)) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if harm == "remove":
        path.unlink()
    else:
        path.write_bytes(data if harm == "flip" else data[:-1])
    for use in (lambda: registry.load(number), lambda: promoted(registry, number)):
        with pytest.raises(CheckpointMismatch, match=name):
            use()
    assert {"challenger": number} == registry.aliases()


def test_a_job_that_must_not_go_on_makes_no_version(registry: Registry, tmp_path: Path) -> None:
    """Cancelled, or older than an erasure; nothing of its work is left on the disk."""
    jobs = Jobs(registry.database)
    for end in (
        lambda job: jobs.cancel(job.id, "me"),
        lambda job: registry.database.transact(
            lambda c: c.execute("INSERT INTO erased VALUES ('ab', 0, '{}')")
        ),
    ):
        job = jobs.start(jobs.ask("update", "to test", "me").id, None, 0, 9)
        end(job)
        with pytest.raises(Conflict):
            registry.create(state(1), parent=None, job=job.id, after=0, upto=9, note={})
        jobs.fail(job.id, "given up")
    assert [] == list((tmp_path / "versions").iterdir())
    assert [] == registry.all()


def test_what_a_crash_left_does_not_hinder_the_next(registry: Registry, tmp_path: Path) -> None:
    """A folder that the database does not know is taken away by whoever needs its place."""
    for name in ("1", ".1.part"):
        (tmp_path / "versions" / name).mkdir()
        (tmp_path / "versions" / name / "rest").write_text("of a crash")
    assert 1 == made(registry)
    assert {"1"} == {path.name for path in (tmp_path / "versions").iterdir()}
    registry.verify(registry.get(1))


def test_a_version_that_learnt_from_a_tainted_one_is_tainted(registry: Registry) -> None:
    """Its weights are made of the same rows."""
    first = made(registry)
    taint(registry, first)
    assert registry.get(made(registry, parent=first)).tainted is not None
    assert registry.get(made(registry)).tainted is None


def test_unknown_versions_and_aliases_are_named(registry: Registry) -> None:
    """With what there is instead."""
    made(registry)
    for name in (9, "champion", "nobody"):
        with pytest.raises(NotFound, match=f"{name}.*challenger"):
            registry.get(name)


# -- promotion -----------------------------------------------------------------------------------


def test_champion_and_previous_move_together(registry: Registry) -> None:
    """And every move is a new generation."""
    one, two = made(registry), made(registry)
    before = registry.generation()
    promoted(registry, one)
    assert one == registry.champion().version
    assert "previous" not in registry.aliases()
    promoted(registry, two)
    assert (two, one) == tuple(registry.aliases()[name] for name in ("champion", "previous"))
    assert before < registry.generation()


def test_whoever_looked_too_long_ago_is_refused(registry: Registry) -> None:
    """Compare and swap: of two who saw the same generation, one wins."""
    one, two = made(registry), made(registry)
    seen = registry.generation()
    registry.promote(one, actor="ann", reason="first", if_generation=seen)
    with pytest.raises(Conflict, match="generation"):
        registry.promote(two, actor="ben", reason="second", if_generation=seen)
    assert one == registry.champion().version
    said = registry.database.read("SELECT actor, action FROM audit")
    assert [("ann", "promote")] == [tuple(row) for row in said]


def test_what_serves_cannot_be_promoted_again(registry: Registry) -> None:
    """Nothing would change, and rollback would lead nowhere."""
    promoted(registry, made(registry))
    with pytest.raises(Conflict, match="serves already"):
        promoted(registry, 1)


def test_a_version_without_files_cannot_serve(registry: Registry) -> None:
    """Pruned versions keep their line in the history alone."""
    one, two, three, four = (made(registry) for _ in range(4))
    promoted(registry, four)
    assert [two, one] == registry.prune(keep=1)
    assert [three, four] == [v.version for v in registry.all() if v.state != "removed"]
    with pytest.raises(Conflict, match="gone"):
        promoted(registry, one)
    with pytest.raises(NotFound, match="gone"):
        registry.load(one)
    with pytest.raises(Conflict, match="gone"):
        registry.alias("shadow", one, actor="me")
    assert {"3", "4"} == {path.name for path in registry.folder.iterdir()}


def test_a_tainted_version_takes_the_place_of_a_tainted_one_alone(registry: Registry) -> None:
    """An erasure must not stop the loop, and nothing goes back to what it cleaned."""
    old, clean, new = made(registry), made(registry), made(registry)
    promoted(registry, clean)
    taint(registry, old, new)
    with pytest.raises(Conflict, match="erased"):
        promoted(registry, old)
    taint(registry, clean)
    promoted(registry, new)
    assert clean == back(registry)


# -- rollback ------------------------------------------------------------------------------------


def test_rollback_goes_to_what_served_before_and_brings_its_detectors(registry: Registry) -> None:
    """Not to the newest version, which never served."""
    one, two, _never = made(registry), made(registry), made(registry)
    watch(registry, "as it was under one")
    promoted(registry, one)
    watch(registry, "at the end of one")
    promoted(registry, two)
    watch(registry, "under two")
    assert one == back(registry)
    assert "at the end of one" == watch(registry)
    assert one == registry.champion().version
    assert "previous" not in registry.aliases()
    with pytest.raises(Conflict, match="no earlier version"):
        back(registry)


def test_rollback_walks_down_the_pile(registry: Registry) -> None:
    """Each one step further; a promotion in between begins a new top."""
    one, two, three = (made(registry) for _ in range(3))
    promoted(registry, one, two, three)
    assert two == back(registry)
    assert one == registry.aliases()["previous"]
    promoted(registry, three)
    assert two == registry.aliases()["previous"]
    assert [two, one] == [back(registry), back(registry)]


def test_a_version_that_served_twice_is_on_the_pile_twice(registry: Registry) -> None:
    """Back from its second turn, to what served between, to its first."""
    one, two = made(registry), made(registry)
    promoted(registry, one, two, one)
    assert [two, one] == [back(registry), back(registry)]


def test_rollback_passes_over_what_cannot_serve(registry: Registry) -> None:
    """Versions whose files are gone, or that learnt from somebody erased."""
    one, two, three, four = (made(registry) for _ in range(4))
    promoted(registry, one, two, three, four)
    taint(registry, three)
    registry.database.transact(
        lambda c: c.execute("UPDATE versions SET state = 'removed' WHERE version = ?", (two,))
    )
    assert one == back(registry)
    assert one == registry.database.value(
        "SELECT version FROM served WHERE until IS NULL AND rolled_back = 0"
    )


def test_rollback_does_not_go_to_damaged_files(registry: Registry) -> None:
    """Everything stays as it was, and the message says what is damaged."""
    one, two = made(registry), made(registry)
    promoted(registry, one, two)
    (registry.path(registry.get(one)) / STATE).write_bytes(b"")
    with pytest.raises(CheckpointMismatch, match=STATE):
        back(registry)
    assert two == registry.champion().version


def test_rollback_says_who_and_why(registry: Registry) -> None:
    """From where to where."""
    promoted(registry, made(registry), made(registry))
    registry.rollback(actor="ann", reason="it forgets sevens")
    actor, detail = registry.database.one(
        "SELECT actor, detail FROM audit WHERE action = 'rollback'"
    )
    assert "ann" == actor
    assert '{"from": 2, "to": 1, "reason": "it forgets sevens"}' == detail


# -- aliases and files ---------------------------------------------------------------------------


def test_only_promotion_moves_the_champion(registry: Registry) -> None:
    """The others are set by hand, and taken away."""
    one = made(registry)
    for name in ("champion", "previous", "nonsense"):
        with pytest.raises(Conflict, match="by hand"):
            registry.alias(name, one, actor="me")
    registry.alias("shadow", one, actor="me")
    assert one == registry.aliases()["shadow"]
    registry.alias("shadow", None, actor="me")
    assert "shadow" not in registry.aliases()


def test_versions_with_a_name_are_never_pruned(registry: Registry) -> None:
    """However old they are."""
    numbers = [made(registry) for _ in range(6)]
    promoted(registry, numbers[0], numbers[1])
    registry.alias("baseline", numbers[2], actor="me")
    registry.prune(keep=1)
    there = {v.version for v in registry.all() if v.state != "removed"}
    assert {*numbers[:3], numbers[4], numbers[5]} >= there >= {*numbers[:3], numbers[5]}


def test_a_reader_finds_a_version_that_an_erasure_moves_meanwhile(registry: Registry) -> None:
    """It looks again where the files went; files that did not move are damaged."""
    number = made(registry)
    seen = []

    def moved() -> None:
        files.rename(registry.path(registry.get(number)), registry.folder / f"{number}.1")
        registry.database.transact(lambda c: c.execute("UPDATE versions SET redactions = 1"))

    def read(held):
        if not seen:
            moved()
        seen.append(held.redactions)
        return registry.verify(held)

    registry._steady(number, read)
    assert [0, 1] == seen
    files.remove(registry.folder / f"{number}.1")
    with pytest.raises(CheckpointMismatch):
        registry.load(number)
