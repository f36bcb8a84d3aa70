"""Requests share forward passes, and nobody can tell from an answer who shared it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.live.refusals import Full, TooLarge
from perdure.live.service.batching import Batcher

Call = tuple[str, list[int], list[int] | None]


class Echo:
    """Answers each row by its number, and remembers what it was called with."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, served, rows, task):
        self.go.wait()
        self.calls.append((served, rows[:, 0].tolist(), None if task is None else task.tolist()))
        if 255 in rows:
            raise ValueError("a row that nobody can answer")
        return rows.astype(np.float32)


@pytest.fixture(scope="module")
def thread() -> Iterator[ThreadPoolExecutor]:
    """Where batches are computed."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint8)[:, None]


def run(thread: ThreadPoolExecutor, scene: Callable[[Batcher, Echo], Awaitable], **settings):
    """Play a scene with a batcher over `Echo`."""
    echo = Echo()

    async def play():
        return await scene(Batcher(echo, thread, **settings), echo)

    return asyncio.run(play()), echo


def test_rows_that_come_together_share_a_batch(thread: ThreadPoolExecutor) -> None:
    """Ten requests at once are one call after the first, and each gets its own rows back."""

    async def scene(batcher, echo):
        return await asyncio.gather(*(batcher.ask("a", rows(i, i)) for i in range(10)))

    answers, echo = run(thread, scene)
    assert [[i, i] for i in range(10)] == [answer[:, 0].tolist() for answer in answers]
    assert 2 == len(echo.calls)


def test_a_request_that_is_alone_does_not_wait(thread: ThreadPoolExecutor) -> None:
    """However long `max_wait`, a caller without company is answered at once."""

    async def scene(batcher, echo):
        start = asyncio.get_running_loop().time()
        for number in range(5):
            await batcher.ask("a", rows(number))
        return asyncio.get_running_loop().time() - start

    seconds, _ = run(thread, scene, max_wait=60.0)
    assert seconds < 30


def test_a_full_batch_does_not_wait(thread: ThreadPoolExecutor) -> None:
    """`max_batch` rows go without looking at the clock, and what is left over goes later."""

    async def scene(batcher, echo):
        echo.go.clear()
        asked = [asyncio.create_task(batcher.ask("a", rows(i))) for i in range(9)]
        await asyncio.sleep(0)
        echo.go.set()
        await asyncio.gather(*asked)

    _, echo = run(thread, scene, max_batch=4, max_wait=60.0)
    assert [[0], [1, 2, 3, 4], [5, 6, 7, 8]] == [numbers for _, numbers, _ in echo.calls]


def test_versions_and_tasks_never_mix(thread: ThreadPoolExecutor) -> None:
    """Rows of two versions, with and without task ids, go in four batches."""

    async def scene(batcher, echo):
        echo.go.clear()
        first = asyncio.create_task(batcher.ask("a", rows(9)))
        await asyncio.sleep(0)
        asked = [
            batcher.ask(served, rows(number), task)
            for number in range(2)
            for served in ("a", "b")
            for task in (None, np.array([number]))
        ]
        waiting = asyncio.gather(*asked)
        await asyncio.sleep(0)
        echo.go.set()
        await asyncio.gather(first, waiting)

    _, echo = run(thread, scene)
    expected = [(served, [0, 1], task) for served in "ab" for task in (None, [0, 1])]
    assert sorted(expected, key=str) == sorted(echo.calls[1:], key=str)


def test_a_long_request_lets_short_ones_in_between(thread: ThreadPoolExecutor) -> None:
    """Twenty rows go in batches of at most eight, and come back in their order."""

    async def scene(batcher, echo):
        return await batcher.ask("a", rows(*range(20)), np.arange(20))

    answer, echo = run(thread, scene, max_batch=8)
    assert list(range(20)) == answer[:, 0].tolist()
    assert [8, 8, 4] == [len(numbers) for _, numbers, _ in echo.calls]
    assert list(range(20)) == [task for _, _, tasks in echo.calls for task in tasks]


def test_a_row_that_fails_spoils_no_other_answer(thread: ThreadPoolExecutor) -> None:
    """The batch is computed again, request by request; only the culprit gets the error."""

    async def scene(batcher, echo):
        asked = (batcher.ask("a", rows(number)) for number in (1, 2, 255, 3))
        return await asyncio.gather(*asked, return_exceptions=True)

    answers, _ = run(thread, scene)
    assert "a row that nobody can answer" == str(answers.pop(2))
    assert [1, 2, 3] == [answer.item() for answer in answers]


def test_a_caller_who_goes_away_costs_nothing(thread: ThreadPoolExecutor) -> None:
    """A cancelled request leaves the queue, is not computed, and the rest is answered."""

    async def scene(batcher, echo):
        echo.go.clear()
        asked = [asyncio.create_task(batcher.ask("a", rows(i))) for i in range(4)]
        await asyncio.sleep(0)
        for gone in asked[:3]:
            gone.cancel()
        echo.go.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return answers, batcher.queued

    (answers, queued), echo = run(thread, scene)
    assert [asyncio.CancelledError] * 3 == [type(answer) for answer in answers[:3]]
    assert 3 == answers[3].item()
    assert 0 == queued
    assert [[0], [3]] == [numbers for _, numbers, _ in echo.calls]


def test_a_full_queue_refuses_and_says_when_to_come_again(thread: ThreadPoolExecutor) -> None:
    """More rows than may wait are refused; what waits is answered, and then there is room."""

    async def scene(batcher, echo):
        echo.go.clear()
        asked = [asyncio.create_task(batcher.ask("a", rows(i))) for i in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(Full) as refused:
            await batcher.ask("a", rows(7))
        echo.go.set()
        await asyncio.gather(*asked)
        await batcher.ask("a", rows(7))
        return refused.value.retry_after

    seconds, _ = run(thread, scene, max_queue=4)
    assert 0 < seconds


def test_more_rows_than_can_ever_wait_are_too_large(thread: ThreadPoolExecutor) -> None:
    """Waiting would not help, and the refusal says so by another status."""

    async def scene(batcher, echo):
        with pytest.raises(TooLarge, match="5 rows in one request; at most 4"):
            await batcher.ask("a", rows(*range(5)))

    run(thread, scene, max_queue=4)


@given(
    requests=st.lists(
        st.tuples(st.sampled_from("ab"), st.booleans(), st.lists(st.integers(0, 250), min_size=1)),
        max_size=20,
    ),
    max_batch=st.integers(1, 10),
)
def test_every_row_is_answered_once_by_its_own_version(
    thread: ThreadPoolExecutor, requests: list[tuple[str, bool, list[int]]], max_batch: int
) -> None:
    """Whatever comes: answers are in place, batches are bounded, and no row is computed twice."""

    async def scene(batcher, echo):
        return await asyncio.gather(
            *(
                batcher.ask(served, rows(*numbers), np.array(numbers) if tasked else None)
                for served, tasked, numbers in requests
            )
        )

    answers, echo = run(thread, scene, max_batch=max_batch, max_queue=10_000, max_wait=0.0)
    assert [numbers for _, _, numbers in requests] == [a[:, 0].tolist() for a in answers]
    assert all(len(numbers) <= max_batch for _, numbers, _ in echo.calls)
    for version in "ab":
        asked = [n for served, _, numbers in requests for n in numbers if served == version]
        done = [n for served, numbers, _ in echo.calls for n in numbers if served == version]
        assert sorted(asked) == sorted(done)
    assert all(task in (None, numbers) for _, numbers, task in echo.calls)
