"""Requests that are sent until they are answered, and errors that say what the service said."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from perdure.errors import PerdureError

LATER: Final = (429, 503)
"""Statuses that ask to come again."""
JSON: Final = {"Content-Type": "application/json"}


class Refused(PerdureError):
    """The service refused a request; nothing was changed.

    Args:
        status: of HTTP.
        code: a word for programs.
        message: a sentence for people.
        field, value, row: what it is about, where the service said so.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        value: str | None = None,
        row: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field
        self.value = value
        self.row = row


class Unreachable(PerdureError):
    """The service could not be reached, or did not answer in time."""


class Wire:
    """A connection to a service.

    Args:
        url: of the service.
        token: that each request bears.
        timeout: seconds that one request may take.
        patience: seconds that a call may go on trying.
        transport: in place of the network, for tests.
    """

    def __init__(
        self,
        url: str,
        token: str,
        timeout: float,
        patience: float,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self.patience = patience
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout,
            transport=transport,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def get(self, path: str, **query: int) -> dict[str, Any]:
        """Read."""
        return self.send("GET", f"{path}?{urlencode(query)}" if query else path)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Post what may happen twice."""
        return self.send("POST", path, content=json.dumps(body).encode(), headers=JSON)

    def once(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Post what must not happen twice: never again where it may have arrived."""
        return self.send("POST", path, content=json.dumps(body).encode(), headers=JSON, again=False)

    def send(
        self,
        method: str,
        path: str,
        *,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        again: bool = True,
    ) -> dict[str, Any]:
        """Send until there is an answer, or patience ends."""
        end, pause = time.monotonic() + self.patience, 0.05
        while True:
            wait = pause
            try:
                answer = self._http.request(method, path, content=content, headers=headers)
            except httpx.TransportError as error:
                problem: PerdureError = Unreachable(f"{path}: {str(error) or type(error).__name__}")
                later = again or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            else:
                if answer.is_success:
                    return dict(answer.json())
                problem, later = _refused(answer), answer.status_code in LATER
                wait = max(pause, _seconds(answer))
            wait *= 1 + random.random() / 2  # noqa: S311  # so that clients come back one by one
            if not later or time.monotonic() + wait > end:
                raise problem
            time.sleep(wait)
            pause = min(2 * pause, 5.0)


def _refused(answer: httpx.Response) -> Refused:
    """What a refusal says, in either of its two shapes."""
    try:
        body = answer.json()
    except ValueError:
        body = {"error": answer.text or answer.reason_phrase}
    said = body.get("error", body)
    if isinstance(said, str):
        said = {**body, "message": said}
    return Refused(
        answer.status_code,
        str(said.get("code", "refused")),
        str(said.get("message", answer.reason_phrase)),
        field=said.get("field"),
        value=said.get("value"),
        row=said.get("row"),
    )


def _seconds(answer: httpx.Response) -> float:
    said = answer.headers.get("retry-after", "")
    return float(said) if said.isdigit() else 0.0
