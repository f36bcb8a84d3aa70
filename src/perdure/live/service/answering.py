"""From a question to answers: choose a version, share a forward pass, write down what was said."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perdure.errors import NonFinite
from perdure.live.predictions import Prediction
from perdure.live.project import Project
from perdure.live.refusals import RowRefused
from perdure.live.service.batching import Batcher, Bytes
from perdure.live.service.metrics import Metrics
from perdure.live.service.questions import Question
from perdure.live.service.recording import Recorder
from perdure.live.service.serving import Served, Server

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What a version said to n rows.

    Args:
        version: that answered.
        classes: k names.
        probabilities: (n, k).
        picked: (n,), the position of the likeliest class.
        ids: n prediction ids: the ids of these rows in the log.
    """

    version: int
    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    picked: NDArray[np.int64]
    ids: list[str]

    def labels(self) -> list[str]:
        """The likeliest class of each row."""
        return [self.classes[position] for position in self.picked]


class Answering:
    """Answers questions.

    Args:
        project: whose log keeps what was asked and answered.
        server: knows the versions.
        batcher: computes.
        metrics: counts.
    """

    def __init__(
        self, project: Project, server: Server, batcher: Batcher[Served], metrics: Metrics
    ) -> None:
        self.project = project
        self.server = server
        self.batcher = batcher
        self.metrics = metrics
        self.recorder = Recorder(project.log, project.settings.log.predictions)
        self._mirrors: set[asyncio.Task[None]] = set()

    async def answer(self, question: Question, source: str, version: int | None = None) -> Answer:
        """Answer all rows by one version: the one that is named, or the first row's subject's.

        Raises:
            RowRefused: a row does not fit the schema.
            Unavailable: nothing serves yet.
            NotFound: there is no such version.
        """
        rows = await self._encoded(question)
        ids = [given or new_id() for given in question.ids]
        tasks = self._tasks(question)
        if version is None:
            served = self.server.choose(question.subjects[0] or ids[0])
        else:
            served = await self.server.get(version)
        probabilities = await self.batcher.ask(served, rows, tasks)
        if not np.isfinite(probabilities).all():
            raise NonFinite(f"version {served.version} answered with NaN; roll it back")
        classes = served.classes[: probabilities.shape[1]]
        answer = Answer(served.version, classes, probabilities, probabilities.argmax(axis=1), ids)
        await self._record(question, rows, answer, source)
        self._count(served, answer)
        if version is None:
            self._mirror(rows, tasks, answer)
        return answer

    async def settle(self) -> None:
        """Wait for what nobody waits for: the shadow's answers, and answers not yet written."""
        await asyncio.gather(*self._mirrors, return_exceptions=True)
        await self.recorder.settle()

    async def _encoded(self, question: Question) -> Bytes:  # (n, row_bytes)
        schema = self.project.schema
        if schema.kind == "image":  # files take long to read: not where every request waits
            return await asyncio.to_thread(schema.encode_many, question.features)
        return schema.encode_many(question.features)

    def _tasks(self, question: Question) -> NDArray[np.int64] | None:
        if not self.project.schema.tasks:
            return None
        if question.tasks is None:
            self.metrics.taskless.inc(len(question))
            return None
        if any(not -(2**63) <= task < 2**63 for task in question.tasks):
            raise RowRefused("give an integer of 64 bits", field="task", value=question.tasks)
        return np.array(question.tasks, np.int64)

    async def _record(self, question: Question, rows: Bytes, answer: Answer, source: str) -> None:
        picked = answer.picked.tolist()
        held = [
            Prediction(
                id=answer.ids[i],
                data=rows[i],
                version=answer.version,
                label=picked[i],
                confidence=float(answer.probabilities[i, picked[i]]),
                subject=question.subjects[i],
                source=source,
                task=None if question.tasks is None else question.tasks[i],
            )
            for i in range(len(rows))
        ]
        await self.recorder.add(held)

    def _count(self, served: Served, answer: Answer) -> None:
        roles = self.server.serving.roles
        alias = next((name for name, held in roles.items() if held is served), "none")
        self.metrics.answered(served.version, alias, len(answer.ids))

    def _mirror(self, rows: Bytes, tasks: NDArray[np.int64] | None, answer: Answer) -> None:
        """Ask the shadow too, after the caller has been answered and only while there is room."""
        shadow = self.server.serving.roles.get("shadow")
        busy = self.batcher.queued > self.batcher.max_queue // 2
        if shadow is None or shadow.version == answer.version or busy:
            return
        task = asyncio.create_task(self._compare(shadow, rows, tasks, answer))
        self._mirrors.add(task)
        task.add_done_callback(self._mirrors.discard)

    async def _compare(
        self, shadow: Served, rows: Bytes, tasks: NDArray[np.int64] | None, answer: Answer
    ) -> None:
        try:
            said = (await self.batcher.ask(shadow, rows, tasks)).argmax(axis=1)
        except Exception:  # a broken shadow must be seen, and must harm nobody
            logger.exception("shadow version %d failed", shadow.version)
            self.metrics.shadow.labels(shadow.version, "failed").inc(len(rows))
            return
        same = sum(
            shadow.classes[mine] == theirs
            for mine, theirs in zip(said, answer.labels(), strict=True)
        )
        self.metrics.shadow.labels(shadow.version, "true").inc(same)
        self.metrics.shadow.labels(shadow.version, "false").inc(len(rows) - same)


def new_id() -> str:
    """A prediction id: 128 bits in hex, the time in ms before 80 random ones.

    Ids that come in order are written side by side in the log's index.
    """
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
