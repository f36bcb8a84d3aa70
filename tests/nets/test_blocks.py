"""What a masked column is worth to softmax, to a loss and to half precision."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.nets import MASKED, GrowingHead, MultiHead, ProgressiveNet

GROWING = [lambda: GrowingHead(3), lambda: MultiHead(3), lambda: ProgressiveNet(3, (4, 4))]


def test_softmax_gives_a_masked_column_exactly_zero() -> None:
    """Not a small number: probabilities of the others are as if the column were not there."""
    outputs = torch.randn(5, 4) * 10
    masked = torch.cat((outputs, torch.full((5, 2), MASKED)), 1)
    expected = torch.cat((outputs.softmax(1), torch.zeros(5, 2)), 1)
    assert torch.equal(expected, masked.softmax(1))
    assert torch.equal(expected[:, 4:], (masked / 4).softmax(1)[:, 4:])


def test_two_masked_columns_differ_by_zero() -> None:
    """Which minus infinity would not do: a distillation loss over them stays finite."""
    a, b = torch.full((2, 3), MASKED), torch.full((2, 3), MASKED)
    assert float(F.mse_loss(a, b)) == 0.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_precision_holds_the_mask(dtype: torch.dtype) -> None:
    """It is finite in each, within the precision's own rounding, and softmax still gives zero."""
    held = torch.tensor([0.0, MASKED], dtype=dtype)
    assert torch.isfinite(held).all()
    assert float(held[1]) == pytest.approx(MASKED, rel=2**-8)
    assert held.softmax(0).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("make", GROWING, ids=["growing", "multi", "progressive"])
def test_labels_that_are_no_integers_are_refused_with_their_type(make) -> None:
    """A regression target cannot name a column."""
    with pytest.raises(InvalidValue, match=r"y has shape \(2,\) and torch\.float32.*int64"):
        make().grow(Batch(torch.zeros(2, 3), torch.zeros(2), 0))


@pytest.mark.parametrize("make", GROWING, ids=["growing", "multi", "progressive"])
def test_a_negative_label_is_refused_by_value(make) -> None:
    """It would count from the end and so name another label's column."""
    with pytest.raises(InvalidValue, match="label is -3"):
        make().grow(Batch(torch.zeros(2, 3), torch.tensor([0, -3]), 0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("make", GROWING, ids=["growing", "multi", "progressive"])
def test_what_grows_goes_where_the_module_is(make, dtype: torch.dtype) -> None:
    """Even the first block of a module that had no parameter yet to look at."""
    module = make().to(dtype)
    module.grow(Batch(torch.zeros(2, 3), torch.tensor([0, 2]), 0))
    assert {dtype} == {parameter.dtype for parameter in module.parameters()}
