"""Directions of a layer's inputs, and steps beside them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from perdure import nets
from perdure.errors import Impossible
from perdure.nets.spans import beside, normalising, second_moments, widened


def test_moments_of_a_linear_layer_by_hand() -> None:
    """Inputs (1, 2) and (3, 0), then the bias's 1: sums of products written out."""
    layer = nn.Linear(2, 1)
    with second_moments(layer) as moments:
        layer(torch.tensor([[1.0, 2.0], [3.0, 0.0]]))
    expected = torch.tensor([[10.0, 2.0, 4.0], [2.0, 4.0, 2.0], [4.0, 2.0, 2.0]])
    assert torch.equal(expected.double(), moments[""])


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 3, 3, padding=1),
        nn.Conv2d(2, 3, (2, 3), stride=2, bias=False),
        nn.Conv2d(2, 3, 3, padding="same", dilation=2),
        nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="reflect"),
    ],
)
def test_a_convolution_is_a_linear_layer_over_its_patches(layer: nn.Conv2d) -> None:
    """sum of squared outputs = trace(W M W^T), W with the bias as its last column."""
    x = torch.randn(4, 2, 7, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), second_moments(layer) as moments:
        out = layer(x).double()
    w = layer.weight.detach().double().flatten(1)
    if layer.bias is not None:
        w = torch.cat((w, layer.bias.detach().double()[:, None]), 1)
    torch.testing.assert_close((w @ moments[""] @ w.T).trace(), out.square().sum())


def test_only_layers_that_run_and_train_are_looked_at_and_no_hook_stays() -> None:
    """Each under its name, over all passes, until the end."""
    model = nets.Classifier(nets.MLP(4, (3, 3)), nets.FixedHead(3, 2))
    model.backbone.layers[0].requires_grad_(False)
    x = torch.randn(5, 4)
    with second_moments(model) as moments:
        model.features(x)
        model.features(x)
    model(x)
    assert {*moments} == {"backbone.layers.2"}
    assert moments["backbone.layers.2"][-1, -1] == 10  # the bias's input, twice for five rows


def test_convolutions_in_groups_are_refused() -> None:
    """Rather than left without protection."""
    layer = nn.Conv2d(2, 2, 3, groups=2)
    with second_moments(layer), pytest.raises(Impossible, match="works in groups"):
        layer(torch.zeros(1, 2, 4, 4))


@pytest.mark.parametrize(("energy", "count"), [(0.0, 0), (0.5, 1), (0.9, 2), (0.99, 3), (1.0, 4)])
def test_as_few_directions_as_hold_the_energy(energy: float, count: int) -> None:
    """Of squares 60, 30, 9 and 1 on the axes: the first holds 0.6, two hold 0.9, three 0.99."""
    moment = torch.diag(torch.tensor([9.0, 60.0, 1.0, 0.0, 30.0])).double()
    basis = widened(None, moment, energy)
    assert basis.shape == (5, count)
    assert [1, 4, 0, 2][:count] == basis.abs().argmax(0).tolist()


def test_it_agrees_with_the_singular_values_of_the_inputs() -> None:
    """Twice: alone, and beside a basis, by the paper's criterion on R - M M^T R."""
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(40, 12, generator=generator).double() for _ in range(2))
    first[:, 6:] = 0
    basis = widened(None, first.T @ first, 0.9)
    u, s, _ = torch.linalg.svd(first.T)
    count = int((s.square().cumsum(0) < 0.9 * s.square().sum()).sum()) + 1
    torch.testing.assert_close(basis @ basis.T, (u[:, :count] @ u[:, :count].T).float())

    wider = widened(basis, second.T @ second, 0.95)
    m = basis.double()
    rest = second.T - m @ (m.T @ second.T)
    u, s, _ = torch.linalg.svd(rest)
    total, inside = second.square().sum(), (m.T @ second.T).square().sum()
    count = int((inside + s.square().cumsum(0) < 0.95 * total).sum()) + 1
    expected = m @ m.T + u[:, :count] @ u[:, :count].T
    torch.testing.assert_close(wider @ wider.T, expected.float(), atol=1e-5, rtol=0)
    torch.testing.assert_close(wider.T @ wider, torch.eye(wider.shape[1]), atol=1e-5, rtol=0)


def test_a_basis_never_has_more_directions_than_there_are() -> None:
    """However often it is widened to hold everything."""
    generator = torch.Generator().manual_seed(0)
    basis = None
    for _ in range(3):
        x = torch.randn(20, 5, generator=generator).double()
        basis = widened(basis, x.T @ x, 1.0)
    assert basis.shape == (5, 5)


def test_a_step_beside_the_span_changes_no_answer_to_it() -> None:
    """A linear layer and a convolution, with bias and without; other names are left out."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 5, 5, generator=generator)
    for layer in (nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(2, 4, 3, bias=False)):
        images = x[:1, :, :3, :3] if layer.bias is None else x[:1, :, :2, :2]
        model = nn.Sequential(layer)
        with torch.no_grad(), second_moments(model) as moments:
            before = model(images)
        bases = {name: widened(None, moment, 1.0) for name, moment in moments.items()}
        steps = {n: torch.randn(p.shape, generator=generator) for n, p in model.named_parameters()}
        found = beside({**steps, "other": torch.ones(2)}, bases)
        assert found.keys() == steps.keys()
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.add_(found[name])
        assert found["0.weight"].norm() > 0.1
        torch.testing.assert_close(model(images), before, atol=1e-5, rtol=0)


def test_normalisation_is_found_by_name() -> None:
    """Batch, layer and group normalisation; nothing else."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.LayerNorm(2), nn.GroupNorm(1, 2))
    assert {f"{i}.{part}" for i in (1, 2, 3) for part in ("weight", "bias")} == normalising(model)
    assert normalising(nn.LayerNorm(2)) == {"weight", "bias"}
