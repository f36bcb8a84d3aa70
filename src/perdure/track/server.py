"""MLflow: a local SQLite store, or any server."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from perdure.errors import InvalidValue, require
from perdure.track.run import Model, Run

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""Set where the user has not: nothing is told to anybody, and a dead server is soon given up."""
KEY, VERSION = "perdure.key", "perdure.version"
METRICS, PARAMETERS, LONGEST = 1000, 100, 6000  # MLflow's limits of one request
SQLITE = "sqlite:///"


class Server:
    """Sends runs to MLflow, each as one that has ended, and versions to its registry.

    Models go as files, not as one of MLflow's flavours: those of torch and of Python functions
    unpickle what they load.

    Args:
        uri: of the server, or of a SQLite file; beside that is the folder `mlartifacts`.

    Raises:
        MissingExtra: mlflow-skinny is not installed, or sqlalchemy and alembic for a local store.
    """

    registers = True

    def __init__(self, uri: str) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self.artifacts: str | None = None
        if uri.startswith(SQLITE):
            require("sqlalchemy", "track")
            require("alembic", "track")
            place = Path(uri.removeprefix(SQLITE)).resolve()
            place.parent.mkdir(parents=True, exist_ok=True)
            self.artifacts = (place.parent / "mlartifacts").as_uri()
        tracking = require("mlflow.tracking", "track")
        self.entities = require("mlflow.entities", "track")
        self.client = tracking.MlflowClient(tracking_uri=uri, registry_uri=uri)

    def send(self, run: Run) -> bool:
        """Write a run; one that a crash left half written is written anew."""
        experiment = self._experiment(run.group)
        held = self._found(experiment, run.key)
        if held is not None and held.info.status == "FINISHED":
            return False
        if held is not None:
            self.client.delete_run(held.info.run_id)
        tags = {**run.tags, KEY: run.key, **({"perdure.series": run.series} if run.series else {})}
        number = self.client.create_run(experiment, run_name=run.name, tags=tags).info.run_id
        self._log(number, run)
        with TemporaryDirectory() as folder:
            for name, png in run.pictures.items():
                Path(folder, f"{name}.png").write_bytes(png)
            self.client.log_artifacts(number, folder)
        for path in run.files:
            self.client.log_artifact(number, str(path))
        self.client.set_terminated(number)
        return True

    def register(self, model: Model) -> bool:
        """Keep a version's files with its run, and enter it into the registry."""
        self._model(model.name)
        if model.version in self._versions(model.name):
            return False
        run = self._found(self._experiment(model.group), model.run)
        if run is None:
            raise InvalidValue(f"version {model.version} has no run here; send that first")
        place = f"version-{model.version}"
        self.client.log_artifacts(run.info.run_id, str(model.folder), place)
        self.client.create_model_version(
            model.name,
            f"{run.info.artifact_uri}/{place}",
            run_id=run.info.run_id,
            tags={**model.tags, VERSION: str(model.version)},
        )
        return True

    def point(self, name: str, aliases: Mapping[str, int]) -> None:
        """Set the aliases that are not so yet, and take away those that are no more."""
        versions = self._versions(name)
        wanted = {alias: versions[number] for alias, number in aliases.items()}
        held = {key: str(value) for key, value in self._model(name).aliases.items()}
        for alias in held.keys() - wanted.keys():
            self.client.delete_registered_model_alias(name, alias)
        for alias, version in wanted.items():
            if held.get(alias) != version:
                self.client.set_registered_model_alias(name, alias, version)

    def _log(self, number: str, run: Run) -> None:
        now = int(time.time() * 1000)
        metrics = [self.entities.Metric(m.name, m.value, now, m.step) for m in run.metrics]
        parameters = [
            self.entities.Param(name, str(value)[:LONGEST])
            for name, value in run.parameters.items()
        ]
        for some in _pieces(parameters, PARAMETERS):
            self.client.log_batch(number, params=some)
        for some in _pieces(metrics, METRICS):
            self.client.log_batch(number, metrics=some)

    def _experiment(self, name: str) -> str:
        held = self.client.get_experiment_by_name(name)
        if held is not None:
            return str(held.experiment_id)
        return str(self.client.create_experiment(name, artifact_location=self._place(name)))

    def _place(self, name: str) -> str | None:
        return None if self.artifacts is None else f"{self.artifacts}/{name.replace('/', '-')}"

    def _found(self, experiment: str, key: str) -> Any:
        runs = self.client.search_runs([experiment], f"tags.`{KEY}` = '{key}'", max_results=1)
        return runs[0] if runs else None

    def _model(self, name: str) -> Any:
        found = self.client.search_registered_models(f"name = '{name}'")
        return found[0] if found else self.client.create_registered_model(name)

    def _versions(self, name: str) -> dict[int, str]:
        """Numbers there by numbers here."""
        found = self.client.search_model_versions(f"name = '{name}'")
        return {int(one.tags[VERSION]): str(one.version) for one in found if VERSION in one.tags}


def _pieces(values: list[Any], size: int) -> list[list[Any]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
