"""Learned tokens before those of a frozen transformer encoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, Self, cast, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure.errors import InvalidValue, check_range
from perdure.nets.adapters import Adapter


@runtime_checkable
class TokenEncoder(Protocol):
    """An encoder that can be entered between its embedding and its layers."""

    width: int
    """d, of a token."""
    out_features: int
    """The width of the features."""

    def embed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (n, t, d) of inputs (n, ...), positions added, and which are real, (n, t) bool."""
        ...

    def encode(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Features (n, out_features) of tokens (n, t, d), by those that are real."""
        ...


class _Entered(Adapter):
    """A frozen encoder that takes further tokens first."""

    def __init__(self, encoder: nn.Module, length: int) -> None:
        check_range(type(self).__name__, "length", length, 1, float("inf"))
        if not isinstance(encoder, TokenEncoder):
            raise InvalidValue(
                f"{type(encoder).__name__} cannot be given further tokens; it must offer "
                "embed(x) -> (tokens, mask), encode(tokens, mask), width and out_features"
            )
        super().__init__(encoder.requires_grad_(False).eval())
        self.length, self.width, self.out_features = length, encoder.width, encoder.out_features
        self.prompts = nn.ParameterList()
        self.like: Tensor
        self.register_buffer("like", torch.empty(0), persistent=False)

    @property
    def encoder(self) -> TokenEncoder:
        """What is adapted."""
        return cast("TokenEncoder", self.base)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the encoder stays in evaluation mode."""
        super().train(mode)
        self.base.eval()
        return self

    def part(self, place: int) -> list[nn.Parameter]:
        """The tokens of one part."""
        return [self.prompts[place]]

    def count(self) -> int:
        """How many parts there are."""
        return len(self.prompts)

    def entered(self, prompt: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Features of the tokens (n, t, d) after the prompt's, (n, p, d)."""
        real = mask.new_ones(prompt.shape[:2])
        return self.encoder.encode(torch.cat((prompt, tokens), 1), torch.cat((real, mask), 1))


class Prompted(_Entered):
    """A frozen encoder with `length` learned tokens a part before its own.

    Source: Lester et al. 2021, https://arxiv.org/abs/2104.08691.

    Args:
        encoder: a `TokenEncoder`, such as `Transformer`; it is frozen.
        length: tokens of a part, >= 1.

    Raises:
        InvalidValue: a length below 1, or an encoder that cannot be entered.

    Example:
        >>> from perdure.nets import Patches, Transformer
        >>> model = Prompted(Transformer(Patches((1, 8, 8), 4, width=16)), length=3)
        >>> model(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 16])
    """

    def __init__(self, encoder: nn.Module, length: int = 5) -> None:
        super().__init__(encoder, length)
        self.begin(alone=False)

    def append(self) -> None:
        """Add a part, drawn at random."""
        drawn = nn.init.uniform_(self.like.new_empty(self.length, self.width), -1, 1)
        self.prompts.append(nn.Parameter(drawn))

    def forward(self, x: Tensor) -> Tensor:  # (n, out_features)
        """The features of inputs (n, ...), by the prompts that answer; the bare ones without."""
        tokens, mask = self.encoder.embed(x)
        if not self.answering:
            return self.encoder.encode(tokens, mask)
        prompt = torch.cat([self.prompts[place] for place in self.answering])  # (p, d)
        return self.entered(prompt.expand(tokens.shape[0], -1, -1), tokens, mask)


class PromptPool(_Entered):
    """A frozen encoder with a pool of prompts, of which each row takes the nearest by their keys.

        chosen = the `top` keys k of least 1 - cos(q, k), where q is the bare encoder's feature

    In training mode each distance is multiplied by how often the key was chosen in earlier tasks,
    so that new tasks turn to keys that are free.

    Source: Wang et al. 2022, eq. 3 and 4, https://arxiv.org/abs/2112.08654.
    Differs: the features are the encoder's own mean or class token over all tokens, where the
        authors' program takes the mean over the prompts' tokens.

    Args:
        encoder: a `TokenEncoder`, such as `Transformer`; it is frozen.
        size: prompts in the pool, >= 1.
        length: tokens of a prompt, >= 1.
        top: prompts that a row takes, 1 to `size`.

    Raises:
        InvalidValue: a number out of range, or an encoder that cannot be entered.
    """

    frequency: Tensor  # (size,)

    def __init__(self, encoder: nn.Module, size: int = 10, length: int = 5, top: int = 5) -> None:
        super().__init__(encoder, length)
        check_range("PromptPool", "size", size, 1, float("inf"))
        check_range("PromptPool", "top", top, 1, size)
        self.size, self.top = size, top
        self.keys = nn.Parameter(nn.init.uniform_(torch.empty(size, self.out_features), -1, 1))
        self.register_buffer("frequency", torch.ones(size))  # in the first task all are as free
        self._notes: list[tuple[Tensor, Tensor]] | None = None
        self.begin(alone=False)

    def append(self) -> None:
        """Make the pool."""
        drawn = nn.init.uniform_(self.like.new_empty(self.size, self.length, self.width), -1, 1)
        self.prompts.append(nn.Parameter(drawn))

    def by_task(self) -> dict[int, list[nn.Parameter]]:
        """Nothing: no prompt serves one task alone."""
        return {}

    @contextmanager
    def noting(self) -> Iterator[list[tuple[Tensor, Tensor]]]:
        """Within it, each pass notes which keys (n, top) its rows take, and their distances."""
        self._notes = []
        try:
            yield self._notes
        finally:
            self._notes = None

    def choose(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """The keys (n, top) that queries (n, out_features) take, and their distances, (n, top)."""
        distance = 1 - F.normalize(query, dim=1) @ F.normalize(self.keys, dim=1).T  # (n, size)
        scores = distance * self.frequency if self.training else distance
        chosen = scores.topk(self.top, dim=1, largest=False).indices
        return chosen, distance.gather(1, chosen)

    def forward(self, x: Tensor) -> Tensor:  # (n, out_features)
        """The features of inputs (n, ...), by the prompts that each row takes."""
        tokens, mask = self.encoder.embed(x)
        with torch.no_grad():
            query = self.encoder.encode(tokens, mask)
        if not self.answering:
            return query
        chosen, distance = self.choose(query.float())
        if self._notes is not None:
            self._notes.append((chosen, distance))
        prompt = self.prompts[0][chosen].flatten(1, 2)  # (n, top * length, d)
        return self.entered(prompt, tokens, mask)
