"""A network from raw inputs to features, whose weights are no part of what is learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Self, get_args
from weakref import ref

import torch
from torch import Tensor, nn

from perdure.cache import FeatureCache
from perdure.errors import CheckpointMismatch, InvalidValue, check_range

Precision = Literal["fp32", "bf16"]
DIGEST, NAME = 32, 96  # bytes of an identity
FEWEST = 4  # rows at a time: of fewer, BLAS gives other last bits, and features are compared


class Encoder(nn.Module):
    """Raw inputs (n, ...) to features (n, width), by any network; frozen unless told otherwise.

    A frozen network comes from where it came from and never changes. A state therefore holds no
    weight of it, only its name and a digest: who loads the state must have the same one. It stays
    in evaluation mode, moves with `.to(device)`, and `capacity` counts it as frozen.

    Args:
        module: called with raw inputs, gives features (n, width). What its features depend on
            beside its weights stands in its `extra_repr()`.
        name: for people, and for the message where another encoder is found.
        width: d, of the features.
        frozen: False trains the network, and its weights are part of every state.
        precision: of a frozen network's products: "fp32" or "bf16"; features are float32.

    Raises:
        InvalidValue: a name of no or too many bytes, a width below 1, an unknown precision.

    Example:
        >>> halves = Encoder(nn.Linear(4, 2), "halves", width=2)
        >>> list(halves.state_dict())
        ['identity']
        >>> halves(torch.zeros(3, 4)).shape
        torch.Size([3, 2])
    """

    identity: Tensor  # (DIGEST + NAME,) uint8

    def __init__(
        self,
        module: nn.Module,
        name: str,
        width: int,
        *,
        frozen: bool = True,
        precision: Precision = "fp32",
    ) -> None:
        super().__init__()
        check_range("Encoder", "width", width, 1, float("inf"))
        if precision not in get_args(Precision):
            raise InvalidValue(f"precision is {precision!r}; it must be one of 'fp32', 'bf16'")
        if not 0 < len(name.encode()) <= NAME:
            raise InvalidValue(f"name is {name!r}; it must have 1 to {NAME} bytes of UTF-8")
        self.module = module
        self.name = name
        self.out_features = width
        self.frozen = frozen
        self.precision = precision
        self.cache: FeatureCache | None = None
        self._last: tuple[Callable[[], Any], int, Tensor] = (_nothing, 0, torch.empty(0))
        if frozen:
            module.requires_grad_(False).eval()
            told = digest_of(module, f"{precision} {module.extra_repr()}")
            whole = told + name.encode().ljust(NAME, b"\0")
            self.register_buffer("identity", torch.frombuffer(bytearray(whole), dtype=torch.uint8))
            self.register_state_dict_post_hook(_leave_out)  # type: ignore[no-untyped-call]
            self.register_load_state_dict_pre_hook(_put_back)  # type: ignore[no-untyped-call]

    @property
    def digest(self) -> str:
        """Of a frozen network: hexadecimal, the same wherever the same features come out."""
        if not self.frozen:
            raise InvalidValue(f"encoder {self.name} trains, so that it has no lasting digest")
        return bytes(self.identity[:DIGEST].tolist()).hex()

    def prepare(self, x: Tensor) -> Tensor:
        """The inputs as they are: the network itself takes raw ones."""
        return x

    def forward(self, x: Tensor) -> Tensor:  # (n, width)
        """The features of raw inputs (n, ...); of a frozen network without a gradient."""
        features: Tensor
        if not self.frozen:
            features = self.module(x)
        elif torch.compiler.is_compiling() or x.is_inference():
            features = self._encode(x)
        else:
            features = self._looked_up(x)
        return features

    def cached(self, directory: str | Path, capacity: int = 100_000) -> Self:
        """Itself; from now on it looks for features in `directory` first, and keeps them there.

        Args:
            directory: may serve several encoders and processes at a time.
            capacity: rows to keep; those that came first go first.

        Raises:
            InvalidValue: the network trains, so that its features do not last.
        """
        self.cache = FeatureCache(directory, self.digest, self.out_features, capacity)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set training mode; a frozen network stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.module.eval()
        return self

    def extra_repr(self) -> str:
        """Name, width, and whether it is frozen."""
        return f"{self.name!r}, width={self.out_features}, frozen={self.frozen}"

    def _looked_up(self, x: Tensor) -> Tensor:  # (n, width)
        """Features once made; who asked for a model's outputs often asks for these as well."""
        seen, version, features = self._last
        if seen() is not x or version != x._version:  # noqa: SLF001
            cache = self.cache
            features = self._encode(x) if cache is None else cache.features(x, self._encode)
            self._last = (ref(x), x._version, features)  # noqa: SLF001
        return features.clone()  # whoever changes these changes no later answer

    @torch.no_grad()
    def _encode(self, x: Tensor) -> Tensor:  # (n, width)
        half = self.precision == "bf16"
        rows = torch.arange(max(len(x), FEWEST), device=x.device).clamp(max=len(x) - 1)
        # An engine's precision must not reach in: features would depend on who asks.
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half):
            features: Tensor = self.module(x[rows] if 0 < len(x) < FEWEST else x)
        return features[: len(x)].float()


def _nothing() -> None:
    """Stands for the inputs where none were seen."""


def digest_of(module: nn.Module, said: str) -> bytes:
    """SHA-256 of a module's tensors in their order, whatever their names, and of what is said."""
    each = [_digest(tensor) for tensor in module.state_dict().values()]
    return sha256(b"".join(each) + said.encode()).digest()


def _digest(tensor: Tensor) -> bytes:
    told = sha256(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    told.update(flat.view(torch.uint8).numpy().data)
    return told.digest()


def _leave_out(encoder: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}module.")]:
        del state[name]


def _put_back(encoder: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Refuse a state that was learned on another encoder; supply the weights that it leaves out."""
    assert isinstance(encoder, Encoder)  # noqa: S101
    there = state.get(f"{prefix}identity")
    if there is not None and not torch.equal(there.cpu(), encoder.identity.cpu()):
        raise CheckpointMismatch(
            f"the checkpoint was learned on features of {_called(there)} and this model has "
            f"{_called(encoder.identity)}; give it that encoder, or begin anew"
        )
    held: Mapping[str, Any] = encoder.module.state_dict()
    for name, value in held.items():
        state.setdefault(f"{prefix}module.{name}", value)


def _called(identity: Tensor) -> str:
    said = bytes(identity.tolist())
    name = said[DIGEST:].rstrip(b"\0").decode(errors="replace")
    return f"{name} (weights {said[:6].hex()})"
