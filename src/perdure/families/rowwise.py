"""Sums over rows of each row's own gradient, squared or in absolute value: fast, and exact.

A row's gradient of a linear layer's weight is the outer product of e, its gradient at the layer's
output, and a, its input to the layer. So the squares of all rows sum to one matrix product,

    sum_i (e_i a_i^T)^2 = (e^2)^T (a^2),

and no gradient of a single row is ever formed. Parameters that are not used in just this way go
row by row through vmap, which is as exact and takes more time and memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge
from torch.func import functional_call, grad, vmap
from torch.overrides import TorchFunctionMode

from perdure.model import takes_task
from perdure.tree import Tree

Terms = Iterable[Tensor]
"""Gradients at the outputs, each shaped like them; iterated over more than once."""
Size = Callable[[Tensor], Tensor]
"""`torch.square` or `torch.abs`: any function with size(a b) = size(a) size(b)."""

ROWS, ENTRIES = 32, 2**25  # rows that vmap takes at once, and entries of their gradients


class RowSums:
    """sum_i sum_v size(v_i^T d outputs_i / d theta), v over `terms(outputs, y)`.

    Args:
        model: in evaluation mode, in which rows do not act on each other.
        params: the parameters theta by name.
        terms: gradients at the outputs (n, ...), from detached outputs (n, ...) and y (n, ...).
        size: what is summed.
    """

    def __init__(
        self,
        model: nn.Module,
        params: Mapping[str, Tensor],
        terms: Callable[[Tensor, Tensor], Terms],
        size: Size,
    ) -> None:
        self.model, self.params, self.terms, self.size = model, params, terms, size
        # One without entries has no part, and vmap cannot differentiate some functions of it.
        parts = {name: p for name, p in params.items() if p.numel()}
        self._names = {get_gradient_edge(p).node: name for name, p in parts.items()}
        self._aligned: dict[str, bool] = {}

    def __call__(self, inputs: Tensor, y: Tensor, task: Tensor | None) -> Tree:
        """The sums over these rows, for each parameter that has a part in their outputs."""
        args = (inputs, task) if takes_task(self.model) else (inputs,)
        with torch.enable_grad(), _Linears() as linears:
            outputs: Tensor = self.model(*args)
        terms = self.terms(outputs.detach(), y)
        uses = _uses(outputs)
        maps = [m for m in linears.maps if uses[m.out.node] and m.a.shape[:-1] == (len(inputs),)]
        for linear in maps:
            linear.owns = [(s, names) for s in linear.sources if (names := self._owned(s, uses))]
        maps = self._row_by_row(outputs, terms, [linear for linear in maps if linear.owns])
        sums = self._by_products(outputs, terms, maps)
        rest = {name for node, name in self._names.items() if uses[node]} - sums.keys()
        return {**sums, **self._by_vmap(sorted(rest), terms, *args)}

    def _owned(self, source: Tensor, uses: Counter[Node]) -> list[str]:
        """The parameters that `source` is, or joins, if nothing else uses them."""
        node = get_gradient_edge(source).node
        joined = [part for part, _ in node.next_functions if part is not None]
        parts = joined if node.name() == "CatBackward0" else [node]
        alone = uses[node] == 1 and all(uses[p] == 1 and p in self._names for p in parts)
        return [self._names[part] for part in parts] if alone else []

    def _row_by_row(self, outputs: Tensor, terms: Terms, maps: list[_Linear]) -> list[_Linear]:
        """The maps whose i-th row serves the i-th row of the outputs and no other.

        A matrix with as many rows as the batch need not hold the batch's rows. Turn the sign of
        every second row's gradient at the outputs: the same rows must turn at the map.
        """
        new = [m for m in maps if not self._aligned.keys() >= set(m.names)]
        if new and len(outputs) > 1:
            v = next(iter(terms))
            flipped = v.clone()
            flipped[1::2] *= -1
            pairs = zip(_gradients(outputs, new, v), _gradients(outputs, new, flipped), strict=True)
            for linear, (e, f) in zip(new, pairs, strict=True):
                f[1::2] *= -1
                same = torch.allclose(e, f, rtol=1e-4, atol=1e-6 * float(e.abs().max()))
                self._aligned |= dict.fromkeys(linear.names, same)
        return [m for m in maps if all(self._aligned.get(name, True) for name in m.names)]

    def _by_products(self, outputs: Tensor, terms: Terms, maps: list[_Linear]) -> Tree:
        """By one product of matrices for each map."""
        if not maps:
            return {}
        totals = [torch.zeros(()).to(outputs)] * len(maps)
        for v in terms:
            found = _gradients(outputs, maps, v)
            totals = [total + self.size(e) for total, e in zip(totals, found, strict=True)]
        sums: Tree = {}
        for linear, e in zip(maps, totals, strict=True):  # e: (n, out)
            for source, names in linear.owns:
                whole = e.sum(0) if source.dim() == 1 else e.T @ self.size(linear.a)
                # What joins parameters only moves their entries, so its gradient moves sums back.
                params = [self.params[name] for name in names]
                parts = torch.autograd.grad(source, params, whole, retain_graph=True)
                sums |= zip(names, parts, strict=True)
        return sums

    def _by_vmap(
        self, names: list[str], terms: Terms, inputs: Tensor, task: Tensor | None = None
    ) -> Tree:
        """By each row's own gradients."""
        theta = {name: self.params[name].detach() for name in names}
        sums = {name: torch.zeros_like(p) for name, p in theta.items()}
        entries = sum(p.numel() for p in theta.values())
        at_once = max(1, min(ROWS, ENTRIES // max(1, entries)))
        for v in terms if names else ():
            for rows, ids in _alike(task, len(inputs)):
                for few in rows.split(at_once):
                    each = self._each(theta, inputs[few], v[few], ids)
                    sums = {name: sums[name] + self.size(g).sum(0) for name, g in each.items()}
        return sums

    @torch.no_grad()
    def _each(self, theta: Tree, inputs: Tensor, v: Tensor, ids: tuple[Tensor, ...]) -> Tree:
        """Each row's gradient of v^T outputs, (n, ...) by name."""

        def along(theta: Tree, row: Tensor, v: Tensor) -> Tensor:
            outputs: Tensor = functional_call(self.model, theta, (row[None], *ids))
            return (outputs[0] * v).sum()

        each: Tree = vmap(grad(along), (None, 0, 0))(theta, inputs, v)
        return each


@dataclass(eq=False)
class _Linear:
    """One linear map of a forward pass: out = a weight^T + bias."""

    out: GradientEdge  # the tensor itself may be overwritten by an activation in place
    a: Tensor  # (n, in)
    sources: list[Tensor]  # those of weight and bias that learn
    owns: list[tuple[Tensor, list[str]]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [name for _, names in self.owns for name in names]


class _Linears(TorchFunctionMode):
    """Writes down the linear maps of a forward pass, whichever module calls them."""

    def __init__(self) -> None:
        super().__init__()
        self.maps: list[_Linear] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func is F.linear and out.requires_grad:
            self._note(out, *args, **kwargs)
        return out

    def _note(self, out: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> None:  # noqa: A002
        sources = [s for s in (weight, bias) if s is not None and s.requires_grad]
        if weight.dim() == 2:
            self.maps.append(_Linear(get_gradient_edge(out), input.detach(), sources))


def _uses(outputs: Tensor) -> Counter[Node]:
    """How often each node of the graph behind the outputs is used."""
    root = get_gradient_edge(outputs).node
    uses: Counter[Node] = Counter({root: 1})
    waiting = [root]
    while waiting:
        for node, _ in waiting.pop().next_functions:
            if node is not None:
                waiting += [] if uses[node] else [node]
                uses[node] += 1
    return uses


def _gradients(outputs: Tensor, maps: list[_Linear], v: Tensor) -> list[Tensor]:
    """The gradient (n, out) of v^T outputs at each map's output."""
    edges = [linear.out for linear in maps]
    return list(torch.autograd.grad(outputs, edges, v, retain_graph=True))


def _alike(task: Tensor | None, n: int) -> Iterator[tuple[Tensor, tuple[Tensor, ...]]]:
    """Rows of one task at a time with its id, since vmap would hide the ids from the model."""
    if task is None:
        yield torch.arange(n), ()
        return
    for one in task.unique():
        yield (task == one).nonzero().flatten(), (one[None],)
