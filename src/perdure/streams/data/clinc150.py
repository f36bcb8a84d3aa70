"""CLINC150: what people ask an assistant, in 150 intents."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from perdure.errors import DataUnavailable
from perdure.streams.dataset import Data
from perdure.streams.source import RemoteFile, content
from perdure.streams.texts import text_rows

FILE = RemoteFile(
    "data_full.json",
    "https://raw.githubusercontent.com/clinc/oos-eval/828f8093932c8fe6ca7936c3d2e52903b1c523de"
    "/data/data_full.json",
    "36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0",
)
PARTS = ("train", "test")
Texts = list[tuple[str, str]]  # a text and its intent


def clinc150(folder: str | Path | None = None, *, out_of_scope: bool = False) -> Data:
    """Texts as bytes, uint8 (n, 136): 15,000 to learn from, 4,500 to measure on, 150 classes.

    The 3,000 rows of its validation part are left out. Classes are in alphabetical order.

    Source: Larson et al. 2019, https://aclanthology.org/D19-1131; licence CC BY 3.0.

    Args:
        folder: where the file is looked for first.
        out_of_scope: whether texts of no intent (100 and 1,000) are there as a last class, "oos".

    Raises:
        DataUnavailable: the file is in no local folder and cannot be downloaded, or is damaged.
    """
    return read_clinc150(content(FILE, "clinc150", folder), out_of_scope=out_of_scope)


def read_clinc150(raw: bytes, *, out_of_scope: bool = False) -> Data:
    """The data set in a file of its layout: parts by name, each a list of (text, intent)."""
    try:
        held = json.loads(raw)
        parts = [[(str(text), str(intent)) for text, intent in held[part]] for part in PARTS]
        beyond = [[(str(text), str(intent)) for text, intent in held[f"oos_{p}"]] for p in PARTS]
    except (ValueError, KeyError, TypeError) as error:
        raise DataUnavailable(f"{FILE.name} is not the CLINC150 of {FILE.url}: {error}") from error
    classes = sorted({intent for _, intent in parts[0]})
    if out_of_scope:
        parts = [rows + others for rows, others in zip(parts, beyond, strict=True)]
        classes.append("oos")
    return _data(parts[0], parts[1], classes)


def _data(train: Texts, test: Texts, classes: list[str]) -> Data:
    length = max(len(text.encode()) for text, _ in train + test)
    sides = [
        (text_rows([t for t, _ in part], length), _labels(part, classes)) for part in (train, test)
    ]
    return Data("clinc150", *sides[0], *sides[1], tuple(classes))


def _labels(part: Texts, classes: list[str]) -> Tensor:  # (n,)
    place = {name: label for label, name in enumerate(classes)}
    return torch.tensor([place[intent] for _, intent in part])
