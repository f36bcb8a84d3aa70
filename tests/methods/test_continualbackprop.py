"""The least useful units begin anew."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import InvalidValue
from perdure.measure import dormant_share

SGD = partial(torch.optim.SGD, lr=0.0)


def rows(n: int = 12, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(torch.randn(n, 6, generator=generator), torch.arange(n) % 3)


def learner_of(*hidden: int, optimizer: object = SGD, **settings: float) -> Learner:
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(6, hidden), nets.FixedHead(hidden[-1], 3))
    return Learner(model, methods.ContinualBackprop(**settings), optimizer=optimizer)


def fresh(before: torch.Tensor, after: torch.Tensor) -> list[int]:
    """The units whose incoming weights changed."""
    return (before != after).any(1).nonzero().flatten().tolist()


def test_utility_and_age_by_hand() -> None:
    """Unit sizes 1, 0, 5 and outgoing sums 2, 5, 0.5 at a decay of 0.9: a tenth of 2, 0, 2.5."""
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0], [1.0, 2.0]]))
        model[0].bias.zero_()
        model[2].weight.copy_(torch.tensor([[1.0, -2.0, 0.5], [-1.0, 3.0, 0.0]]))
    learner = Learner(model, methods.ContinualBackprop(decay=0.9), optimizer=SGD)
    batch = Batch(torch.tensor([[1.0, 2.0]]), torch.tensor([0]))
    learner.observe(batch)
    found = learner.methods[0]
    torch.testing.assert_close(found.utility["0"], torch.tensor([0.2, 0.0, 0.25]))
    learner.observe(batch)
    torch.testing.assert_close(found.utility["0"], 1.9 * torch.tensor([0.2, 0.0, 0.25]))
    assert found.age["0"].tolist() == [2, 2, 2]


def test_nothing_is_renewed_before_it_is_mature() -> None:
    """Then the least useful unit of each layer, and the model answers as if it were not there."""
    learner = learner_of(8, 8, rate=0.125, maturity=4)
    weights = [
        layer.weight for layer in learner.model.backbone.layers if isinstance(layer, nn.Linear)
    ]
    before = [w.detach().clone() for w in weights]
    for _ in range(4):
        learner.observe(rows())
    assert [fresh(a, b) for a, b in zip(before, weights, strict=True)] == [[], []]
    lowest = {name: float(u.min()) for name, u in learner.methods[0].utility.items()}
    utility = {name: u.clone() for name, u in learner.methods[0].utility.items()}
    learner.observe(rows())
    worst = {name: int(age.argmin()) for name, age in learner.methods[0].age.items()}
    for name, unit in worst.items():
        assert sorted(learner.methods[0].age[name].tolist()) == [0, *[5] * 7]
        assert utility[name][unit] == lowest[name]
    first, second = worst.values()
    assert fresh(before[0], weights[0]) == [first]
    others = [unit for unit in range(8) if unit != second]  # that one is fresh as a whole
    assert not weights[1][others, first].any()
    assert not learner.model.head.weight[:, second].any()


def test_so_many_are_renewed_as_the_rate_says() -> None:
    """20 mature units at a rate of 1/64: 5/16 an update, so one after four; the rest is carried."""
    learner = learner_of(20, rate=1 / 64, maturity=0)
    seen = set()
    for count in (0, 0, 0, 1, 1):
        weight = learner.model.backbone.layers[0].weight
        before = weight.detach().clone()
        learner.observe(rows())
        seen |= set(fresh(before, weight))
        assert len(seen) == count
    assert learner.methods[0].due["backbone.layers.0"] == 5 * 5 / 16 - 1


def test_a_dormant_unit_is_the_first_to_go() -> None:
    """Half of the units are dead; all of them fire again soon, and without it none ever does."""
    shares = []
    for rate in (0.0, 0.02):
        learner = learner_of(20, optimizer=partial(torch.optim.SGD, lr=0.1), rate=rate, maturity=5)
        with torch.no_grad():
            learner.model.backbone.layers[0].bias[:10] = -100
        for seed in range(120):
            learner.observe(rows(seed=seed))
        shares.append(dormant_share(learner.model, rows(100, seed=999).x).overall)
    assert shares[0] == 0.5
    assert shares[1] < 0.1


def test_a_model_without_sequences_learns_as_without_it() -> None:
    """There is nothing to renew in a single layer."""
    models = []
    for added in ([], [methods.ContinualBackprop(rate=1.0, maturity=0)]):
        torch.manual_seed(0)
        learner = Learner(nn.Linear(6, 3), *added, optimizer=partial(torch.optim.SGD, lr=0.1))
        learner.observe(rows())
        models.append(learner.model.state_dict())
    testing.assert_same_state(*models, "a single layer")


@pytest.mark.parametrize("settings", [{"rate": 1.5}, {"decay": -0.1}, {"maturity": -1}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    """At construction."""
    with pytest.raises(InvalidValue, match="ContinualBackprop"):
        methods.ContinualBackprop(**settings)


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream, with units due in part."""
    testing.check_resume_is_exact(lambda: methods.ContinualBackprop(rate=0.03, maturity=2))
