"""Trackers take a run once, whole, and never harm who sends it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from perdure.bench import Experiment, run
from perdure.bench.tracking import keep, run_of, tracked
from perdure.errors import Impossible, InvalidValue
from perdure.folding import Schedule
from perdure.track import Guarded, Metric, Model, Run, opened, picture
from perdure.track.server import KEY, Server

# mlflow's own model of its tables
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")

MATRIX = picture.matrix(np.array([[0.9, 0.5], [np.nan, 1.0]]), ["a", "b"], ["a", "b"])
RUN = Run(
    key="abc",
    name="a run",
    group="some runs",
    parameters={"lr": 0.1, "method": "er", "order": None},
    metrics=[Metric("accuracy", 0.5), Metric("after/a", 0.9, 0), Metric("after/a", 0.5, 1)],
    pictures={"accuracy matrix": MATRIX},
    tags={"machine": "here"},
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    tracker = opened("mlflow", tmp_path_factory.mktemp("mlflow"))
    assert isinstance(tracker, Server)
    assert tracker.send(RUN)
    return tracker


def found(server: Server, key: str, group: str = RUN.group) -> list[object]:
    experiment = server.client.get_experiment_by_name(group).experiment_id
    return server.client.search_runs([experiment], f"tags.`{KEY}` = '{key}'")


def test_mlflow_has_all_of_a_run(server: Server, tmp_path: Path) -> None:
    """Parameters, the last of each metric and its course, picture and tags."""
    (held,) = found(server, "abc")
    assert {"lr": "0.1", "method": "er", "order": "None"} == held.data.params
    assert {"accuracy": 0.5, "after/a": 0.5} == held.data.metrics
    course = server.client.get_metric_history(held.info.run_id, "after/a")
    assert [(0, 0.9), (1, 0.5)] == [(m.step, m.value) for m in course]
    assert ("here", "FINISHED") == (held.data.tags["machine"], held.info.status)
    path = server.client.download_artifacts(held.info.run_id, "accuracy matrix.png", str(tmp_path))
    assert MATRIX == Path(path).read_bytes()


def test_mlflow_takes_a_run_once(server: Server) -> None:
    """But one that a crash left half written anew; a thousand metrics go in several pieces."""
    assert not server.send(RUN)
    assert 1 == len(found(server, "abc"))
    experiment = server.client.get_experiment_by_name(RUN.group).experiment_id
    server.client.create_run(experiment, tags={KEY: "half"})
    many = [Metric("m", float(step), step) for step in range(1100)]
    assert server.send(replace(RUN, key="half", metrics=many, pictures={}))
    (held,) = found(server, "half")
    assert ("FINISHED", 1099.0) == (held.info.status, held.data.metrics["m"])


def test_mlflow_has_the_same_versions_under_the_same_aliases(
    server: Server, tmp_path: Path
) -> None:
    """Each once, and aliases that are gone here are gone there."""
    (tmp_path / "model.safetensors").write_bytes(b"tensors")
    models = [Model("toy", n, "abc", RUN.group, tmp_path, {"state": "blessed"}) for n in (3, 7)]
    assert [True, True, False] == [server.register(m) for m in (*models, models[0])]
    server.point("toy", {"champion": 3, "challenger": 7})
    server.point("toy", {"champion": 7, "previous": 3})
    aliases = server.client.get_registered_model("toy").aliases
    assert {"champion", "previous"} == set(aliases)
    held = server.client.get_model_version_by_alias("toy", "champion")
    assert ("7", "blessed") == (held.tags["perdure.version"], held.tags["state"])
    assert held.source.endswith("/version-7")
    with pytest.raises(InvalidValue, match="send that first"):
        server.register(Model("toy", 9, "unknown", RUN.group, tmp_path))


def test_tensorboard_has_all_of_a_run(tmp_path: Path) -> None:
    """Once; and runs of one series continue each other's curves."""
    board = opened("tensorboard:board", tmp_path)
    one = replace(RUN, series="updates")
    assert [True, False] == [board.send(one), board.send(one)]
    more = replace(one, key="next", metrics=[Metric("after/a", 0.4, 2)], pictures={})
    assert board.send(more)
    held = EventAccumulator(str(tmp_path / "board" / RUN.group / "updates"))
    held.Reload()
    course = [(event.step, event.value) for event in held.Scalars("after/a")]
    assert [(0, 0.9), (1, 0.5), (2, 0.4)] == [(step, pytest.approx(v)) for step, v in course]
    assert ["accuracy matrix"] == held.Tags()["images"]
    with pytest.raises(Impossible, match="no registry"):
        board.point("toy", {})


def test_a_picture_of_a_matrix_is_a_png() -> None:
    """Larger matrices fit too, without numbers; what was not measured stays empty."""
    small, large = (
        imread(io.BytesIO(picture.matrix(np.full((n, n), 0.5), [""] * n, [""] * n)))
        for n in (2, 40)
    )
    assert small.shape[1] < large.shape[1] < 2000
    imread(io.BytesIO(picture.matrix(np.full((2, 2), np.nan), ["a", "b"], ["a", "b"])))


@pytest.mark.parametrize("said", ["wandb", "tensorboard", ""])
def test_what_takes_no_runs_is_refused(said: str) -> None:
    """With what may be written."""
    with pytest.raises(InvalidValue, match="mlflow:URI"):
        opened(said)


@pytest.fixture(scope="module")
def result() -> object:
    return run(Experiment("digits", method="er", hidden=(8,), schedule=Schedule(32, steps=2)))


def test_a_run_of_the_bench_is_sent_as_it_was_measured(result: object) -> None:
    """Every measure, accuracy of each task after each, and settings under the method's name."""
    made = run_of(result)
    whole = {m.name: m.value for m in made.metrics if "/" not in m.name}
    assert {k: v for k, v in result.measures().items() if v is not None} == whole
    after = [m for m in made.metrics if m.name.startswith("after/mean")]
    assert [0, 1, 2, 3, 4] == [m.step for m in after]
    assert result.matrix.accuracy() == pytest.approx(after[-1].value)
    assert 25 + 5 == len([m for m in made.metrics if m.name.startswith("after/")])
    assert 500 == made.parameters["method.capacity"]
    assert 2 == made.parameters["schedule.steps"]
    assert made.key == result.experiment.key


def test_a_grid_is_sent_as_it_goes_and_its_report_at_the_end(
    result: object, tmp_path: Path
) -> None:
    """Events pass as they are; what was sent is not sent again."""
    tracker = Guarded("tensorboard:board", tmp_path)
    events = tracked((event for event in [result]), [tracker])
    assert [result] == [*events]
    report = tmp_path / "report.html"
    report.write_text("all of it")
    keep([result], [report, tmp_path / "nothing"], [tracker])
    assert (2, None) == (tracker.sent, tracker.problem)


def test_a_failing_tracker_harms_nobody(result: object, tmp_path: Path) -> None:
    """Its first failure is noted, and it is asked no more."""
    (tmp_path / "board").write_text("a file is in the way")
    tracker = Guarded("tensorboard:board", tmp_path)
    assert [result, result] == [*tracked((event for event in [result, result]), [tracker])]
    assert tracker.problem is not None
    assert tracker.problem.startswith("tensorboard:board: ")
    assert 0 == tracker.sent
