"""Hidden units: found in networks, measured, and begun anew."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from perdure import Batch, Learner, nets
from perdure.families.units import activity, hidden_units, renew


def image_rows(n: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(torch.rand(n, 1, 8, 8, generator=generator), torch.arange(n) % 3, 0)


def paths(model: nn.Module) -> list[tuple[str, int]]:
    """Each layer with hidden units, and how many layers read them."""
    return [(hidden.name, len(hidden.outgoing)) for hidden in hidden_units(model)]


def test_the_layers_of_perdures_own_networks_are_found() -> None:
    """The last hidden one feeds the head: one layer, or every block that has grown so far."""
    mlp, cnn = nets.MLP(64, (5, 4)), nets.CNN(1, 2)
    found = paths(nets.Classifier(mlp, nets.FixedHead(4, 3)))
    assert found == [("backbone.layers.0", 1), ("backbone.layers.2", 1)]
    assert paths(mlp) == [("layers.0", 1)]
    head = nets.GrowingHead(8)
    head.grow(image_rows())
    head.grow(Batch(torch.zeros(1, 1), torch.tensor([7])))
    found = paths(nets.Classifier(cnn, head))
    assert found == [("backbone.layers.0", 1), ("backbone.layers.3", 1), ("backbone.layers.6", 2)]
    multi = nets.MultiHead(4, {0: 2, 1: 2, 5: 2})
    assert paths(nets.Classifier(mlp, multi))[-1] == ("backbone.layers.2", 3)


def test_what_is_between_two_layers_may_not_mix_units() -> None:
    """Activation, pooling and dropout do not; normalisation, shortcuts and groups are left out."""
    conv = partial(nn.Conv2d, kernel_size=3)
    plain = nn.Sequential(conv(1, 4), nn.Tanh(), nn.MaxPool2d(2), nn.Dropout(), nn.Flatten())
    assert paths(nn.Sequential(*plain, nn.Linear(4 * 9, 2))) == [("0", 1)]
    assert paths(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))) == []
    assert paths(nn.Sequential(conv(1, 4), conv(4, 4, groups=4), nn.ReLU(), conv(4, 2))) == [
        ("1", 1)
    ]
    assert paths(nn.Sequential(nn.Linear(2, 3), nn.Linear(4, 2))) == []
    assert paths(nets.ResNet18(1, 2)) == []
    assert paths(nn.Linear(2, 2)) == []


def test_a_sequence_inside_another_module_is_looked_into() -> None:
    """Under its full name; what the module does around it is not guessed at."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3))
            self.last = nn.Linear(3, 2)

    assert paths(nn.Sequential(Own(), nn.Linear(2, 2))) == [("0.inner.0", 1)]


def test_layers_that_do_not_train_are_left_out() -> None:
    """On either side."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 2), nn.Linear(2, 2))
    model[1].requires_grad_(False)
    assert paths(model) == [("2", 1)]


def test_activity_and_outgoing_weights_by_hand() -> None:
    """One row (1, 2): units at 1, relu(-2) = 0 and 5; the signs of weights do not count."""
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0], [1.0, 2.0]]))
        model[0].bias.zero_()
        model[2].weight.copy_(torch.tensor([[1.0, -2.0, 0.5], [-1.0, 3.0, 0.0]]))
    (hidden,) = hidden_units(model)
    found = activity(Learner(model), torch.tensor([[1.0, 2.0]]), None, [hidden])
    assert found["0"].tolist() == [1.0, 0.0, 5.0]
    assert hidden.outgoing_size().tolist() == [2.0, 5.0, 0.5]


def test_a_channel_counts_over_rows_and_places_however_it_is_read() -> None:
    """By a convolution, by a layer over flattened maps, and after the mean over positions."""
    rows = image_rows()
    cnn = nets.Classifier(nets.CNN(1, 2), nets.FixedHead(8, 3))
    flat = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    for model, layers in ((cnn, cnn.backbone.layers), (flat, flat)):
        learner, found = Learner(model), list(hidden_units(model))
        sizes = activity(learner, rows.x, None, found)
        h, expected = rows.x, []
        for layer in layers:
            if expected and isinstance(layer, nn.Conv2d | nn.Flatten):
                expected[-1] = h.abs().mean((0, 2, 3))
            h = layer(h) if not isinstance(layer, nn.Flatten) else h.flatten(1)
            expected += [None] if isinstance(layer, nn.Conv2d) else []
        if expected[-1] is None:
            expected[-1] = h.mean((2, 3)).abs().mean(0)
        for hidden, size in zip(found, expected, strict=True):
            torch.testing.assert_close(sizes[hidden.name], size.detach())
        assert not any(m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("kind", ["linear", "flattened", "multi"])
def test_renewed_units_are_fresh_silent_and_forgotten(kind: str) -> None:
    """Others keep every bit; Adam's moments of the renewed ones are zero."""
    rows = image_rows()
    if kind == "flattened":
        backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
        model: nn.Module = nets.Classifier(backbone, nets.FixedHead(144, 3))
    else:
        head = nets.MultiHead(4, {0: 3, 1: 2}) if kind == "multi" else nets.FixedHead(4, 3)
        model = nets.Classifier(nets.MLP(64, (4,)), head)
    learner = Learner(model, optimizer=partial(torch.optim.Adam, lr=0.01))
    learner.observe(rows)
    (hidden,) = hidden_units(model)
    which, kept = torch.tensor([3, 1]), torch.tensor([0, 2])
    before = hidden.layer.weight.detach().clone()
    columns = [r.weight.detach().clone().view(len(r.weight), 4, -1) for r in hidden.outgoing]
    renew(learner, hidden, which, torch.Generator().manual_seed(0))
    weight = hidden.layer.weight.detach()
    assert torch.equal(weight[kept], before[kept])
    assert not (weight[which] == before[which]).any()
    assert weight[which].abs().max() <= before[0].numel() ** -0.5
    assert not hidden.layer.bias[which].any()
    for reader, old in zip(hidden.outgoing, columns, strict=True):
        found = reader.weight.detach().view(len(reader.weight), 4, -1)
        assert not found[:, which].any()
        assert torch.equal(found[:, kept], old[:, kept])
    state = learner.optimiser.torch.state
    for moments in (state[hidden.layer.weight]["exp_avg"], state[hidden.layer.bias]["exp_avg_sq"]):
        assert not moments[which].any()
        assert moments[kept].any()
