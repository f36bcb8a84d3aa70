"""A small transformer encoder over token ids or over patches of images."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from perdure.errors import InvalidValue, check_range


class Patches(nn.Module):
    """Images of one size as tokens: linear maps of square patches, with learned positions.

    Args:
        shape: (channels, height, width) of an image.
        patch: the side of a patch in pixels, >= 1; height and width are multiples of it.
        width: d, of a token, >= 1.

    Raises:
        InvalidValue: a number out of range, or a side that patches do not cover.
    """

    def __init__(self, shape: Sequence[int], patch: int, width: int) -> None:
        super().__init__()
        check_range("Patches", "patch", patch, 1, float("inf"))
        check_range("Patches", "width", width, 1, float("inf"))
        if len(shape) != 3 or shape[1] % patch or shape[2] % patch:
            raise InvalidValue(
                f"Patches: shape is {tuple(shape)} and patch {patch}; give (channels, height, "
                "width) and a patch that divides height and width"
            )
        self.shape, self.patch, self.width = tuple(shape), patch, width
        pixels, count = shape[0] * patch**2, prod(shape[1:]) // patch**2
        self.linear = nn.Linear(pixels, width)
        self.positions = nn.Parameter(0.02 * torch.randn(count, width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (n, patches, d) of images (n, ...), and a mask (n, patches) that is all true."""
        rows, columns = (side // self.patch for side in self.shape[1:])
        cut = x.reshape(x.shape[0], self.shape[0], rows, self.patch, columns, self.patch)
        flat = cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (n, patches, pixels)
        tokens: Tensor = self.linear(flat) + self.positions
        return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=x.device)


class Words(nn.Module):
    """Token ids as tokens: an embedding, with learned positions.

    Args:
        vocabulary: how many ids, >= 2; id 0 is padding.
        length: ids of a row at most, >= 1.
        width: d, of a token, >= 1.

    Raises:
        InvalidValue: a number out of range.
    """

    def __init__(self, vocabulary: int, length: int, width: int) -> None:
        super().__init__()
        check_range("Words", "vocabulary", vocabulary, 2, float("inf"))
        check_range("Words", "length", length, 1, float("inf"))
        check_range("Words", "width", width, 1, float("inf"))
        self.width = width
        self.table = nn.Embedding(vocabulary, width, padding_idx=0)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (n, t, d) of ids (n, t) int64, and which are no padding, (n, t)."""
        return self.table(x) + self.positions[: x.shape[1]], x != 0


class Transformer(nn.Module):
    """A transformer encoder, normalised before each layer; features are the mean of its tokens.

    Its attention is made of four plain linear layers, so that `lora` can adapt them.

    Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, normalised as in Xiong et al.
        2020, https://arxiv.org/abs/2002.04745.

    Args:
        embedding: `Patches` or `Words`: any module of some `width` that gives tokens and mask.
        depth: layers, >= 1.
        heads: of attention, >= 1; they divide the width.

    Raises:
        InvalidValue: a number out of range.

    Example:
        >>> Transformer(Words(100, 12, width=16))(torch.tensor([[5, 7, 0]])).shape
        torch.Size([1, 16])
    """

    def __init__(self, embedding: Patches | Words, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        check_range("Transformer", "depth", depth, 1, float("inf"))
        check_range("Transformer", "heads", heads, 1, float("inf"))
        self.width = self.out_features = embedding.width
        if self.width % heads:
            raise InvalidValue(f"Transformer: heads is {heads}; it must divide width {self.width}")
        self.embedding = embedding
        self.layers = nn.ModuleList(_Layer(self.width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(self.width)

    def embed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (n, t, d) of inputs (n, ...), positions added, and which are real, (n, t) bool."""
        tokens, mask = self.embedding(x)
        return tokens, mask

    def encode(self, tokens: Tensor, mask: Tensor) -> Tensor:  # (n, d)
        """The mean over real tokens (n, t, d) of the last layer."""
        for layer in self.layers:
            tokens = layer(tokens, mask)
        real = mask.unsqueeze(2).to(tokens)  # (n, t, 1)
        mean: Tensor = (self.norm(tokens) * real).sum(1) / real.sum(1).clamp(min=1)
        return mean

    def forward(self, x: Tensor) -> Tensor:  # (n, d)
        """The features of inputs (n, ...)."""
        return self.encode(*self.embed(x))


class _Layer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.mix = nn.Linear(width, width), nn.Linear(width, width)
        wide = 4 * width
        self.mlp = nn.Sequential(nn.Linear(width, wide), nn.GELU(), nn.Linear(wide, width))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (n, t, d)
        h = self.before(x)
        q, k, v = (
            layer(h).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (n, heads, t, d / heads)
            for layer in (self.query, self.key, self.value)
        )
        scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5  # (n, heads, t, t)
        scores = scores.masked_fill(~mask[:, None, None], torch.finfo(scores.dtype).min)
        x = x + self.mix((scores.softmax(3) @ v).transpose(1, 2).flatten(2))
        out: Tensor = x + self.mlp(self.after(x))
        return out
