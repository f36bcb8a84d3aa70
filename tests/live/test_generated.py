"""Replay without rows in the live loop: the past is drawn from what is known of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.live import tiny
from tests.live.test_no_retention import found, made, texts, turned

from perdure.live.project import Project

GENERATED = '{ name = "GenerativeReplay", hidden = 16, latent = 4 }'
FEATURES = '{ name = "FeatureReplay" }'


@pytest.fixture(autouse=True)
def _quick():
    with tiny.quick_gate():
        yield


def opened(directory: Path, methods: str) -> Project:
    """A project that may keep no row; for `FeatureReplay` its backbone is frozen."""
    project = made(directory, methods)
    if methods == FEATURES:
        file = directory / "model.py"
        text = file.read_text("utf-8")
        frozen = text.replace(
            "backbone = Trigrams()", "backbone = Trigrams().requires_grad_(False)"
        )
        assert frozen != text
        file.write_text(frozen, "utf-8")
    return project


@pytest.mark.parametrize("methods", [GENERATED, FEATURES], ids=["generated", "features"])
def test_no_byte_of_a_row_is_left_while_the_past_is_replayed(tmp_path: Path, methods: str) -> None:
    """After two updates, the second of which replays the first; open and closed."""
    with opened(tmp_path, methods) as project:
        for first in (0, 30):
            project.log.append(texts(first, 30)).result()
            assert {*range(first, first + 30)} == found(project)
            assert "promote" == turned(project)
            assert set() == found(project)
        held = project.load("champion").methods[0]
        assert 0 < held.state_bytes()
        assert 0 == project.database.value("SELECT count(*) FROM rows")
    assert set() == found(project)


@pytest.mark.parametrize("methods", [GENERATED, FEATURES], ids=["generated", "features"])
def test_what_was_learnt_is_still_known_after_another_update(tmp_path: Path, methods: str) -> None:
    """The loop goes on from what the methods know, not from rows."""
    with opened(tmp_path, methods) as project:
        for first in (0, 100):
            project.log.append(texts(first, 100)).result()
            turned(project)
        learner = project.load("champion")
        encoded = [project.schema.encode(row.features) for row in texts(1000, 20)]
        rows = np.frombuffer(b"".join(encoded), np.uint8).reshape(20, -1)
        told = learner.predict(project.schema.decode(rows)).argmax(1).tolist()
        assert sum(label == n % 2 for n, label in enumerate(told)) >= 17
