"""What inputs are like, learnt so that new ones can be drawn and none of the old has to be kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.func import functional_call

from perdure.batch import scale_uint8, weighted_mean
from perdure.errors import CheckpointMismatch, InvalidValue, NonFinite, check_range
from perdure.optimiser import NamedOptimiser
from perdure.tree import Tree, apply, copy


class VAE(nn.Module):
    """A variational auto-encoder: inputs (n, d) through `latent` normal variables and back.

        loss = (-log p(x | z) + KL(q(z | x) || N(0, 1))) / d,   z drawn from q(z | x)

    Encoder and decoder are layers with ReLU, the one the mirror image of the other.

    Source: Kingma & Welling 2014, eq. 10 and appendix B, https://arxiv.org/abs/1312.6114.

    Args:
        inputs: d, the number of values in an input.
        hidden: the width of each hidden layer of the encoder.
        latent: how many normal variables, >= 1.
        pixels: True where inputs lie in [0, 1]: p is Bernoulli's, the paper's choice; otherwise it
            is a normal distribution of variance 1.

    Raises:
        InvalidValue: a width below 1.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int] = (400, 400),
        latent: int = 100,
        pixels: bool = True,
    ) -> None:
        super().__init__()
        for width in (inputs, *hidden, latent):
            check_range("VAE", "a width", width, 1, float("inf"))
        self.inputs, self.latent, self.pixels = inputs, latent, pixels
        self.encoder = _layers((inputs, *hidden))
        self.to_latent = nn.Linear((inputs, *hidden)[-1], 2 * latent)
        self.decoder = _layers((latent, *reversed(hidden)))
        self.to_inputs = nn.Linear((latent, *reversed(hidden))[-1], inputs)

    def loss(self, x: Tensor, noise: Tensor) -> Tensor:  # (n,)
        """The loss of each input (n, d), given standard normal draws (n, latent)."""
        mean, log_variance = self.to_latent(self.encoder(x)).chunk(2, 1)  # (n, latent) each
        decoded = self._decode(mean + noise * (log_variance / 2).exp())
        if self.pixels:
            each = F.binary_cross_entropy_with_logits(decoded, x, reduction="none")
        else:
            each = (decoded - x).square() / 2
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
        loss: Tensor = (each.sum(1) + divergence.sum(1)) / self.inputs
        return loss

    def forward(self, z: Tensor) -> Tensor:  # (n, d)
        """The expected inputs for normal variables (n, latent)."""
        decoded = self._decode(z)
        return decoded.sigmoid() if self.pixels else decoded

    def _decode(self, z: Tensor) -> Tensor:
        decoded: Tensor = self.to_inputs(self.decoder(z))
        return decoded


class GenerativeMemory:
    """A memory of what rows are like that holds none of them: a VAE, its Adam and a copy.

    It learns from every batch; what it gives back is drawn from the copy, which `close` renews.

    Args:
        hidden: widths of the VAE's layers.
        latent: its normal variables.
        lr: of its Adam.
    """

    def __init__(
        self, hidden: Sequence[int] = (400, 400), latent: int = 100, lr: float = 1e-3
    ) -> None:
        check_range("GenerativeMemory", "latent", latent, 1, float("inf"))
        check_range("GenerativeMemory", "lr", lr, 0, float("inf"), open_low=True)
        self.hidden, self.latent, self.lr = tuple(hidden), latent, lr
        self.shape: list[int] | None = None
        self.closed: Tree = {}
        self.rng = Generator().manual_seed(0)

    def learn(self, x: Tensor, weight: Tensor, average: Callable[[Tree], Tree]) -> None:
        """One step on raw rows (n, ...), each with its weight (n,) in the mean of the loss.

        Args:
            x: uint8, taken as pixels, or floats.
            weight: (n,).
            average: of gradients by name, over the ranks.

        Raises:
            InvalidValue: rows of another kind or shape.
            NonFinite: the loss is; the VAE is as before.
        """
        if self.shape is None:
            if not (x.dtype == torch.uint8 or x.is_floating_point()):
                raise InvalidValue(
                    f"rows of {x.dtype} cannot be generated; give uint8 images or floats"
                )
            self._make(list(x.shape[1:]), x.dtype == torch.uint8, x.device)
        if list(x.shape[1:]) != self.shape or (x.dtype == torch.uint8) != self.vae.pixels:
            raise InvalidValue(
                f"the VAE was made for {'uint8' if self.vae.pixels else 'float'} rows of shape "
                f"{self.shape} and got {x.dtype} rows of shape {list(x.shape[1:])}"
            )
        with torch.enable_grad():
            each = self.vae.loss(scale_uint8(x).flatten(1).float(), self._normal(len(x), x.device))
            loss = weighted_mean(each, weight)
            if not bool(torch.isfinite(loss)):
                raise NonFinite(
                    f"the VAE's loss is {loss.item()}; lower its learning rate {self.lr}"
                )
            grads = torch.autograd.grad(loss, list(self._params.values()))
        for name, grad in average(dict(zip(self._params, grads, strict=True))).items():
            self._params[name].grad = grad
        self._optimiser.torch.step()

    def close(self) -> None:
        """Draw from what it knows now, until the next call."""
        self.closed = copy(self._params) if self.shape is not None else {}

    @torch.no_grad()
    def sample(self, rows: int, device: torch.device) -> Tensor:  # (rows, ...)
        """Rows like those learnt before `close`, in the shape and type in which they came."""
        x: Tensor = functional_call(self.vae, self.closed, (self._normal(rows, device),))
        if self.vae.pixels:
            x = (255 * x).round().byte()
        return x.view(rows, *(self.shape or ()))

    def seed(self, seed: int) -> None:
        """Start its own generator anew."""
        self.rng = Generator().manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Weights, the copy's and Adam's moments; nothing but the shape before the first rows."""
        made = self.shape is not None
        return {
            "shape": self.shape,
            "pixels": made and self.vae.pixels,
            "vae": apply(Tensor.detach, self._params) if made else {},
            "closed": self.closed,
            "optimiser": self._optimiser.state_dict() if made else {},
            "rng": self.rng.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        """Restore what `state_dict` gave, on `device`, where later rows must be.

        Raises:
            CheckpointMismatch: it is of a VAE of another size.
        """
        self.shape = None
        self.closed = {name: held.to(device, copy=True) for name, held in state["closed"].items()}
        if state["shape"] is not None:
            self._rebuild(state, device)
        self.rng.set_state(state["rng"].cpu())

    def _rebuild(self, state: Mapping[str, Any], device: torch.device | str) -> None:
        self._make(list(state["shape"]), state["pixels"], device)
        for name, p in self._params.items():
            held = state["vae"].get(name)
            if held is None or held.shape != p.shape:
                raise CheckpointMismatch(
                    f"the checkpoint's VAE has {name!r} of shape "
                    f"{None if held is None else tuple(held.shape)} and this one "
                    f"{tuple(p.shape)}; give it the same hidden={self.hidden} and latent"
                )
            p.data.copy_(held)
        self._optimiser.load_state_dict(state["optimiser"], self._params)

    def _make(self, shape: list[int], pixels: bool, device: torch.device | str) -> None:
        self.shape = shape
        with torch.random.fork_rng(devices=()):  # as it begins depends on its own generator alone
            seed = int(torch.randint(2**62, (), generator=self.rng))
            torch.default_generator.manual_seed(seed)
            self.vae = VAE(prod(shape), self.hidden, self.latent, pixels).to(device)
        self._params = dict(self.vae.named_parameters())
        adam = partial(torch.optim.Adam, lr=self.lr, fused=True)
        self._optimiser = NamedOptimiser(adam, self._params)

    def _normal(self, rows: int, device: torch.device) -> Tensor:  # (rows, latent)
        return torch.randn(rows, self.latent, generator=self.rng).to(device)


def _layers(widths: Sequence[int]) -> nn.Sequential:
    layers = [(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(widths)]
    return nn.Sequential(*(module for layer in layers for module in layer))
