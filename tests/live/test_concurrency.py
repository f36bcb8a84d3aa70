"""Many at once: nothing is lost, doubled, torn or half seen, and of two who swap one wins."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.live import tiny
from tests.live.competing import Operation, impossible, look

from perdure.live.erasure import erase
from perdure.live.fsck import fsck
from perdure.live.keeping import tidy
from perdure.live.labels import Label
from perdure.live.project import Project
from perdure.live.refusals import Conflict, Erased

Ask = Callable[..., Any]
WRITERS = READERS = 8


@pytest.fixture
def projects(tmp_path: Path) -> Iterator[list[Project]]:
    """One directory, opened as often as there are processes in the field."""
    tiny.written(tmp_path / "state", {"evaluation": {"share": 0.001}})
    with ExitStack() as stack:
        yield [stack.enter_context(Project(tmp_path / "state")) for _ in range(WRITERS)]


def at_once(work: Callable[[int], Any], count: int) -> list[Any]:
    """Results of calls in as many threads, begun together."""
    start = threading.Barrier(count)

    def begun(number: int) -> Any:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begun, range(count)))


def test_eight_writers_store_every_row_once_and_eight_readers_see_whole_rows(projects) -> None:
    """Writers send the same rows: one of them stores each, the others are told that it is there.
    What readers have seen stays, in its place.
    """
    rows, writing = 240, threading.Event()
    writing.set()

    def write(number: int) -> list[Any]:
        draw = np.random.default_rng(number)
        order = draw.permutation(rows).reshape(-1, 8)
        futures = [projects[number].log.append([tiny.row(int(n)) for n in part]) for part in order]
        return [one for future in futures for one in future.result()]

    def read(number: int) -> int:
        looks, project, before = 0, projects[number], np.zeros(0, np.int64)
        while writing.is_set() or looks == 0:
            found = project.log.examples(0, project.log.head())
            assert before.tolist() == found.positions[: len(before)].tolist()
            names = dict(tuple(r) for r in project.database.read("SELECT position, id FROM rows"))
            for position, x in zip(found.positions, found.batch.x.numpy(), strict=True):
                assert (tiny.row(int(names[int(position)][4:])).features == x).all()
            before, looks = found.positions, looks + 1
        return looks

    with ThreadPoolExecutor(WRITERS + READERS) as pool:
        readers = [pool.submit(read, number) for number in range(READERS)]
        writers = [pool.submit(write, number) for number in range(WRITERS)]
        answers = [one for future in writers for one in future.result()]
        writing.clear()
        assert all(future.result() for future in readers)
    assert rows == sum(one.status == "stored" for one in answers)
    positions = {one.id: one.position for one in answers}
    assert all(positions[one.id] == one.position for one in answers)
    assert sorted(positions.values()) == list(range(1, rows + 1))
    assert [] == fsck(projects[0])


def test_labels_of_one_row_by_many_make_one_history(projects) -> None:
    """Revisions follow each other without a gap, and the last one counts alone."""
    projects[0].log.append([tiny.row(n, label=None) for n in range(5)]).result()

    def give(number: int) -> None:
        for turn in range(10):
            for n in range(5):
                name = tiny.CLASSES[(number + turn + n) % 3]
                projects[number].labels.give([Label(f"row-{n}", name)]).result()

    at_once(give, WRITERS)
    for position in range(1, 6):
        found = projects[0].database.read(
            "SELECT seq, revision, use, label FROM examples WHERE position = ? ORDER BY seq",
            (position,),
        )
        assert list(range(len(found))) == [row["revision"] for row in found]
        assert ["superseded"] * (len(found) - 1) + ["train"] == [row["use"] for row in found]
        assert all(a["label"] != b["label"] for a, b in pairwise(found))


def test_one_key_used_by_many_at_once_stores_one_request(projects) -> None:
    """All of them get the answer of the first."""
    rows = [replace(row, id=None) for row in tiny.rows(0, 3)]
    answers = at_once(lambda n: projects[n].log.append(rows, "key", "digest").result(), WRITERS)
    assert all(answers[0] == answer for answer in answers)
    assert 3 == projects[0].database.value("SELECT count(*) FROM rows")


def test_of_many_who_promote_at_once_one_wins(projects) -> None:
    """Every time; the others are told that somebody was faster."""
    for _ in range(WRITERS):
        version_of(projects[0])
    for _ in range(5):
        seen = projects[0].registry.generation()
        champion = projects[0].registry.aliases().get("champion")

        def promote(number: int, seen: int = seen, champion: int | None = champion) -> bool:
            target = 1 + (number + (champion or 0)) % WRITERS
            if target == champion:
                return False
            try:
                projects[number].registry.promote(
                    target, actor=f"{number}", reason="", if_generation=seen
                )
            except Conflict:
                return False
            return True

        assert 1 == sum(at_once(promote, WRITERS))
        assert seen + 1 == projects[0].registry.generation()


def version_of(project: Project) -> int:
    job = project.jobs.ask("update", "to test", "me")
    job = project.jobs.start(job.id, None, 0, 0)
    state = project.learner().state_dict()
    number = project.registry.create(state, parent=None, job=job.id, after=0, upto=0, note={})
    project.jobs.cancel(job.id, "me")
    return number


def test_the_history_of_promotions_is_linearizable(tmp_path: Path, ask: Ask) -> None:
    """Sixteen processes, half of which promote what the others look at."""
    with tiny.project(tmp_path / "state") as project:
        for _ in range(4):
            version_of(project)
        project.registry.promote(1, actor="me", reason="to begin")
        first = look(project)
    status, said = ask("compete", tmp_path, processes=WRITERS + READERS, count=25)
    assert 0 == status, said
    history = [Operation(**one) for one in said]
    assert [] == impossible(history, first)
    swaps = [one for one in history if one.kind == "promote"]
    won = [one for one in swaps if one.generation is not None]
    assert WRITERS * 25 == len(swaps)
    assert 10 < len(won) < len(swaps)
    with Project(tmp_path / "state") as project:
        assert (first[0] + len(won), won[-1].champion is not None) == (look(project)[0], True)
        entries = [json.loads(r["detail"]) for r in project.database.read(
            "SELECT detail FROM audit WHERE action = 'promote' ORDER BY id")]  # fmt: skip
        assert len(won) + 1 == len(entries)
        assert all(a["to"] == b["from"] for a, b in pairwise(entries))
        pile = project.database.read("SELECT version FROM served WHERE until IS NULL")
        assert [look(project)[1]] == [row["version"] for row in pile]
        assert [] == fsck(project)


FIRST = (7, 1)
GOOD = [
    Operation("look", 0, 1, None, 7, 1),
    Operation("promote", 2, 6, 7, 8, 2),
    Operation("promote", 3, 5, 7, None, 3),
    Operation("look", 7, 8, None, 8, 2),
]


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ([*GOOD, Operation("promote", 9, 10, 7, 8, 3)], "made twice"),
        ([*GOOD, Operation("look", 9, 10, None, 7, 1)], "came after"),
        ([*GOOD, Operation("look", 9, 10, None, 8, 3)], "is not what"),
        ([*GOOD, Operation("look", 9, 10, None, 9, 2)], "is not what"),
        ([*GOOD, Operation("promote", 9, 10, 8, None, 3)], "nobody was faster"),
        ([*GOOD, Operation("promote", 9, 10, 9, 10, 3)], "follows none"),
        ([GOOD[0], Operation("promote", 9, 10, 7, 8, 2), GOOD[3]], "came after"),
    ],
)
def test_a_broken_history_is_told_from_a_good_one(broken: list[Operation], why: str) -> None:
    """Lost updates, stale looks, half swaps and refusals out of nothing."""
    assert [] == impossible(GOOD, FIRST)
    found = impossible(broken, FIRST)
    assert any(why in sentence for sentence in found) or (why == "came after" and found)


def test_whoever_writes_while_a_subject_is_erased_is_refused_or_erased(projects) -> None:
    """No row of the subject comes in behind the tombstone, whoever was told what."""
    told: list[str] = []

    def write(number: int) -> None:
        for n in range(40):
            row = tiny.row(1000 * number + n, subject="ann" if n % 2 else f"s{n}")
            try:
                projects[number].log.append([row]).result()
                told.append("stored")
            except Erased:
                told.append("erased")

    def work(number: int) -> Any:
        if number:
            return write(number)
        return erase(projects[0], "ann", "me")

    receipt = at_once(work, WRITERS)[0]
    assert "done" == receipt.state
    assert {"stored", "erased"} >= set(told)
    database = projects[0].database
    assert 0 == database.value("SELECT count(*) FROM rows WHERE subject = 'ann'")
    kept = database.value("SELECT count(*) FROM rows")
    assert told.count("stored") == kept + receipt.rows
    assert [] == fsck(projects[0])


def test_looking_closely_while_others_write_and_tidy_finds_nothing(projects) -> None:
    """`fsck` tells what is half done at this moment from what is damaged."""
    stop = threading.Event()

    def write(number: int) -> None:
        n = 0
        while not stop.is_set() and n < 3000:
            projects[number].log.append(tiny.rows(10_000 * number + n, 7)).result()
            n += 7

    def go(number: int) -> None:
        project = projects[number]
        while not stop.is_set():
            project.database.transact(
                lambda c: c.execute("DELETE FROM rows WHERE position % 3 = 0 AND position < 900")
            )
            tidy(project)

    def inspect(number: int) -> list[Any]:
        found = [one for _ in range(6) for one in fsck(projects[number])]
        stop.set()
        return found

    results = at_once(lambda n: (write, write, go, inspect)[n](n), 4)
    assert [] == [one for one in results[3] if one.severity == "damaged"]
    assert [] == fsck(projects[0], repair=True) or [] == fsck(projects[0])
