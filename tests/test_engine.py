"""Device, precision, accumulation."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from perdure import Batch, Engine, Learner, Method, Step
from perdure.errors import InvalidValue


def rows(count: int = 12) -> Batch:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 4, generator=generator)
    return Batch(x, torch.arange(count) % 3)


def learner(*methods: Method, engine: Engine | None = None) -> Learner:
    torch.manual_seed(0)
    return Learner(
        nn.Linear(4, 3), *methods, optimizer=partial(torch.optim.SGD, lr=0.1), engine=engine
    )


@pytest.mark.parametrize("passes", [2, 3, 12, 50])
def test_passes_give_the_update_of_the_whole_batch(passes: int) -> None:
    """Splitting an update into equal shares changes nothing but rounding."""
    whole, split = learner(), learner(engine=Engine(accumulate=passes))
    for _ in range(3):
        one, other = whole.observe(rows()), split.observe(rows())
        torch.testing.assert_close(other.terms["loss"], one.terms["loss"].detach())
        torch.testing.assert_close(other.outputs, one.outputs.detach())
    torch.testing.assert_close(split.params["weight"], whole.params["weight"])


@pytest.mark.parametrize("passes", [2, 3, 12])
def test_passes_weigh_rows_as_the_whole_batch_does(passes: int) -> None:
    """The loss is sum w l / sum w over all rows: a pass of light rows, or of none, counts less."""
    weight = torch.cat((torch.zeros(6), torch.linspace(0.1, 4, 6)))
    whole, split = learner(), learner(engine=Engine(accumulate=passes))
    for _ in range(3):
        one, other = (each.observe(replace(rows(), weight=weight)) for each in (whole, split))
        torch.testing.assert_close(other.terms["loss"], one.terms["loss"].detach())
    torch.testing.assert_close(split.params["weight"], whole.params["weight"])


def test_every_pass_knows_the_rows_of_the_whole_update() -> None:
    """`step.incoming` is the pass's own, `step.whole` what came in."""
    seen: list[tuple[int, int]] = []

    class Looks(Method):
        def penalty(self, step: Step) -> None:
            seen.append((len(step.incoming), len(step.whole)))

    learner(Looks(), engine=Engine(accumulate=3)).observe(rows())
    assert seen == [(4, 12)] * 3


def test_passes_split_recalled_rows_as_well() -> None:
    """Each pass holds its share of every method's rows, and settle sees all of them in order."""
    seen: list[tuple[Tensor, Tensor]] = []

    class Old(Method):
        def recall(self, step: Step) -> Batch:
            return Batch(10 + torch.arange(24.0).reshape(6, 4), torch.zeros(6, dtype=torch.int64))

        def penalty(self, step: Step) -> Tensor:
            found = step.recalled(self)
            assert found is not None
            assert len(found[0]) == len(found[1]) == 2
            return found[1].square().mean()

        def settle(self, step: Step) -> None:
            found = step.recalled(self)
            assert found is not None
            seen.append((found[0].x, found[1]))
            assert torch.equal(step.inputs[12:], found[0].x)

    each = learner(Old(), engine=Engine(accumulate=3))
    before = each.predict(10 + torch.arange(24.0).reshape(6, 4))
    each.observe(rows())
    torch.testing.assert_close(seen[0][1], before)


def test_bf16_keeps_parameters_and_outputs_in_float32() -> None:
    """Only the forward pass runs in half precision."""
    half = learner(engine=Engine(precision="bf16"))
    step = half.observe(rows())
    assert step.outputs.dtype == torch.float32
    assert half.params["weight"].dtype == torch.float32
    torch.testing.assert_close(
        half.predict(rows().x), learner().predict(rows().x), rtol=0.1, atol=0.1
    )


def test_an_overflow_in_fp16_skips_the_step_and_what_follows_it() -> None:
    """Neither optimiser nor settle act on gradients that overflowed, and the scale goes down."""
    settled: list[int] = []

    class Counts(Method):
        def settle(self, step: Step) -> None:
            settled.append(step.learner.updates)

    class Explodes(Method):
        """An infinite gradient under a finite loss."""

        def penalty(self, step: Step) -> Tensor | None:
            if step.learner.updates != 1:
                return None
            weight = step.learner.params["weight"]
            return (weight - weight.detach()).abs().sqrt().sum()

    half = learner(Counts(), Explodes(), engine=Engine(precision="fp16"))
    half.observe(rows())
    before = half.params["weight"].clone()
    half.observe(rows())
    assert torch.equal(half.params["weight"], before)
    half.observe(rows())
    assert settled == [0, 2]
    assert not torch.equal(half.params["weight"], before)


def test_extra_gradients_are_unscaled_whatever_the_precision() -> None:
    """`step.grads` under fp16 equals the plain gradient."""
    found: dict[str, Tensor] = {}

    class Looks(Method):
        def penalty(self, step: Step) -> None:
            found.update(step.grads(step.learner.params["weight"].square().sum()))

    half = learner(Looks(), engine=Engine(precision="fp16"))
    weight = half.params["weight"].detach().clone()
    half.observe(rows())
    torch.testing.assert_close(found["weight"], 2 * weight)
    assert found["bias"].abs().max() == 0


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"accumulate": 0}, "accumulate is 0"),
        ({"clip": -1.0}, "clip is -1.0"),
        ({"device": "gpu"}, "device is 'gpu'; it must be 'cpu'"),
    ],
)
def test_bad_settings_are_refused_with_their_value(bad: dict[str, object], message: str) -> None:
    """The message holds what was given."""
    with pytest.raises(InvalidValue, match=message):
        Engine(**bad)  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said_and_auto_does_without() -> None:
    """'cuda' without a GPU is an error; 'auto' falls back by design."""
    with pytest.raises(InvalidValue, match="torch sees no GPU"):
        Engine("cuda")
    assert Engine("auto").device.type == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_learns_as_the_cpu_does() -> None:
    """Three updates on the GPU equal three on the CPU within float32 rounding."""
    cpu, gpu = learner(), learner(engine=Engine("cuda"))
    for _ in range(3):
        cpu.observe(rows())
        gpu.observe(rows())
    torch.testing.assert_close(gpu.params["weight"].cpu(), cpu.params["weight"])
