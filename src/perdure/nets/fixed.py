"""A head whose labels are all known from the start."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from perdure.batch import Batch
from perdure.errors import UnseenClass, check_range


class FixedHead(nn.Linear):
    """One linear layer from features (n, d) to outputs (n, classes); it never grows.

    Its `grow` only looks at the labels of each batch, so that one without an output is refused by
    name, not by an index error inside the loss. Floating-point targets are left alone.

    Args:
        features: d, the width of the representation.
        classes: how many outputs; labels are 0 to classes - 1.

    Raises:
        InvalidValue: a width below 1.

    Example:
        >>> FixedHead(400, 10)
        FixedHead(in_features=400, out_features=10, bias=True)
    """

    takes_task: ClassVar[bool] = False

    def __init__(self, features: int, classes: int) -> None:
        check_range("FixedHead", "features", features, 1, float("inf"))
        check_range("FixedHead", "classes", classes, 1, float("inf"))
        super().__init__(features, classes)

    def grow(self, batch: Batch) -> bool:
        """Add nothing; refuse labels that have no output.

        Raises:
            UnseenClass: the message names the labels and the range.
        """
        if batch.y.is_floating_point():
            return False
        labels = set(batch.y.flatten().tolist())
        unknown = sorted(label for label in labels if not 0 <= label < self.out_features)
        if unknown:
            raise UnseenClass(
                f"the batch has labels {unknown} and FixedHead has outputs for 0 to "
                f"{self.out_features - 1}; give it more classes, or use a GrowingHead"
            )
        return False

    def by_label(self) -> dict[int, Tensor]:
        """Views of the weights (d,) of each label's output, by label."""
        return dict(enumerate(self.weight))

    def plan(self) -> None:
        """Nothing was grown."""

    def rebuild(self, plan: None) -> None:
        """There is nothing to grow."""
