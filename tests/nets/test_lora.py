"""Low-rank adapters: what they add, what they leave alone, and that nothing stays of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from perdure import Batch, Learner, methods, nets
from perdure.errors import InvalidValue
from perdure.nets.lora import LoRALayer, directions, lora, low_rank, merge


def a_normalised_network() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.1), nn.Linear(6, 8)
    )


class Reader(nn.Module):
    """A backbone with layers of several kinds, one of which stands in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 5)
        self.block = nn.Sequential(nn.Linear(5, 5), nn.LayerNorm(5))
        self.again = self.block[0]
        self.last = nn.Linear(5, 8, bias=False)
        self.out_features = 8

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.again(self.block(self.first(x).relu())))


BACKBONES = {
    "mlp": lambda: nets.MLP(4, (8, 8)),
    "normalised": a_normalised_network,
    "shared layer": Reader,
    "transformer": lambda: nets.Transformer(nets.Patches((1, 2, 2), 1, 8), depth=1, heads=2),
}


def bytes_of(model: nn.Module) -> dict[str, bytes]:
    return {name: t.numpy().tobytes() for name, t in model.state_dict().items()}


def a_learner(backbone: nn.Module, method: methods.LoRA | None = None, lr: float = 0.05) -> Learner:
    model = nets.Classifier(lora(backbone, rank=2, alpha=2), nets.FixedHead(8, 4))
    return Learner(model, method or methods.LoRA(), optimizer=partial(torch.optim.Adam, lr=lr))


def learn(learner: Learner, tasks: range, steps: int = 4) -> None:
    draws = torch.Generator().manual_seed(1)
    for task in tasks:
        for _ in range(steps):
            x = torch.randn(8, 4, generator=draws)
            learner.observe(Batch(x, torch.arange(8) % 2 + task % 2, task=task))


@pytest.mark.parametrize("make", BACKBONES.values(), ids=BACKBONES)
def test_an_adapted_model_answers_as_before(make) -> None:
    """B is zero, so that the very bytes come out."""
    backbone = make().eval()
    x = torch.randn(5, 4)
    before = backbone(x)
    assert torch.equal(before, lora(backbone, rank=3).eval()(x))


@pytest.mark.parametrize("make", BACKBONES.values(), ids=BACKBONES)
@pytest.mark.parametrize("tasks", [0, 1, 3])
def test_the_bare_backbone_comes_back_bit_for_bit(make, tasks: int) -> None:
    """After training on none, one or three tasks: state, names, order and outputs."""
    backbone = make()
    x = torch.randn(5, 4)
    before, order = bytes_of(backbone), list(backbone.state_dict())
    out = backbone.eval()(x)
    learner = a_learner(backbone)
    learn(learner, range(tasks))
    if tasks:
        assert not torch.equal(out, learner.features(x))
    assert nets.strip(learner.model) is learner.model
    bare = learner.model.backbone
    assert bare is backbone
    assert before == bytes_of(bare)
    assert order == list(bare.state_dict())
    assert not nets.adapters(learner.model)
    assert out.detach().numpy().tobytes() == bare.eval()(x).detach().numpy().tobytes()


def test_it_comes_back_after_a_checkpoint_too(tmp_path: Path) -> None:
    """Loaded into a learner whose own backbone began otherwise."""
    backbone = a_normalised_network()
    before = bytes_of(backbone)
    learner = a_learner(backbone)
    learn(learner, range(3))
    learner.save(tmp_path / "state.safetensors")
    torch.manual_seed(9)
    other = a_normalised_network()
    assert before != bytes_of(other)
    again = a_learner(other)
    again.load(tmp_path / "state.safetensors")
    learn(again, range(3, 4))
    nets.strip(again.model)
    assert before == bytes_of(again.model.backbone)


@given(
    inputs=st.integers(1, 7),
    hidden=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    rank=st.integers(1, 9),
    parts=st.integers(1, 4),
    alone=st.booleans(),
)
def test_no_shape_leaves_a_trace(
    inputs: int, hidden: list[int], rank: int, parts: int, alone: bool
) -> None:
    """Whatever the widths, the rank, how many tasks came and what they wrote into the adapters."""
    backbone = nets.MLP(inputs, hidden)
    x = torch.randn(3, inputs)
    before, out = bytes_of(backbone), backbone(x)
    lora(backbone, rank=rank)
    for _ in range(parts - 1):
        for adapter in nets.adapters(backbone).values():
            adapter.begin(alone=alone)
    with torch.no_grad():
        for adapter in low_rank(backbone).values():
            assert parts == adapter.count()
            for parameter in (*adapter.a, *adapter.b):
                parameter.normal_()
    nets.strip(backbone)
    assert before == bytes_of(backbone)
    assert torch.equal(out, backbone(x))


def test_a_layer_adds_the_scaled_product_of_its_parts() -> None:
    """W x + alpha / rank (B_1 A_1 + B_2 A_2) x, by hand: 1 + 4 / 2 (3 * 2 + 1 * 5) = 23."""
    layer = LoRALayer(nn.Linear(1, 1, bias=False), rank=2, alpha=4.0)
    layer.begin(alone=False)
    with torch.no_grad():
        layer.base.weight.fill_(1.0)
        layer.a[0].copy_(torch.tensor([[2.0], [0.0]]))
        layer.b[0].copy_(torch.tensor([[3.0, 7.0]]))
        layer.a[1].copy_(torch.tensor([[0.0], [5.0]]))
        layer.b[1].copy_(torch.tensor([[7.0, 1.0]]))
    assert 23.0 == layer(torch.ones(1, 1)).item()
    layer.answer(1, 2)
    assert 11.0 == layer(torch.ones(1, 1)).item()  # 1 + 2 * 5
    assert 11.0 == layer.merged().weight.item()


@pytest.mark.parametrize("make", BACKBONES.values(), ids=BACKBONES)
def test_merged_weights_answer_as_the_adapters_did(make) -> None:
    """To rounding; the adapters are gone."""
    learner = a_learner(make())
    learn(learner, range(2))
    x = torch.randn(5, 4)
    before = learner.predict(x)
    merge(learner.model)
    assert not nets.adapters(learner.model)
    assert torch.allclose(before, learner.model.eval()(x), atol=1e-5)
    with pytest.raises(InvalidValue, match="no low-rank adapters to merge"):
        merge(learner.model)


def test_all_but_the_adapters_and_the_head_are_frozen() -> None:
    """By name; a layer in two places has one adapter."""
    model = lora(nets.Classifier(Reader(), nets.FixedHead(8, 2)), rank=1)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    layers = ("first", "block.0", "last")
    parts = {f"backbone.{name}.{part}.0" for name in layers for part in "ab"}
    assert parts | {"head.weight", "head.bias"} == learning
    assert model.backbone.again is model.backbone.block[0]


def test_patterns_choose_the_layers() -> None:
    """By shell patterns over full names; one string is one pattern."""
    transformer = BACKBONES["transformer"]()
    lora(transformer, targets=("*.query", "*.value"))
    assert ["layers.0.query", "layers.0.value"] == list(low_rank(transformer))
    assert ["layers.0.key"] == list(low_rank(lora(BACKBONES["transformer"](), targets="*.key")))


def test_layers_that_torch_reads_past_their_modules_are_refused_by_name() -> None:
    """An adapter beside them would silently do nothing."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(layer, nn.Linear(8, 8))
    assert ["1"] == list(low_rank(lora(model)))
    with pytest.raises(InvalidValue, match=r"fit none .* which are \[\]"):
        lora(nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)), targets="*")


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"alpha": 0.0}, {"targets": ("nothing",)}])
def test_what_cannot_be_is_refused(wrong) -> None:
    """And leaves the model as it was."""
    model = nets.MLP(4, (8,))
    with pytest.raises(InvalidValue, match="lora: "):
        lora(model, **wrong)
    assert all(p.requires_grad for p in model.parameters())


def test_adapters_are_not_put_beside_adapters() -> None:
    """A second call would adapt the first one's base."""
    model = lora(nets.MLP(4, (8,)))
    with pytest.raises(InvalidValue, match="has adapters already"):
        lora(model)


def test_directions_avoid_the_basis_and_follow_the_inputs() -> None:
    """Inputs 3 e_1, 2 e_2, e_3 beside the basis e_1: e_2, then e_3, then e_4, then nothing."""
    moment = torch.diag(torch.tensor([9.0, 4.0, 1.0, 0.0], dtype=torch.float64))
    basis = torch.eye(4)[:, :1]
    found = directions(moment, basis, rank=5)
    expected = torch.zeros(5, 4, dtype=torch.float64)
    expected[0, 1] = expected[1, 2] = expected[2, 3] = 1
    assert torch.allclose(expected, found.abs(), atol=1e-7)


def test_directions_of_no_inputs_are_still_orthonormal() -> None:
    """A layer whose inputs are all zero gets adapters that can learn."""
    found = directions(torch.zeros(5, 5, dtype=torch.float64), torch.eye(5)[:, :2], rank=3)
    assert torch.allclose(torch.eye(3, dtype=torch.float64), found @ found.T, atol=1e-9)
    assert torch.allclose(torch.zeros(3, 2, dtype=torch.float64), found[:, :2], atol=1e-9)
