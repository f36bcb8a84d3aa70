"""FLOPs of decompositions: torch's own counter counts them once `perdure.measure` is there."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from perdure import measure

N, K = 6, 2
WIDE = torch.randn(N, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SPD = WIDE @ WIDE.T
RIGHT = torch.ones(N, K, dtype=torch.float64)
FACTOR = torch.linalg.cholesky(SPD)


def counted(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("work", "flops"),
    [
        pytest.param(lambda: torch.linalg.cholesky(SPD), N**3 // 3, id="cholesky"),
        pytest.param(
            lambda: torch.linalg.cholesky(SPD.expand(4, N, N)), 4 * N**3 // 3, id="four choleskys"
        ),
        pytest.param(
            lambda: torch.cholesky_solve(RIGHT, FACTOR), 2 * N * N * K, id="cholesky_solve"
        ),
        pytest.param(lambda: torch.cholesky_inverse(FACTOR), 2 * N**3 // 3, id="cholesky_inverse"),
        pytest.param(
            lambda: torch.linalg.solve_triangular(FACTOR, RIGHT, upper=False),
            N * N * K,
            id="triangular",
        ),
        pytest.param(
            lambda: torch.linalg.solve(SPD, RIGHT), 2 * N**3 // 3 + 2 * N * N * K, id="solve"
        ),
        pytest.param(lambda: torch.linalg.lu_factor(SPD), 2 * N**3 // 3, id="lu"),
        pytest.param(lambda: torch.linalg.inv(SPD), 2 * N**3, id="inverse"),
        pytest.param(lambda: torch.linalg.eigh(SPD), 9 * N**3, id="eigh"),
        pytest.param(lambda: torch.linalg.svd(WIDE), 6 * 9 * N**2 + 20 * N**3, id="svd"),
        pytest.param(lambda: torch.linalg.qr(WIDE.T), 4 * (9 * N**2 - N**3 // 3), id="qr"),
    ],
)
def test_a_decomposition_costs_what_the_textbook_says(work, flops):
    """Leading terms, for matrices of 6 by 6 and 6 by 9."""
    assert flops == counted(work)


def test_solving_row_by_row_costs_what_many_right_hand_sides_do():
    """The formulas are linear in the right-hand sides, the factorisation left out."""
    at_once = counted(lambda: torch.cholesky_solve(RIGHT, FACTOR))
    apart = counted(lambda: [torch.cholesky_solve(RIGHT[:, i : i + 1], FACTOR) for i in range(K)])
    assert at_once == apart


def test_products_are_still_counted_as_torch_counts_them():
    """2 n m k of a product."""
    assert 2 * N * 9 * N == counted(lambda: WIDE @ WIDE.T)
    assert callable(measure.flops.eigh)
