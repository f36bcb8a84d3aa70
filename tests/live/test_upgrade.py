"""What was written by another perdure is read, or refused with a sentence; never misread."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tests.live import tiny

from perdure.errors import CheckpointMismatch
from perdure.live import registry, tables
from perdure.live.project import Project


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """With one version."""
    with tiny.project(tmp_path) as project:
        project.log.append(tiny.rows(0, 40)).result()
        tiny.updated(project)
    return tmp_path


def stamped(directory: Path, number: int) -> None:
    """Let the manifest of version 1 say another format, as if it had been written so."""
    path = directory / "versions" / "1" / registry.MANIFEST
    said = {**json.loads(path.read_bytes()), "format": number}
    path.write_text(json.dumps(said), "utf-8")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with Project(directory) as project:
        sql = "UPDATE versions SET digest = ? WHERE version = 1"
        project.database.transact(lambda c: c.execute(sql, (digest,)))


def test_a_version_of_a_newer_perdure_is_refused_readably(directory: Path) -> None:
    """With both formats and what to do; one of this format is loaded."""
    stamped(directory, registry.FORMAT)
    with Project(directory) as project:
        project.load(1)
    stamped(directory, registry.FORMAT + 1)
    with Project(directory) as project, pytest.raises(CheckpointMismatch) as refused:
        project.load(1)
    said = f"has format {registry.FORMAT + 1}, written by a newer perdure; this one reads"
    assert said in str(refused.value)
    assert "upgrade perdure" in str(refused.value)


def test_every_file_says_its_format(directory: Path) -> None:
    """The database and each version."""
    with Project(directory) as project:
        assert tables.FORMAT == project.database.value("PRAGMA user_version")
        assert registry.FORMAT == project.registry.check(1)["format"]


def test_rows_of_another_schema_are_not_misread(directory: Path) -> None:
    """A changed schema is refused before a row is read; taken back, all is there."""
    said = (directory / "perdure.toml").read_text("utf-8")
    (directory / "perdure.toml").write_text(said.replace("shape = [4]", "shape = [2]"), "utf-8")
    with pytest.raises(CheckpointMismatch, match="take the change"):
        Project(directory)
    (directory / "perdure.toml").write_text(said, "utf-8")
    with Project(directory) as project:
        assert 40 == project.database.value("SELECT count(*) FROM rows")
