"""The Fisher information and its kin, against autograd row by row and closed forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from perdure import Batch, Learner, nets
from perdure.errors import InvalidValue
from perdure.families.fisher import Labels, distance, fisher, importance
from perdure.model import takes_task

TASK_OF = {0: 0, 1: 0, 2: 1, 3: 1, 4: 2}


def rows(n: int = 24, shape: tuple[int, ...] = (12,), seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(5, (n,), generator=generator)
    x = torch.randn(n, *shape, generator=generator)
    return Batch(x, y, torch.tensor([TASK_OF[label] for label in y.tolist()]))


def mlp(head: nn.Module) -> nn.Module:
    return nets.Classifier(nets.MLP(12, (8, 8)), head)


def grown(*labels: int) -> nets.GrowingHead:
    """A head whose labels came one at a time, in this order."""
    head = nets.GrowingHead(8)
    for label in labels:
        head.grow(Batch(torch.zeros(1, 8), torch.tensor([label])))
    return head


def multi(features: int) -> nets.MultiHead:
    return nets.MultiHead(features, {0: [0, 1], 1: [2, 3], 2: [4]})


def progressive() -> nets.ProgressiveNet:
    net = nets.ProgressiveNet(12, (8, 8), range(5))
    net.add_column(0)
    net.add_column(1)
    return net


class Mixed(nn.Module):
    """Sequences through linear layers, normalisation and a scale of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm, self.out = nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 5)
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        return self.out((self.norm(self.embed(x)) * self.scale).relu().mean(1))


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (lambda: mlp(nets.FixedHead(8, 5)), (12,)),
    "growing head": (lambda: mlp(grown(0, 1, 2, 3, 4)), (12,)),
    "growing head out of order": (lambda: mlp(grown(3, 0, 4, 1, 2)), (12,)),
    "multi-head": (lambda: mlp(multi(8)), (12,)),
    "cnn": (lambda: nets.Classifier(nets.CNN(3, 4), nets.FixedHead(16, 5)), (3, 8, 8)),
    "resnet, multi-head": (lambda: nets.Classifier(nets.ResNet18(3, 2), multi(16)), (3, 8, 8)),
    "sequences": (Mixed, (3, 4)),
}


def row_by_row(learner: Learner, batch: Batch, terms: Callable[[Tensor, int], Iterator]) -> dict:
    """mean_i sum over terms (weight, scalar) of weight * (d scalar / d theta)^2, one row a pass."""
    learner.model.eval()
    total = {name: torch.zeros_like(p) for name, p in learner.params.items()}
    for i in range(len(batch)):
        row = batch[i : i + 1]
        args = (row.x, row.task) if takes_task(learner.model) else (row.x,)
        outputs = learner.model(*args)[0]
        for weight, scalar in terms(outputs, int(row.y)):
            params = list(learner.params.values())
            grads = torch.autograd.grad(scalar, params, retain_graph=True, allow_unused=True)
            for name, grad in zip(learner.params, grads, strict=True):
                total[name] += 0 if grad is None else weight * grad.square() / len(batch)
    return total


def at_the_label(outputs: Tensor, y: int) -> Iterator[tuple[float, Tensor]]:
    yield 1.0, outputs.log_softmax(0)[y]


def at_every_class(outputs: Tensor, y: int) -> Iterator[tuple[float, Tensor]]:
    for log_p in outputs.log_softmax(0):
        yield float(log_p.detach().exp()), log_p


def assert_equal_trees(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """To 1e-5 of each entry, and 1e-8 of the tensor's largest."""
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        floor = 1e-8 * float(expected.abs().max())
        torch.testing.assert_close(ours[name], expected, rtol=1e-5, atol=floor, msg=name)


@pytest.mark.parametrize(("labels", "terms"), [("true", at_the_label), ("model", at_every_class)])
@pytest.mark.parametrize("model", MODELS)
def test_it_equals_autograd_row_by_row(model: str, labels: Labels, terms: Callable) -> None:
    """For each architecture and both kinds of labels, to 1e-5."""
    make, shape = MODELS[model]
    learner, batch = Learner(make().double()), rows(shape=shape)
    batch = Batch(batch.x.double(), batch.y, batch.task)
    assert_equal_trees(fisher(learner, [batch], labels), row_by_row(learner, batch, terms))


def test_in_single_precision_it_is_as_exact_as_that() -> None:
    """Float32 against float64 on the same weights: 1e-5 of the largest entry of each tensor."""
    model, batch = mlp(nets.FixedHead(8, 5)), rows(200)
    single = fisher(Learner(model), [batch])
    double = fisher(Learner(model.double()), [Batch(batch.x.double(), batch.y)])
    for name, expected in double.items():
        assert (single[name] - expected).abs().max() <= 1e-5 * expected.max()


def test_a_progressive_net_is_measured_where_it_learns() -> None:
    """The frozen column has no Fisher; the newest has the one of autograd."""
    learner, batch = Learner(progressive()), rows(12)
    batch = Batch(batch.x, batch.y, torch.ones(12, dtype=torch.int64))
    ours = fisher(learner, [batch])
    assert all(name.startswith(("columns.1", "columns.0.outputs")) for name in ours)
    assert_equal_trees(ours, row_by_row(learner, batch, at_every_class))


def test_logistic_regression_has_its_closed_form() -> None:
    """One weight w, outputs (w x, 0): F = mean of p (1 - p) x^2, with p = sigmoid(w x)."""

    class Logistic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Linear(1, 1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return F.pad(self.w(x), (0, 1))

    model, x = Logistic(), torch.tensor([[1.0], [2.0], [-3.0]])
    nn.init.constant_(model.w.weight, 0.5)
    p = torch.sigmoid(0.5 * x)
    found = fisher(Learner(model), [Batch(x, torch.zeros(3, dtype=torch.int64))])
    torch.testing.assert_close(found["w.weight"], (p * (1 - p) * x**2).mean().view(1, 1))


def test_the_square_of_the_batch_gradient_is_something_else() -> None:
    """The mean of squares is at least the square of the mean, and far above it."""
    learner, batch = Learner(mlp(nets.FixedHead(8, 5))), rows(64)
    found = fisher(learner, [batch], "true")
    loss = F.cross_entropy(learner.model(batch.x), batch.y)
    for name, grad in zip(found, torch.autograd.grad(loss, learner.params.values()), strict=True):
        assert (found[name] >= grad.square() * (1 - 1e-4)).all()
        assert found[name].sum() > 2 * grad.square().sum()


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 24), max_size=4))
def test_how_rows_are_batched_does_not_matter(cuts: list[int]) -> None:
    """Any partition gives the same Fisher: it is a mean over rows."""
    torch.manual_seed(0)
    learner, batch = Learner(mlp(multi(8))), rows()
    bounds = [0, *sorted(cuts), len(batch)]
    parts = [batch[a:b] for a, b in pairwise(bounds)]
    whole = fisher(learner, [batch])
    for name, part in fisher(learner, parts).items():
        torch.testing.assert_close(part, whole[name])


def test_more_rows_than_one_piece_are_all_counted() -> None:
    """600 rows in one batch equal the mean over 600 batches of one row."""
    learner, batch = Learner(mlp(nets.FixedHead(8, 5))), rows(600)
    whole = fisher(learner, [batch])
    single = fisher(learner, [batch[i : i + 1] for i in range(600)])
    for name in whole:
        torch.testing.assert_close(whole[name], single[name])


def test_drawn_labels_estimate_the_expectation() -> None:
    """Many copies of the rows, each with its own draw, come within 5% of the exact Fisher."""
    learner, batch = Learner(mlp(nets.FixedHead(8, 5))), rows(16)
    exact = fisher(learner, [batch])
    drawn = fisher(learner, [batch] * 400, "sampled", rng=torch.Generator().manual_seed(0))
    for name in exact:
        assert (drawn[name] - exact[name]).norm() < 0.05 * exact[name].norm()


def test_drawn_labels_follow_the_generator() -> None:
    """Equal seeds give equal bits, also where some parameters go through vmap; others do not."""
    learner, batch = Learner(MODELS["cnn"][0]()), rows(8, (3, 8, 8))

    def draw(seed: int) -> dict[str, Tensor]:
        return fisher(learner, [batch], "sampled", rng=torch.Generator().manual_seed(seed))

    first, again, other = draw(1), draw(1), draw(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_regression_has_the_fisher_of_its_loss() -> None:
    """Under mean squared error of two targets a row's gradient is that of the mean of both."""
    model = nn.Linear(3, 2)
    x, y = torch.randn(10, 3), torch.randn(10, 2)
    found = fisher(Learner(model, loss=F.mse_loss), [Batch(x, y)], "true")
    residual = model(x).detach() - y  # d (mean of 2 squares) / d outputs = residual
    expected = torch.einsum("no,ni->oi", residual**2, x**2) / 10
    torch.testing.assert_close(found["weight"], expected)
    torch.testing.assert_close(found["bias"], (residual**2).mean(0))


def test_a_part_of_the_rows_is_spread_over_the_data() -> None:
    """3 of 9 rows are the third, sixth and ninth, however they are batched."""
    learner, batch = Learner(mlp(nets.FixedHead(8, 5))), rows(9)
    few = fisher(learner, [batch[:4], batch[4:5], batch[5:]], rows=3)
    chosen = fisher(learner, [batch[torch.tensor([2, 5, 8])]])
    for name in few:
        torch.testing.assert_close(few[name], chosen[name])
    every = fisher(learner, [batch], rows=100)
    assert all(torch.equal(every[n], whole) for n, whole in fisher(learner, [batch]).items())


def test_measuring_changes_nothing() -> None:
    """Parameters, buffers, gradients and torch's random state are as before."""
    learner, batch = Learner(MODELS["resnet, multi-head"][0]()), rows(6, (3, 8, 8))
    before = {name: t.clone() for name, t in learner.model.state_dict().items()}
    random = torch.get_rng_state()
    fisher(learner, [batch])
    assert all(torch.equal(before[n], t) for n, t in learner.model.state_dict().items())
    assert all(p.grad is None for p in learner.params.values())
    assert torch.equal(random, torch.get_rng_state())


def test_a_head_without_rows_has_no_fisher() -> None:
    """Rows of task 0 alone leave the other heads at exactly zero."""
    learner, batch = Learner(mlp(multi(8))), rows()
    found = fisher(learner, [batch[batch.task == 0]])
    assert found["head.blocks.0.bias"].min() > 0
    assert not found["head.blocks.1.weight"].any()
    assert not found["head.blocks.2.bias"].any()


def test_the_sensitivity_of_outputs_is_absolute() -> None:
    """mean over rows of |d ||f||^2 / d theta|, against autograd row by row."""
    learner, batch = Learner(mlp(multi(8))), rows()
    ours = importance(learner, [batch], lambda f, _: [2 * f], torch.abs)
    expected = {name: torch.zeros_like(p) for name, p in learner.params.items()}
    for i in range(len(batch)):
        row = batch[i : i + 1]
        outputs = learner.model(row.x, row.task)
        kept = outputs[outputs > nets.MASKED / 2]
        grads = torch.autograd.grad(
            kept.square().sum(), list(learner.params.values()), allow_unused=True
        )
        for name, grad in zip(expected, grads, strict=True):
            expected[name] += 0 if grad is None else grad.abs() / len(batch)
    assert_equal_trees(ours, expected)


def test_no_rows_after_learning_is_refused() -> None:
    """An iterator that was used up must not pass for a task without importance."""
    learner, batch = Learner(nn.Linear(12, 5)), rows()
    assert not fisher(learner, [])["weight"].any()
    learner.observe(batch)
    spent = iter([batch])
    fisher(learner, spent)
    with pytest.raises(InvalidValue, match=r"after 1 updates.*more than once"):
        fisher(learner, spent)


def test_unknown_labels_are_refused() -> None:
    """The message names those that there are."""
    with pytest.raises(InvalidValue, match="'model', 'true', 'sampled'"):
        fisher(Learner(nn.Linear(12, 5)), [rows()], "predicted")  # type: ignore[arg-type]


def test_outputs_without_classes_are_refused() -> None:
    """A distribution over classes takes (n, classes); the message offers the true labels."""
    with pytest.raises(InvalidValue, match=r'\(24, 3, 5\).*labels="true"'):
        fisher(Learner(nn.Linear(4, 5)), [rows(shape=(3, 4))])


def tree(*shapes: tuple[int, ...], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        str(i): torch.randn(shape, generator=generator, dtype=torch.float64)
        for i, shape in enumerate(shapes)
    }


def test_the_distance_and_its_gradient_are_those_of_autograd() -> None:
    """Value, gradient under a factor, and the gradient asked for twice."""
    params = {n: p.requires_grad_() for n, p in tree((3, 2), (4,), (), seed=0).items()}
    anchor, weight = tree((3, 2), (4,), (), seed=1), tree((3, 2), (4,), (), seed=2)
    ours = 7 * distance(params, anchor, weight)
    plain = 7 * sum((weight[n] * (params[n] - anchor[n]) ** 2).sum() for n in params)
    torch.testing.assert_close(ours, plain)
    leaves = list(params.values())
    expected = torch.autograd.grad(plain, leaves)
    for _ in range(2):
        torch.testing.assert_close(torch.autograd.grad(ours, leaves, retain_graph=True), expected)


def test_what_has_no_weight_is_free() -> None:
    """A parameter that grew later gets no gradient at all; no common name is no distance."""
    params = {n: p.requires_grad_() for n, p in tree((2,), (2,), seed=0).items()}
    first = {"0": params["0"].detach() + 1}
    distance(params, first, {"0": torch.ones(2)}).backward()
    torch.testing.assert_close(params["0"].grad, torch.full((2,), -2.0, dtype=torch.float64))
    assert params["1"].grad is None
    assert distance(params, {}, {}) == 0
