"""Batch renormalisation: the paper's formulas, its two limits, and the way into any model."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from perdure import Batch, Learner
from perdure.errors import InvalidValue
from perdure.nets import CNN, BatchRenorm1d, BatchRenorm2d, Limits, ResNet18, renormalised

CLOSED = Limits(rmax=1.0, dmax=0.0, warmup=0, rsteps=1, dsteps=1, momentum=0.1)
OPEN = Limits(rmax=1e6, dmax=1e6, warmup=0, rsteps=1, dsteps=1, momentum=0.1)
SHAPES = {1: (16, 5), 2: (6, 5, 4, 3)}


def opened(module: BatchRenorm1d) -> BatchRenorm1d:
    """As after many updates, with running statistics of its own."""
    module.num_batches_tracked.fill_(10**6)
    module.running_mean.uniform_(-1, 1)
    module.running_var.uniform_(0.5, 2)
    return module


@pytest.mark.parametrize("dimensions", [1, 2])
def test_with_closed_limits_it_is_batch_normalisation(dimensions: int) -> None:
    """r = 1 and d = 0: outputs, gradients and running statistics are torch's, over three steps."""
    torch.manual_seed(0)
    ours = {1: BatchRenorm1d, 2: BatchRenorm2d}[dimensions](5, CLOSED)
    theirs = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}[dimensions](5)
    for _ in range(3):
        x = 3 * torch.randn(SHAPES[dimensions]) + 1
        inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
        outputs = [module(one) for module, one in zip((ours, theirs), inputs, strict=True)]
        torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-5)
        for out in outputs:
            (out * torch.arange(5).view(1, 5, *[1] * (x.dim() - 2))).square().sum().backward()
        torch.testing.assert_close(inputs[0].grad, inputs[1].grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_with_open_limits_training_and_inference_agree() -> None:
    """Whatever the batch: each row's output depends on the row and the running statistics."""
    module = opened(BatchRenorm1d(5, OPEN))
    x = 10 + torch.randn(8, 5)
    mean, variance = module.running_mean.clone(), module.running_var.clone()
    trained = module(x)
    module.running_mean.copy_(mean)
    module.running_var.copy_(variance)
    torch.testing.assert_close(module.eval()(x), trained, atol=1e-4, rtol=1e-4)


def test_a_batch_of_one_class_keeps_its_place() -> None:
    """Batch normalisation centres any batch on zero; here a far one stays as far as dmax lets."""
    limits = Limits(rmax=1.5, dmax=0.5, warmup=0, rsteps=1, dsteps=1)
    module = BatchRenorm1d(1, limits)
    module.num_batches_tracked.fill_(10)
    x = 4 + torch.randn(64, 1, generator=torch.Generator().manual_seed(0))
    assert pytest.approx(0.5, abs=1e-5) == module(x).mean().item()
    assert abs(nn.BatchNorm1d(1)(x).mean().item()) < 1e-5


def test_one_step_is_worked_out_by_hand() -> None:
    """Mean 3 and variance 4 against running 1 and 1: r = 2, clipped to 1.5; d = 2, to 0.5.

    Rows 1 and 5: (-1, 1) * 1.5 + 0.5 = (-1, 2). Running mean 1 + 0.1 * (3 - 1) = 1.2; the unbiased
    variance of two rows is 8, so 1 + 0.1 * (8 - 1) = 1.7.
    """
    limits = Limits(rmax=1.5, dmax=0.5, warmup=0, rsteps=1, dsteps=1, momentum=0.1)
    module = BatchRenorm1d(1, limits, eps=1e-12)
    module.num_batches_tracked.fill_(5)
    module.running_mean.fill_(1.0)
    torch.testing.assert_close(module(torch.tensor([[1.0], [5.0]])), torch.tensor([[-1.0], [2.0]]))
    torch.testing.assert_close(module.running_mean, torch.tensor([1.2]))
    torch.testing.assert_close(module.running_var, torch.tensor([1.7]))


def test_r_and_d_are_constants_to_the_gradient() -> None:
    """The gradient is r times that of plain normalisation."""
    module = opened(BatchRenorm1d(5, OPEN))
    x = torch.randn(8, 5, requires_grad=True)
    ratio = (x.var(0, correction=0) + module.eps).sqrt() / (module.running_var + module.eps).sqrt()
    (module(x) ** 3).sum().backward()
    y = x.detach().clone().requires_grad_()
    plain = nn.functional.batch_norm(y, None, None, training=True)
    moved = (y.mean(0) - module_mean(module, y)) / (module_var(module, y) + module.eps).sqrt()
    ((plain * ratio.detach() + moved.detach()) ** 3).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, atol=1e-3, rtol=1e-3)


def module_mean(module: BatchRenorm1d, x: Tensor) -> Tensor:
    """The running mean before the step on x."""
    momentum = module.limits.momentum
    return (module.running_mean - momentum * x.detach().mean(0)) / (1 - momentum)


def module_var(module: BatchRenorm1d, x: Tensor) -> Tensor:
    momentum = module.limits.momentum
    return (module.running_var - momentum * x.detach().var(0)) / (1 - momentum)


@pytest.mark.parametrize(
    ("updates", "expected"),
    [
        (0, (1.0, 0.0, 0.01)),
        (5_000, (1.0, 0.0, 0.01)),
        (15_000, (1.0 + 2 * 10 / 35, 2.5, 0.01)),
        (25_000, (1.0 + 2 * 20 / 35, 5.0, 0.01)),
        (40_000, (3.0, 5.0, 0.01)),
        (10**6, (3.0, 5.0, 0.01)),
    ],
)
def test_the_limits_open_as_in_the_paper(updates: int, expected: tuple[float, ...]) -> None:
    """r to 3 between updates 5,000 and 40,000, d to 5 between 5,000 and 25,000 (section 3)."""
    found = tuple(float(limit) for limit in Limits().at(torch.tensor(updates)))
    assert pytest.approx(expected) == found


def test_running_statistics_slow_down_once_the_limits_are_open() -> None:
    """Momentum 0.1 while they open, none after."""
    limits = Limits(2.0, 1.0, warmup=0, rsteps=2, dsteps=3, momentum=0.1, later=0.0)
    module, means = BatchRenorm1d(1, limits), []
    for _ in range(6):
        module(torch.ones(4, 1) + torch.randn(4, 1))
        means.append(module.running_mean.item())
    assert 3 == len({*means[:3]})
    assert {means[2]} == {*means[2:]}


def test_a_batch_of_one_row_is_normalised_by_what_came_before() -> None:
    """Where BatchNorm refuses: the row has no deviation, and goes where d says."""
    module = BatchRenorm1d(2, Limits(1.5, 2.0, warmup=0, rsteps=1, dsteps=1))
    module.num_batches_tracked.fill_(1)
    out = module(torch.tensor([[1.0, -9.0]]))
    torch.testing.assert_close(out, torch.tensor([[1.0, -2.0]]), atol=1e-4, rtol=1e-4)


def test_a_model_is_renormalised_in_place_with_its_tensors() -> None:
    """Names, parameters and answers at inference stay; training answers differ only then."""
    torch.manual_seed(0)
    model, x = ResNet18(1, width=2), torch.randn(4, 1, 8, 8)
    model(x)
    before, answers = dict(model.named_parameters()), model.eval()(x)
    again = renormalised(model, Limits())
    assert again is model
    assert all(p is before[name] for name, p in model.named_parameters())
    assert not [m for m in model.modules() if type(m) is nn.BatchNorm2d]
    torch.testing.assert_close(answers, model(x))
    inner = [m for m in model.modules() if isinstance(m, BatchRenorm2d)]
    assert renormalised(model) is model
    assert inner == [m for m in model.modules() if isinstance(m, BatchRenorm2d)]


def test_a_network_takes_it_as_its_normalisation() -> None:
    """By the same argument that gives others BatchNorm; by default the CNN has none."""
    for network in (CNN(1, 2, norm=BatchRenorm2d), ResNet18(1, 2, norm=BatchRenorm2d)):
        kinds = {
            type(m) for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)
        }
        assert {BatchRenorm2d} == kinds
        assert (3, network.out_features) == tuple(network(torch.randn(3, 1, 8, 8)).shape)
    assert {nn.Conv2d, nn.ReLU, nn.MaxPool2d} == {type(m) for m in CNN(1, 2).layers}


def test_it_goes_on_from_a_checkpoint_bit_for_bit() -> None:
    """Limits and momentum follow from the updates, which are part of the state."""

    def fresh() -> Learner:
        torch.manual_seed(0)
        limits = Limits(2.0, 1.0, warmup=1, rsteps=3, dsteps=4, later=0.001)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        sgd = partial(torch.optim.SGD, lr=0.1)
        return Learner(renormalised(model, limits), optimizer=sgd)

    batches = [Batch(torch.randn(6, 3) + i, torch.arange(6) % 2) for i in range(8)]
    whole, first, second = fresh(), fresh(), fresh()
    for batch in batches:
        whole.observe(batch)
    for batch in batches[:4]:
        first.observe(batch)
    second.load_state_dict(first.state_dict())
    for batch in batches[4:]:
        second.observe(batch)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


def test_half_precision_keeps_its_type() -> None:
    """Statistics are float32 whatever comes in."""
    module = BatchRenorm1d(4)
    assert torch.bfloat16 == module(torch.randn(8, 4, dtype=torch.bfloat16)).dtype
    assert torch.float32 == module.running_mean.dtype


@pytest.mark.parametrize(
    "settings", [{"rmax": 0.9}, {"dmax": -1.0}, {"rsteps": 0}, {"momentum": 1.5}, {"later": 2.0}]
)
def test_limits_out_of_range_are_refused(settings: dict) -> None:
    """At construction, by name."""
    with pytest.raises(InvalidValue, match=next(iter(settings))):
        Limits(**settings)


def test_what_it_cannot_normalise_is_refused() -> None:
    """Wrong dimensions, and a BatchNorm that has nothing to hand over."""
    with pytest.raises(InvalidValue, match="BatchRenorm2d"):
        BatchRenorm2d(3)(torch.randn(2, 3))
    with pytest.raises(InvalidValue, match="no running statistics"):
        renormalised(nn.BatchNorm1d(3, track_running_stats=False))
