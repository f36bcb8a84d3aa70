"""The variational auto-encoder: its loss by hand, what it draws, and the memory made of it."""

from __future__ import annotations

from math import log

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from perdure.errors import CheckpointMismatch, InvalidValue, NonFinite
from perdure.nets import VAE, GenerativeMemory


def zeroed(pixels: bool) -> VAE:
    """Every weight 0: mean 0, log variance 0, decoded 0."""
    vae = VAE(4, (3,), 2, pixels)
    for p in vae.parameters():
        nn.init.zeros_(p)
    return vae


def test_the_loss_of_pixels_is_worked_out_by_hand() -> None:
    """All weights 0: KL is 0, and each of 4 pixels, whatever its value, costs log 2; / 4."""
    loss = zeroed(True).loss(torch.tensor([[0.0, 1.0, 0.5, 0.25]]), torch.zeros(1, 2))
    assert pytest.approx(log(2)) == loss.item()


def test_the_loss_of_floats_is_worked_out_by_hand() -> None:
    """All weights 0: half the square of (1, -2, 0, 3), which is 7; / 4."""
    loss = zeroed(False).loss(torch.tensor([[1.0, -2.0, 0.0, 3.0]]), torch.zeros(1, 2))
    assert pytest.approx(7 / 4) == loss.item()


@pytest.mark.parametrize("pixels", [True, False])
def test_the_loss_is_that_of_torchs_distributions(pixels: bool) -> None:
    """Minus the log-likelihood, less its constant, plus the divergence, over d; row by row."""
    torch.manual_seed(0)
    vae, x, noise = VAE(5, (7, 6), 3, pixels), torch.rand(8, 5), torch.randn(8, 3)
    mean, log_variance = vae.to_latent(vae.encoder(x)).chunk(2, 1)
    deviation = (log_variance / 2).exp()
    decoded = vae(mean + noise * deviation)
    if pixels:
        likelihood = Bernoulli(decoded, validate_args=False).log_prob(x)
    else:
        likelihood = Normal(decoded, 1.0).log_prob(x) + log(2 * torch.pi) / 2
    divergence = kl_divergence(Normal(mean, deviation), Normal(0.0, 1.0))
    expected = (divergence.sum(1) - likelihood.sum(1)) / 5
    torch.testing.assert_close(expected, vae.loss(x, noise))


def test_the_decoder_is_the_encoders_mirror_image() -> None:
    """784-400-300, 100 variables, 300-400-784."""
    vae = VAE(784, (400, 300), 100)
    widths = [p.shape[0] for name, p in vae.named_parameters() if name.endswith("weight")]
    assert [400, 300, 200, 300, 400, 784] == widths


@pytest.mark.parametrize("settings", [{"inputs": 0}, {"hidden": (0,)}, {"latent": 0}], ids=str)
def test_a_width_below_one_is_refused(settings: dict) -> None:
    """At construction."""
    with pytest.raises(InvalidValue, match="width"):
        VAE(**{"inputs": 4, **settings})


# -- the memory ----------------------------------------------------------------------------------


def images(rows: int, seed: int = 0) -> Tensor:
    """Two kinds of images (n, 1, 2, 4): left half bright, or right half."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.randint(2, (rows, 1, 1, 1), generator=generator)
    left = torch.tensor([1, 1, 0, 0]).expand(rows, 1, 2, 4)
    noise = torch.randint(30, (rows, 1, 2, 4), generator=generator)
    return (200 * (left ^ kind) + noise).byte()


def taught(x: Tensor, steps: int, lr: float = 1e-2) -> GenerativeMemory:
    """A memory that learnt these rows so many times."""
    memory = GenerativeMemory((32,), 4, lr)
    for _ in range(steps):
        memory.learn(x, torch.ones(len(x)), dict)
    memory.close()
    return memory


CPU = torch.device("cpu")


def test_what_it_draws_is_like_what_it_learnt() -> None:
    """Both kinds come, whole: of bright and dark halves, in the shape and type of the rows."""
    drawn = taught(images(256), 600).sample(400, CPU)
    assert (400, 1, 2, 4) == tuple(drawn.shape)
    assert torch.uint8 == drawn.dtype
    halves = drawn.float().flatten(1).view(400, 2, 2, 2).mean((1, 3))  # (400, left and right)
    left = (halves[:, 0] > 130) & (halves[:, 1] < 100)
    right = (halves[:, 1] > 130) & (halves[:, 0] < 100)
    assert left.float().mean() > 0.25
    assert right.float().mean() > 0.25
    assert (left | right).float().mean() > 0.8


def test_floats_come_back_as_floats() -> None:
    """Around the mean of what was learnt, whatever its range."""
    x = 5 + torch.randn(256, 3, generator=torch.Generator().manual_seed(0)) / 10
    drawn = taught(x, 600).sample(200, CPU)
    assert torch.float32 == drawn.dtype
    torch.testing.assert_close(drawn.mean(0), x.mean(0), atol=0.3, rtol=0)


def test_it_draws_what_it_knew_when_it_was_closed() -> None:
    """Rows learnt since change nothing that is drawn, until it is closed again."""
    memory = taught(images(64), 50)
    memory.seed(1)
    before = memory.sample(5, CPU)
    for _ in range(50):
        memory.learn(torch.zeros(8, 1, 2, 4, dtype=torch.uint8), torch.ones(8), dict)
    memory.seed(1)
    assert torch.equal(before, memory.sample(5, CPU))
    memory.close()
    assert memory.sample(50, CPU).float().mean() < before.float().mean()


def test_a_weight_of_zero_is_a_row_that_was_not_there() -> None:
    """The same step as without it, to rounding."""
    x = images(8)
    one, other = GenerativeMemory((4,), 2), GenerativeMemory((4,), 2)
    draws = torch.randn(8, 2)
    for memory, rows, weight in ((one, x, torch.ones(8)), (other, x, torch.ones(8))):
        weight[4:] = 0.0 if memory is one else 1.0
        memory._normal = lambda n, device: draws[:n]
        memory.learn(*((rows, weight) if memory is one else (rows[:4], weight[:4])), dict)
    for mine, its in zip(one.vae.parameters(), other.vae.parameters(), strict=True):
        torch.testing.assert_close(mine, its)


def test_gradients_go_through_the_average_over_ranks() -> None:
    """What `average` returns is what Adam applies: zeros move nothing."""
    memory = GenerativeMemory((4,), 2)
    memory.learn(images(4), torch.ones(4), dict)
    before = [p.clone() for p in memory.vae.parameters()]
    memory._optimiser.torch.state.clear()
    memory.learn(images(4), torch.ones(4), lambda g: {n: torch.zeros_like(t) for n, t in g.items()})
    for held, p in zip(before, memory.vae.parameters(), strict=True):
        assert torch.equal(held, p)


def test_it_begins_alike_whatever_else_drew_random_numbers() -> None:
    """Its weights come from its own generator, and torch's global one is left alone."""
    states = []
    for other in (1, 2):
        torch.manual_seed(other)
        before = torch.get_rng_state()
        memory = taught(images(8), 3)
        assert torch.equal(before, torch.get_rng_state())
        states.append(memory.state_dict()["vae"])
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name])


def test_it_goes_on_from_its_state_bit_for_bit() -> None:
    """Weights, moments and draws."""
    one = taught(images(16), 5)
    other = GenerativeMemory((32,), 4, 1e-2)
    other.load_state_dict(one.state_dict())
    for memory in (one, other):
        memory.learn(images(16, 1), torch.ones(16), dict)
    assert torch.equal(one.sample(9, CPU), other.sample(9, CPU))
    for mine, its in zip(one.vae.parameters(), other.vae.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_a_state_of_another_size_is_refused() -> None:
    """With the name and both shapes."""
    with pytest.raises(CheckpointMismatch, match=r"encoder\.0\.weight.*\(32, 8\).*\(16, 8\)"):
        GenerativeMemory((16,), 4).load_state_dict(taught(images(4), 1).state_dict())


def test_rows_of_another_shape_or_kind_are_refused() -> None:
    """As are token ids, which are no quantities."""
    memory = taught(images(4), 1)
    with pytest.raises(InvalidValue, match=r"shape \[1, 2, 4\]"):
        memory.learn(images(4)[:, :, :1], torch.ones(4), dict)
    with pytest.raises(InvalidValue, match="made for uint8"):
        memory.learn(images(4).float(), torch.ones(4), dict)
    with pytest.raises(InvalidValue, match="int64 cannot be generated"):
        GenerativeMemory().learn(torch.zeros(4, 2, dtype=torch.int64), torch.ones(4), dict)


def test_a_loss_that_is_not_finite_is_said_and_changes_nothing() -> None:
    """The VAE is as before."""
    memory = taught(torch.rand(4, 3), 1)
    before = memory.state_dict()["vae"]["to_inputs.weight"].clone()
    with pytest.raises(NonFinite, match=r"learning rate 0\.01"):
        memory.learn(torch.full((4, 3), float("nan")), torch.ones(4), dict)
    assert torch.equal(before, memory.vae.to_inputs.weight)
