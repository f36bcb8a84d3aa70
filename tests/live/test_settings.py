"""What `perdure.toml` may not say: each is refused by its name, with the value and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.live import tiny

from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.live.project import Project
from perdure.live.settings import Settings

SCHEMA = 'kind = "tensor"\nshape = [4]\nclasses = ["a", "b"]\n'


def parsed(section: str, line: str, schema: str = SCHEMA) -> Settings:
    return Settings.parse(f"[schema]\n{schema}\n[{section}]\n{line}")


@pytest.mark.parametrize(
    ("section", "line", "said"),
    [
        ("gate", "repair = [0.5, 1.5]", "gate.repair.1 is 1.5: Input should be less than 1"),
        ("gate", "max_latency_ratio = inf", "gate.max_latency_ratio is inf: .*finite"),
        ("learner", "lr = inf", "learner.lr is inf: .*finite"),
        ("learner", "epochs = 2\nsteps = 3", "learner: give epochs or steps, not both"),
        ("log", "keep_rows = 10000000000000000000000", "log.keep_rows is 1.*below 2.63"),
        ("log", "max_rows = 5", "keep_rows is 100000 and log.max_rows is 5.*below max_rows"),
        ("triggers", "count = 1000001", "triggers.count is 1000001 and log.max_rows is 1000000"),
        ("triggers", "min_rows = 1000001", "triggers.min_rows is 1000001 and log.max_rows"),
        ("triggers", 'schedule = "0 0 31 2 *"', "triggers.schedule is '0 0 31 2 .*mend day"),
        ("triggers", 'schedule = "at night"', "triggers.schedule is 'at night': .*cron"),
        ("update", "threads = 1000000000", "update.threads is 1000000000: .*1024"),
        ("update", 'device = "gpu7"', "update.device is 'gpu7': .*give auto, cpu, cuda"),
        ("serve", "max_batch = 1000000000000", "serve.max_batch is 1000000000000: .*65536"),
        ("tracking", 'to = ["wandb"]', "tracking.to.0 is 'wandb': .*mlflow"),
        ("labels", 'default = "c"', "labels.default is 'c'; the classes are closed: 'a', 'b'"),
        ("more", "x = 1", "more is no setting"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(section: str, line: str, said: str) -> None:
    """And nothing else of the file is told with it."""
    with pytest.raises(InvalidValue, match=said) as refused:
        parsed(section, line)
    assert len(str(refused.value)) < 300


def test_a_default_label_has_room_whenever_it_is_given() -> None:
    """Where other classes could be as many as there may be before it is the first time given."""
    line, schema = 'default = "none"', 'kind = "text"\nlength = 9\nopen = true\n'
    assert "none" == parsed("labels", line, schema).labels.default
    with pytest.raises(InvalidValue, match=r"default is 'none'.*name it in schema\.classes"):
        parsed("labels", line, f"{schema}max_classes = 5")
    parsed("labels", line, f'{schema}max_classes = 5\nclasses = ["none"]')


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({"name": "ER", "capacity": -1}, "learner.methods: .*capacity"),
        ({"name": "EWCC"}, "learner.methods: 'EWCC' is none of"),
        ({"name": "ER", "size": 10}, "learner.methods: .*size"),
        ({"capacity": 10}, "learner.methods: None is none of"),
    ],
)
def test_a_method_that_cannot_be_made_is_refused_when_the_project_is_opened(
    tmp_path: Path, method: dict[str, object], said: str
) -> None:
    """And not by an update in the night."""
    tiny.written(tmp_path, {"learner": {"methods": [method]}})
    with pytest.raises(InvalidValue, match=said):
        Project(tmp_path)
    assert not (tmp_path / "perdure.db").exists()


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """By its name, as is a directory that is a file."""
    file = tiny.written(tmp_path) / "perdure.toml"
    file.write_bytes(file.read_text().replace("red", "r\u00e9d").encode("latin-1"))
    with pytest.raises(InvalidValue, match=r"perdure\.toml is not UTF-8"):
        Project(tmp_path)
    with pytest.raises(InvalidValue, match="is not there"):
        Project(file)


def test_another_seed_would_hold_out_others(tmp_path: Path) -> None:
    """Subjects whose rows were learnt would be asked, and those held out be learnt."""
    with tiny.project(tmp_path) as project:
        project.log.append([tiny.row(n, subject=f"s{n % 10}") for n in range(30)]).result()
    changed = {"": {**tiny.SETTINGS[""], "seed": 8}}
    with pytest.raises(CheckpointMismatch, match=r"seed is 8 and .* began with 7"):
        tiny.project(tmp_path, changed)
    with tiny.project(tmp_path) as project:
        project.log.append([tiny.row(n, subject=f"s{n % 10}") for n in range(30, 60)]).result()
        found = "SELECT count(DISTINCT part) AS parts FROM rows GROUP BY subject"
        assert {1} == {row["parts"] for row in project.database.read(found)}
