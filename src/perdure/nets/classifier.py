"""A backbone with a head on top."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from perdure.batch import scale_uint8
from perdure.errors import InvalidValue
from perdure.model import Prepares, takes_task


class Classifier(nn.Module):
    """A backbone from inputs to features (n, d), then a head from features to outputs (n, width).

    Args:
        backbone: any module; ours say the width of their features as `out_features`.
        head: any module; ours say the width that they expect as `in_features`. It decides whether
            the model takes task ids.

    Raises:
        InvalidValue: both widths are known and they differ.

    Example:
        >>> from perdure.nets import MLP, GrowingHead
        >>> model = Classifier(MLP(784), GrowingHead(400))
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        gives, expects = getattr(backbone, "out_features", None), getattr(head, "in_features", None)
        if None not in (gives, expects) and gives != expects:
            raise InvalidValue(
                f"{type(backbone).__name__} gives {gives} features and {type(head).__name__} "
                f"expects {expects}; make the head with features={gives}"
            )
        self.backbone = backbone
        self.head = head
        self.takes_task = takes_task(head)

    @property
    def prepare(self) -> Callable[[Tensor], Tensor]:
        """From raw inputs to the backbone's: its own `prepare`, or scaling uint8 to [0, 1]."""
        return self.backbone.prepare if isinstance(self.backbone, Prepares) else scale_uint8

    def features(self, x: Tensor) -> Tensor:  # (n, d)
        """The representation under the head of inputs (n, ...)."""
        features: Tensor = self.backbone(x)
        return features

    def forward(self, x: Tensor, *task: Tensor | None) -> Tensor:  # (n, width)
        """The head's outputs; `task` (n,) is passed on where it is given."""
        outputs: Tensor = self.head(self.features(x), *task)
        return outputs
