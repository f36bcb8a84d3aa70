"""Streams of the past: only what is over is learnt, and nothing that anybody else measures on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.live import tiny

from perdure.bench import Experiment, build
from perdure.bench.presets import CAPACITY, defaults
from perdure.errors import Impossible, InvalidValue
from perdure.folding import Schedule
from perdure.live.project import Project
from perdure.live.settings import LearnerSettings, Settings
from perdure.measure import Cost
from perdure.streams import load
from perdure.tune import STAYS, Budget, Candidate, LabSource, choose, search, settings
from perdure.tune.replay import HELD_OUT, ReplaySource, _divided, _parts
from perdure.tune.report import Found, choices, table, write_page
from perdure.tune.source import stands

SMALL = Experiment("digits", tasks=5, hidden=(8,), schedule=Schedule(16, steps=4))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a project that has learnt sixty rows of four in three updates, and has twenty new ones."""
    path = tmp_path_factory.mktemp("live") / "state"
    with tiny.project(path) as project:
        for part in range(3):
            project.log.append(tiny.rows(40 * part, 40)).result()
            tiny.updated(project)
        assert 3 == project.registry.champion().version
        project.log.append(tiny.rows(200, 20)).result()
    return path


@pytest.fixture
def replayed(directory: Path) -> Iterator[ReplaySource]:
    with Project(directory) as project:
        yield ReplaySource.of(project, ("er", "naive"))
    _parts.cache_clear()


def test_a_stream_of_the_lab_is_measured_on_training_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its test rows may say what they will: nothing changes."""
    source = LabSource(SMALL, ("er",))
    candidate = source.space().usual("er")
    found = [*source.simulate(candidate)]
    assert [0, 1, 2, 3, 4] == [one.span for one in found]
    assert found[0].forgetting == 0.0
    assert found[0].flops < found[1].flops < found[2].flops
    data = load("digits")
    noise = replace(data, test_x=torch.zeros_like(data.test_x), test_y=data.test_y.flip(0))
    monkeypatch.setattr(build, "loaded", lambda name, _: noise)
    again = [*source.simulate(candidate)]
    assert [one.accuracy for one in found] == [one.accuracy for one in again]


def test_every_candidate_of_the_lab_makes_the_same_updates() -> None:
    """Naive's FLOPs are those of its schedule; a method that learns closed forms has none."""
    source = LabSource(SMALL, ("naive",))
    slow, fast = (replace(source.space().usual("naive"), lr=lr) for lr in (1e-4, 1e-2))
    assert [o.flops for o in source.simulate(slow)] == [o.flops for o in source.simulate(fast)]


def test_what_cannot_work_in_a_scenario_is_refused() -> None:
    """Before anything is learnt."""
    source = LabSource(SMALL, ("packnet",))
    with pytest.raises(Impossible):
        source.check(source.space().usual("packnet"))


def test_a_replay_has_the_updates_as_they_were(replayed: ReplaySource, directory: Path) -> None:
    """Their ends are the cuts; what is not learnt yet is not in it, nor what the project holds."""
    with Project(directory) as project:
        champion = project.registry.champion()
        versions = [one.upto for one in project.registry.all()]
        train = project.log.examples(0, champion.upto)
        evaluation = {r["key"] for r in project.database.read("SELECT key FROM evaluation")}
    assert (*replayed.cuts[1:],) == (*versions,)
    parts = _parts(replayed.directory, replayed.cuts)
    used = [key for part in parts for key in part.batch.extras["row"].tolist()]
    assert used == train.batch.extras["row"].tolist()
    assert not evaluation & set(used)


def test_a_replay_holds_out_rows_of_every_span(replayed: ReplaySource) -> None:
    """About a fifth, the same ones every time, and each row is on one side."""
    shares = []
    for part in _parts(replayed.directory, replayed.cuts):
        train, held = _divided(part)
        sides = [set(side.extras["row"].tolist()) for side in (train, held)]
        assert not sides[0] & sides[1]
        assert sides[0] | sides[1] == set(part.batch.extras["row"].tolist())
        shares.append(len(held) / len(part))
    assert HELD_OUT / 3 < sum(shares) / len(shares) < 2.5 * HELD_OUT


def test_a_replay_is_the_same_every_time(replayed: ReplaySource) -> None:
    """Whatever random numbers were drawn in between; and learning helps."""
    candidate = replayed.space().usual("er")
    one, two = ([*replayed.simulate(candidate)] for _ in range(2))
    assert [replace(a, seconds=0.0) for a in one] == [replace(b, seconds=0.0) for b in two]
    assert one[0].before is not None
    assert one[-1].before is not None
    assert one[0].before < one[-1].before
    assert one[0].flops < one[-1].flops


def test_a_replay_may_be_cut_in_equal_parts(directory: Path) -> None:
    """Of rows, so that nothing is left out."""
    with Project(directory) as project:
        source = ReplaySource.of(project, count=5)
        upto = project.registry.champion().upto
    sizes = [len(part) for part in _parts(source.directory, source.cuts)]
    assert (5, upto) == (len(sizes), source.cuts[-1])
    assert max(sizes) - min(sizes) <= 1
    assert 5 == len([*source.simulate(source.present())])


def test_what_is_in_use_is_known(directory: Path, tmp_path: Path) -> None:
    """One method by its preset and its arguments; several stay as they are."""
    with Project(directory) as project:
        source = ReplaySource.of(project)
    assert (("er",), Candidate("er", {"capacity": 12}, 0.05)) == (source.methods, source.present())
    two = [{"name": "ER", "capacity": 5}, {"name": "LwF"}]
    there = tiny.written(tmp_path / "two", {"learner": {"methods": two}})
    source = ReplaySource(str(there), (0, 1), (STAYS,))
    assert Candidate(STAYS, {}, 0.05) == source.present()
    source.check(source.space().usual(STAYS))


def test_there_is_nothing_to_replay_before_the_first_update(tmp_path: Path) -> None:
    """The message says what to do."""
    with (
        tiny.project(tmp_path / "new") as project,
        pytest.raises(InvalidValue, match="holds 0 rows that were learnt"),
    ):
        ReplaySource.of(project)


def test_the_winner_goes_into_the_settings(tmp_path: Path, directory: Path) -> None:
    """Methods and learning rate change; every comment and every other setting stays."""
    text = (directory / "perdure.toml").read_text().replace("lr = 0.05", "lr = 0.05  # a rate")
    text = text.replace("[evaluation]", "# what is held out\n[evaluation]")
    candidate = Candidate("der++", {"alpha": 0.25, "capacity": 40}, 0.0123456)
    made = settings.rewritten(text, candidate)
    assert "lr = 0.01235  # a rate" in made
    assert "# what is held out\n[evaluation]" in made
    before, after = Settings.parse(text), Settings.parse(made)
    assert ({"name": "DERpp", "alpha": 0.25, "capacity": 40},) == after.learner.methods
    assert before.learner.batch_size == after.learner.batch_size
    assert before.model_copy(update={"learner": after.learner}) == after
    assert made == settings.rewritten(made, candidate)


def test_tables_of_methods_and_absent_sections_are_rewritten_too(directory: Path) -> None:
    """However the file is laid out."""
    candidate = Candidate("er", {"capacity": 9}, 0.5)
    schema = '[schema]\nkind = "tensor"\nshape = [4]\nclasses = ["a", "b"]\n'
    for tail in ("", "[learner]\n[[learner.methods]]\nname = 'LwF'\n[labels]\n"):
        made = Settings.parse(settings.rewritten(schema + tail, candidate))
        assert ({"name": "ER", "capacity": 9},) == made.learner.methods
        assert 0.5 == made.learner.lr
    assert "" == settings.patch(directory, Candidate("er", {"capacity": 12}, 0.05))
    change = settings.patch(directory, Candidate("er", {"capacity": 12}, 0.5))
    assert "-lr = 0.05\n+lr = 0.5" in change
    assert not settings.begins_anew(directory, candidate)
    assert settings.begins_anew(directory, Candidate("der++", {}, 0.5))


def test_methods_that_stand_beside_each_other_are_written_so() -> None:
    """Each with the arguments that are its own, in the order in which they are made."""
    said = settings.configured(LearnerSettings(), Candidate("wa", defaults("wa", "class"), 0.1))
    assert ["ER", "LwF", "WA"] == [one["name"] for one in said.methods]
    assert (CAPACITY, 1.0) == (said.methods[0]["capacity"], said.methods[1]["strength"])


def test_an_update_goes_on_with_what_was_written(tmp_path: Path, directory: Path) -> None:
    """The champion's state fits another learning rate and a larger memory of the same methods."""
    from shutil import copytree

    path = Path(copytree(directory, tmp_path / "copy"))
    settings.write(path, Candidate("er", {"capacity": 24}, 0.01))
    with Project(path) as project:
        assert "done" == tiny.updated(project).state
        assert 4 == project.registry.last().version
    assert [] == [p.name for p in path.iterdir() if p.name.endswith(".part")]


def test_a_search_is_told_as_table_page_and_values(replayed: ReplaySource, tmp_path: Path) -> None:
    """The winner first, the front, every trial, and the choices that a comparison reads."""
    outcomes = search(replayed, tmp_path, Budget(5), first=[replayed.present()])
    found = Found("tiny", tuple(outcomes), choose(outcomes), "accuracy", {"gem": "why <not>"})
    page = write_page(found, tmp_path / "report.html").read_text()
    assert str(found.winner.candidate) in page
    assert "why &lt;not&gt;" in page
    assert 2 == page.count('role="img"')
    assert "src=" not in page
    assert "http" not in page
    assert len(found.front) == table(found).row_count
    assert 5 == len(json.loads(json.dumps(found.to_dict()))["trials"])
    chosen = choices(found, "class")
    assert found.winner.candidate.method == chosen[0].method
    assert {"er", "naive"} == {one.method for one in chosen}
    assert 5 == sum(one.trials for one in chosen)


def test_a_standing_is_that_of_the_accuracy_matrix() -> None:
    """By hand: after two spans, the first fell from 0.8 to 0.6; a span without an answer is 0."""
    found = stands([(0.8, None), (0.6, 0.9)], 0.2, Cost(flops=7))
    assert (0.75, pytest.approx(0.2), 7) == (found.accuracy, found.forgetting, found.flops)
    assert 0.3 == stands([(0.8,), (0.6, None)], None, Cost()).accuracy
