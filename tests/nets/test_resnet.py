"""The slim residual backbone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.nets import Classifier, FixedHead, ResNet18


def test_the_slim_network_has_the_published_size() -> None:
    """Width 20 with ten outputs: 1,094,750 parameters, as in the field's CIFAR-10 comparisons."""
    model = Classifier(ResNet18(), FixedHead(160, 10))
    assert sum(p.numel() for p in model.parameters()) == 1_094_750


def test_the_full_network_has_the_published_size() -> None:
    """Width 64 with ten outputs: 11,173,962, the CIFAR ResNet-18 that everybody counts."""
    model = Classifier(ResNet18(width=64), FixedHead(512, 10))
    assert sum(p.numel() for p in model.parameters()) == 11_173_962


@pytest.mark.parametrize(("channels", "size"), [(3, 32), (1, 28), (3, 64)])
def test_any_image_gives_eight_widths_of_features(channels: int, size: int) -> None:
    """Three of the four stages halve the image; the last map is averaged."""
    net = ResNet18(channels, width=4)
    assert net(torch.randn(2, channels, size, size)).shape == (2, net.out_features) == (2, 32)
    assert net.blocks(net.stem(torch.zeros(1, channels, size, size))).shape[-1] == -(-size // 8)


def test_it_equals_the_published_forward_pass() -> None:
    """Written out stage by stage, from the same tensors."""
    net, x = ResNet18(width=3).eval(), torch.randn(2, 3, 16, 16)

    def normalised(layers: nn.Module, x: Tensor) -> Tensor:
        convolution, norm = layers
        out = F.conv2d(x, convolution.weight, None, convolution.stride, convolution.padding)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        return (out - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[
            :, None, None
        ]

    maps = normalised(net.stem, x).relu()
    for block in net.blocks:
        inner = normalised(block.second, normalised(block.first, maps).relu())
        straight = isinstance(block.shortcut, nn.Identity)
        maps = (inner + (maps if straight else normalised(block.shortcut, maps))).relu()
    torch.testing.assert_close(net(x), maps.mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_replayed_and_new_rows_make_the_statistics_together() -> None:
    """One pass over concatenated rows sees their common mean and variance, not each one's."""
    net = ResNet18(width=2).train()
    new = Batch(torch.randn(6, 3, 8, 8) + 2, torch.zeros(6, dtype=torch.int64))
    replayed = Batch(torch.randn(4, 3, 8, 8) - 2, torch.ones(4, dtype=torch.int64))
    both = new + replayed.seen()
    convolution, norm = net.stem
    net(both.x)
    maps = convolution(both.x)
    torch.testing.assert_close(norm.running_mean, 0.1 * maps.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * maps.var((0, 2, 3)))
    apart = (convolution(new.x).var((0, 2, 3)) + convolution(replayed.x).var((0, 2, 3))) / 2
    assert bool((norm.running_var > 0.9 + 0.1 * apart).all())


def test_prediction_changes_no_statistic() -> None:
    """In evaluation mode every buffer stays as it is."""
    net = ResNet18(width=2).eval()
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    net(torch.randn(3, 3, 8, 8))
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())


@pytest.mark.parametrize(("channels", "width", "name"), [(0, 4, "channels"), (3, 0, "width")])
def test_an_impossible_number_is_refused(channels: int, width: int, name: str) -> None:
    """At construction, by name."""
    with pytest.raises(InvalidValue, match=f"ResNet18: {name} is 0"):
        ResNet18(channels, width)
