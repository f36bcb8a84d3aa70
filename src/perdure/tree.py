"""Arithmetic on parameters by name: perdure never flattens them into a vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Tree = dict[str, Tensor]


def apply(function: Callable[[Tensor], Tensor], tree: Mapping[str, Tensor]) -> Tree:
    """`function` of every tensor, under the same names."""
    return {name: function(tensor) for name, tensor in tree.items()}


def copy(tree: Mapping[str, Tensor]) -> Tree:
    """Detached copies that share no memory with `tree`."""
    return apply(lambda tensor: tensor.detach().clone(), tree)


def zeros(tree: Mapping[str, Tensor]) -> Tree:
    """Zeros of the same shapes and dtypes."""
    return apply(lambda tensor: torch.zeros_like(tensor, requires_grad=False), tree)


def combine(a: Mapping[str, Tensor], b: Mapping[str, Tensor], scale: float = 1.0) -> Tree:
    """a + scale * b by name. A name that only one side has is taken as zero on the other."""
    names = {**a, **b}
    return {
        name: a[name] + scale * b[name]
        if name in a and name in b
        else (a[name].clone() if name in a else scale * b[name])
        for name in names
    }


def dot(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> Tensor:
    """Inner product over the names that both have, as a 0-d tensor; 0 where they share none."""
    products = [torch.sum(a[name] * b[name]) for name in a if name in b]
    return torch.stack(products).sum() if products else torch.zeros(())


def largest(tree: Mapping[str, Tensor]) -> float:
    """The largest absolute entry of the tree; 0 for an empty one."""
    return max((float(tensor.abs().max()) for tensor in tree.values() if tensor.numel()), default=0)


def size_bytes(tree: Mapping[str, Tensor]) -> int:
    """Bytes that the tensors hold."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tree.values())
