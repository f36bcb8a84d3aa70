"""The small transformer: against torch's own, and what padding and patches mean."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from perdure.errors import InvalidValue
from perdure.nets import Patches, Transformer, Words
from perdure.nets.prompts import TokenEncoder


def test_a_layer_answers_as_torchs_own() -> None:
    """With the same weights as `nn.TransformerEncoderLayer`, normalised first, with padding."""
    ours = Transformer(Words(20, 6, width=8), depth=1, heads=2)
    theirs = nn.TransformerEncoderLayer(
        8, 2, 32, 0.0, nn.functional.gelu, batch_first=True, norm_first=True
    )
    (layer,) = ours.layers
    with torch.no_grad():
        for name in ("query", "key", "value"):
            getattr(layer, name).bias.normal_()
        attention = theirs.self_attn
        parts = (layer.query, layer.key, layer.value)
        attention.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        attention.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        attention.out_proj.load_state_dict(layer.mix.state_dict())
        theirs.linear1.load_state_dict(layer.mlp[0].state_dict())
        theirs.linear2.load_state_dict(layer.mlp[2].state_dict())
    tokens, mask = ours.embed(torch.tensor([[3, 4, 5, 0], [7, 0, 0, 0]]))
    expected = theirs(tokens, src_key_padding_mask=~mask)
    assert torch.allclose(expected[mask], layer(tokens, mask)[mask], atol=1e-5)


def test_padding_changes_nothing() -> None:
    """However many zeros follow a row's ids."""
    model = Transformer(Words(20, 6, width=8), depth=2, heads=2)
    short = model(torch.tensor([[3, 4]]))
    long = model(torch.tensor([[3, 4, 0, 0, 0, 0]]))
    assert torch.allclose(short, long, atol=1e-6)


def test_a_row_of_padding_alone_has_finite_features() -> None:
    """An empty text is a text."""
    model = Transformer(Words(20, 6, width=8), depth=2, heads=2)
    assert model(torch.zeros(2, 3, dtype=torch.int64)).isfinite().all()


def test_patches_are_the_squares_of_an_image() -> None:
    """Under the identity each token is its square, channels first, rows before columns."""
    patches = Patches((2, 4, 4), 2, width=8)
    with torch.no_grad():
        patches.linear.weight.copy_(torch.eye(8))
        patches.linear.bias.zero_()
        patches.positions.zero_()
    x = torch.arange(32.0).view(1, 2, 4, 4)
    tokens, mask = patches(x)
    assert (1, 4, 8) == tokens.shape
    assert mask.all()
    assert torch.equal(x[0, :, :2, 2:].flatten(), tokens[0, 1])
    assert torch.equal(x[0, :, 2:, :2].flatten(), tokens[0, 2])
    assert torch.equal(tokens, patches(x.flatten(1))[0])


def test_it_can_be_entered_between_embedding_and_layers() -> None:
    """The protocol of prompts, which gives the features that the model gives."""
    model = Transformer(Patches((1, 4, 4), 2, width=8), depth=1, heads=2)
    assert isinstance(model, TokenEncoder)
    x = torch.randn(3, 1, 4, 4)
    assert torch.equal(model(x), model.encode(*model.embed(x)))


WRONG = {
    "a patch that does not fit": lambda: Patches((1, 4, 4), 3, 8),
    "a shape without channels": lambda: Patches((4, 4), 2, 8),
    "no patch": lambda: Patches((1, 4, 4), 0, 8),
    "no width": lambda: Patches((1, 4, 4), 2, 0),
    "no words": lambda: Words(1, 4, 8),
    "no length": lambda: Words(9, 0, 8),
    "heads that do not fit": lambda: Transformer(Words(9, 4, 8), heads=3),
    "no layers": lambda: Transformer(Words(9, 4, 8), depth=0),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused(make) -> None:
    """By the name of the class and of the argument."""
    with pytest.raises(InvalidValue, match=r"^(Patches|Words|Transformer): "):
        make()
