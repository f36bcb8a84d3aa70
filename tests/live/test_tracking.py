"""Updates are told to trackers after the fact, once, and none of them can be harmed by it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.live import tiny
from typer.testing import CliRunner

from perdure import cli
from perdure.live import tracking
from perdure.live.project import Project
from perdure.live.status import warnings
from perdure.track import opened

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")

BOARD = {"tracking": {"to": ["tensorboard:board"]}}
UPDATES = Path("board", "perdure live tiny", "updates")


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started."""
    monkeypatch.setattr(tracking, "begin", lambda project: False)


def learnt(project: Project, part: int) -> None:
    project.log.append(tiny.rows(40 * part, 40)).result()
    tiny.updated(project)


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    held = EventAccumulator(str(folder))
    held.Reload()
    return [(event.step, event.value) for event in held.Scalars(name)]


@pytest.fixture
def project(tmp_path: Path, quiet: None) -> Iterator[Project]:
    with tiny.project(tmp_path / "state", BOARD) as opened_project:
        learnt(opened_project, 0)
        yield opened_project


def test_nothing_is_tracked_unless_somebody_asks(tmp_path: Path) -> None:
    """Off by default: no process, no file, no warning."""
    with tiny.project(tmp_path / "state") as held:
        learnt(held, 0)
        assert not tracking.begin(held)
        assert tracking.problem(held) is None
        assert {"perdure.db", "perdure.toml", "model.py"} <= {
            p.name for p in held.directory.iterdir()
        }
        assert not (held.directory / "board").exists()


def test_each_update_is_told_once(project: Project) -> None:
    """With its accuracy on every span; what came since the last time goes next."""
    assert tracking.waits(project)
    assert tracking.send(project).problem is None
    assert not tracking.waits(project)
    learnt(project, 1)
    assert tracking.waits(project)
    tracking.send(project)
    tracking.send(project)
    course = scalars(project.directory / UPDATES, "accuracy")
    assert [1, 2] == [version for version, _ in course]
    verdict = project.database.one("SELECT report FROM verdicts WHERE version = 2")
    assert json.loads(verdict["report"])["accuracy"] == pytest.approx(course[1][1])
    assert 2 == len(scalars(project.directory / UPDATES, "span/1"))


def test_a_tracker_that_is_away_is_told_later(project: Project) -> None:
    """The failure is in the status, and the update is as if nothing had been."""
    wall = project.directory / "board"
    wall.write_text("a file is in the way")
    told = tracking.send(project)
    assert told.problem is not None
    assert any("updates are not tracked: tensorboard:board" in one for one in warnings(project))
    assert "done" == project.jobs.latest(1)[0].state
    wall.unlink()
    assert tracking.send(project).problem is None
    assert not any("tracked" in one for one in warnings(project))
    assert 1 == len(scalars(project.directory / UPDATES, "accuracy"))


def test_the_updater_starts_a_process_that_tells(tmp_path: Path) -> None:
    """It is not waited for; a second one is not started meanwhile."""
    with tiny.project(tmp_path / "state", BOARD) as held:
        began = time.monotonic()
        learnt(held, 0)
        assert not tracking.begin(held)
        while tracking.waits(held) and time.monotonic() - began < 90:
            time.sleep(0.1)
        assert tracking.told(held).problem is None
        assert 1 == len(scalars(held.directory / UPDATES, "accuracy"))


def test_a_failure_is_not_tried_again_at_once(project: Project, monkeypatch: object) -> None:
    """But after a minute."""
    (project.directory / "board").write_text("a file is in the way")
    ended = tracking.send(project).ended
    monkeypatch.undo()
    started: list[object] = []
    monkeypatch.setattr(tracking.subprocess, "Popen", lambda *a, **k: started.append(a) or Dummy())
    assert not tracking.begin(project)
    monkeypatch.setattr(tracking.time, "time", lambda: ended + tracking.RETRY_SECONDS + 1)
    assert tracking.begin(project)
    assert 1 == len(started)


class Dummy:
    """A process that has ended."""

    def wait(self) -> int:
        return 0


def test_a_process_that_cannot_begin_harms_nobody(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noted."""

    def none(*arguments: object, **named: object) -> None:
        raise OSError("no memory")

    monkeypatch.undo()
    monkeypatch.setattr(tracking.subprocess, "Popen", none)
    assert not tracking.begin(project)
    assert "no memory" in str(tracking.problem(project))


def test_versions_are_in_the_registry_under_their_aliases(tmp_path: Path, quiet: None) -> None:
    """The model's tensors alone: neither memory nor rows; and a promotion moves the aliases."""
    with tiny.project(tmp_path / "state", {"tracking": {"to": ["mlflow"]}}) as held:
        learnt(held, 0)
        assert tracking.send(held).problem is None
        learnt(held, 1)
        aliases = held.registry.aliases()
        tracking.send(held)
        client = opened("mlflow", held.directory).client
        there = {
            name: int(client.get_model_version_by_alias("tiny", name).tags["perdure.version"])
            for name in client.get_registered_model("tiny").aliases
        }
        assert aliases == there
        held.registry.rollback(actor="me", reason="to see")
        assert tracking.waits(held)
        tracking.send(held)
        champion = client.get_model_version_by_alias("tiny", "champion")
        assert "1" == champion.tags["perdure.version"]
        files = client.download_artifacts(champion.run_id, "version-1", str(tmp_path))
        assert set(held.load(1).model.state_dict()) == set(load_file(f"{files}/model.safetensors"))
        assert {"export.json", "model.py", "model.safetensors", "perdure.toml"} == {
            path.name for path in Path(files).iterdir()
        }


def test_the_verb_sends_at_once_and_says_what_came_of_it(project: Project) -> None:
    """Exit code 1 where a tracker was not told, 2 where there is none."""
    runner, where = CliRunner(), ["-C", str(project.directory)]
    done = runner.invoke(cli.app, ["track", *where, "--json"])
    assert (0, {"tensorboard:board": 1}) == (done.exit_code, json.loads(done.stdout)["jobs"])
    learnt(project, 1)
    (project.directory / "board" / "perdure.sent").unlink()
    (project.directory / "board" / "perdure.sent").mkdir()
    failed = runner.invoke(cli.app, ["track", *where])
    assert 1 == failed.exit_code
    assert "tensorboard:board: told up to update 1" in failed.stdout


def test_the_verb_says_where_there_is_nothing_to_tell(tmp_path: Path) -> None:
    """Before the first update, and where nobody asked for trackers."""
    runner = CliRunner()
    with tiny.project(tmp_path / "new", BOARD):
        pass
    done = runner.invoke(cli.app, ["track", "-C", str(tmp_path / "new")])
    assert (0, "no update has ended yet") == (done.exit_code, done.stdout.split(":")[0])
    tiny.written(tmp_path / "none")
    refused = runner.invoke(cli.app, ["track", "-C", str(tmp_path / "none")])
    assert 'put to = ["mlflow"] under [tracking]' in str(refused.exception)
