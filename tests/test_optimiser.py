"""An optimiser that grows and resumes by name."""

from functools import partial

import pytest
import torch
from torch import nn

from perdure.errors import CheckpointMismatch
from perdure.optimiser import NamedOptimiser


def parameter(value: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor([value]))


def step(optimiser: NamedOptimiser, params: dict[str, nn.Parameter]) -> None:
    for p in params.values():
        p.grad = p.detach().clone()
    optimiser.torch.step()


def test_grown_parameters_join_and_old_moments_stay() -> None:
    """Adam's moments of old parameters are the same tensors' before and after growth."""
    params = {"a": parameter(1.0)}
    optimiser = NamedOptimiser(partial(torch.optim.Adam, lr=0.1), params)
    step(optimiser, params)
    before = optimiser.torch.state[params["a"]]["exp_avg"].clone()
    params["b"] = parameter(2.0)
    optimiser.grow(params)
    assert torch.equal(optimiser.torch.state[params["a"]]["exp_avg"], before)
    step(optimiser, params)
    assert float(optimiser.torch.state[params["b"]]["step"]) == 1
    assert float(optimiser.torch.state[params["a"]]["step"]) == 2


def test_a_resumed_optimiser_goes_on_as_if_never_stopped() -> None:
    """Groups that grew, settings and moments come back, so that the next steps agree bitwise."""

    def fresh() -> tuple[dict[str, nn.Parameter], NamedOptimiser]:
        params = {"a": parameter(1.0)}
        optimiser = NamedOptimiser(partial(torch.optim.Adam, lr=0.1, betas=(0.5, 0.9)), params)
        return params, optimiser

    params, optimiser = fresh()
    step(optimiser, params)
    params["b"] = parameter(2.0)
    optimiser.grow(params)
    step(optimiser, params)
    state = optimiser.state_dict()

    others, again = fresh()
    others["b"] = parameter(0.0)
    for name, p in others.items():
        p.data.copy_(params[name].data)
    again.load_state_dict(state, others)
    for _ in range(3):
        step(optimiser, params)
        step(again, others)
    assert all(torch.equal(params[name], others[name]) for name in params)


def test_factories_with_several_groups_keep_their_settings() -> None:
    """A factory may sort parameters into groups; each keeps its own decay through a resume."""

    def factory(ps: object) -> torch.optim.Optimizer:
        ps = list(ps)  # type: ignore[call-overload]
        return torch.optim.SGD(
            [{"params": ps[1:], "weight_decay": 0.5}, {"params": ps[:1]}], lr=0.1, momentum=0.9
        )

    params = {"a": parameter(1.0), "b": parameter(1.0)}
    optimiser = NamedOptimiser(factory, params)
    step(optimiser, params)
    moments = optimiser.state_dict()["moments"]
    assert float(moments["b"]["momentum_buffer"]) == pytest.approx(1.5)
    assert float(moments["a"]["momentum_buffer"]) == pytest.approx(1.0)
    again = NamedOptimiser(factory, params)
    again.load_state_dict(optimiser.state_dict(), params)
    assert [g["weight_decay"] for g in again.torch.param_groups] == [0.5, 0]


def test_schedules_scale_what_the_factory_gave() -> None:
    """The factor applies to the first learning rate, not to the last one."""
    params = {"a": parameter(1.0)}
    optimiser = NamedOptimiser(partial(torch.optim.SGD, lr=0.4), params)
    optimiser.scale_lr(0.5)
    optimiser.scale_lr(0.25)
    assert optimiser.torch.param_groups[0]["lr"] == pytest.approx(0.1)
    params["b"] = parameter(1.0)
    optimiser.grow(params)
    assert [g["lr"] for g in optimiser.torch.param_groups] == [pytest.approx(0.1)]
    optimiser.torch.param_groups[0]["weight_decay"] = 0.5  # so that what grows stays apart
    params["c"] = parameter(1.0)
    optimiser.grow(params)
    assert [g["lr"] for g in optimiser.torch.param_groups] == [pytest.approx(0.1)] * 2


def test_unknown_parameters_in_a_checkpoint_are_named() -> None:
    """The message holds the names that the model lacks."""
    params = {"a": parameter(1.0)}
    optimiser = NamedOptimiser(partial(torch.optim.SGD, lr=0.4), params)
    state = optimiser.state_dict()
    with pytest.raises(CheckpointMismatch, match=r"\['a'\]"):
        optimiser.load_state_dict(state, {"other": parameter(0.0)})


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_parameters_of_the_same_settings_share_a_group(momentum: float, fused: bool) -> None:
    """Or a fused step would be a call a block of a head; the values are those of a group each.

    A resumed optimiser has the same groups.
    """
    factory = partial(torch.optim.SGD, lr=0.1, momentum=momentum, fused=fused)
    params = {"0": parameter(1.0)}
    alone = {"0": parameter(1.0)}
    optimiser, apart = NamedOptimiser(factory, params), factory(alone.values())
    for grown in range(1, 9):
        params[str(grown)], alone[str(grown)] = parameter(1.0), parameter(1.0)
        optimiser.grow(params)
        apart.add_param_group({"params": [alone[str(grown)]]})
        step(optimiser, params)
        for p in alone.values():
            p.grad = p.detach().clone()
        apart.step()
    assert len(optimiser.torch.param_groups) <= 2
    assert all(torch.equal(params[name], alone[name]) for name in params)
    again = NamedOptimiser(factory, {"0": params["0"]})
    again.load_state_dict(optimiser.state_dict(), params)
    groups = [[id(p) for p in g["params"]] for g in optimiser.torch.param_groups]
    assert [[id(p) for p in g["params"]] for g in again.torch.param_groups] == groups


def test_moments_are_restored_where_their_parameters_lie() -> None:
    """A file's tensors come to the CPU; momentum goes on with the parameter, Adam's count does not.

    A parameter without a place stands for one on a GPU.
    """
    params = {"a": parameter(1.0)}
    optimiser = NamedOptimiser(partial(torch.optim.Adam, lr=0.1), params)
    step(optimiser, params)
    elsewhere = {"a": nn.Parameter(torch.empty(1, device="meta"))}
    again = NamedOptimiser(partial(torch.optim.Adam, lr=0.1), elsewhere)
    again.load_state_dict(optimiser.state_dict(), elsewhere)
    held = again.torch.state[elsewhere["a"]]
    assert {name: t.device.type for name, t in held.items()} == {
        "step": "cpu",
        "exp_avg": "meta",
        "exp_avg_sq": "meta",
    }
