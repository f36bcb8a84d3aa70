"""What kind of model a model is."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from perdure import nets
from perdure.advise.architecture import CHOICES, NAMES, Architecture, architecture_of
from perdure.scenario import Scenario


class Wrapped(nn.Module):
    """Somebody's own module around one of ours."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner


class Told(nn.Module):
    """Somebody's own model that asks for the task."""

    takes_task = True

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        return x


def encoder() -> nets.Transformer:
    return nets.Transformer(nets.Patches((1, 1, 4), 1, 8), depth=1, heads=2)


MODELS = {
    Architecture.FIXED: lambda: nets.Classifier(nets.MLP(4, (8,)), nets.FixedHead(8, 3)),
    Architecture.GROWING: lambda: nets.Classifier(nets.MLP(4, (8,)), nets.GrowingHead(8)),
    Architecture.MULTI_HEAD: lambda: nets.Classifier(nets.MLP(4, (8,)), nets.MultiHead(8)),
    Architecture.PROGRESSIVE: lambda: nets.ProgressiveNet(4, (8, 8)),
    Architecture.GATED: lambda: nets.GatedMLP(4, (8, 8)),
    Architecture.HEADLESS: lambda: nets.Classifier(nets.MLP(4, (8,)), nets.NoHead(8)),
    Architecture.LORA: lambda: nets.Classifier(nets.lora(nets.MLP(4, (8,))), nets.MultiHead(8)),
    Architecture.PROMPTED: lambda: nets.Classifier(nets.Prompted(encoder()), nets.GrowingHead(8)),
    Architecture.POOL: lambda: nets.Classifier(nets.PromptPool(encoder()), nets.FixedHead(8, 3)),
    Architecture.CONSOLIDATED: lambda: nets.Classifier(nets.MLP(4, (8,)), nets.ConsolidatedHead(8)),
    Architecture.COSINE: lambda: nets.Classifier(nets.MLP(4, (8,)), nets.CosineHead(8)),
    Architecture.OTHER: lambda: nn.Linear(4, 3),
}


@pytest.mark.parametrize("expected", Architecture)
def test_a_model_is_known_by_its_head(expected: Architecture) -> None:
    """One example of each kind."""
    assert expected is architecture_of(MODELS[expected]())


@pytest.mark.parametrize("expected", Architecture)
def test_a_head_is_found_however_deep_it_lies(expected: Architecture) -> None:
    """A wrapper of the user's own changes nothing."""
    assert expected is architecture_of(Wrapped(nn.Sequential(MODELS[expected]())))


def test_a_model_that_asks_for_the_task_counts_as_multi_head() -> None:
    """Whatever it is made of, it answers nothing without a task id."""
    assert Architecture.MULTI_HEAD is architecture_of(Told())
    assert Architecture.MULTI_HEAD.needs_task


def test_an_ordinary_linear_layer_is_no_fixed_head() -> None:
    """It has outputs, but does not check labels against them."""
    assert Architecture.OTHER is architecture_of(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))


def test_columns_come_before_heads() -> None:
    """A model with a head beside progressive columns is progressive."""
    both = nn.ModuleList([nets.GrowingHead(8), nets.ProgressiveNet(4, (8, 8))])
    assert Architecture.PROGRESSIVE is architecture_of(both)


def test_every_architecture_has_a_name_and_every_scenario_a_choice() -> None:
    """And no scenario without task ids is offered a model that needs them."""
    assert set(Architecture) == set(NAMES)
    assert set(Scenario) == set(CHOICES)
    needing = [
        scenario
        for scenario, choices in CHOICES.items()
        if any(choice.needs_task for choice in choices) != scenario.task_at_inference
    ]
    assert [] == needing


def test_a_need_for_an_architecture_is_one_of_them() -> None:
    """`Needs.architecture` is a name that `Architecture` knows."""
    assert Architecture.PROGRESSIVE == "progressive"
