"""`[retention] raw = false`: once an update has seen them, rows are nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tests.live import tiny

from perdure.errors import Impossible
from perdure.live import anchor, conclusion, evaluation, updater
from perdure.live.labels import Label
from perdure.live.project import Project
from perdure.live.rows import Row
from perdure.live.start import begin

SETTINGS = """
name = "texts"
[schema]
kind = "text"
length = 32
classes = ["question", "answer"]
[learner]
methods = [{methods}]
lr = 0.01
epochs = 8
[log]
segment_bytes = 4096
[retention]
raw = false
[triggers]
count = 10
[gate]
min_rows = {min_rows}
margin = 0.9
max_bwt_drop = 0.9
max_latency_ratio = 1e9
{more}
"""
FORMS = tuple(map(np.dtype, ("uint8", "int32", "int64", "float32", "float64")))
KEPT = '{ name = "LwF", strength = 0.5 }, { name = "SI", strength = 0.1 }'


def made(directory: Path, methods: str = KEPT, min_rows: int = 2, more: str = "") -> Project:
    """A project for texts that may keep none of them."""
    begin(directory, "text", scratch=True)
    model = (directory / "model.py").read_text("utf-8").replace("2**14", "2**9")
    (directory / "model.py").write_text(model, "utf-8")
    said = SETTINGS.format(methods=methods, min_rows=min_rows, more=more)
    (directory / "perdure.toml").write_text(said, "utf-8")
    return Project(directory)


def texts(first: int, count: int, labelled: bool = True) -> list[Row]:
    """Texts that are found wherever they are."""
    return [
        Row(f"t-{n}", canary(n), ("question", "answer")[n % 2] if labelled else None)
        for n in range(first, first + count)
    ]


def canary(number: int) -> str:
    return f"{'what' if number % 2 == 0 else 'that'} canary-{number:05d} sings"


def found(project: Project) -> set[int]:
    """Whose bytes are in any file, as they came or as the numbers that a model is given."""
    files = [path for path in project.directory.rglob("*") if path.is_file()]
    held = b"".join(path.read_bytes() for path in files)
    return {number for cell in FORMS for number in numbers(held, cell)}


def numbers(held: bytes, cell: np.dtype) -> set[int]:
    """The canaries whose characters are in the bytes as numbers of a type."""
    name, scale = np.frombuffer(b"canary-", np.uint8), 255 if cell.kind == "f" else 1
    pattern, size = (name.astype(cell) / scale).astype(cell).tobytes(), 5 * cell.itemsize
    places = [match.end() for match in re.finditer(re.escape(pattern), held)]
    digits = [np.frombuffer(held[place : place + size], cell) * scale for place in places]
    return {int(bytes(np.rint(five).astype(np.uint8))) for five in digits}


@pytest.fixture(autouse=True)
def _quick():
    with tiny.quick_gate():
        yield


def turned(project: Project) -> str:
    """The word of the gate on what the updater made."""
    job = updater.turn(project)
    assert "done" == job.state, job.error
    return conclusion.verdict_of(project, job).word


def test_after_an_update_no_byte_of_a_row_is_left(tmp_path: Path) -> None:
    """Neither of those learnt nor of those held out, in no file, while it is open and after."""
    with made(tmp_path) as project:
        project.log.append(texts(0, 30)).result()
        assert set(range(30)) == found(project)
        assert "promote" == turned(project)
        assert set() == found(project)
        assert 0 == project.database.value("SELECT count(*) FROM rows")
        project.log.append(texts(30, 30)).result()
        assert "promote" == turned(project)
        assert [30, 60] == [version.upto for version in project.registry.all()]
        assert set() == found(project)
    assert set() == found(project)


def test_what_was_learnt_is_still_known(tmp_path: Path) -> None:
    """The model, and what its methods know of the past without having it."""
    with made(tmp_path) as project:
        project.log.append(texts(0, 200)).result()
        turned(project)
        learner = project.load("champion")
        encoded = [project.schema.encode(row.features) for row in texts(1000, 20)]
        rows = np.frombuffer(b"".join(encoded), np.uint8).reshape(20, -1)
        told = learner.predict(project.schema.decode(rows)).argmax(1).tolist()
        assert sum(label == n % 2 for n, label in enumerate(told)) >= 17


@pytest.mark.parametrize("more", ["max_step = 1e-12", "floor = 0.99\nconfidence = 0.999"])
def test_nothing_is_left_whatever_the_gate_says(tmp_path: Path, more: str) -> None:
    """A refused version's rows are not set aside: they are gone, and cannot be released."""
    with made(tmp_path, more=more) as project:
        project.log.append(texts(0, 30)).result()
        turned(project)
        project.log.append(texts(30, 30)).result()
        assert "promote" != turned(project)
        assert set() == found(project)
        assert 0 == conclusion.release(project, "me", "to see")


def test_an_undecided_version_is_what_the_next_update_goes_on_from(tmp_path: Path) -> None:
    """The rows that it learnt are gone, and what it knows of them is all there is."""
    with made(tmp_path, min_rows=1000) as project:
        for first in (0, 30, 60):
            project.log.append(texts(first, 30)).result()
            turned(project)
        first, second, third = project.registry.all()
        assert ("blessed", "undecided", "undecided") == (first.state, second.state, third.state)
        assert (1, 2) == (second.parent, third.parent)
        assert (60, 90) == (third.after, third.upto)


def test_rows_wait_for_their_label_and_for_their_update(tmp_path: Path) -> None:
    """And go once it has come; a backlog goes piece by piece."""
    with made(tmp_path, more="[update]\nmax_rows = 15") as project:
        project.log.append(texts(0, 5, labelled=False)).result()
        project.log.append(texts(5, 30)).result()
        turned(project)
        upto = project.registry.champion().upto
        waiting = set(range(5)) | set(range(5 + upto, 35))
        assert waiting == found(project)
        names = ("question", "answer")
        project.labels.give([Label(f"t-{n}", names[n % 2]) for n in range(5)]).result()
        while project.log.count(project.registry.champion().upto):
            project.jobs.ask("update", "the rest", "me")
            turned(project)
        assert set() == found(project)


def test_the_operators_anchor_stays(tmp_path: Path) -> None:
    """It is theirs to keep; everybody else's held-out rows go."""
    with made(tmp_path) as project:
        anchor.pin(project, texts(900, 4), "operator")
        project.log.append(texts(0, 30)).result()
        turned(project)
        assert set(range(900, 904)) == found(project)
        assert 4 == len(evaluation.read(project).x)
        assert "promote" == turned_again(project)


def turned_again(project: Project) -> str:
    project.log.append(texts(30, 30)).result()
    return turned(project)


@pytest.mark.parametrize("name", ["ER", "ERACE", "DER", "DERpp", "ICaRL", "AGEM", "GEM", "GDumb"])
def test_methods_that_keep_rows_are_refused(tmp_path: Path, name: str) -> None:
    """Before the first row is learnt, with what would fit instead."""
    with made(tmp_path, f'{{ name = "{name}", capacity = 100 }}') as project:
        with pytest.raises(Impossible, match="none may be kept"):
            project.learner()
        project.log.append(texts(0, 30)).result()
        assert "none may be kept" in updater.turn(project).error
        assert [] == project.registry.all()


@pytest.mark.parametrize("name", ["LwF", "EWC", "OnlineEWC", "SI", "MAS"])
def test_methods_that_keep_none_are_not(tmp_path: Path, name: str) -> None:
    """They know the past by its traces."""
    with made(tmp_path, f'{{ name = "{name}", strength = 1.0 }}') as project:
        assert [name] == [type(method).__name__ for method in project.learner().methods]
