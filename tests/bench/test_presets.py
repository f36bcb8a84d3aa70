"""Every name of a method leads to that method, with settings that it takes."""

from __future__ import annotations

from itertools import product

import pytest

from perdure import methods
from perdure.bench import presets
from perdure.bench.settings import read_settings
from perdure.errors import InvalidValue
from perdure.method import Method

SCENARIOS = ("task", "domain", "class", "free")
ALL = tuple(presets.PRESETS)


def test_every_method_of_the_library_has_a_name() -> None:
    """Whoever adds a method adds its line here, or this fails."""
    named = {preset.make for preset in presets.PRESETS.values()}
    assert set() == {getattr(methods, name) for name in methods.__all__} - named


@pytest.mark.parametrize(("name", "scenario"), [*product(presets.PRESETS, SCENARIOS)])
def test_a_preset_makes_its_method_under_its_own_name(name: str, scenario: str) -> None:
    """With what it sets in any scenario, and with every value that tuning would try."""
    settings = presets.defaults(name, scenario)
    assert [*presets.find(name).beside, name] == [it.name for it in presets.make(name, settings)]
    for setting, values in presets.find(name).search.items():
        for value in values:
            *_, made = presets.make(name, {**settings, setting: value})
            assert value == getattr(made, setting)


def test_methods_with_a_memory_have_equal_ones() -> None:
    """Otherwise their accuracies say nothing about the methods."""
    sizes = {name: rows_kept(presets.make(name, presets.defaults(name, "class"))) for name in ALL}
    assert {0, presets.CAPACITY} == set(sizes.values())
    assert {"er", "der++", "gdumb", "gem", "bic", "wa"} <= {name for name in ALL if sizes[name]}


def test_what_stands_beside_a_method_is_set_by_its_own_name() -> None:
    """NAME.BESIDE.SETTING=VALUE; the rest takes the preset's."""
    assert ["aside", "decay", "er.capacity"] == list(presets.constructor_defaults("bic"))[:3]
    found = read_settings(["bic.er.capacity=90", "bic.aside=10"], ["bic"])["bic"]
    assert {"er.capacity": 90, "aside": 10} == found
    er, lwf, bic = presets.make("bic", {**presets.defaults("bic", "class"), **found})
    assert (90, 1.0, 10) == (er.capacity, lwf.strength, bic.aside)
    assert {"er.capacity": 40} == read_settings([], ["wa"], capacity=40)["wa"]
    with pytest.raises(InvalidValue, match=r"er\.capacity"):
        presets.check_settings("wa", {"capacity": 9})


def test_settings_are_read_as_numbers_words_and_nothing() -> None:
    """METHOD.NAME=VALUE, where a value is what JSON would read, or else a word."""
    found = read_settings(
        ["ewc.strength=1e3", "er.policy=balanced", "replay.rows=8", "gem.rows=null"],
        ["ewc", "er", "gem"],
    )
    assert {"strength": 1000.0} == found["ewc"]
    assert {"policy": "balanced", "rows": 8} == found["er"]
    assert {"rows": None} == found["gem"]


def test_one_capacity_is_for_every_method_with_a_memory() -> None:
    """And for no other; an assignment comes after it."""
    found = read_settings(["er.capacity=9"], ["naive", "er", "der++"], capacity=40)
    assert {"naive": {}, "er": {"capacity": 9}, "der++": {"capacity": 40}} == found


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("strength=3", "ewc.strength=100"),
        ("ewc.strength", "ewc.strength=100"),
        ("si.strength=3", "not among ewc"),
        ("ewc.power=3", "it has strength"),
        ("ewcc.strength=3", "did you mean 'ewc'"),
    ],
)
def test_a_wrong_assignment_is_refused(assignment: str, said: str) -> None:
    """With what it should look like, or what there is."""
    with pytest.raises(InvalidValue, match=said):
        read_settings([assignment], ["ewc"])


def rows_kept(made: list[Method]) -> int:
    """Rows that the methods of one learner may keep, those set aside included."""
    return sum(getattr(it, "capacity", 0) + getattr(it, "aside", 0) for it in made)
