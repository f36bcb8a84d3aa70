"""Signs of lost plasticity."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from perdure.errors import InvalidValue
from perdure.measure import dormant_share, effective_rank, pinned_share, stable_rank


def relu_net(bias):
    """One unit a number: input 1 gives relu(bias + 0)."""
    layer = nn.Linear(1, len(bias))
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor(bias))
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(len(bias), 2))


def matrices(most=5):
    sizes = st.tuples(st.integers(1, most), st.integers(1, most), st.integers(0, 2**31))
    return sizes.map(
        lambda size: torch.randn(*size[:2], generator=torch.Generator().manual_seed(size[2]))
    )


# -- importance ----------------------------------------------------------------------------------


def test_pinned_parameters_by_hand():
    """Above a tenth of the largest importance: one of two, none of three."""
    importance = {"w": torch.tensor([10.0, 0.5]), "b": torch.tensor([0.0, 1.0, 0.2])}
    share = pinned_share(importance, threshold=0.1)
    assert share.parts == {"w": 0.5, "b": 0.0}
    assert share.overall == 0.2


def test_the_threshold_is_relative():
    """Importance in other units pins the same parameters."""
    importance = {"w": torch.tensor([1.0, 0.2, 1e-5])}
    scaled = {"w": importance["w"] * 1e9}
    assert pinned_share(importance).counts == pinned_share(scaled).counts == {"w": (2, 3)}


def test_importance_of_zero_pins_nothing():
    """Before the first consolidation every parameter is free."""
    assert pinned_share({"w": torch.zeros(4)}).overall == 0
    assert pinned_share({"w": torch.zeros(4)}, threshold=0).overall == 0


def test_no_parameters_have_no_share():
    """None is "not measured", for the whole and for an empty part."""
    assert pinned_share({}).overall is None
    assert pinned_share({"w": torch.zeros(0)}).parts == {"w": None}


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20), st.floats(0, 1), st.floats(0, 1)
)
def test_a_higher_threshold_pins_no_more(values, a, b):
    """The share falls as the threshold rises, within [0, 1]."""
    importance = {"w": torch.tensor(values)}
    low, high = sorted((a, b))
    assert 0 <= pinned_share(importance, high).overall <= pinned_share(importance, low).overall <= 1


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_importance_that_is_none_is_refused_by_name(bad):
    """Negative, NaN, infinite."""
    with pytest.raises(InvalidValue, match="'head'"):
        pinned_share({"head": torch.tensor([1.0, bad])})


def test_a_threshold_above_one_is_refused():
    """Nothing exceeds the largest."""
    with pytest.raises(InvalidValue, match="threshold"):
        pinned_share({"w": torch.ones(1)}, threshold=1.5)


# -- dormant units -------------------------------------------------------------------------------


def test_units_that_never_fire_are_dormant():
    """Two of four biases are negative."""
    share = dormant_share(relu_net([-1.0, 1.0, -2.0, 3.0]), torch.zeros(5, 1))
    assert share.counts == {"1": (2, 4)}
    assert share.overall == 0.5


def test_tau_is_relative_to_the_mean_of_the_layer():
    """Activities 0, 1, 2, 5 have mean 2 and scores 0, .5, 1, 2.5."""
    net, x = relu_net([0.0, 1.0, 2.0, 5.0]), torch.zeros(3, 1)
    found = {tau: dormant_share(net, x, tau).counts["1"][0] for tau in (0.0, 0.4, 0.5, 1.0, 3.0)}
    assert found == {0.0: 1, 0.4: 1, 0.5: 2, 1.0: 3, 3.0: 4}


def test_a_silent_layer_is_dormant_throughout():
    """Its mean is zero, by which no score can be divided."""
    assert dormant_share(relu_net([-1.0, -1.0]), torch.zeros(2, 1)).overall == 1


def test_one_row_that_fires_is_enough():
    """Dormant means silent on all inputs."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU())
    nn.init.ones_(net[0].weight)
    assert dormant_share(net, torch.tensor([[-1.0], [-1.0]])).overall == 1
    assert dormant_share(net, torch.tensor([[-1.0], [1.0]])).overall == 0


def test_channels_are_the_units_of_images():
    """One channel of three is off, whatever its 16 places."""
    conv = nn.Conv2d(1, 3, 3)
    nn.init.zeros_(conv.weight)
    with torch.no_grad():
        conv.bias.copy_(torch.tensor([1.0, -1.0, 2.0]))
    share = dormant_share(nn.Sequential(conv, nn.ReLU()), torch.zeros(2, 1, 6, 6))
    assert share.counts == {"1": (1, 3)}


def test_features_are_the_units_of_token_sequences():
    """The last dimension of (n, tokens, d)."""
    share = dormant_share(relu_net([1.0, -1.0])[:2], torch.zeros(2, 7, 1))
    assert share.counts == {"1": (1, 2)}


def test_one_module_used_twice_is_two_layers():
    """Each call counts under its own name."""
    relu = nn.ReLU()
    net = nn.Sequential(nn.Linear(2, 3), relu, nn.Linear(3, 4), relu)
    counts = dormant_share(net, torch.randn(5, 2)).counts
    assert {name: size for name, (_, size) in counts.items()} == {"1#1": 3, "1#2": 4}


def test_other_activations_are_chosen_by_a_predicate():
    """Here a GELU, which is never quite silent."""
    net = nn.Sequential(nn.Linear(2, 3), nn.GELU())
    share = dormant_share(net, torch.randn(5, 2), layers=lambda m: isinstance(m, nn.GELU))
    assert share.counts == {"1": (0, 3)}


def test_looking_leaves_the_model_as_it_was():
    """Modes, statistics, gradients and hooks."""
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Dropout()).train()
    net[3].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    dormant_share(net, torch.randn(4, 2))
    assert [module.training for module in net] == [True, True, True, False]
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


def test_hooks_are_removed_when_the_model_fails():
    """Wrong inputs raise the model's own error and leave no trace."""
    net = relu_net([1.0])
    with pytest.raises(RuntimeError):
        dormant_share(net, torch.zeros(1, 9))
    assert not any(module._forward_hooks for module in net.modules())
    assert net.training


def test_what_cannot_be_looked_at_is_refused():
    """No such layers, no rows, a negative tau."""
    with pytest.raises(InvalidValue, match="GELU"):
        dormant_share(nn.Linear(1, 1), torch.zeros(1, 1))
    with pytest.raises(InvalidValue, match="one row"):
        dormant_share(relu_net([1.0]), torch.zeros(0, 1))
    with pytest.raises(InvalidValue, match="tau"):
        dormant_share(relu_net([1.0]), torch.zeros(1, 1), tau=-1)


# -- ranks ---------------------------------------------------------------------------------------


def test_equal_singular_values_give_the_full_rank():
    """An orthogonal matrix uses every direction alike."""
    q, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)))
    assert effective_rank(q) == pytest.approx(6)
    assert stable_rank(q) == pytest.approx(6)


def test_ranks_by_hand():
    """Singular values 3 and 1: exp(entropy of 3/4, 1/4) and 10 / 9."""
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    features = torch.diag(torch.tensor([3.0, 1.0]))
    assert effective_rank(features) == pytest.approx(math.exp(entropy))
    assert stable_rank(features) == pytest.approx(10 / 9)


def test_features_along_one_direction_have_rank_one():
    """Collapse, however many rows and dimensions there are."""
    features = torch.outer(torch.arange(1.0, 9), torch.ones(5))
    assert effective_rank(features) == pytest.approx(1, abs=1e-6)
    assert stable_rank(features) == pytest.approx(1)


def test_features_of_zero_have_rank_zero():
    """A representation that died altogether."""
    assert (effective_rank(torch.zeros(3, 2)), stable_rank(torch.zeros(3, 2))) == (0, 0)


@given(matrices())
def test_ranks_agree_with_numpy_and_stay_within_bounds(features):
    """Both lie in [1, min(n, d)] and stable rank is the Frobenius over the spectral norm."""
    values = np.linalg.svd(features.double().numpy(), compute_uv=False)
    share = values / values.sum()
    assert effective_rank(features) == pytest.approx(np.exp(-(share * np.log(share)).sum()))
    frobenius = float(features.double().square().sum())
    assert stable_rank(features) == pytest.approx(frobenius / values[0] ** 2)
    for rank in (effective_rank(features), stable_rank(features)):
        assert 1 - 1e-9 <= rank <= min(features.shape) + 1e-9


@given(matrices(), st.floats(1e-3, 1e3))
def test_ranks_know_neither_scale_nor_transposition(features, scale):
    """They depend on ratios of singular values alone."""
    for rank in (effective_rank, stable_rank):
        assert rank(features.T * scale) == pytest.approx(rank(features), rel=1e-4)


@pytest.mark.parametrize(
    "bad", [torch.zeros(3), torch.zeros(0, 2), torch.tensor([[math.nan]]), torch.zeros(2, 2, 2)]
)
def test_what_is_no_finite_matrix_is_refused(bad):
    """With its shape."""
    with pytest.raises(InvalidValue, match="finite matrix"):
        effective_rank(bad)
