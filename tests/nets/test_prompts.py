"""Prompts: what the encoder reads before its own tokens, and which a row chooses from a pool."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from perdure import nets
from perdure.errors import InvalidValue
from perdure.nets import Patches, Prompted, PromptPool, Transformer


class Mean(nn.Module):
    """An encoder whose tokens are an input's numbers, (n, t, 2), and whose features their mean."""

    width = out_features = 2

    def embed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        tokens = x.unflatten(1, (-1, 2))
        return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool)

    def encode(self, tokens: Tensor, mask: Tensor) -> Tensor:
        real = mask.unsqueeze(2)
        return (tokens * real).sum(1) / real.sum(1)


def an_encoder() -> Transformer:
    return Transformer(Patches((1, 2, 2), 1, 8), depth=1, heads=2)


def test_a_prompt_is_read_beside_the_tokens() -> None:
    """Tokens (1, 1) and (3, 3) with a prompt (8, 2): their mean is (4, 2)."""
    model = Prompted(Mean(), length=1)
    with torch.no_grad():
        model.prompts[0].copy_(torch.tensor([[8.0, 2.0]]))
    x = torch.tensor([[1.0, 1.0, 3.0, 3.0]])
    assert [[4.0, 2.0]] == model(x).tolist()
    model.answer(0, 0)
    assert [[2.0, 2.0]] == model(x).tolist()


def test_prompts_of_several_tasks_follow_one_another() -> None:
    """Token (0, 0), prompts (3, 0) and (0, 3): mean (1, 1); with the newest alone (0, 1.5)."""
    model = Prompted(Mean(), length=1)
    model.begin(alone=False)
    with torch.no_grad():
        model.prompts[0].copy_(torch.tensor([[3.0, 0.0]]))
        model.prompts[1].copy_(torch.tensor([[0.0, 3.0]]))
    x = torch.zeros(1, 2)
    assert [[1.0, 1.0]] == model(x).tolist()
    model.answer(1, 2)
    assert [[0.0, 1.5]] == model(x).tolist()


@pytest.mark.parametrize(
    "make", [Prompted, lambda encoder: PromptPool(encoder, 4, 1, 2)], ids=["prompted", "pool"]
)
def test_the_bare_encoder_comes_back_bit_for_bit(make) -> None:
    """It never learnt, and the prompts are gone."""
    encoder = an_encoder()
    before = {name: t.clone() for name, t in encoder.state_dict().items()}
    x = torch.randn(3, 1, 2, 2)
    out = encoder(x)
    model = nets.Classifier(make(encoder), nets.FixedHead(8, 2))
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(3):
        model(x).square().sum().backward()
        optimiser.step()
    bare = nets.strip(model).backbone
    assert bare is encoder
    assert all(torch.equal(t, before[name]) for name, t in bare.state_dict().items())
    assert torch.equal(out, bare(x))


def a_pool() -> PromptPool:
    """Keys (1, 0), (0, 1), (-1, 0) with prompts (10, 0), (0, 10), (-10, 0)."""
    pool = PromptPool(Mean(), size=3, length=1, top=1)
    with torch.no_grad():
        pool.keys.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
        pool.prompts[0].copy_(10 * pool.keys[:, None])
    return pool


def test_a_row_takes_the_prompt_of_the_nearest_key() -> None:
    """(4, 2) is nearest to (1, 0), (1, 4) to (0, 1); the mean with its prompt is what comes out."""
    pool = a_pool().eval()
    x = torch.tensor([[4.0, 2.0], [1.0, 4.0]])
    with pool.noting() as notes:
        out = pool(x)
    ((chosen, distance),) = notes
    assert [[0], [1]] == chosen.tolist()
    assert [[7.0, 1.0], [0.5, 7.0]] == out.tolist()
    # 1 - cos: 1 - 4 / sqrt(20) and 1 - 4 / sqrt(17)
    expected = torch.tensor([[1 - 4 / 20**0.5], [1 - 4 / 17**0.5]])
    assert torch.allclose(expected, distance, atol=1e-6)


def test_keys_taken_by_earlier_tasks_count_as_farther_in_training_alone() -> None:
    """(4, 2): distances .106, .553, 1.894; times .9, .1, 0 they are .095, .055, 0: the third."""
    pool = a_pool()
    pool.frequency.copy_(torch.tensor([0.9, 0.1, 0.0]))
    query = torch.tensor([[4.0, 2.0]])
    assert [[2]] == pool.train().choose(query)[0].tolist()
    pool.frequency.copy_(torch.tensor([0.7, 0.1, 0.2]))  # .074, .055, .379
    assert [[1]] == pool.choose(query)[0].tolist()
    assert [[0]] == pool.eval().choose(query)[0].tolist()


def test_keys_learn_by_the_distance_and_prompts_by_the_features() -> None:
    """Only the keys and prompts that were chosen get a gradient; the encoder none."""
    pool = a_pool()
    with pool.noting() as notes:
        out = pool(torch.tensor([[4.0, 2.0]]))
    (out.sum() + notes[0][1].sum()).backward()
    assert [True, False, False] == pool.keys.grad.any(1).tolist()
    assert [True, False, False] == pool.prompts[0].grad.flatten(1).any(1).tolist()


def test_a_pool_belongs_to_no_task() -> None:
    """Where a prompt a task belongs to its own."""
    assert {} == nets.capacity(a_pool()).tasks
    assert [0] == list(nets.capacity(Prompted(Mean())).tasks)


def test_nothing_is_noted_unless_asked() -> None:
    """So no graph outlives its pass."""
    pool = a_pool()
    with pool.noting() as notes:
        pass
    pool(torch.zeros(1, 2) + 1)
    assert [] == notes


def test_the_encoder_stays_in_evaluation_mode() -> None:
    """Its dropout and statistics are as frozen as its weights, from the start."""
    model = nets.Classifier(Prompted(an_encoder()), nets.FixedHead(8, 2))
    assert not model.backbone.base.training
    model.train()
    assert model.backbone.training
    assert not model.backbone.base.training


WRONG = {
    "no length": lambda: Prompted(an_encoder(), length=0),
    "no prompts": lambda: PromptPool(an_encoder(), size=0),
    "more than there are": lambda: PromptPool(an_encoder(), size=2, top=3),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused(make) -> None:
    """By the name of the class and of the argument."""
    with pytest.raises(InvalidValue, match=r"^(Prompted|PromptPool): "):
        make()


def test_an_encoder_that_cannot_be_entered_is_refused() -> None:
    """And the message says what it must offer."""
    with pytest.raises(InvalidValue, match="MLP cannot be given further tokens; it must offer"):
        Prompted(nets.MLP(4, (8,)))
