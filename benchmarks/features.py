"""Data sets as frozen encoders see them: each row is encoded once and then read from the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from perdure.bench.encoding import folder
from perdure.nets import Encoder, encoder
from perdure.streams import Data, encoded, load

FOLDER = folder()
IMAGES = 10_000  # of Fashion-MNIST's 60,000 to learn from: the first
SIZE = 96  # pixels


def clinc150(cache: Path = FOLDER) -> Data:
    """Texts through all-MiniLM-L6-v2: (15,000, 384) and (4,500, 384), unit length."""
    return _through(load("clinc150"), encoder("text").cached(cache))


def fashion_mnist(cache: Path = FOLDER) -> Data:
    """Images at 96 pixels through EfficientNet-Lite0: (10,000, 1,280) and (10,000, 1,280)."""
    data = load("fashion-mnist")
    few = replace(data, train_x=data.train_x[:IMAGES], train_y=data.train_y[:IMAGES])
    return _through(few, encoder("image", size=SIZE).cached(cache))


def _through(data: Data, by: Encoder) -> Data:
    return replace(encoded(data, by), name=f"{data.name} on {by.name}")
