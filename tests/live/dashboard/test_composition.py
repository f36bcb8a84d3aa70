"""What a version remembers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from safetensors import safe_open
from tests.live import tiny
from tests.live.dashboard import story

from perdure.live.keys import key
from perdure.live.project import Project
from perdure.live.service.dashboard.views import composition
from perdure.live.service.dashboard.views.composition import compositions
from perdure.memory import Memory


def test_counts_are_those_of_the_learners_memory(lived: Project) -> None:
    """Read from the file alone, they equal what loading the whole learner shows."""
    (found,) = compositions(lived, lived.registry.champion())
    memory = lived.load("champion").methods[0].parts()["memory"]
    assert isinstance(memory, Memory)
    rows = memory.rows()
    assert rows is not None
    assert (len(memory), memory.capacity) == (found.rows, found.capacity)
    wanted = {label: int((rows.y == label).sum()) for label in range(3)}
    assert wanted == {i: share.rows for i, share in enumerate(found.classes)}
    sources = rows.extras["source"]
    for share in found.sources:
        assert share.rows == int((sources == key(share.name)).sum())
    times = rows.extras["time"]
    assert (times.min(), times.max()) == (found.oldest, found.newest)


def test_method_and_policy_are_named(lived: Project) -> None:
    """ER keeps a reservoir."""
    (found,) = compositions(lived, lived.registry.champion())
    assert ("er", "Reservoir") == (found.method, found.policy)
    assert ["red", "green", "blue"] == [share.name for share in found.classes]


def test_the_features_of_rows_are_not_read(lived: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only columns of one number a row are, whatever the rows hold."""
    read: list[str] = []

    @contextmanager
    def opened(path: object, framework: str) -> Iterator[object]:
        with safe_open(path, framework=framework) as file:

            def column(name: str) -> object:
                read.append(name.rpartition("/")[2])
                return file.get_tensor(name)

            yield SimpleNamespace(keys=file.keys, get_tensor=column)

    monkeypatch.setattr(composition, "safe_open", opened)
    compositions(lived, lived.registry.champion())
    assert {"y", "source", "time"} == set(read)


def test_names_that_the_log_no_longer_knows_are_others(project: Project) -> None:
    """The memory holds numbers that stand for names."""
    project.database.transact(lambda c: c.execute("DELETE FROM rows WHERE source = 'kiosk'"))
    (found,) = compositions(project, project.registry.champion())
    assert {"camera", ""} == {share.name for share in found.sources}
    assert "" == found.sources[-1].name
    assert found.rows == sum(share.rows for share in found.sources)


def test_many_sources_are_named_up_to_a_number(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest; the rest is one."""
    monkeypatch.setattr(composition, "SHOWN", 1)
    (found,) = compositions(project, project.registry.champion())
    assert ["camera", ""] == [share.name for share in found.sources]
    assert found.rows == sum(share.rows for share in found.sources)


def test_a_method_without_a_memory_has_no_composition(tmp_path) -> None:
    """EWC keeps no row."""
    with tiny.project(tmp_path / "state", {"learner": {"methods": [{"name": "EWC"}]}}) as project:
        project.log.append(tiny.rows(0, 30)).result()
        made = project.registry.get(story.version(project))
        assert [] == compositions(project, made)


def test_a_memory_that_is_empty_has_its_capacity(tmp_path) -> None:
    """And every class with no row."""
    with tiny.project(tmp_path / "state") as project:
        (found,) = compositions(project, project.registry.get(story.version(project)))
    assert (0, 12, 0) == (found.rows, found.capacity, found.most)
    assert [0, 0, 0] == [share.rows for share in found.classes]
    assert (None, None) == (found.oldest, found.newest)


def test_a_version_whose_files_are_gone_shows_nothing(project: Project) -> None:
    """Rather than an error."""
    held = project.registry.get(1)
    project.registry.prune(keep=0)
    assert [] == compositions(project, project.registry.get(held.version))
