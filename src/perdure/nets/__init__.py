"""Networks for continual learning: heads that grow, columns that freeze, and small backbones."""

from perdure.nets.blocks import MASKED
from perdure.nets.capacity import Capacity, capacity
from perdure.nets.classifier import Classifier
from perdure.nets.cnn import CNN
from perdure.nets.fixed import FixedHead
from perdure.nets.flat import Flat
from perdure.nets.growing import GrowingHead
from perdure.nets.mlp import MLP
from perdure.nets.multi import MultiHead
from perdure.nets.none import NoHead
from perdure.nets.progressive import ProgressiveNet
from perdure.nets.resnet import ResNet18

__all__ = [
    "CNN",
    "MASKED",
    "MLP",
    "Capacity",
    "Classifier",
    "FixedHead",
    "Flat",
    "GrowingHead",
    "MultiHead",
    "NoHead",
    "ProgressiveNet",
    "ResNet18",
    "capacity",
]
