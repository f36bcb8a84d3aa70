"""Texts through a sentence transformer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from perdure.errors import DataUnavailable, require
from perdure.nets.encoders.encoder import Encoder, Precision

ROWS, FEWEST = 64, 16
"""Texts at a time, and the fewest tokens: of fewer rows, BLAS gives other last bits."""


class TextEncoder(Encoder):
    """Texts, as bytes of UTF-8 (n, length) uint8 that zeros pad, to features (n, width)."""

    def encode_texts(self, texts: Sequence[str]) -> Tensor:  # (n, width)
        """The features of strings."""
        features: Tensor = self(as_bytes(texts).to(self.device))
        return features

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.module.parameters()).device


class Sentences(nn.Module):
    """Bytes of texts (n, length) to the vectors (n, width) of a sentence transformer.

    Texts of one number of tokens go together and none is padded: that is faster, and a text's
    vector does not depend, to the last bit, on the texts beside it. What is longer than the network
    allows is cut.

    Args:
        transformer: a `SentenceTransformer`.
    """

    transformer: Any  # its own methods have no types

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer
        self.width = int(self.transformer.get_embedding_dimension())

    def forward(self, x: Tensor) -> Tensor:  # (n, width)
        """The vectors of texts in bytes."""
        if not len(x):
            return torch.empty(0, self.width, device=x.device)
        tokens = self.transformer.preprocess(as_texts(x))
        mask: Tensor = tokens["attention_mask"]
        lengths = mask.sum(1)
        out: Tensor | None = None
        for length in lengths.unique().tolist():
            for rows in (lengths == length).nonzero()[:, 0].split(ROWS):
                part = self._vectors(tokens, rows, mask[rows[0]].bool(), x.device)
                out = part.new_empty(len(x), self.width) if out is None else out
                out[rows.to(out.device)] = part
        assert out is not None  # noqa: S101
        return out

    def extra_repr(self) -> str:
        """How many tokens of a text are read."""
        return f"tokens={self.transformer.max_seq_length}"

    def _vectors(
        self, tokens: dict[str, Any], rows: Tensor, there: Tensor, device: torch.device
    ) -> Tensor:  # (rows, width)
        """Of texts that have tokens at the same places."""
        most = max(len(rows), -(-FEWEST // int(there.sum())))
        repeated = rows[torch.arange(most).clamp(max=len(rows) - 1)]
        given = {
            name: value[repeated][:, there].to(device) if isinstance(value, Tensor) else value
            for name, value in tokens.items()
        }
        vectors: Tensor = self.transformer(given)["sentence_embedding"]
        return vectors[: len(rows)]


def text_encoder(
    model: str | Path, name: str, *, frozen: bool = True, precision: Precision = "fp32"
) -> TextEncoder:
    """The sentence transformer in a folder, or of a name that the Hugging Face hub knows.

    Raises:
        MissingExtra: sentence-transformers is not installed.
        DataUnavailable: there is no such folder, and no such name that can be downloaded.
    """
    library = require("sentence_transformers", "text")
    with _quietly():
        try:
            network = library.SentenceTransformer(str(model), device="cpu")
        except (OSError, ValueError) as error:
            raise DataUnavailable(
                f"no sentence transformer {str(model)!r}: {error}; give a folder that holds one, "
                "or a name that the hub knows"
            ) from error
    sentences = Sentences(network)
    return TextEncoder(sentences, name, sentences.width, frozen=frozen, precision=precision)


def as_texts(x: Tensor) -> list[str]:
    """The texts of rows of bytes (n, length)."""
    data, length = x.cpu().contiguous().numpy().tobytes(), x.shape[1]
    return [
        data[i : i + length].rstrip(b"\0").decode(errors="replace")
        for i in range(0, len(x) * length, length)
    ]


def as_bytes(texts: Sequence[str]) -> Tensor:  # (n, length)
    """The bytes of texts, padded with zeros to the longest, uint8."""
    coded = [text.encode() for text in texts]
    length = max(map(len, coded), default=0) or 1
    data = bytearray(b"".join(text.ljust(length, b"\0") for text in coded))
    if not data:
        return torch.empty(0, length, dtype=torch.uint8)
    return torch.frombuffer(data, dtype=torch.uint8).view(-1, length)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the bar that says how the weights are read."""
    logging = import_module("transformers.utils.logging")
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
