"""The first task shapes the backbone, and no later one moves it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from perdure import Batch, Learner, Method, testing
from perdure.errors import IllegalCombination, Impossible
from perdure.methods import NCM, SLDA, FeCAM, FirstSession, RanPAC, Ridge
from perdure.nets import MLP, Classifier, GrowingHead

READERS = {
    "NCM": partial(NCM, write="boundary"),
    "SLDA": partial(SLDA, write="boundary"),
    "Ridge": partial(Ridge, write="boundary"),
    "RanPAC": partial(RanPAC, 16, write="boundary"),
    "FeCAM": partial(FeCAM, write="boundary"),
}


def learner(*beside: Method, seed: int = 0) -> Learner:
    """A backbone with normalisation and dropout, whose behaviour depends on the mode."""
    torch.manual_seed(seed)
    backbone = nn.Sequential(MLP(4, (8,)), nn.BatchNorm1d(8), nn.Dropout(0.2))
    model = Classifier(backbone, GrowingHead(8))
    return Learner(model, FirstSession(), *beside, optimizer=partial(torch.optim.SGD, lr=0.1))


def task(number: int, n: int = 64) -> Batch:
    generator = torch.Generator().manual_seed(number)
    y = torch.randint(2, (n,), generator=generator) + 2 * number
    centres = 3 * torch.randn(12, 4, generator=torch.Generator().manual_seed(50))
    return Batch(centres[y] + torch.randn(n, 4, generator=generator), y)


def learn(found: Learner, number: int, updates: int = 5) -> None:
    batch = task(number)
    for _ in range(updates):
        found.observe(batch)
        batch = batch.seen()
    found.consolidate(task(number))


def backbone(found: Learner) -> dict[str, Tensor]:
    held = found.model.backbone.state_dict()
    return {name: tensor.clone() for name, tensor in held.items()}


def test_the_backbone_learns_in_the_first_task_alone() -> None:
    """Parameters and running statistics; the head goes on."""
    found = learner()
    untrained = backbone(found)
    learn(found, 0)
    adapted, head = backbone(found), found.model.head.blocks[0].weight.detach().clone()
    learn(found, 1)
    after = backbone(found)
    assert not torch.equal(untrained["0.layers.0.weight"], adapted["0.layers.0.weight"])
    assert [] == [name for name, tensor in adapted.items() if not torch.equal(tensor, after[name])]
    assert not torch.equal(head, found.model.head.blocks[0].weight)
    assert {"head"} == {name.split(".")[0] for name in found.params}


def test_a_boundary_before_the_first_row_ends_nothing() -> None:
    """There has been no session yet."""
    found = learner()
    found.consolidate(())
    assert any(name.startswith("backbone") for name in found.params)


@pytest.mark.parametrize("name", READERS)
def test_what_reads_features_reads_those_that_stay(name: str) -> None:
    """The sums of the first task are of the adapted features, and all three tasks are told."""
    found = learner(READERS[name]())
    for number in range(3):
        learn(found, number, updates=30)
    reader = found.methods[1]
    again = READERS[name]()
    again.seed(0)
    for number in range(3):
        again.moments.add(again.embed(found.features(task(number).x)), task(number).y)
    torch.testing.assert_close(again.moments.sum, reader.moments.sum, rtol=1e-5, atol=1e-5)
    rows = [task(number) for number in range(3)]
    right = [float((found.predict(b.x).argmax(1) == b.y).float().mean()) for b in rows]
    assert min(right) > 0.6, right


@pytest.mark.parametrize("name", READERS)
def test_a_pair_keeps_the_contract(name: str) -> None:
    """Resume, purity, single rows and the rest, with the reader beside."""

    def make() -> list[Method]:
        return [FirstSession(), READERS[name]()]

    testing.check_resume_is_exact(make)
    testing.check_predict_is_pure(make)
    testing.check_single_rows(make)
    testing.check_empty_memory(make)


@pytest.mark.parametrize("cut", [0, 1])
def test_resuming_after_the_session_keeps_everything_still(cut: int, tmp_path: Path) -> None:
    """A loaded learner's first update finds normalisation and dropout as they were left."""
    whole = learner(SLDA(write="boundary"))
    for number in range(3):
        learn(whole, number)
    first = learner(SLDA(write="boundary"))
    for number in range(cut + 1):
        learn(first, number)
    first.save(tmp_path / "state.safetensors")
    second = learner(SLDA(write="boundary"), seed=7)
    second.load(tmp_path / "state.safetensors")
    for number in range(cut + 1, 3):
        learn(second, number)
    ours, theirs = whole.state_dict(), second.state_dict()
    for part in ("model", "methods", "optimiser", "frozen"):
        testing.assert_same_state(ours[part], theirs[part], part)


def test_one_that_reads_from_the_first_row_is_refused() -> None:
    """Its first sums would be of features that are gone when the session ends."""
    with pytest.raises(IllegalCombination, match='write="boundary"'):
        learner(SLDA())


def test_a_model_that_is_no_classifier_is_refused() -> None:
    """Nobody knows what its backbone is."""
    found = Learner(nn.Linear(4, 2), FirstSession())
    found.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1])))
    with pytest.raises(Impossible, match=r"perdure\.nets\.Classifier"):
        found.consolidate()
