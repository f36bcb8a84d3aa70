"""Which version answers, and how another takes its place without a failed request.

A version is loaded and warmed beside the one that serves; then one reference is switched. A request
keeps the version that it began with, and what no request keeps any more is freed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final
from weakref import WeakSet

import numpy as np
import torch
from numpy.typing import NDArray

from perdure.errors import UnseenTask
from perdure.learner import Learner
from perdure.live import splits
from perdure.live.project import Project
from perdure.live.refusals import NotFound
from perdure.live.registry import Version
from perdure.live.schema import Schema
from perdure.live.service.refusing import Unavailable

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.05
RETRY_SECONDS: Final = 5.0
TRIES: Final = 3
FEWEST_ROWS: Final = 4
"""BLAS answers one to three rows by other kernels, whose last bits differ; so nobody asks it to."""

Key = tuple[int, str]


@dataclass(frozen=True, eq=False)
class Served:
    """A version in memory, warm; immutable.

    Args:
        version: its number.
        digest: of its manifest.
        learner: that answers.
        schema: of the rows.
        classes: names of the answers, by position.
        loaded: when, seconds since the epoch.
        seconds: that loading and warming took.
    """

    version: int
    digest: str
    learner: Learner = field(repr=False)
    schema: Schema = field(repr=False)
    classes: tuple[str, ...]
    loaded: float
    seconds: float

    def answer(
        self, rows: NDArray[np.uint8], task: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:  # (n, classes)
        """Probabilities for encoded rows (n, row_bytes); the same bits whatever the company."""
        count = len(rows)
        if count < FEWEST_ROWS:
            index = np.minimum(np.arange(FEWEST_ROWS), count - 1)
            rows, task = rows[index], None if task is None else task[index]
        ids = None if task is None else torch.from_numpy(task)
        out = self.learner.predict(self.schema.decode(rows), ids)
        known = out[:count, : len(self.classes)]
        return torch.softmax(known, dim=1).cpu().numpy()


@dataclass(frozen=True)
class Serving:
    """Who answers at one moment; replaced whole.

    Args:
        generation: of the registry's aliases.
        roles: the versions in memory by alias: champion, and where they are wanted baseline,
            shadow and challenger.
    """

    generation: int = -1
    roles: Mapping[str, Served] = field(default_factory=dict)


class Server:
    """The versions of a project that are in memory.

    Args:
        project: whose registry is followed.
        others: versions to keep beside those that serve, for requests that name a version.
    """

    def __init__(self, project: Project, others: int = 2) -> None:
        self.project = project
        self.serving = Serving()
        self.failures: dict[int, str] = {}
        self.switches = 0
        self.living: WeakSet[Served] = WeakSet()
        self._others: OrderedDict[Key, Served] = OrderedDict()
        self._most = others
        self._loading: dict[Key, asyncio.Task[Served]] = {}
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="perdure-loader")
        self._following = asyncio.Lock()
        self._watcher: asyncio.Task[None] | None = None
        self._seen = -1
        self._retry_at = float("inf")

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load what serves now, and follow the registry from here on."""
        await self.follow()
        self._watcher = asyncio.create_task(self._watch(), name="perdure-watcher")

    async def stop(self) -> None:
        """Follow no longer; what is in memory goes on answering."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        self._loader.shutdown(wait=False, cancel_futures=True)

    # -- choosing --------------------------------------------------------------------------------

    @property
    def champion(self) -> Served | None:
        """The version that answers whoever asks for none."""
        return self.serving.roles.get("champion")

    def loaded(self) -> set[int]:
        """The versions in memory."""
        return {one.version for one in (*self.serving.roles.values(), *self._others.values())}

    def choose(self, name: str) -> Served:
        """The version for a subject, or for a request without one: the same as long as aliases
        stay.

        Raises:
            Unavailable: no version serves yet.
        """
        roles = self.serving.roles
        if "champion" not in roles:
            raise Unavailable(
                "no version serves yet; ingest labelled rows and start an update",
                retry_after=RETRY_SECONDS,
            )
        share = self.project.settings.serve
        if "baseline" not in roles and "challenger" not in roles:
            return roles["champion"]
        place = splits.bucket(name, self.project.settings.seed)
        if place < share.baseline_share and "baseline" in roles:
            return roles["baseline"]
        if place >= 1 - share.canary_share and "challenger" in roles:
            return roles["challenger"]
        return roles["champion"]

    async def get(self, version: int) -> Served:
        """One version by its number, loaded if it is not in memory.

        Raises:
            NotFound: there is none, or its files have been removed.
        """
        return await self._load(self.project.registry.get(version))

    async def load(self, version: int | None = None) -> Served:
        """Load a version, or whatever the registry names champion now.

        Raises:
            NotFound: there is none.
            Unavailable: it cannot be loaded; what served before still serves.
        """
        if version is None:
            await self.follow()
            held = self.project.registry.champion()
            if held is None:
                raise NotFound("there is no champion yet", field="model")
            version = held.version
        try:
            return await self.get(version)
        except NotFound:
            raise
        except Exception as error:
            raise Unavailable(f"version {version} cannot be loaded: {error}") from error

    # -- following -------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Bring the versions that the aliases name into memory, and switch to them at once.

        What cannot be loaded is reported in `failures`, and its alias stays where it was.
        """
        async with self._following:
            # An alias that moved meanwhile is looked at again, so that a version which was rolled
            # back while it was loading never serves; but not for ever, or nothing would.
            for _ in range(TRIES):
                generation = self.project.registry.generation()
                wanted = self._wanted()
                found = await asyncio.gather(
                    *(self._load(held) for held in wanted.values()), return_exceptions=True
                )
                if generation == self.project.registry.generation():
                    break
            held: dict[str, Served] = {}
            for alias, served in zip(wanted, found, strict=True):
                if isinstance(served, Served):
                    held[alias] = served
                elif alias in self.serving.roles:
                    held[alias] = self.serving.roles[alias]
            failed = any(isinstance(served, BaseException) for served in found)
            self._retry_at = time.monotonic() + RETRY_SECONDS if failed else float("inf")
            self._switch(Serving(generation, held))

    def _wanted(self) -> dict[str, Version]:
        share = self.project.settings.serve
        registry = self.project.registry
        wanted = {alias: registry.get(number) for alias, number in registry.aliases().items()}
        blessed = "challenger" in wanted and wanted["challenger"].state == "blessed"
        asked = {
            "champion": True,
            "shadow": True,
            "baseline": share.baseline_share > 0,
            "challenger": share.canary_share > 0 and blessed,
        }
        return {alias: held for alias, held in wanted.items() if asked.get(alias, False)}

    def _switch(self, serving: Serving) -> None:
        for key in self._rewritten(self._others.values()):
            self._others.pop(key, None)
        before = {id(served) for served in self.serving.roles.values()}
        now = {id(served) for served in serving.roles.values()}
        self.serving = serving
        for served in serving.roles.values():
            self._others.pop((served.version, served.digest), None)
        if before - now:
            self.switches += 1

    async def _watch(self) -> None:
        """Notice within `POLL_SECONDS` what this or another process promoted."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                changed = self.project.database.changed()
                if changed == self._seen and time.monotonic() < self._retry_at:
                    continue
                if self._outdated() or time.monotonic() >= self._retry_at:
                    await self.follow()
                self._seen = changed
            except Exception:  # a busy disk must not end the watch
                logger.exception("following the registry failed; trying again")
                await asyncio.sleep(RETRY_SECONDS)

    def _outdated(self) -> bool:
        """Whether an alias has moved, or a version was rewritten because a subject was erased."""
        if self.project.registry.generation() != self.serving.generation:
            return True
        return bool(self._rewritten((*self.serving.roles.values(), *self._others.values())))

    def _rewritten(self, held: Iterable[Served]) -> list[Key]:
        keys = [(served.version, served.digest) for served in held]
        found = self.project.database.read(
            "SELECT version, digest FROM versions"
            " WHERE version IN (SELECT value FROM json_each(?))",
            (json.dumps([version for version, _ in keys]),),
        )
        digests = {row["version"]: row["digest"] for row in found}
        return [(version, digest) for version, digest in keys if digests.get(version) != digest]

    # -- loading ---------------------------------------------------------------------------------

    async def _load(self, held: Version) -> Served:
        """One version; whoever asks for the same one meanwhile waits for the same load."""
        key = (held.version, held.digest)
        for served in (*self.serving.roles.values(), *self._others.values()):
            if (served.version, served.digest) == key:
                return served
        if key not in self._loading:
            self._loading[key] = asyncio.create_task(self._load_once(held))
            self._loading[key].add_done_callback(lambda task: self._loaded(key, task))
        return await asyncio.shield(self._loading[key])

    async def _load_once(self, held: Version) -> Served:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._loader, self._read, held)

    def _read(self, held: Version) -> Served:
        start = time.monotonic()
        made = Served(
            version=held.version,
            digest=held.digest,
            learner=self.project.load(held.version, cached=False),
            schema=self.project.schema,
            classes=tuple(self.project.classes()),
            loaded=time.time(),
            seconds=0.0,
        )
        self._warm(made)
        return replace(made, seconds=time.monotonic() - start)

    def _warm(self, made: Served) -> None:
        """First answers are slow: have them here, where nobody waits for them."""
        row = np.frombuffer(made.schema.encode(made.schema.example()), np.uint8)[None]
        most = self.project.settings.serve.max_batch
        for task in self._tasks() if made.schema.tasks else [None]:
            tasks = None if task is None else np.full(most, task)
            try:
                made.answer(np.repeat(row, most, axis=0), tasks)
                made.answer(row, None if tasks is None else tasks[:1])
            except UnseenTask:
                logger.debug("version %d has not seen task %s", made.version, task)

    def _tasks(self) -> list[int]:
        found = self.project.database.read(
            "SELECT DISTINCT task FROM evaluation WHERE task IS NOT NULL ORDER BY task"
        )
        return [int(row["task"]) for row in found]

    def _loaded(self, key: Key, task: asyncio.Task[Served]) -> None:
        del self._loading[key]
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.failures[key[0]] = f"{type(error).__name__}: {error}"
            logger.error("version %d cannot be loaded: %s", key[0], error)
            return
        self.failures.pop(key[0], None)
        self.living.add(task.result())
        self._others[key] = task.result()
        while len(self._others) > self._most:
            self._others.popitem(last=False)
