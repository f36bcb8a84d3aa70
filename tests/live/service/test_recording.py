"""Answers that are written down: together where possible, and each for itself where one fails."""

from __future__ import annotations

import asyncio
import logging

import numpy as np
import pytest

from perdure.errors import PerdureError
from perdure.live.predictions import Prediction
from perdure.live.refusals import Conflict, Erased, RowRefused
from perdure.live.service.recording import BUFFER_SECONDS, Recorder

pytestmark = pytest.mark.anyio


def prediction(name: str, number: float = 0.0, subject: str | None = None) -> Prediction:
    data = np.full(4, number, "<f4").view(np.uint8)
    return Prediction(name, data, version=1, label=2, confidence=0.5, subject=subject)


def stored(project) -> list[str]:
    return [row["id"] for row in project.database.read("SELECT id FROM rows ORDER BY position")]


async def test_answers_of_one_moment_share_a_transaction(project) -> None:
    """A hundred at once are on the disk when they are given, in one or two writes."""
    recorder, writes = Recorder(project.log, "durable"), []
    write = project.database.write
    project.database.write = lambda work: (writes.append(work), write(work))[1]
    names = [str(number) for number in range(100)]
    await asyncio.gather(*(recorder.add([prediction(name)]) for name in names))
    assert names == stored(project)
    assert len(writes) <= 2
    assert 0 == recorder.waiting


async def test_the_next_group_fills_while_one_is_written(project) -> None:
    """What comes meanwhile goes together, and nothing is lost or double."""
    recorder = Recorder(project.log, "durable")
    tasks = []
    for number in range(200):
        tasks.append(asyncio.create_task(recorder.add([prediction(str(number))])))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert sorted(map(str, range(200))) == sorted(stored(project))


async def test_one_requests_fault_is_no_others(project) -> None:
    """A conflicting id among five requests fails its own request, whole, and no other."""
    recorder = Recorder(project.log, "durable")
    await recorder.add([prediction("taken", 1.0)])
    groups = [["a"], ["b", "taken"], ["c"], ["d"], ["e", "f"]]
    done = await asyncio.gather(
        *(recorder.add([prediction(name) for name in names]) for names in groups),
        return_exceptions=True,
    )
    assert [None, Conflict, None, None, None] == [e if e is None else type(e) for e in done]
    assert ["a", "c", "d", "e", "f", "taken"] == sorted(stored(project))


async def test_the_same_answer_again_is_written_once(project) -> None:
    """A question that was asked again after a lost answer changes nothing."""
    recorder = Recorder(project.log, "durable")
    for _ in range(2):
        await recorder.add([prediction("a")])
    assert ["a"] == stored(project)
    assert 1 == project.database.value("SELECT count(*) FROM predictions")


async def test_one_id_in_two_requests_of_one_moment_harms_no_other(project) -> None:
    """The second is the first again, or refused; those beside them are written."""
    recorder = Recorder(project.log, "durable")
    asked = [("a", 1.0), ("b", 1.0), ("b", 1.0), ("b", 2.0), ("c", 1.0)]
    done = await asyncio.gather(
        *(recorder.add([prediction(*one)]) for one in asked), return_exceptions=True
    )
    assert [None, None, None, Conflict, None] == [e if e is None else type(e) for e in done]
    assert ["a", "b", "c"] == sorted(stored(project))
    with pytest.raises(RowRefused, match="names two rows"):
        await recorder.add([prediction("d"), prediction("d")])


async def test_an_erased_subject_leaves_no_new_trace(project) -> None:
    """An answer about whom was erased is refused, and nothing of it is stored."""
    from perdure.live.erasure import erase

    recorder = Recorder(project.log, "durable")
    await recorder.add([prediction("a", subject="ada")])
    await asyncio.to_thread(erase, project, "ada", "tester")
    with pytest.raises(Erased):
        await recorder.add([prediction("b", subject="ada")])
    assert [] == stored(project)


async def test_buffered_answers_are_given_at_once_and_written_soon(project, caplog) -> None:
    """Nobody waits; a failure is in the log, since nobody is there to be told."""
    recorder = Recorder(project.log, "buffered")
    await recorder.add([prediction("a")])
    await recorder.add([prediction("b")])
    assert [] == stored(project)
    await asyncio.sleep(BUFFER_SECONDS)
    await recorder.settle()
    assert ["a", "b"] == stored(project)
    with caplog.at_level(logging.ERROR):
        await recorder.add([prediction("a", 9.0)])
        await recorder.settle()
    assert "given and not written down" in caplog.text


async def test_off_writes_nothing(project) -> None:
    """Not even later."""
    recorder = Recorder(project.log, "off")
    await recorder.add([prediction("a")])
    await recorder.settle()
    assert [] == stored(project)


async def test_a_caller_who_goes_away_is_still_written(project) -> None:
    """The answer was computed; its row is in the log, and the others of its group are told."""
    recorder = Recorder(project.log, "durable")
    gone = asyncio.create_task(recorder.add([prediction("a")]))
    stays = asyncio.create_task(recorder.add([prediction("b")]))
    await asyncio.sleep(0)
    gone.cancel()
    await stays
    assert ["a", "b"] == stored(project)


async def test_a_directory_that_was_closed_is_an_error_and_no_silence(begin) -> None:
    """Whoever waits is told."""
    project = begin()
    recorder = Recorder(project.log, "durable")
    project.close()
    with pytest.raises(PerdureError, match="closed"):
        await recorder.add([prediction("a")])
