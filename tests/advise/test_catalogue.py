"""What there is to recommend: every method of this version, and none that it does not have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from perdure import methods
from perdure.advise.architecture import Architecture
from perdure.advise.catalogue import RANKINGS, REFERENCES, catalogue, ranking
from perdure.advise.compatibility import judge
from perdure.bench.presets import PRESETS
from perdure.method import Method, Needs
from perdure.scenario import Scenario

EACH = pytest.mark.parametrize("scenario", Scenario)


class Novel(Method):
    """Do something that nobody has compared yet.

    It keeps rows.
    """

    needs = Needs(raw_rows=True)


@pytest.fixture
def novel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A version of perdure with one method more."""
    monkeypatch.setattr(methods, "Novel", Novel, raising=False)
    monkeypatch.setattr(methods, "__all__", [*methods.__all__, "Novel"])
    catalogue.cache_clear()
    yield
    catalogue.cache_clear()


@EACH
def test_the_catalogue_has_each_method_of_the_package_once(scenario: Scenario) -> None:
    """By its own name, in alphabetical order."""
    found = catalogue(scenario)
    assert len(methods.__all__) == len(found)
    assert list(found) == sorted(found)
    assert all(name == method.name for name, method in found.items())


@EACH
def test_nothing_is_ranked_that_does_not_exist(scenario: Scenario) -> None:
    """Nor twice, nor among the yardsticks."""
    names = [rank.method for rank in RANKINGS[scenario]]
    assert set(names) <= set(catalogue(scenario))
    assert len(names) == len(set(names))
    assert not set(names) & set(REFERENCES)


@EACH
def test_every_method_that_a_scenario_allows_has_a_considered_place(scenario: Scenario) -> None:
    """A method that can be used somewhere is ranked there, with a reason of our own."""
    ranked = {rank.method for rank in RANKINGS[scenario]}
    allowed = {
        name
        for name, method in catalogue(scenario).items()
        if any(judge(scenario, place, method).possible for place in Architecture)
    }
    assert allowed == ranked | {*REFERENCES} & allowed


@EACH
def test_the_yardsticks_exist(scenario: Scenario) -> None:
    """They are not ranked, so nothing else would notice."""
    assert set(REFERENCES) <= set(catalogue(scenario))


@EACH
def test_whatever_may_be_recommended_can_be_benched(scenario: Scenario) -> None:
    """`perdure bench` knows each by the same name."""
    assert set(catalogue(scenario)) <= set(PRESETS)


def test_where_classes_grow_replay_comes_before_everything_that_keeps_no_rows() -> None:
    """And of what holds only parameters the reason says that it stays near chance."""
    found = {rank.method: rank for rank in ranking(Scenario.CLASS)}
    known = catalogue(Scenario.CLASS)
    raw = [known[name].needs.raw_rows for name, rank in found.items() if rank.alone]
    assert sorted(raw, reverse=True) == raw
    for name in ("ewc", "online-ewc", "si", "mas", "lwf", "gpm"):
        assert not found[name].worth_trying
        assert "near chance" in found[name].reason


def test_what_goes_beside_others_is_never_advised_alone() -> None:
    """Nor is it in the way of what is."""
    for scenario in Scenario:
        for rank in ranking(scenario):
            assert rank.alone or any(w in rank.reason for w in ("goes b", "able to learn"))


def test_with_fixed_labels_replay_leads_and_si_leads_what_keeps_no_rows() -> None:
    """ER and DER++, then SI, LwF, EWC in this order."""
    names = [rank.method for rank in ranking(Scenario.DOMAIN)]
    assert ["er", "der++"] == names[:2]
    order = [names.index(name) for name in ("er", "si", "lwf", "ewc")]
    assert sorted(order) == order


def test_in_a_free_stream_a_gem_writes_at_every_step() -> None:
    """With its default it would wait for boundaries that never come."""
    assert not catalogue(Scenario.FREE)["a-gem"].needs.boundaries
    assert catalogue(Scenario.CLASS)["a-gem"].needs.boundaries


@EACH
@pytest.mark.usefixtures("novel")
def test_a_method_that_nobody_has_placed_comes_last_in_its_own_words(scenario: Scenario) -> None:
    """Whoever adds a method need not touch the advice."""
    last = ranking(scenario)[-1]
    assert "novel" in catalogue(scenario)
    assert [rank for rank in ranking(scenario) if rank.method == "novel"] == [
        rank for rank in ranking(scenario) if "do something that nobody" in rank.reason
    ]
    assert not last.worth_trying
    assert last.reason.startswith("not compared here yet")


def test_the_catalogue_cannot_be_written_to() -> None:
    """All who look at it see the same."""
    with pytest.raises(TypeError):
        catalogue(Scenario.CLASS)["er"] = methods.SI()  # type: ignore[index]
