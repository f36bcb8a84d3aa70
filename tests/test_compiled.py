"""The opt-in compiled update."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from perdure import Batch, Engine, Learner, Method, methods, nets
from perdure.errors import IllegalCombination
from perdure.step import Step

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9)


def rows(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(torch.randn(12, 4, generator=generator), torch.arange(12) % 3)


def model(norm: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    middle = nn.BatchNorm1d(8) if norm else nn.Identity()
    return nn.Sequential(nn.Linear(4, 8), middle, nn.ReLU(), nn.Linear(8, 3))


def learner(*keep, norm: bool = False, **settings) -> Learner:
    return Learner(model(norm), *keep, optimizer=SGD, **settings)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.filterwarnings("ignore")  # the compiler's own, which change with each release
@pytest.mark.parametrize("norm", [False, True], ids=["plain", "BatchNorm"])
def test_a_compiled_learner_follows_the_eager_one(norm: bool) -> None:
    """Ten updates with replay: the same terms, parameters and running statistics."""
    eager = learner(methods.ER(capacity=20), norm=norm)
    fast = learner(methods.ER(capacity=20), norm=norm, engine=Engine(compile=True))
    for seed in range(10):
        a, b = eager.observe(rows(seed)), fast.observe(rows(seed))
        torch.testing.assert_close(b.terms["loss"], a.terms["loss"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(b.outputs, a.outputs, rtol=1e-3, atol=1e-4)
    for name, tensor in eager.model.state_dict().items():
        torch.testing.assert_close(fast.model.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "optimizer",
    [
        partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
        partial(torch.optim.Adam, lr=0.01, amsgrad=True),
    ],
    ids=["Nesterov", "Adam"],
)
def test_any_optimiser_of_torch_follows_its_eager_self_and_resumes(optimizer) -> None:
    """Its moments are compiled too: the same parameters, also after a return from a checkpoint."""
    eager, fast, again = (
        Learner(model(), optimizer=optimizer, engine=Engine(compile=compiled))
        for compiled in (False, True, True)
    )
    for seed in range(5):
        eager.observe(rows(seed))
        fast.observe(rows(seed))
    again.load_state_dict(fast.state_dict())
    for each in (eager, fast, again):
        each.observe(rows(9))
        assert all(parameter.grad is None for parameter in each.params.values())
    for name, parameter in eager.params.items():
        torch.testing.assert_close(fast.params[name], parameter, rtol=1e-3, atol=1e-4)
        assert torch.equal(again.params[name], fast.params[name])


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.filterwarnings("ignore")
def test_a_value_that_is_changed_by_hand_changes_the_next_update() -> None:
    """A learning rate, a dropout's rate and other sizes of batches are no part of the graph."""
    eager, fast = (
        Learner(
            nn.Sequential(model(), nn.Dropout(0.0)), optimizer=SGD, engine=Engine(compile=compiled)
        )
        for compiled in (False, True)
    )
    for each in (eager, fast):
        for seed in range(3):
            each.observe(rows(seed))
        each.optimiser.torch.param_groups[0]["lr"] = 0.01
        each.observe(rows(3)[:7])
    for name, parameter in eager.params.items():
        torch.testing.assert_close(fast.params[name], parameter, rtol=1e-3, atol=1e-4)
    fast.model[1].p = 1.0
    assert not fast.observe(rows(4)).outputs.any()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_growth_never_exhausts_the_compiler() -> None:
    """A head that grows ten times is compiled each time, without the compiler's warning."""
    torch.manual_seed(0)
    growing = nets.Classifier(nets.MLP(4, (8,)), nets.GrowingHead(8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch._dynamo.config.fail_on_recompile_limit_hit", True)
        fast = Learner(growing, optimizer=SGD, engine=Engine(compile=True))
        for label in range(10):
            batch = rows(label)
            fast.observe(Batch(batch.x, batch.y.clamp(max=0) + label))
    assert fast.predict(rows(0).x).shape == (12, 10)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.filterwarnings("ignore")
def test_settling_methods_see_the_gradients_that_were_applied() -> None:
    """Plain SGD moves by -lr times what `step.applied` says."""
    seen = []

    class Watch(Method):
        def settle(self, step: Step) -> None:
            seen.append({name: grad.clone() for name, grad in step.applied.items()})

    learned = Learner(
        model(), Watch(), optimizer=partial(torch.optim.SGD, lr=0.1), engine=Engine(compile=True)
    )
    for seed in range(3):
        before = learned.snapshot()
        learned.observe(rows(seed))
        for name, parameter in learned.params.items():
            torch.testing.assert_close(before[name] - 0.1 * seen[-1][name], parameter.detach())


@pytest.mark.parametrize(
    ("keep", "named"),
    [
        ([methods.EWC()], r"EWC\(\) acts inside it \(penalty\)"),
        ([methods.GEM()], r"GEM\(\) acts inside it \(project\)"),
        ([methods.ERACE()], r"ERACE\(\) acts inside it \(loss\)"),
    ],
    ids=["penalty", "project", "loss"],
)
def test_methods_that_act_inside_the_update_are_refused(keep, named: str) -> None:
    """By name, and with the verb."""
    with pytest.raises(IllegalCombination, match=named):
        learner(*keep, engine=Engine(compile=True))


@pytest.mark.parametrize(
    ("engine", "more", "named"),
    [
        (Engine(compile=True, clip=1.0), {}, "clip"),
        (Engine(compile=True, accumulate=2), {}, "accumulate"),
        (Engine(compile=True, precision="bf16"), {}, "precision"),
        (Engine(compile=True), {"schedule": lambda update: 1.0}, "schedule"),
    ],
    ids=["clip", "accumulate", "precision", "schedule"],
)
def test_settings_that_one_graph_cannot_hold_are_refused(engine, more, named: str) -> None:
    """The message names the setting."""
    with pytest.raises(IllegalCombination, match=named):
        learner(engine=engine, **more)


def test_a_model_that_takes_task_ids_is_refused() -> None:
    """Its unused heads would get gradients of zero, which momentum turns into movement."""
    heads = nets.Classifier(nets.MLP(4, (8,)), nets.MultiHead(8, {0: 2}))
    with pytest.raises(IllegalCombination, match="takes task ids"):
        Learner(heads, optimizer=SGD, engine=Engine(compile=True))
