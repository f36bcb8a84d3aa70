"""A state directory, opened: where the parts of the live loop meet."""

from __future__ import annotations

import importlib.util
import secrets
import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, TracebackType
from typing import Self

import torch
from torch import nn

from perdure import methods
from perdure.advise.compatibility import check
from perdure.engine import Engine
from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.learner import Learner
from perdure.live import files
from perdure.live.database import Database
from perdure.live.jobs import Jobs
from perdure.live.labels import Labels
from perdure.live.log import Log
from perdure.live.registry import Registry
from perdure.live.remembering import FOLDER, remember
from perdure.live.segments import Segments
from perdure.live.settings import LearnerSettings, Settings
from perdure.method import Method
from perdure.optimiser import Factory
from perdure.scenario import Scenario

SETTINGS, DATABASE = "perdure.toml", "perdure.db"


class Project:
    """Everything of one state directory. Several processes may have it open at a time.

    Args:
        directory: holds `perdure.toml` and the model's file; the state is made beside them.

    Raises:
        InvalidValue: the settings are missing or wrong.
        CheckpointMismatch: the state was made under another schema or seed, or by a newer perdure.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory).resolve()
        self.settings = Settings.load(self.directory / SETTINGS)
        for said in self.settings.learner.methods:
            method_named(said)
        self.schema = self.settings.schema_
        for name in ("segments", "versions", "work"):
            (self.directory / name).mkdir(exist_ok=True, mode=0o700)
        files.sync_directory(self.directory)
        self.features = self.directory / FOLDER
        self.segments = Segments(
            self.directory / "segments", self.schema.row_bytes, self.settings.log.segment_bytes
        )
        self.database = Database(self.directory / DATABASE, self.segments.sync)
        try:
            self.database.transact(self._found_or_made)
        except BaseException:
            self.database.close()
            raise
        self.log = Log(self.database, self.segments, self.settings)
        self.labels = Labels(self.database, self.settings)
        self.registry = Registry(self.database, self.directory / "versions")
        self.jobs = Jobs(self.database)

    def classes(self) -> list[str]:
        """Names of the classes, by their numbers."""
        return [r["name"] for r in self.database.read("SELECT name FROM classes ORDER BY label")]

    def learner(
        self,
        said: LearnerSettings | None = None,
        engine: Engine | None = None,
        *,
        cached: bool = True,
    ) -> Learner:
        """An untrained learner, as the settings describe it; the same one every time.

        Args:
            said: other settings of the learner to try; None for the project's own.
            engine: where it runs; None for where an update runs.
            cached: frozen encoders keep features on the disk.

        Raises:
            InvalidValue: the model's file or a method's name or argument is wrong.
            Impossible: scenario, model and methods cannot work together.
        """
        said = self.settings.learner if said is None else said
        used = [method_named(held) for held in said.methods]
        model = self.model()
        check(self.scenario, model, used, retention=self.settings.retention.raw)
        if cached:
            remember(model, self.features, self.settings.log.keep_features)
        return Learner(
            model,
            *used,
            optimizer=optimizer_of(said),
            engine=self.engine() if engine is None else engine,
            seed=self.settings.seed,
        )

    def model(self) -> nn.Module:
        """The model, untrained, with the same weights every time."""
        with torch.random.fork_rng(devices=()):  # None would wake every GPU, in a service as well
            torch.manual_seed(self.settings.seed)
            return self._factory()(self.schema, max(len(self.schema.classes), 1))

    def engine(self) -> Engine:
        """Where an update runs."""
        return Engine(self.settings.update.device, self.settings.update.precision)

    def load(self, name: int | str, *, cached: bool = True) -> Learner:
        """The learner as it was at a version, by number or alias; `cached` as in `learner`."""
        learner = self.learner(cached=cached)
        learner.load_state_dict(self.registry.load(name))
        return learner

    @property
    def scenario(self) -> Scenario:
        """What is known at inference."""
        if self.schema.tasks:
            return Scenario.TASK
        return Scenario.FREE if self.settings.learner.boundaries == "never" else Scenario.CLASS

    def close(self) -> None:
        """Finish what was asked for, and let go of the directory."""
        self.database.close()

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

    def _found_or_made(self, connection: sqlite3.Connection) -> None:
        digest = self.schema.digest()
        held = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        if held is None:
            made = {"schema": digest, "secret": secrets.token_hex(32), "generation": "0"}
            connection.executemany("INSERT INTO meta VALUES (?, ?)", made.items())
            classes = enumerate(self.schema.classes)
            connection.executemany("INSERT INTO classes VALUES (?, ?)", classes)
        elif held["value"] != digest:
            raise CheckpointMismatch(
                f"the rows in {self.directory} were stored under another [schema]; take the change "
                f"in {SETTINGS} back, or begin a new directory with `perdure init`"
            )
        seed = str(self.settings.seed)
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('seed', ?)", (seed,))
        begun = connection.execute("SELECT value FROM meta WHERE key = 'seed'").fetchone()["value"]
        if begun != seed:
            raise CheckpointMismatch(
                f"seed is {seed} and {self.directory} began with {begun}, which says who is held "
                f"out: another would train on them. Take the change in {SETTINGS} back, or begin a "
                "new directory with `perdure init`"
            )

    def _factory(self) -> Callable[..., nn.Module]:
        name, _, function = self.settings.learner.model.partition(":")
        path = self.directory / f"{name}.py"
        if not function or not path.exists():
            raise InvalidValue(
                f"learner.model is {self.settings.learner.model!r}; it must be 'file:function' "
                f"with a file {path}"
            )
        loader = _FromSource(f"perdure_project_{name}", str(path))
        spec = importlib.util.spec_from_file_location(loader.name, path, loader=loader)
        assert spec is not None and spec.loader is not None  # noqa: S101, PT018
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if not hasattr(module, function):
            raise InvalidValue(f"{path} has no function {function!r}, which learner.model names")
        factory: Callable[..., nn.Module] = getattr(module, function)
        return factory


class _FromSource(SourceFileLoader):
    """Python's own loader, without bytecode: an edit within a second of the last could miss it."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def method_named(said: dict[str, str | int | float | bool | None]) -> Method:
    """A method from its name in `perdure.methods`, in any case, and its arguments.

    Raises:
        InvalidValue: no such method, or no such argument.
    """
    known = {name.lower(): name for name in methods.__all__}
    arguments = {key: value for key, value in said.items() if key != "name"}
    found = known.get(str(said.get("name", "")).lower().replace("-", "").replace("++", "pp"))
    if found is None:
        raise InvalidValue(
            f"learner.methods: {said.get('name')!r} is none of {', '.join(sorted(known.values()))}"
        )
    try:
        method: Method = getattr(methods, found)(**arguments)
    except (TypeError, InvalidValue) as error:
        raise InvalidValue(f"learner.methods: {error}") from error
    return method


def optimizer_of(said: LearnerSettings) -> Factory:
    """What makes the optimiser that the settings name."""
    return partial(_optimizer, said)


def _optimizer(said: LearnerSettings, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    if said.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=said.lr, weight_decay=said.weight_decay, fused=True)
    return torch.optim.SGD(
        parameters, lr=said.lr, momentum=said.momentum, weight_decay=said.weight_decay, fused=True
    )
