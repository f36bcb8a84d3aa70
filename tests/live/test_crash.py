"""Whenever the process dies, whatever the disk had taken by then: nothing acknowledged is lost,
versions are old or new, and the work ends as if nothing had happened.

Rows, labels, updates with checkpoints, promotions and an erasure run in a process of their own,
see `crashing`; it is killed at numbered calls to the disk, at random moments, and by a power cut
that takes with it what was not forced to the disk.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.live import crashing, tiny

KILLED = -9
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def reference(ask: Ask, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, Any]]:
    """Of each scenario: how many calls to the disk it makes, and how it ends."""
    found = {}
    for name in crashing.SAID:
        place = begun(tmp_path_factory.mktemp("whole"), name)
        status, calls = ask("work", place)
        assert 0 == status, calls
        found[name] = (len(calls), ended(ask, place))
    return found


def begun(place: Path, name: str) -> Path:
    """A directory before its first row."""
    tiny.written(place / "state", crashing.SAID[name])
    (place / "acknowledged").write_text("")
    (place / "shadow").mkdir()
    return place


def ended(ask: Ask, place: Path) -> Any:
    """How the work ended."""
    status, found = ask("outcome", place)
    assert 0 == status, found
    return found


def examined(ask: Ask, place: Path) -> None:
    """Nothing is damaged, nothing is left over once it was mended, and nothing is lost."""
    assert (0, []) == ask("examine", place)


def goes_on_as_if_nothing_had_happened(ask: Ask, place: Path, whole: Any) -> None:
    """The rest of the work leads where the whole of it leads."""
    status, said = ask("work", place)
    assert 0 == status, said
    examined(ask, place)
    assert whole == ended(ask, place)
    assert [] == crashing.traces(place / "state")


def killed_at(ask: Ask, place: Path, name: str, call: int, whole: Any) -> None:
    """Begin, die at this call, look at what is there, and go on."""
    status, said = ask("work", begun(place, name), last=call)
    assert KILLED == status, said
    examined(ask, place)
    goes_on_as_if_nothing_had_happened(ask, place, whole)
    shutil.rmtree(place)


def cut_at(ask: Ask, place: Path, name: str, call: int, seed: int | None, whole: Any) -> None:
    """The same with a power cut: what was not forced to the disk is lost, or there by chance."""
    status, said = ask("work", begun(place, name), last=call, shadow=str(place / "shadow"))
    assert KILLED == status, said
    crashing.Platter.cut(place / "state", place / "shadow", seed)
    examined(ask, place)
    goes_on_as_if_nothing_had_happened(ask, place, whole)
    shutil.rmtree(place)


def sampled(count: int, number: int, seed: int) -> list[int]:
    """Calls, spread over all of them; another seed gives others."""
    step = count / number
    draw = random.Random(seed)  # noqa: S311
    return [1 + int((place + draw.random()) * step) for place in range(number)]


# -- killed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", crashing.SAID)
def test_killed_at_a_call_to_the_disk_it_loses_nothing(
    ask: Ask, reference, tmp_path: Path, name: str
) -> None:
    """A sample of all writes, syncs, renames, removals and commits."""
    count, whole = reference[name]
    for call in sampled(count, 9, seed=1):
        killed_at(ask, tmp_path / str(call), name, call, whole)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", crashing.SAID)
def test_killed_at_any_call_to_the_disk_it_loses_nothing(
    ask: Ask, reference, tmp_path: Path, name: str
) -> None:
    """Every single one of them."""
    count, whole = reference[name]
    for call in range(1, count + 1):
        killed_at(ask, tmp_path / str(call), name, call, whole)


def killed_again_and_again(
    ask: Ask, place: Path, name: str, times: int, whole: Any, seed: int
) -> None:
    """Die at random moments, each time going on where the last one stopped, or from the start."""
    draw, kills = random.Random(seed), 0  # noqa: S311
    begun(place, name)
    while kills < times:
        status, said = ask("work", place, after=draw.uniform(0.02, 0.5))
        kills += status == KILLED
        examined(ask, place)
        if status != KILLED:
            assert 0 == status, said
            assert whole == ended(ask, place)
            shutil.rmtree(place)
            begun(place, name)
    goes_on_as_if_nothing_had_happened(ask, place, whole)


@pytest.mark.parametrize("name", crashing.SAID)
def test_killed_again_and_again_it_loses_nothing(
    ask: Ask, reference, tmp_path: Path, name: str
) -> None:
    """Ten times in a row, at any moment."""
    killed_again_and_again(ask, tmp_path / "a", name, 10, reference[name][1], seed=3)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", crashing.SAID)
def test_killed_a_hundred_times_it_loses_nothing(
    ask: Ask, reference, tmp_path: Path, name: str
) -> None:
    """At any moment, two hundred times over both scenarios."""
    killed_again_and_again(ask, tmp_path / "a", name, 100, reference[name][1], seed=4)


def test_the_updater_is_killed_while_rows_come_in(ask: Ask, tmp_path: Path) -> None:
    """It goes on by itself where it stopped; whoever sends rows notices nothing."""
    said = {"triggers": {"count": 5}, "update": {"checkpoint_seconds": 0.0}}
    place, draw, sent = tmp_path, random.Random(8), 0  # noqa: S311
    acknowledged: list[str] = []
    with tiny.project(place / "state", said) as project:
        for _ in range(12):
            futures = [project.log.append(tiny.rows(sent + n, 1)) for n in range(10)]
            status, said = ask("update", place, after=draw.uniform(0.05, 0.4))
            assert KILLED == status, said
            names = [future.result()[0].id for future in futures]
            acknowledged += names
            sent += 10
        for _ in range(20):
            assert KILLED == ask("update", place, after=1.0)[0]
            if project.log.count(project.registry.champion().upto) < 5:
                break
        assert project.log.count(project.registry.champion().upto) < 5
        (place / "acknowledged").write_text("\n".join(acknowledged))
        examined(ask, place)
        jobs = project.jobs.latest(1000)
        assert {"done"} == {job.state for job in jobs if job.finished}
        ends = {held.version: held.upto for held in project.registry.all()}
        assert all(held.after == ends.get(held.parent, 0) for held in project.registry.all())


# -- power cuts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [None, 5])
def test_a_power_cut_loses_nothing_that_was_acknowledged(
    ask: Ask, reference, tmp_path: Path, seed: int | None
) -> None:
    """All that was not forced to the disk is lost, or some of it by chance. SQLite's own files are
    left as they are: that it keeps what it committed is for its own tests.
    """
    for name in crashing.SAID:
        count, whole = reference[name]
        for call in sampled(count, 4, seed=seed or 0):
            cut_at(ask, tmp_path / f"{name}-{call}", name, call, seed, whole)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", crashing.SAID)
@pytest.mark.parametrize("seed", [None, 6])
def test_a_power_cut_at_any_call_loses_nothing_that_was_acknowledged(
    ask: Ask, reference, tmp_path: Path, name: str, seed: int | None
) -> None:
    """At every single one of them."""
    count, whole = reference[name]
    for call in range(1, count + 1):
        more = None if seed is None else seed + call
        cut_at(ask, tmp_path / str(call), name, call, more, whole)


def test_the_power_cut_is_one(ask: Ask, tmp_path: Path) -> None:
    """A file that was written and not forced to the disk is lost, and so is its name."""
    state = tmp_path / "state"
    (state / "a").mkdir(parents=True)
    (state / "a" / "old").write_text("old")
    (tmp_path / "shadow").mkdir()
    platter = crashing.Platter(state, tmp_path / "shadow")
    before = os.fsync
    try:
        platter.install()
        (state / "a" / "old").write_text("newer")
        (state / "a" / "named").write_text("never forced")
        (state / "a" / "kept").write_text("forced")
        with (state / "a" / "kept").open() as file:
            os.fsync(file.fileno())
        descriptor = os.open(state / "a", os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        (state / "a" / "unnamed").write_text("forced, but its name is not")
        with (state / "a" / "unnamed").open() as file:
            os.fsync(file.fileno())
    finally:
        os.fsync = before
    crashing.Platter.cut(state, tmp_path / "shadow", None)
    found = {path.name: path.read_text() for path in (state / "a").iterdir()}
    assert {"old": "old", "named": "", "kept": "forced"} == found


# -- a full disk ---------------------------------------------------------------------------------


def starved(ask: Ask, place: Path, name: str, whole: Any, **more: Any) -> list[str]:
    """Work without room, then with it; the errors told."""
    place.mkdir()
    status, errors = ask("work", begun(place, name), **more)
    assert 0 == status, errors
    examined(ask, place)
    found = ended(ask, place)
    for key in ("versions", "examples", "held out", "spans", "watch"):
        assert whole[key] == found[key]
    shutil.rmtree(place)
    return errors


@pytest.mark.parametrize("limit", [4096, 30_000, 100_000, 200_000])
def test_where_files_cannot_grow_nothing_is_lost_and_the_process_goes_on(
    ask: Ask, reference, tmp_path: Path, limit: int
) -> None:
    """The system itself refuses what goes beyond: SQLite's writes as well as ours."""
    errors = starved(ask, tmp_path / "a", "keeping", reference["keeping"][1], limit=limit)
    assert errors
    assert all("full" in one or "I/O" in one or "large" in one for one in errors)


@pytest.mark.parametrize("name", crashing.SAID)
def test_a_disk_that_is_full_loses_nothing_and_the_process_goes_on(
    ask: Ask, reference, tmp_path: Path, name: str
) -> None:
    """Whoever asked is told what happened; when there is room, the same process does the rest."""
    count, whole = reference[name]
    for call in sampled(count, 6, seed=2):
        errors = starved(ask, tmp_path / "a", name, whole, last=call, full=True)
        assert all("room" in one or "full" in one for one in errors)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", crashing.SAID)
def test_a_disk_that_is_full_from_any_call_on_loses_nothing(
    ask: Ask, reference, tmp_path: Path, name: str
) -> None:
    """At every single one of them."""
    count, whole = reference[name]
    for call in range(1, count + 1):
        errors = starved(ask, tmp_path / "a", name, whole, last=call, full=True)
        assert all("room" in one or "full" in one for one in errors)
