"""What one caller may send, and how much may lie in memory of it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import InvalidValue
from perdure.live.refusals import Full, TooLarge
from perdure.live.service.limits import BoundedBody, Buckets


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(waits=st.lists(st.floats(0, 10), min_size=1, max_size=60), per_minute=st.floats(1, 1000))
def test_nobody_takes_more_than_a_burst_and_the_rate(waits: list[float], per_minute: float) -> None:
    """In t seconds at most one minute's worth and t / 60 more, however the calls fall."""
    clock = Clock()
    buckets = Buckets(per_minute, clock=clock)
    taken = 0
    for wait in waits:
        clock.now += wait
        taken += sum(buckets.take("x") == 0 for _ in range(20))
    assert taken <= per_minute * (1 + clock.now / 60) + 1e-6


@given(amount=st.floats(0.1, 60), level=st.floats(0, 60))
def test_the_wait_that_is_said_is_enough_and_not_too_long(amount: float, level: float) -> None:
    """After it the amount can be taken; a moment before it cannot."""
    clock = Clock()
    buckets = Buckets(60, clock=clock)
    buckets.take("x", level)
    wait = buckets.take("x", amount)
    clock.now += max(0.0, wait - 1e-3)
    assert (wait > 1e-3) == (buckets.take("x", amount) > 0) or wait == 0
    clock.now += 2e-3
    assert wait == 0 or buckets.take("x", amount) == 0


def test_names_do_not_share_and_are_bounded() -> None:
    """Ten thousand names leave five buckets, and the one that was quiet longest is forgotten."""
    clock = Clock()
    buckets = Buckets(1, capacity=5, clock=clock)
    for number in range(10_000):
        assert 0 == buckets.take(str(number))
    assert 5 == len(buckets)
    assert 0 < buckets.take("9999")
    assert 0 == buckets.take("1")


def test_a_charge_says_when_to_come_again_or_that_it_never_fits() -> None:
    """`Full` has seconds; more than a whole minute's worth is `TooLarge`."""
    buckets = Buckets(60, clock=Clock())
    buckets.charge("camera", 60, "rows")
    with pytest.raises(Full, match="'camera' may send 60 rows a minute") as refused:
        buckets.charge("camera", 5, "rows")
    assert 5 == refused.value.retry_after
    with pytest.raises(TooLarge, match="61 rows at once"):
        buckets.charge("camera", 61, "rows")


@pytest.mark.parametrize(("per_minute", "capacity"), [(0, 1), (-1, 1), (1, 0)])
def test_a_limit_that_lets_nobody_in_is_an_error(per_minute: float, capacity: int) -> None:
    """Found when it is made, not when everybody is refused."""
    with pytest.raises(InvalidValue, match="lets nobody in"):
        Buckets(per_minute, capacity)


def body_of(parts: list[bytes], announced: int | None, limit: int) -> tuple[bytes | str, int]:
    """What an application behind the bound reads, and how many parts were asked for."""
    waiting, asked = list(parts), 0
    read: list[bytes] = []

    async def receive():
        nonlocal asked
        asked += 1
        part = waiting.pop(0) if waiting else b""
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    async def app(scope, receive, send):
        more = True
        while more:
            message = await receive()
            read.append(message["body"])
            more = message["more_body"]

    headers = [] if announced is None else [(b"content-length", str(announced).encode())]
    scope = {"type": "http", "headers": headers}
    try:
        asyncio.run(BoundedBody(app, limit)(scope, receive, None))
    except TooLarge as refused:
        return str(refused), asked
    return b"".join(read), asked


@given(parts=st.lists(st.binary(max_size=50), max_size=20), limit=st.integers(0, 300))
def test_a_body_is_whole_or_refused(parts: list[bytes], limit: int) -> None:
    """At most the limit passes, byte for byte; the first part beyond it ends the reading."""
    whole = b"".join(parts)
    found, asked = body_of(parts, None, limit)
    if len(whole) <= limit:
        assert whole == found
    else:
        assert f"a body may have {limit} bytes" in found
        assert sum(map(len, parts[: asked - 1])) <= limit


def test_an_announced_length_is_refused_before_a_byte_is_read() -> None:
    """Nothing is received of a body that says it is too long."""
    found, asked = body_of([b"x" * 10], announced=10, limit=9)
    assert "a body may have 9 bytes" in found
    assert 0 == asked


def test_a_length_that_lies_is_found_out() -> None:
    """Bytes are counted whatever was announced."""
    found, _ = body_of([b"x" * 10], announced=3, limit=9)
    assert "a body may have 9 bytes" in found
