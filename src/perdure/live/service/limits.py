"""How much a caller may send: bytes in a body, and requests or rows a minute."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure.errors import InvalidValue
from perdure.live.refusals import Full, TooLarge


class Buckets:
    """Token buckets by name: each refills evenly and holds at most one minute's worth.

    The names are bounded: the one that was quiet longest is forgotten first, and a forgotten bucket
    is a full one.

    Args:
        per_minute: how much a name may take a minute, on average.
        capacity: names to remember.
        clock: seconds that only grow.

    Example:
        >>> buckets = Buckets(per_minute=60)
        >>> [buckets.take("camera", 60), buckets.take("camera", 1) > 0]
        [0.0, True]
    """

    def __init__(
        self,
        per_minute: float,
        capacity: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if per_minute <= 0 or capacity < 1:
            raise InvalidValue(
                f"a limit of {per_minute!r} a minute over {capacity!r} names lets nobody in; "
                "both must be above 0"
            )
        self.per_minute = per_minute
        self.capacity = capacity
        self._clock = clock
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()  # level, and when

    def __len__(self) -> int:
        return len(self._held)

    def take(self, name: str, amount: float = 1.0) -> float:
        """Take `amount`, or nothing; 0 where it was taken, else the seconds until it could be."""
        now = self._clock()
        level, then = self._held.pop(name, (self.per_minute, now))
        level = min(self.per_minute, level + (now - then) * self.per_minute / 60)
        enough = amount <= level
        self._held[name] = (level - amount if enough else level, now)
        while len(self._held) > self.capacity:
            self._held.popitem(last=False)
        return 0.0 if enough else (amount - level) * 60 / self.per_minute

    def charge(self, name: str, amount: float, what: str) -> None:
        """Take `amount` of `what`, or refuse.

        Raises:
            Full: not now; it says when.
            TooLarge: more than a whole minute's worth, which no waiting would allow.
        """
        if amount > self.per_minute:
            raise TooLarge(
                f"{amount:g} {what} at once, and {name!r} may send {self.per_minute:g} a minute; "
                "send smaller requests"
            )
        wait = self.take(name, amount)
        if wait:
            raise Full(
                f"{name!r} may send {self.per_minute:g} {what} a minute; wait and try again",
                retry_after=math.ceil(wait),
            )


class BoundedBody:
    """ASGI middleware that refuses a request's body once it is longer than allowed.

    A length that is announced is refused before a byte is read; otherwise bytes are counted as they
    come, and no more than the limit is ever held.

    Args:
        app: what is protected.
        max_bytes: of a body.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that counts."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"")
        length = int(announced) if announced.isdigit() else 0
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            if length > self.max_bytes:
                raise self._too_large()
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.max_bytes:
                raise self._too_large()
            return message

        await self.app(scope, counted, send)

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"a body may have {self.max_bytes} bytes; send the rows in several requests, or raise "
            "max_body_bytes in perdure.toml"
        )
