"""What is sent once is there once, whatever failed on the way; and a failure stays where it was."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from perdure.errors import Impossible, InvalidValue
from perdure.track import Guarded, Metric, Model, Run, Tracker, opened
from perdure.track.board import SENT, Board
from perdure.track.server import QUIET

RUN = Run(
    key="k1",
    name="one",
    group="some",
    parameters={"lr": 0.1},
    metrics=[Metric("accuracy", 0.25, 2), Metric("accuracy", 0.75, 5)],
    tags={"machine": "here"},
)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    made = opened("tensorboard:board", tmp_path)
    assert isinstance(made, Board)
    return made


def read(folder: Path) -> EventAccumulator:
    held = EventAccumulator(str(folder))
    held.Reload()
    return held


def runs(board: Board) -> list[str]:
    return sorted(path.name for path in (board.folder / RUN.group).iterdir())


def test_runs_that_are_alike_but_for_their_key_are_two_runs(board: Board) -> None:
    """Two seeds of one experiment have one name."""
    assert [True, True] == [board.send(replace(RUN, key=key)) for key in ("first", "second")]
    assert ["one first", "one second"] == runs(board)


def test_settings_and_tags_are_told_as_json(board: Board) -> None:
    """At the step that the run had reached, with the files that lie elsewhere named."""
    board.send(replace(RUN, files=[Path("report.html")]))
    held = read(board.folder / RUN.group / "one k1")
    (event,) = held.Tensors("one/text_summary")
    text = event.tensor_proto.string_val[0].decode()
    said = json.loads(text.removeprefix("```json").removesuffix("```"))
    assert {"lr": 0.1, "machine": "here", "files": ["report.html"]} == said
    assert 5 == event.step


def test_a_run_that_a_crash_left_unnoted_is_sent_again(board: Board) -> None:
    """The note comes last: what is noted is whole, what is not may be there twice."""
    board.send(RUN)
    assert "k1\n" == (board.folder / SENT).read_text()
    (board.folder / SENT).write_text("")
    assert board.send(RUN)
    assert not board.send(RUN)


def test_a_key_is_not_taken_for_a_longer_one(board: Board) -> None:
    """`k1` was sent, `k` and `k11` were not."""
    board.send(RUN)
    assert [True, True] == [board.send(replace(RUN, key=key)) for key in ("k", "k11")]


def test_a_folder_may_be_anywhere(tmp_path: Path) -> None:
    """A relative one lies in the directory that is named, an absolute one where it says."""
    away = tmp_path / "away"
    for said, folder in (("tensorboard:deep/er", "deep/er"), (f"tensorboard:{away}", "../away")):
        opened(said, tmp_path / "here").send(RUN)
        assert (tmp_path / "here" / folder / SENT).exists()


def test_only_one_kind_of_tracker_has_a_registry(board: Board, tmp_path: Path) -> None:
    """TensorBoard says so before anything is written."""
    assert not board.registers
    with pytest.raises(Impossible, match="MLflow has one"):
        board.register(Model("toy", 1, "k1", "some", tmp_path))
    assert not board.folder.exists()


def test_nothing_is_told_to_anybody_but_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's telemetry is off, and a user's own wish for the rest stands."""
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    assert opened("mlflow:http://127.0.0.1:9", tmp_path).registers
    assert "true" == os.environ["MLFLOW_DISABLE_TELEMETRY"]
    assert "3" == os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]
    assert [] == [*tmp_path.iterdir()]  # nothing local where a server is named


def test_a_run_that_cannot_be_made_is_a_failure_like_any_other(tmp_path: Path) -> None:
    """What is measured is never lost to how it is shown; the first failure is the last attempt."""
    asked: list[int] = []

    def broken() -> Run:
        asked.append(1)
        raise ZeroDivisionError("no tasks")

    guarded = Guarded("tensorboard:board", tmp_path)
    guarded.send(lambda: RUN)
    guarded.send(broken)
    guarded.send(broken)
    guarded.send(lambda: replace(RUN, key="later"))
    assert [1] == asked
    assert "tensorboard:board: ZeroDivisionError: no tasks" == guarded.problem
    assert 1 == guarded.sent


def test_a_wish_that_makes_no_sense_is_refused_before_the_runs_begin(tmp_path: Path) -> None:
    """It is no failure of a server, so it is not guarded."""
    for said in ("tensorboard:", "MLflow", "mlflows:x"):
        with pytest.raises(InvalidValue, match=r"write mlflow, mlflow:URI or tensorboard:FOLDER"):
            Guarded(said, tmp_path)


def test_trackers_are_told_apart_by_what_they_offer_alone(board: Board) -> None:
    """Whoever offers these four names may be used for one."""
    tracker: Tracker = board
    assert {"registers", "send", "register", "point"} <= set(dir(tracker))
