"""FLOPs of matrix decompositions, which torch's own counter has no formulas for.

Importing this tells torch's counter: methods in closed form do their work here, and would look free
otherwise. Leading terms, as Golub & Van Loan 2013 ("Matrix Computations", 4th edition) give them.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

aten = torch.ops.aten
Shape = torch.Size


def _square(a: Shape) -> tuple[int, int]:
    """How many matrices (..., n, n) there are, and n."""
    return prod(a[:-2]), a[-1]


@register_flop_formula(aten.linalg_cholesky_ex)
def cholesky(a: Shape, *args: Any, **kwargs: Any) -> int:
    """n^3 / 3 of (..., n, n): algorithm 4.2.1."""
    count, n = _square(a)
    return count * n**3 // 3


@register_flop_formula(aten.cholesky_solve)
def cholesky_solve(b: Shape, a: Shape, *args: Any, **kwargs: Any) -> int:
    """Two triangular systems with k right-hand sides (..., n, k): 2 n^2 k."""
    return 2 * prod(b) * a[-1]


@register_flop_formula(aten.cholesky_inverse)
def cholesky_inverse(a: Shape, *args: Any, **kwargs: Any) -> int:
    """2 n^3 / 3, once the factor is there."""
    count, n = _square(a)
    return count * 2 * n**3 // 3


@register_flop_formula(aten.linalg_solve_triangular)
def solve_triangular(a: Shape, b: Shape, *args: Any, **kwargs: Any) -> int:
    """n^2 k: algorithm 3.1.1."""
    return prod(b) * a[-1]


@register_flop_formula(aten.linalg_lu_factor_ex)
def lu(a: Shape, *args: Any, **kwargs: Any) -> int:
    """2 n^3 / 3: algorithm 3.2.1."""
    count, n = _square(a)
    return count * 2 * n**3 // 3


@register_flop_formula(aten._linalg_solve_ex)  # noqa: SLF001
def solve(a: Shape, b: Shape, *args: Any, **kwargs: Any) -> int:
    """An LU factorisation, and two triangular systems with k right-hand sides."""
    return int(lu(a)) + 2 * prod(b) * a[-1]


@register_flop_formula(aten.linalg_inv_ex)
def inverse(a: Shape, *args: Any, **kwargs: Any) -> int:
    """2 n^3: an LU factorisation and n right-hand sides, zeros left out."""
    count, n = _square(a)
    return count * 2 * n**3


@register_flop_formula(aten._linalg_eigh)  # noqa: SLF001
def eigh(a: Shape, *args: Any, **kwargs: Any) -> int:
    """9 n^3 with eigenvectors: section 8.3.4."""
    count, n = _square(a)
    return count * 9 * n**3


@register_flop_formula(aten._linalg_svd)  # noqa: SLF001
def svd(a: Shape, *args: Any, **kwargs: Any) -> int:
    """6 m n^2 + 20 n^3 for singular values and vectors of (..., m, n), m >= n: figure 8.6.1."""
    long, short = max(a[-2:]), min(a[-2:])
    return prod(a[:-2]) * (6 * long * short**2 + 20 * short**3)


@register_flop_formula(aten.linalg_qr)
def qr(a: Shape, *args: Any, **kwargs: Any) -> int:
    """4 (m n^2 - n^3 / 3) of (..., m, n), m >= n, with Q formed: algorithm 5.2.1, section 5.1.6."""
    long, short = max(a[-2:]), min(a[-2:])
    return prod(a[:-2]) * 4 * (long * short**2 - short**3 // 3)
