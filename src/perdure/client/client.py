"""The client: one method a verb of the service."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Final, Self

import httpx

from perdure.client.answers import Answer, Job, Joined, Moved, Stored, Version, answers, made
from perdure.client.rows import plain, tensor
from perdure.client.wire import Unreachable, Wire
from perdure.errors import InvalidValue

ENDED: Final = ("done", "failed", "cancelled")


class Client:
    """Talks to one service about the one model that it has.

    Requests that the service puts off (429, 503) or that never arrived are sent again, later and
    later; examples bear a key, so that none is stored twice.

    Args:
        url: of the service, such as http://127.0.0.1:8440.
        token: with the roles that the calls need.
        timeout: seconds that one request may take.
        patience: seconds that a call may go on trying.
        transport: in place of the network, for tests.

    Raises:
        Refused: what every call raises when the service says no; the message is the service's.
        Unreachable: what every call raises when it says nothing.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = 30.0,
        patience: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._wire = Wire(url, token, timeout, patience, transport)
        self._model: str | None = None

    # -- predictions -----------------------------------------------------------------------------

    def predict(
        self,
        rows: Sequence[Any],
        *,
        task: int | None = None,
        subject: str | None = None,
        ids: Sequence[str] | None = None,
        version: int | None = None,
    ) -> list[Answer]:
        """Answers to rows, in their order, all by one version.

        Args:
            rows: lists of numbers or an array (n, ...), objects of columns, texts, or the bytes
                of pictures' files.
            task: of all of them, where the model asks for one.
            subject: whom they are about.
            ids: under which their labels will come; made where they are not given.
            version: that is to answer; otherwise the one that serves.
        """
        if ids is not None and len(ids) != len(rows):
            raise InvalidValue(f"there are {len(ids)} ids for {len(rows)} rows; give one a row")
        # With ids from here, a question that is asked again is the same question.
        names = [uuid.uuid4().hex for _ in rows] if ids is None else list(ids)
        held, data = tensor(rows)
        named = {"name": "id", "datatype": "BYTES", "shape": [len(names)], "data": names}
        said = {"inputs": [held, named], "parameters": _known({"task": task, "subject": subject})}
        head = json.dumps(said).encode()
        path = f"/v2/models/{self.model}" + ("" if version is None else f"/versions/{version}")
        body = self._wire.send(
            "POST",
            f"{path}/infer",
            content=head + data,
            headers={"Inference-Header-Content-Length": str(len(head))},
        )
        return answers(body)

    # -- learning --------------------------------------------------------------------------------

    def ingest(self, rows: Iterable[Mapping[str, Any]], *, chunk: int = 500) -> list[Stored]:
        """Store rows, chunk by chunk; what became of each.

        A chunk is stored whole or not at all, once however often it must be sent.

        Args:
            rows: objects with `features` and, where known, `id`, `label`, `event_time`, `subject`,
                `source` and `task`.
            chunk: rows of one request.
        """
        stored: list[Stored] = []
        waiting = iter(rows)
        while held := list(islice(waiting, chunk)):
            lines = "\n".join(json.dumps(row, default=plain) for row in held)
            answer = self._wire.send(
                "POST",
                f"{self._v1}/examples",
                content=lines.encode(),
                headers={
                    "Content-Type": "application/x-ndjson",
                    "Idempotency-Key": uuid.uuid4().hex,
                },
            )
            stored += [made(Stored, one) for one in answer["accepted"]]
        return stored

    def label(self, labels: Mapping[str, str | int], *, chunk: int = 500) -> list[Joined]:
        """Give labels by the ids of rows or answers; giving one twice changes nothing."""
        joined: list[Joined] = []
        waiting = iter(labels.items())
        while held := list(islice(waiting, chunk)):
            body = {"labels": [{"id": id_, "label": label} for id_, label in held]}
            answer = self._wire.post(f"{self._v1}/labels", body)
            joined += [made(Joined, one) for one in answer["labels"]]
        return joined

    def update(self, reason: str, *, wait: bool = False, timeout: float = 600.0) -> Job:
        """Ask for an update; with `wait`, come back when it has ended.

        Raises:
            Unreachable: it has not ended after `timeout` seconds; it goes on.
        """
        job = made(Job, self._wire.post(f"{self._v1}/updates", {"reason": reason}))
        end = time.monotonic() + timeout
        while wait and job.state not in ENDED:
            if time.monotonic() > end:
                raise Unreachable(f"job {job.id} is {job.state} after {timeout:g} seconds")
            time.sleep(0.2)
            job = self.job(job.id)
        return job

    def job(self, number: int) -> Job:
        """How an update stands."""
        return made(Job, self._wire.get(f"/v1/jobs/{number}"))

    # -- operating -------------------------------------------------------------------------------

    @property
    def model(self) -> str:
        """The name of the model that the service has."""
        if self._model is None:
            self._model = str(self._wire.get("/v2")["model"])
        return self._model

    @property
    def _v1(self) -> str:
        return f"/v1/models/{self.model}"

    def status(self) -> dict[str, Any]:
        """How the project and the service stand."""
        return self._wire.get(f"{self._v1}/status")

    def versions(self) -> list[Version]:
        """The versions, newest first."""
        answer = self._wire.get(f"{self._v1}/versions", limit=1000)
        return [made(Version, one) for one in answer["versions"]]

    def version(self, name: int | str) -> Version:
        """A version by its number or alias."""
        return made(Version, self._wire.get(f"{self._v1}/versions/{name}"))

    def verdicts(self) -> list[dict[str, Any]]:
        """What the gate said, newest first."""
        return list(self._wire.get(f"{self._v1}/verdicts", limit=1000)["verdicts"])

    def drifts(self) -> list[dict[str, Any]]:
        """What the detectors found, newest first."""
        return list(self._wire.get(f"{self._v1}/drifts", limit=1000)["drifts"])

    def matrix(self) -> dict[str, Any]:
        """The accuracy of each version on the held-out rows of each span: spans and cells."""
        return self._wire.get(f"{self._v1}/matrix")

    def promote(self, version: int, reason: str, *, if_generation: int | None = None) -> Moved:
        """Let a version serve; it does when this returns."""
        said = {"version": version, "reason": reason, "if_generation": if_generation}
        return made(Moved, self._wire.once(f"{self._v1}/promote", _known(said)))

    def rollback(self, reason: str) -> Moved:
        """Go back to the version that served before; it does when this returns."""
        return made(Moved, self._wire.once(f"{self._v1}/rollback", {"reason": reason}))

    def freeze(self, reason: str) -> None:
        """Start no update and promote nothing until `unfreeze`; predictions go on."""
        self._wire.post(f"{self._v1}/freeze", {"reason": reason})

    def unfreeze(self, reason: str) -> None:
        """Learn again."""
        self._wire.post(f"{self._v1}/unfreeze", {"reason": reason})

    def erase(
        self, subject: str, *, rebuild: str = "none", dry_run: bool = False
    ) -> dict[str, Any]:
        """Remove every byte of a subject; the receipt.

        Args:
            subject: whose.
            rebuild: "exact" learns again from before the subject's first row, "scheduled" leaves
                that to the next training from scratch, "none" keeps the versions, marked.
            dry_run: say what would be done, and do nothing.
        """
        said = {"subject": subject, "rebuild": rebuild, "dry_run": dry_run}
        return self._wire.post("/v1/erasures", said)

    def audit(self, limit: int = 100) -> list[dict[str, Any]]:
        """Who did what, newest first."""
        return list(self._wire.get("/v1/audit", limit=limit)["entries"])

    def close(self) -> None:
        """Let go of the connections."""
        self._wire.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


def _known(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None}
