"""Any network as a frozen encoder: no weight of it is in a state, and no other one gets in."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn

from perdure.batch import Batch
from perdure.checkpoint import load
from perdure.engine import Engine
from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.learner import Learner
from perdure.methods import ER, EWC
from perdure.nets import Classifier, Encoder, FixedHead, GrowingHead, capacity


class Scaled(nn.Module):
    """A small network with normalisation and dropout, which may not act while it is frozen."""

    def __init__(self, seed=0, scale=1.0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4)
            )
        self.scale = scale

    def forward(self, x):
        return self.layers(x.float() * self.scale)

    def extra_repr(self):
        return f"scale={self.scale}"


def encoder(seed=0, scale=1.0, **given):
    return Encoder(Scaled(seed, scale), "scaled", 4, **given)


def learner(backbone, *methods, **given):
    torch.manual_seed(3)
    adam = partial(torch.optim.Adam, lr=0.01)
    return Learner(Classifier(backbone, GrowingHead(4, 3)), *methods, optimizer=adam, **given)


def batches(count=4):
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (count, 10, 6), dtype=torch.uint8, generator=generator)
    y = torch.randint(0, 3, (count, 10), generator=generator)
    return [Batch(a, b) for a, b in zip(x, y, strict=True)]


def test_a_state_holds_no_weight_of_a_frozen_network(tmp_path):
    """Head and identity alone; the weights come from where they came from."""
    held = learner(encoder())
    for batch in batches():
        held.observe(batch)
    names = set(held.state_dict()["model"])
    assert {"backbone.identity"} == {name for name in names if name.startswith("backbone")}
    held.save(tmp_path / "state")
    assert names == set(load(tmp_path / "state")["model"])


def test_learning_goes_on_bit_for_bit_from_a_file(tmp_path):
    """With dropout and normalisation in the network: frozen means that nothing of it moves."""
    whole, first = (learner(encoder(), ER(capacity=8), EWC(strength=1.0)) for _ in range(2))
    for batch in batches():
        whole.observe(batch)
    for batch in batches()[:2]:
        first.observe(batch)
    first.save(tmp_path / "state")
    second = learner(encoder(), ER(capacity=8), EWC(strength=1.0), seed=9)
    second.load(tmp_path / "state")
    for batch in batches()[2:]:
        second.observe(batch)
    for held in (whole, second):
        held.consolidate(batches())
    x = batches()[0].x
    assert torch.equal(whole.predict(x), second.predict(x))
    assert torch.equal(encoder()(x), second.model.backbone(x))


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"scale": 0.5}, {"precision": "bf16"}], ids=["weights", "said", "bf16"]
)
def test_another_encoder_is_refused_and_both_are_named(tmp_path, other):
    """Other weights, another treatment of inputs, another precision: other features."""
    held = learner(encoder())
    held.observe(batches()[0])
    held.save(tmp_path / "state")
    mine, theirs = encoder(**other), encoder()
    assert mine.digest != theirs.digest
    with pytest.raises(CheckpointMismatch) as refused:
        learner(mine).load(tmp_path / "state")
    for one in (mine, theirs):
        assert f"scaled (weights {one.digest[:12]})" in str(refused.value)


class Renamed(Scaled):
    """The same network as another version of a library names its parts."""

    def __init__(self):
        super().__init__()
        self.inner = self.layers
        del self.layers

    def forward(self, x):
        return self.inner(x.float())


def test_other_names_leave_a_frozen_network_frozen():
    """A state names nothing of it, so a learner of either version goes on from the other's."""
    held, other = learner(encoder()), learner(Encoder(Renamed(), "scaled", 4))
    held.observe(batches()[0])
    assert [] == held.state_dict()["frozen"]
    other.load_state_dict(held.state_dict())
    assert held.params.keys() == other.params.keys()
    for one in (held, other):
        one.observe(batches()[1])
    assert torch.equal(held.predict(batches()[2].x), other.predict(batches()[2].x))


def test_the_digest_is_of_weights_and_not_of_their_names():
    """The same network saved by another version of a library is the same."""
    assert encoder().digest == Encoder(Renamed(), "scaled", 4).digest
    layers = [nn.Linear(3, 3), nn.Linear(3, 3)]
    one, other = (Encoder(nn.Sequential(*some), "pair", 3) for some in (layers, layers[::-1]))
    assert one.digest != other.digest


def test_capacity_counts_it_as_frozen_and_it_moves_with_the_model():
    """It is a module like any other, but for the state."""
    backbone = encoder()
    counted = capacity(Classifier(backbone, FixedHead(4, 2)))
    weights = sum(p.numel() for p in backbone.module.parameters())
    assert (weights, 10) == (counted.frozen, counted.trainable)
    moved = backbone.to("meta")
    assert all(tensor.is_meta for tensor in (*moved.parameters(), *moved.buffers()))


def test_its_features_take_raw_rows_and_no_gradient():
    """uint8 is not scaled on the way, and the features count as fixed."""
    held = learner(encoder())
    x = torch.full((2, 6), 200, dtype=torch.uint8)
    assert torch.equal(Scaled().eval()(x), held.features(x, fixed=True))
    assert not held.model.features(x).requires_grad


def test_an_engine_of_half_precision_leaves_the_features_as_they_are():
    """Features depend on the encoder alone; its own precision is half where it was asked for."""
    x = batches()[0].x
    whole = learner(encoder(), engine=Engine(precision="bf16")).features(x)
    assert torch.equal(encoder()(x), whole)
    half = encoder(precision="bf16")(x)
    assert half.dtype == torch.float32
    assert not torch.equal(half, whole)
    torch.testing.assert_close(half, whole, rtol=0.05, atol=0.5)


def test_one_that_is_not_frozen_trains_and_is_in_the_state(tmp_path):
    """Its digest would not last, so that it has none, and its features are not kept."""
    backbone = encoder(frozen=False)
    held = learner(backbone)
    before = copy.deepcopy(backbone.module.state_dict())
    held.observe(batches()[0])
    after = backbone.module.state_dict()
    assert not torch.equal(before["layers.0.weight"], after["layers.0.weight"])
    assert "backbone.module.layers.0.weight" in held.state_dict()["model"]
    for wish in (lambda: backbone.digest, lambda: backbone.cached(tmp_path)):
        with pytest.raises(InvalidValue, match="scaled trains"):
            wish()


def test_features_are_kept_on_the_disk(tmp_path):
    """The network is asked once a row; a learner sees no difference."""
    asked = []
    backbone = encoder().cached(tmp_path, capacity=100)
    backbone.module.register_forward_hook(lambda _, given, out: asked.append(len(given[0])))
    cached, plain = learner(backbone), learner(encoder())
    for batch in batches() * 2:
        cached.observe(batch)
        plain.observe(batch)
    x = batches()[0].x
    assert torch.equal(plain.predict(x), cached.predict(x))
    assert 40 == sum(asked) == len(backbone.cache)


def test_the_same_rows_are_encoded_once_for_outputs_and_features():
    """A prediction that asks for both pays for one; rows that changed in between are new rows."""
    asked = []
    held = learner(encoder())
    backbone = held.model.backbone
    backbone.module.register_forward_hook(lambda _, given, out: asked.append(len(given[0])))
    x = batches()[0].x
    held.predict(x)
    first = held.features(x)
    held.features(x).zero_()
    assert torch.equal(first, held.features(x))
    assert [10] == asked
    x[0] += 1
    assert not torch.equal(first[0], held.features(x)[0])
    held.features(x.clone())
    assert [10, 10, 10] == asked
    with torch.inference_mode():
        torch.testing.assert_close(backbone(x + 0), backbone(x))


def test_a_copy_and_a_restart_work_as_for_any_module():
    """Methods copy models and set parameters by name."""
    held = learner(encoder())
    held.observe(batches()[0])
    x, start = batches()[0].x, held.snapshot()
    before = held.predict(x)
    assert torch.equal(before, copy.deepcopy(held.model).eval()(x))
    held.observe(batches()[1])
    held.restart(start)
    assert torch.equal(before, held.predict(x))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"width": 0}, "width is 0"),
        ({"name": ""}, "name is ''"),
        ({"name": "x" * 97}, "1 to 96 bytes"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
    ],
)
def test_what_cannot_be_is_refused(given, said):
    """With the value and what is allowed."""
    with pytest.raises(InvalidValue, match=said):
        Encoder(**{"module": Scaled(), "name": "scaled", "width": 4, **given})


def test_half_precision_is_the_same_for_few_rows_and_for_many():
    """A row's features do not hang on its company, in either precision: memories compare them."""
    x = batches()[0].x
    for precision in ("fp32", "bf16"):
        backbone = encoder(precision=precision)
        whole = backbone(x)
        for rows in (1, 2, 3, 5):
            assert torch.equal(whole[:rows], backbone(x[:rows].clone()))
        assert (0, 4) == backbone(x[:0]).shape


def test_half_precision_has_features_that_half_precision_can_hold():
    """The last product is rounded to eight bits of mantissa; the answer is float32 all the same."""
    half = encoder(precision="bf16")(batches()[0].x)
    assert torch.equal(half, half.bfloat16().float())
    assert not torch.equal(encoder()(batches()[0].x), encoder()(batches()[0].x).bfloat16().float())


def test_precisions_do_not_share_a_cache(tmp_path):
    """The digest tells them apart, so that one never finds the other's features."""
    x = batches()[0].x
    whole, half = (encoder(precision=p).cached(tmp_path) for p in ("fp32", "bf16"))
    first = whole(x)
    assert torch.equal(encoder(precision="bf16")(x), half(x.clone()))
    assert torch.equal(first, encoder().cached(tmp_path)(x))
    assert 2 == len(list(tmp_path.iterdir()))


def test_a_refused_state_changes_nothing(tmp_path):
    """The learner that refused it goes on as if it had not been asked."""
    other = learner(encoder(seed=1))
    other.observe(batches()[0])
    other.save(tmp_path / "state")
    held, same = learner(encoder()), learner(encoder())
    with pytest.raises(CheckpointMismatch, match="give it that encoder, or begin anew"):
        held.load(tmp_path / "state")
    for batch in batches():
        held.observe(batch)
        same.observe(batch)
    assert torch.equal(same.predict(batches()[0].x), held.predict(batches()[0].x))


def test_a_digest_is_the_same_wherever_the_network_lies():
    """Another order of memory, another process's seed: the same weights are the same encoder."""
    turned = Scaled()
    with torch.no_grad():
        first = turned.layers[0]
        first.weight.set_(first.weight.t().contiguous().t())
    assert not turned.layers[0].weight.is_contiguous()
    assert encoder().digest == Encoder(turned, "scaled", 4).digest
    torch.manual_seed(99)
    assert encoder().digest == encoder().digest
    assert encoder().digest == Encoder(Scaled(), "another name", 4).digest


@pytest.mark.parametrize("change", ["a weight", "a statistic", "a dtype"])
def test_the_smallest_change_is_another_digest(change):
    """One unit in the last place of one weight, the normalisation's count, half precision."""
    other = Scaled()
    weight = other.layers[0].weight
    with torch.no_grad():
        if change == "a weight":
            weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
        elif change == "a statistic":
            other.layers[1].num_batches_tracked += 1
        else:
            other.bfloat16()
    assert encoder().digest != Encoder(other, "scaled", 4).digest
