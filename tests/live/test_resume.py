"""An update that was interrupted equals one that was not, bit for bit: state = fold(log)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.live import tiny

from perdure.live import update
from perdure.live.jobs import Job
from perdure.live.labels import Label
from perdure.live.project import Project
from perdure.live.rows import Row
from perdure.measure.meter import Meter

ROWS = 60
SAID = {
    "reservoir, dropout and momentum": {},
    "adam and a memory by class": {
        "learner": {
            "optimizer": "adam",
            "methods": [{"name": "ER", "capacity": 9, "policy": "balanced"}],
        }
    },
    "several passes": {"learner": {"epochs": 3}},
    "a number of steps": {"learner": {"steps": 11}},
    "a penalty that looks back": {"learner": {"methods": [{"name": "EWC", "strength": 10.0}]}},
    "memory of logits": {"learner": {"methods": [{"name": "DERpp", "capacity": 20}]}},
    "rows written where a task ends": {
        "learner": {"methods": [{"name": "ER", "capacity": 9, "write": "boundary"}]}
    },
    "tasks": {"schema": {"tasks": True}, "learner": {"boundaries": "task"}},
    "no boundaries": {"learner": {"boundaries": "never"}},
    "caps": {
        "abuse": {"max_source_share": 0.4},
        "retention": {"memory_days": 1e-3, "memory_rows_per_subject": 1},
    },
}


def rows(first: int, count: int) -> list[Row]:
    return [
        replace(
            tiny.row(n, subject=f"subject-{n % 17}", source=f"source-{n % 3 == 0}"),
            task=n * 3 // ROWS % 2,
            event_time=float(60 * n),
        )
        for n in range(first, first + count)
    ]


def asked(project: Project) -> Job:
    """A planned update."""
    return update.plan(project, project.jobs.ask("update", "to test", "me"))


def cut_at(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """The process ends before this batch, counted from 1, is learnt."""
    observe, count = Meter.observe, 0

    def observed(self: Meter, rows):
        nonlocal count
        count += 1
        if count == batch:
            raise KeyboardInterrupt
        return observe(self, rows)

    monkeypatch.setattr(Meter, "observe", observed)


def learnt(directory: Path, said, cuts: tuple[int, ...] = ()) -> str:
    """What two updates make of the log; the second is cut before each of these batches in turn."""
    with tiny.project(directory, said) as project:
        project.log.append(rows(0, ROWS)).result()
        assert "done" == tiny.updated(project).state
        project.log.append(rows(ROWS, ROWS)).result()
        job = asked(project)
    for batch in cuts:
        with pytest.MonkeyPatch.context() as patch, Project(directory) as project:
            cut_at(patch, batch)
            torch.rand(batch)  # another process has another past
            with pytest.raises(KeyboardInterrupt):
                update.fold(project, project.jobs.get(job.id))
    with Project(directory) as project:
        torch.rand(5)
        made = update.fold(project, project.jobs.get(job.id))
        return tiny.digest(made.learner.state_dict())


@pytest.mark.parametrize("name", SAID)
def test_a_resumed_update_equals_one_that_was_not_interrupted(tmp_path: Path, name: str) -> None:
    """Model, optimiser, memories, importance, generators and counters, wherever it was cut."""
    whole = learnt(tmp_path / "whole", SAID[name])
    assert whole == learnt(tmp_path / "cut", SAID[name], (3, 1, 2))


def test_every_place_to_be_cut_gives_the_same(tmp_path: Path) -> None:
    """Between any two batches, and between the last and the end."""
    said = SAID["tasks"]
    whole = learnt(tmp_path / "whole", said)
    for batch in range(2, 7):
        assert whole == learnt(tmp_path / f"cut-{batch}", said, (batch,))


def test_without_a_checkpoint_an_update_begins_again(tmp_path: Path) -> None:
    """What was learnt since the last checkpoint is learnt again, and nothing twice."""
    said = {"update": {"checkpoint_seconds": 1000.0}}
    assert learnt(tmp_path / "whole", said) == learnt(tmp_path / "cut", said, (4, 2))


@pytest.mark.parametrize("name", ["reservoir, dropout and momentum", "tasks", "caps"])
def test_the_same_log_gives_the_same_model(tmp_path: Path, name: str) -> None:
    """Whatever the process did before, and however the rows were grouped as they came."""

    def made(directory: Path, group: int) -> list[str]:
        with tiny.project(directory, SAID[name]) as project:
            for first in range(0, 2 * ROWS, group):
                torch.rand(group)
                project.log.append(rows(first, group)).result()
                if (first + group) % ROWS == 0:
                    assert "done" == tiny.updated(project).state
            return [tiny.digest(project.registry.load(v.version)) for v in project.registry.all()]

    one, other = made(tmp_path / "one", 20), made(tmp_path / "other", 3)
    assert 2 == len(one)
    assert one == other


def test_a_label_that_changes_while_an_update_is_down_waits_for_the_next(tmp_path: Path) -> None:
    """The resumed update learns what it began with; the next one learns the new label instead."""
    with tiny.project(tmp_path, {"learner": {"methods": [{"name": "ER", "capacity": 500}]}}) as p:
        p.log.append(rows(0, ROWS)).result()
        job, first = asked(p), p.log.examples(0, p.log.head())
        changed = int(first.positions[-1])
        name = f"row-{changed - 1}"
        with pytest.MonkeyPatch.context() as patch:
            cut_at(patch, 3)
            with pytest.raises(KeyboardInterrupt):
                update.fold(p, job)
        given = tiny.CLASSES[(tiny.CLASSES.index(tiny.row(changed - 1).label) + 1) % 3]
        p.labels.give([Label(name, given)]).result()
        assert "done" == tiny.updated(p).state
        assert "done" == tiny.updated(p).state
        key = first.batch.extras["row"][-1]

        def held(version: int) -> list[int]:
            memory = p.load(version).methods[0].memory.rows()
            return memory.y[memory.extras["row"] == key].tolist()

        assert [first.batch.y[-1].item()] == held(1)
        assert [p.classes().index(given)] == held(2)


def test_a_checkpoint_is_of_its_own_plan(tmp_path: Path) -> None:
    """One that was left for other examples is not gone on with."""
    with tiny.project(tmp_path) as project:
        project.log.append(rows(0, ROWS)).result()
        job = asked(project)
        with pytest.MonkeyPatch.context() as patch:
            cut_at(patch, 3)
            with pytest.raises(KeyboardInterrupt):
                update.fold(project, job)
        half = replace(job, upto=ROWS // 2)
        resumed = update.fold(project, half).learner.state_dict()
        update.path_of(project, job).unlink()
        assert tiny.digest(update.fold(project, half).learner.state_dict()) == tiny.digest(resumed)


def test_a_model_that_raises_fails_its_job_and_the_loop_goes_on(tmp_path: Path) -> None:
    """The reason is kept, the checkpoint is not, and the next update learns the rows."""
    with tiny.project(tmp_path) as project:
        project.log.append(rows(0, ROWS)).result()
        model = tmp_path / "model.py"
        model.write_text(tiny.MODEL.replace("nn.Dropout(0.1)", "nn.Linear(3, 3)"))
        job = tiny.updated(project)
        assert "failed" == job.state
        assert "shapes cannot be multiplied" in job.error
        model.write_text(tiny.MODEL)
        assert "done" == tiny.updated(project).state
        assert [] == list((tmp_path / "work").glob("*.safetensors"))
