"""Networks for continual learning: heads that grow, columns that freeze, and small backbones."""

from perdure.nets.adapters import Adapter, adapters, strip
from perdure.nets.batchrenorm import BatchRenorm1d, BatchRenorm2d, Limits, renormalised
from perdure.nets.blocks import MASKED
from perdure.nets.capacity import Capacity, capacity
from perdure.nets.classifier import Classifier
from perdure.nets.cnn import CNN
from perdure.nets.consolidated import ConsolidatedHead, consolidated_head
from perdure.nets.cosine import CosineHead
from perdure.nets.encoders import Encoder, Tabular, TextEncoder, encoder
from perdure.nets.fixed import FixedHead
from perdure.nets.flat import Flat
from perdure.nets.gated import GatedMLP
from perdure.nets.growing import GrowingHead
from perdure.nets.labels import ByLabel, columns_of
from perdure.nets.lora import LoRALayer, lora, merge
from perdure.nets.mlp import MLP
from perdure.nets.multi import MultiHead
from perdure.nets.none import NoHead
from perdure.nets.progressive import ProgressiveNet
from perdure.nets.prompts import Prompted, PromptPool, TokenEncoder
from perdure.nets.resnet import ResNet18
from perdure.nets.transformer import Patches, Transformer, Words
from perdure.nets.vae import VAE, GenerativeMemory

__all__ = [
    "CNN",
    "MASKED",
    "MLP",
    "VAE",
    "Adapter",
    "BatchRenorm1d",
    "BatchRenorm2d",
    "ByLabel",
    "Capacity",
    "Classifier",
    "ConsolidatedHead",
    "CosineHead",
    "Encoder",
    "FixedHead",
    "Flat",
    "GatedMLP",
    "GenerativeMemory",
    "GrowingHead",
    "Limits",
    "LoRALayer",
    "MultiHead",
    "NoHead",
    "Patches",
    "ProgressiveNet",
    "PromptPool",
    "Prompted",
    "ResNet18",
    "Tabular",
    "TextEncoder",
    "TokenEncoder",
    "Transformer",
    "Words",
    "adapters",
    "capacity",
    "columns_of",
    "consolidated_head",
    "encoder",
    "lora",
    "merge",
    "renormalised",
    "strip",
]
