"""From raw rows to features: pretrained networks that stay frozen, and tables."""

from perdure.nets.encoders.choice import encoder, needed, offered
from perdure.nets.encoders.encoder import Encoder
from perdure.nets.encoders.tabular import Standardise, Tabular
from perdure.nets.encoders.text import TextEncoder

__all__ = ["Encoder", "Standardise", "Tabular", "TextEncoder", "encoder", "needed", "offered"]
