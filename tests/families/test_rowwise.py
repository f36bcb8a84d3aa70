"""Where the product of matrices may stand for single rows, and where it may not: never a guess."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure.families.rowwise import RowSums

N, D, K = 14, 6, 3


class Net(nn.Module):
    """Two linear layers, and a few more parameters that the cases below use as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, K)
        self.g = nn.Parameter(torch.rand(D))
        table = torch.randn(N, D, generator=torch.Generator().manual_seed(3))
        self.register_buffer("table", table)


def plain(net: Net, x: Tensor) -> Tensor:
    return net.out(net.b(net.a(x).relu()).relu())


def shared(net: Net, x: Tensor) -> Tensor:
    return net.out(net.a(net.a(x).relu()).relu())


def in_place(net: Net, x: Tensor) -> Tensor:
    return net.out(net.a(x).mul_(2.0).relu_())


def scaled(net: Net, x: Tensor) -> Tensor:
    return net.out(net.a(x).relu() * net.g)


def also_elsewhere(net: Net, x: Tensor) -> Tensor:
    return net.out(net.a(x).relu()) + net.out.weight.sum()


def only_elsewhere(net: Net, x: Tensor) -> Tensor:
    net.b(x)  # computed and thrown away
    return net.out(net.a(x).relu() @ net.b.weight)


def transposed(net: Net, x: Tensor) -> Tensor:
    return net.out(F.linear(x, net.a.weight.T, net.a.bias))


def joined(net: Net, x: Tensor) -> Tensor:
    weight = torch.cat((net.b.weight, net.out.weight))
    return F.linear(net.a(x).relu(), weight, bias=torch.cat((net.b.bias, net.out.bias)))


def joined_sideways(net: Net, x: Tensor) -> Tensor:
    return F.linear(torch.cat((x, x.cos()), 1), torch.cat((net.a.weight, net.b.weight), 1))


def joined_twice(net: Net, x: Tensor) -> Tensor:
    return F.linear(x, torch.cat((net.a.weight, net.a.weight)))


def joined_and_used(net: Net, x: Tensor) -> Tensor:
    return joined(net, net.b(x))


def positions(net: Net, x: Tensor) -> Tensor:
    return net.out(net.a(torch.stack((x, x.sin()), 1)).relu().sum(1))


def rows_of_a_table(net: Net, x: Tensor) -> Tensor:
    """As many rows as the batch, and not the batch's: all rows answer to the first one."""
    return net.out((net.a(x) + net.b(net.table)[:1]).relu())


def shuffled(net: Net, x: Tensor) -> Tensor:
    """Each row once, in another order: still one row of the map for each of the batch."""
    order = torch.arange(len(x)).flip(0)
    return net.out(net.a(x[order])[order].relu())


def bound(net: Net, x: Tensor) -> Tensor:
    return net.out(net.a(x).relu()) + F.linear(x, net.g[None]).sum()[None] * 0


CASES = [
    plain, shared, in_place, scaled, also_elsewhere, only_elsewhere, transposed, joined,
    joined_sideways, joined_twice, joined_and_used, positions, rows_of_a_table, shuffled, bound,
]  # fmt: skip


class Calls(Net):
    """The network of a case."""

    def __init__(self, case: Callable[[Net, Tensor], Tensor]) -> None:
        super().__init__()
        self.case = case

    def forward(self, x: Tensor) -> Tensor:
        return self.case(self, x)


def two_terms(outputs: Tensor, y: Tensor) -> list[Tensor]:
    """Two terms, different for every row."""
    return [outputs.cos(), outputs.sin() + y[:, None]]


def by_rows(model: nn.Module, x: Tensor, y: Tensor, size: Callable) -> dict[str, Tensor]:
    """The same sums, by autograd with all rows but one left out of the outputs."""
    params = dict(model.named_parameters())
    total = {name: torch.zeros_like(p) for name, p in params.items()}
    outputs = model(x)
    for v in two_terms(outputs.detach(), y):
        for i in range(len(x)):
            grads = torch.autograd.grad(
                (outputs[i] * v[i]).sum(),
                list(params.values()),
                retain_graph=True,
                allow_unused=True,
            )
            for name, grad in zip(params, grads, strict=True):
                total[name] += 0 if grad is None else size(grad)
    return total


@pytest.mark.parametrize("size", [torch.square, torch.abs])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_sums_are_those_of_single_rows(case: Callable, size: Callable) -> None:
    """Whatever a model does with its parameters, to 1e-9 in double precision."""
    model = Calls(case).double().eval()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(N, D, generator=generator, dtype=torch.float64)
    y = torch.arange(N, dtype=torch.float64)
    model.table = model.table.double()
    sums = RowSums(model, dict(model.named_parameters()), two_terms, size)(x, y, None)
    for name, expected in by_rows(model, x, y, size).items():
        ours = sums.get(name, torch.zeros_like(expected))
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12, msg=name)


def test_one_row_is_its_own_square() -> None:
    """With a single row there is nothing to align, and its gradient is the only one."""
    model = Calls(plain).eval()
    x, y = torch.randn(1, D), torch.ones(1)
    sums = RowSums(model, dict(model.named_parameters()), two_terms, torch.square)(x, y, None)
    for name, expected in by_rows(model, x, y, torch.square).items():
        if expected.any():
            torch.testing.assert_close(sums[name], expected)


def test_frozen_parameters_are_left_alone() -> None:
    """With weights frozen the biases are measured, and nothing else."""
    model = Calls(plain).eval()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.endswith("bias"))
    learning = {n: p for n, p in model.named_parameters() if p.requires_grad}
    x, y = torch.randn(N, D), torch.arange(N).float()
    sums = RowSums(model, learning, two_terms, torch.square)(x, y, None)
    assert sums.keys() == {"a.bias", "b.bias", "out.bias"}
    for parameter in model.parameters():
        parameter.requires_grad_()
    expected = by_rows(model, x, y, torch.square)
    for name, total in sums.items():
        torch.testing.assert_close(total, expected[name], rtol=1e-5, atol=1e-7)


def test_a_parameter_without_entries_has_no_part() -> None:
    """A table of numbers alone has an embedding of no categories; the rest is measured."""

    class Empty(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.none, self.out = nn.Embedding(0, 2), nn.Linear(D, K)

        def forward(self, x: Tensor) -> Tensor:
            codes = torch.zeros(x.shape[0], 0, dtype=torch.int64)
            return self.out(torch.cat((x, self.none(codes).flatten(1)), 1))

    model = Empty().eval()
    params, x, y = dict(model.named_parameters()), torch.randn(N, D), torch.arange(N).float()
    sums = RowSums(model, params, two_terms, torch.square)(x, y, None)
    assert sums.keys() == {"out.weight", "out.bias"}
    expected = by_rows(model, x, y, torch.square)
    for name, total in sums.items():
        torch.testing.assert_close(total, expected[name], rtol=1e-5, atol=1e-6)


def test_tasks_may_decide_how_a_row_is_computed() -> None:
    """A model that reads its task ids as numbers is measured too, one task at a time."""

    class ByTask(nn.Module):
        takes_task = True

        def __init__(self) -> None:
            super().__init__()
            self.scales = nn.ParameterList([torch.rand(D), torch.rand(D)])

        def forward(self, x: Tensor, task: Tensor) -> Tensor:
            scales = [self.scales[one] for one in task.tolist()]
            return x * torch.stack(scales)

    model, x = ByTask(), torch.randn(N, D)
    task = torch.arange(N) % 2
    terms = lambda outputs, y: [torch.ones_like(outputs)]  # noqa: E731
    sums = RowSums(model, dict(model.named_parameters()), terms, torch.square)(x, task, task)
    torch.testing.assert_close(sums["scales.0"], x[::2].square().sum(0))
    torch.testing.assert_close(sums["scales.1"], x[1::2].square().sum(0))
