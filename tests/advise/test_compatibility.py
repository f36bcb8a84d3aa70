"""The table of what fits what is checked: what it allows runs, what it refuses is refused."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from perdure import nets
from perdure.advise.architecture import NAMES, Architecture
from perdure.advise.catalogue import catalogue
from perdure.advise.compatibility import Cell, check, check_outputs, judge, table
from perdure.errors import Impossible
from perdure.folding import Schedule, fold
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.methods import (
    AGEM,
    ER,
    EWC,
    SI,
    SLCA,
    GDumb,
    ICaRL,
    LoRA,
    PackNet,
    Progressive,
    RanPAC,
)
from perdure.scenario import Scenario
from perdure.streams import Stream, split
from perdure.streams.data import arrays

INPUTS, CLASSES, TASKS = 5, 6, 3
CELLS = {retention: table(retention=retention) for retention in (True, False)}
BOTH = pytest.mark.parametrize("retention", [True, False])


class Plugin(Method):
    """A method of somebody else's, with needs to be chosen."""

    def __init__(self, needs: Needs) -> None:
        self.needs = needs


# -- the table is whole ----------------------------------------------------------------------------


@BOTH
def test_every_cell_has_one_verdict(retention: bool) -> None:
    """Each scenario with each architecture and each method, once."""
    found = [(cell.scenario, cell.architecture, cell.method) for cell in CELLS[retention]]
    assert len(found) == len(set(found))
    assert set(found) == set(product(Scenario, Architecture, catalogue(Scenario.CLASS)))


@BOTH
def test_a_refusal_has_a_reason_and_an_alternative(retention: bool) -> None:
    """And what is possible needs no alternative."""
    for cell in CELLS[retention]:
        assert cell.verdict.possible or cell.verdict.reason, cell
        assert bool(cell.verdict.instead) != cell.verdict.possible, cell


@BOTH
def test_every_alternative_that_a_refusal_names_is_accepted(retention: bool) -> None:
    """`judge` itself finds it possible, in the same scenario and under the same policy."""
    for cell in CELLS[retention]:
        for words in cell.verdict.instead:
            architecture, method = understood(words, cell.scenario)
            verdict = judge(cell.scenario, architecture, method, retention=retention)
            assert verdict.possible, f"{cell} offers {words}"


def test_an_alternative_is_named_once() -> None:
    """Three different methods at most."""
    for cell in CELLS[True]:
        names = [words.split(" on ")[0] for words in cell.verdict.instead]
        assert len(names) == len(set(names)) <= 3


# -- what it allows runs ---------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", Architecture)
@pytest.mark.parametrize("scenario", Scenario)
def test_what_is_allowed_runs(scenario: Scenario, architecture: Architecture) -> None:
    """A small learner is folded over a small stream, and then asked about every task."""
    for cell in chosen(scenario, architecture, possible=True):
        if (cell.method, architecture) == ("wa", Architecture.OTHER):
            continue  # it asks the head itself which output is whose, and says so at a boundary
        stream = toy_stream(scenario)
        learner = toy_learner(cell, stream)
        for _ in fold(learner, stream, Schedule(batch_size=16)):
            pass
        for task in stream:
            (batch,) = task.test
            known = batch.task if scenario.task_at_inference else None
            outputs = learner.predict(batch.x, known)
            assert len(batch) == len(outputs), cell
            assert outputs.isfinite().all(), cell


@BOTH
def test_check_refuses_exactly_what_judge_refuses(retention: bool) -> None:
    """With the reason and what would fit in the message, before there is any learner or batch."""
    for cell in CELLS[retention]:
        method = catalogue(cell.scenario)[cell.method]
        model = ready(toy_model(cell.architecture, CLASSES), method)
        if cell.verdict.possible:
            check(cell.scenario, model, [method], retention=retention)
            continue
        with pytest.raises(Impossible) as refusal:
            check(cell.scenario, model, [method], retention=retention)
        assert cell.verdict.reason in str(refusal.value)
        assert cell.verdict.instead[0] in str(refusal.value)


@pytest.mark.parametrize("method", ["gdumb", "joint"])
def test_what_frozen_columns_forbid_would_indeed_go_wrong(method: str) -> None:
    """Without the check, going back to the beginning takes from past tasks what they learned."""
    stream = toy_stream(Scenario.TASK)
    (cell,) = (c for c in chosen(Scenario.TASK, Architecture.PROGRESSIVE) if c.method == method)
    assert not cell.verdict.possible
    learner = toy_learner(cell, stream)
    asked = next(iter(stream.tasks[0].test))
    after = [
        learner.predict(asked.x, 0)
        for position in fold(learner, stream, Schedule(batch_size=16))
        if position.closed
    ]
    assert not torch.equal(after[0], after[1])


# -- knowing more never makes less possible --------------------------------------------------------


@BOTH
def test_knowing_boundaries_or_tasks_only_adds_possibilities(retention: bool) -> None:
    """free is within class, class is the same as domain, and domain is within task."""
    allowed = {
        scenario: {
            (cell.architecture, cell.method)
            for cell in CELLS[retention]
            if cell.scenario is scenario and cell.verdict.possible
        }
        for scenario in Scenario
    }
    assert allowed[Scenario.FREE] < allowed[Scenario.CLASS]
    assert allowed[Scenario.CLASS] == allowed[Scenario.DOMAIN]
    assert allowed[Scenario.DOMAIN] < allowed[Scenario.TASK]


def test_forbidding_to_keep_rows_refuses_just_what_keeps_them() -> None:
    """The verdicts of the two policies differ where, and only where, a method needs raw rows."""
    for kept, without in zip(CELLS[True], CELLS[False], strict=True):
        raw = catalogue(kept.scenario)[kept.method].needs.raw_rows
        assert without.verdict.possible == (kept.verdict.possible and not raw), kept


NEEDS = st.builds(
    Needs,
    boundaries=st.booleans(),
    data=st.booleans(),
    task_at_inference=st.booleans(),
    task_in_training=st.booleans(),
    raw_rows=st.booleans(),
    features=st.booleans(),
    architecture=st.sampled_from([None, *map(str, Architecture)]),
)


@given(st.sampled_from(Scenario), st.sampled_from(Architecture), NEEDS, st.booleans())
def test_any_method_is_judged_by_its_needs_alone(
    scenario: Scenario, architecture: Architecture, needs: Needs, retention: bool
) -> None:
    """Against the rules written down a second time, as one condition each."""
    told = scenario == "task"
    impossible = (
        (architecture in {"multi-head", "progressive", "gated"} and not told)
        or architecture == "headless"
        or (needs.task_at_inference and not told)
        or (scenario == "free" and (needs.boundaries or needs.data or needs.task_in_training))
        or (needs.raw_rows and not retention)
        or needs.architecture not in {None, architecture}
    )
    verdict = judge(scenario, architecture, Plugin(needs), retention=retention)
    assert verdict.possible is not impossible


# -- single refusals, word by word -----------------------------------------------------------------


@pytest.mark.parametrize("scenario", [Scenario.CLASS, Scenario.DOMAIN, Scenario.FREE])
@pytest.mark.parametrize("architecture", [Architecture.MULTI_HEAD, Architecture.PROGRESSIVE])
def test_a_model_that_answers_by_task_is_refused_where_no_task_is_given(
    scenario: Scenario, architecture: Architecture
) -> None:
    """With or without a method; the message names the model and the scenario."""
    for methods in ([], [SI()]):
        with pytest.raises(Impossible, match=f"{NAMES[architecture]} .* scenario '{scenario}'"):
            check(scenario, toy_model(architecture, CLASSES), methods)


def test_adapters_under_heads_by_task_want_task_ids_too() -> None:
    """What lies beside the layers does not change what the heads must be told."""
    model = nets.Classifier(nets.lora(nets.MLP(INPUTS, (8,))), nets.MultiHead(8))
    check(Scenario.TASK, model, [LoRA(route="task")])
    with pytest.raises(Impossible, match="answers with the head of an input's task"):
        check(Scenario.CLASS, model, [LoRA()])


def test_a_head_apart_is_wanted_of_a_classifier_alone() -> None:
    """Neither a network of one piece nor a module that shows no head has one."""
    method = SLCA()
    check(Scenario.CLASS, nets.Classifier(nets.MLP(INPUTS, (8,)), nets.GrowingHead(8)), [method])
    assert not judge(Scenario.TASK, Architecture.PROGRESSIVE, method).possible
    with pytest.raises(Impossible, match="slca trains a head apart and Headless shows none"):
        check(Scenario.CLASS, Headless(nn.Linear(INPUTS, 3)), [method])


class Headless(nn.Sequential):
    """Features, and no head."""

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_a_progressive_network_in_a_class_stream_is_answered_with_replay() -> None:
    """The first thing offered is what is first to try there."""
    verdict = judge(Scenario.CLASS, Architecture.PROGRESSIVE, Progressive())
    assert "der++ on a GrowingHead" == verdict.instead[0]


def test_the_same_method_on_another_architecture_is_offered_first() -> None:
    """Whoever wanted ER may have it."""
    verdict = judge(Scenario.CLASS, Architecture.MULTI_HEAD, ER())
    assert "er on a GrowingHead" == verdict.instead[0]
    assert (
        "plugin on a FixedHead"
        == judge(Scenario.DOMAIN, Architecture.PROGRESSIVE, Plugin(Needs())).instead[0]
    )


def test_other_arguments_of_the_same_method_are_offered_as_a_call() -> None:
    """A-GEM writes at boundaries by default, and can write at every step."""
    verdict = judge(Scenario.FREE, Architecture.FIXED, AGEM())
    assert "AGEM(write='step') on a FixedHead" == verdict.instead[0]


def test_progressive_wants_its_own_network() -> None:
    """In the one scenario that has task ids, it is the architecture that is wrong."""
    with pytest.raises(Impossible, match="progressive works on a ProgressiveNet and no other"):
        check(Scenario.TASK, toy_model(Architecture.MULTI_HEAD, CLASSES), [Progressive()])
    check(Scenario.TASK, toy_model(Architecture.PROGRESSIVE, CLASSES), [Progressive()])


def test_packnet_is_refused_where_no_task_is_given() -> None:
    """It answers by the weights of a task."""
    with pytest.raises(Impossible, match="packnet answers by an input's task"):
        check(Scenario.CLASS, toy_model(Architecture.GROWING, CLASSES), [PackNet()])


def test_a_method_that_works_at_boundaries_is_refused_where_there_are_none() -> None:
    """And the message says when the stream would not be a free one."""
    with pytest.raises(Impossible, match=r"ewc does its work when a task ends.* drift detector"):
        check(Scenario.FREE, toy_model(Architecture.FIXED, CLASSES), [EWC()])


def test_raw_rows_are_refused_where_none_may_be_kept() -> None:
    """What is offered instead keeps none."""
    with pytest.raises(Impossible, match=r"er keeps raw rows .* none may be kept") as found:
        check(Scenario.TASK, toy_model(Architecture.MULTI_HEAD, 2), [ER()], retention=False)
    offered = str(found.value).split("What would fit: ")[1].split(", ")
    methods = [understood(words, Scenario.TASK)[1] for words in offered]
    assert [False] * 3 == [method.needs.raw_rows for method in methods]


def test_one_method_of_several_is_enough_to_refuse() -> None:
    """The others are judged each by itself."""
    with pytest.raises(Impossible, match="progressive works on"):
        check(Scenario.TASK, toy_model(Architecture.FIXED, CLASSES), [SI(), Progressive()])


def test_no_method_at_all_is_naive_fine_tuning_and_always_possible_on_a_plain_head() -> None:
    """In every scenario."""
    for scenario in Scenario:
        check(scenario, toy_model(Architecture.FIXED, CLASSES), [])


def test_a_method_that_works_on_features_needs_a_model_that_offers_them() -> None:
    """Told before the first batch, not at the first boundary; a Classifier offers them."""
    with pytest.raises(Impossible, match=r"icarl works on features and Linear .*Classifier"):
        check(Scenario.CLASS, nn.Linear(INPUTS, CLASSES), [ICaRL()])
    check(Scenario.CLASS, toy_model(Architecture.OTHER, CLASSES), [ICaRL()])
    assert "features(x)" in judge(Scenario.CLASS, Architecture.OTHER, ICaRL()).reason


def test_a_fixed_head_in_a_growing_label_space_is_possible_on_a_condition() -> None:
    """All classes are declared beforehand, and the verdict says so."""
    verdict = judge(Scenario.CLASS, Architecture.FIXED, ER())
    assert verdict.possible
    assert "declared beforehand" in verdict.reason


def test_a_fixed_head_with_fewer_outputs_than_classes_is_refused() -> None:
    """The message has both numbers, the right call, and the head that grows."""
    model = toy_model(Architecture.FIXED, 4)
    with pytest.raises(Impossible, match=r"4 outputs .* 6 classes.*FixedHead\(8, 6\).*GrowingHead"):
        check_outputs(model, 6)
    check_outputs(model, 4)
    check_outputs(toy_model(Architecture.GROWING, 0), 6)


def test_a_shared_head_with_task_ids_is_possible_and_said_to_ignore_them() -> None:
    """Not an error, and rarely what one wants."""
    assert "ignores the task id" in judge(Scenario.TASK, Architecture.FIXED, ER()).reason
    assert "" == judge(Scenario.TASK, Architecture.MULTI_HEAD, ER()).reason


def test_what_trains_again_on_the_past_is_refused_on_frozen_columns() -> None:
    """It would train the newest column alone, having put the others back to their beginning."""
    reason = judge(Scenario.TASK, Architecture.PROGRESSIVE, GDumb()).reason
    assert "gdumb trains again on past tasks" in reason
    assert "frozen" in reason


# -- a toy world -----------------------------------------------------------------------------------


def chosen(
    scenario: Scenario, architecture: Architecture, *, possible: bool | None = None
) -> Iterator[Cell]:
    for cell in CELLS[True]:
        here = (cell.scenario, cell.architecture) == (scenario, architecture)
        if here and possible in {None, cell.verdict.possible}:
            yield cell


def understood(words: str, scenario: Scenario) -> tuple[Architecture, Method]:
    """The pair that "er on a GrowingHead" stands for."""
    name, place = words.split(" on ")
    (architecture,) = (one for one, called in NAMES.items() if called == place)
    return architecture, offered(scenario)[name]


@cache
def offered(scenario: Scenario) -> dict[str, Method]:
    return {key: it for it in catalogue(scenario).values() for key in (it.name, repr(it))}


def toy_stream(scenario: Scenario) -> Stream:
    rows = 6 * CLASSES
    return split(arrays(torch.randn(rows, INPUTS), torch.arange(rows) % CLASSES), TASKS, scenario)


def toy_learner(cell: Cell, stream: Stream) -> Learner:
    method = deepcopy(catalogue(cell.scenario)[cell.method])
    small = {GDumb: lambda: GDumb(epochs=1), RanPAC: lambda: RanPAC(projections=16)}
    method = small.get(type(method), lambda: method)()
    return Learner(ready(toy_model(cell.architecture, stream.classes), method), method)


def ready(model: nn.Module, method: Method) -> nn.Module:
    """The model with a frozen backbone, where the method wants it so from the start."""
    if isinstance(model, nets.Classifier) and method.needs.frozen and not method.freezes:
        model.backbone.requires_grad_(False)
    return model


def toy_model(architecture: Architecture, classes: int) -> nn.Module:
    if architecture is Architecture.PROGRESSIVE:
        return nets.ProgressiveNet(INPUTS, (8, 8))
    if architecture is Architecture.GATED:
        return nets.GatedMLP(INPUTS, (8, 8))
    head = {
        Architecture.FIXED: lambda: nets.FixedHead(8, classes),
        Architecture.GROWING: lambda: nets.GrowingHead(8),
        Architecture.MULTI_HEAD: lambda: nets.MultiHead(8),
        Architecture.CONSOLIDATED: lambda: nets.ConsolidatedHead(8),
        Architecture.COSINE: lambda: nets.CosineHead(8),
        Architecture.HEADLESS: lambda: nets.NoHead(8),
        Architecture.OTHER: lambda: nn.Linear(8, classes),
    }.get(architecture, lambda: nets.GrowingHead(8))()
    backbone = {
        Architecture.LORA: lambda: nets.lora(nets.MLP(INPUTS, (8,)), rank=2),
        Architecture.PROMPTED: lambda: nets.Prompted(encoder(), 2),
        Architecture.POOL: lambda: nets.PromptPool(encoder(), 4, 1, 2),
    }.get(architecture, lambda: nets.MLP(INPUTS, (8,)))()
    return nets.Classifier(backbone, head)


def encoder() -> nn.Module:
    return nets.Transformer(nets.Patches((1, 1, INPUTS), 1, 8), depth=1, heads=2)
