"""The learner: a pipeline of verbs whose parts return and which it combines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure import Batch, Engine, Learner, Method, Step, methods, nets
from perdure.errors import CheckpointMismatch, IllegalCombination, InvalidValue, NonFinite

SGD = partial(torch.optim.SGD, lr=0.1)


def linear(seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(4, 3)


def batch(rows: int = 6, seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 4, generator=generator)
    return Batch(x, torch.randint(3, (rows,), generator=generator))


class Recall(Method):
    """Recalls fixed rows with a fixed weight."""

    def __init__(self, rows: Batch, tag: str = "recall") -> None:
        self.rows, self.tag = rows, tag

    @property
    def name(self) -> str:
        return self.tag

    def recall(self, step: Step) -> Batch:
        return self.rows


class Pull(Method):
    """A penalty with a known gradient: strength * sum of all parameters."""

    def __init__(self, strength: float = 1.0) -> None:
        self.strength = strength

    def penalty(self, step: Step) -> Tensor:
        total = torch.stack([p.sum() for p in step.learner.params.values()]).sum()
        return self.strength * total


class Double(Method):
    """Doubles every gradient."""

    def project(self, step: Step, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: 2 * grad for name, grad in grads.items()}


class Shift(Method):
    """Adds one to every gradient."""

    def project(self, step: Step, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: grad + 1 for name, grad in grads.items()}


def test_without_methods_it_is_plain_training() -> None:
    """Three updates equal three updates of a hand-written loop, bit for bit."""
    model = linear()
    optimiser = SGD(model.parameters())
    learner = Learner(linear(), optimizer=SGD)
    for seed in range(3):
        rows = batch(seed=seed)
        optimiser.zero_grad()
        F.cross_entropy(model(rows.x), rows.y).backward()
        optimiser.step()
        learner.observe(rows)
    assert torch.equal(model.weight, learner.model.weight)  # type: ignore[arg-type]


def test_the_base_loss_is_the_weighted_mean_over_all_rows() -> None:
    """sum w l / sum w, with weight 1 for incoming rows; weight 0 keeps rows out of it."""
    rows, old, ghost = batch(4, 1), batch(2, 2), batch(3, 3)
    learner = Learner(
        linear(), Recall(old.weighted(0.5), "old"), Recall(ghost.weighted(0.0), "ghost")
    )
    model = linear()
    each = torch.cat(
        [F.cross_entropy(model(b.x), b.y, reduction="none") for b in (rows, old, ghost)]
    )
    weight = torch.tensor([1.0] * 4 + [0.5] * 2 + [0.0] * 3)
    expected = (each * weight).sum() / weight.sum()
    torch.testing.assert_close(learner.observe(rows).terms["loss"], expected)


def test_a_method_finds_its_own_rows_and_outputs() -> None:
    """`step.recalled` gives back exactly what the method recalled, extras included."""
    old = batch(2, 2).with_extras(mark=torch.tensor([1.0, 2.0]))
    first, second = Recall(batch(3, 3), "first"), Recall(old, "second")
    step = Learner(linear(), first, second).observe(batch(4))
    found = step.recalled(second)
    assert found is not None
    assert found[0].extras["mark"].tolist() == [1, 2]
    assert torch.equal(found[1], step.outputs[7:9])


def test_what_recalled_rows_lack_is_lost_to_the_batch_and_not_to_the_incoming_rows() -> None:
    """A value cannot be invented, but whoever writes a memory finds all that came in."""
    rows = replace(batch(4), task=torch.arange(4)).with_extras(row=torch.arange(4))
    step = Learner(linear(), Recall(batch(3, 3))).observe(rows)
    assert step.batch.task is None
    assert {} == step.batch.extras
    assert step.incoming is rows


def test_penalties_add_up_under_their_names() -> None:
    """The total is the base loss plus each named term."""
    learner = Learner(linear(), Pull(3.0), optimizer=partial(torch.optim.SGD, lr=1.0))
    plain = Learner(linear(), optimizer=partial(torch.optim.SGD, lr=1.0))
    step, _ = learner.observe(batch()), plain.observe(batch())
    assert set(step.terms) == {"loss", "pull"}
    for name, p in learner.params.items():
        torch.testing.assert_close(p, plain.params[name] - 3.0)


@pytest.mark.parametrize(
    ("methods", "expected"), [((Double(), Shift()), 3.0), ((Shift(), Double()), 4.0)]
)
def test_projections_compose_in_the_order_given(
    methods: tuple[Method, ...], expected: float
) -> None:
    """A gradient of 1 becomes 2*1+1 or 2*(1+1)."""
    learner = Learner(
        nn.Linear(1, 1, bias=False),
        *methods,
        optimizer=partial(torch.optim.SGD, lr=1.0),
        loss=lambda out, y, reduction="mean": out.mean(),
    )
    before = learner.params["weight"].item()
    learner.observe(Batch(torch.ones(1, 1), torch.zeros(1, dtype=torch.int64)))
    assert before - learner.params["weight"].item() == pytest.approx(expected)


def test_a_term_that_is_not_finite_is_named_and_nothing_moves() -> None:
    """The error tells term, strength and learning rate; parameters are as before."""
    learner = Learner(linear(), Pull(strength=float("inf")), optimizer=SGD)
    before = learner.params["weight"].clone()
    with pytest.raises(NonFinite, match=r"term 'pull' is .*Pull\(strength=inf\).*rate 0\.1"):
        learner.observe(batch())
    assert torch.equal(learner.params["weight"], before)
    assert learner.params["weight"].grad is None


def test_methods_that_cannot_share_a_learner_are_refused_by_name() -> None:
    """Equal names, one slot claimed twice, an owner of the update beside others, one memory."""

    class LossA(Method):
        def loss(self, step: Step) -> Tensor:
            return step.outputs.sum()

    class LossB(LossA):
        pass

    class Owner(Method):
        def update(self, learner: Learner, rows: Batch) -> Step:
            return learner.update(rows)

    with pytest.raises(IllegalCombination, match="two methods are named 'pull'"):
        Learner(linear(), Pull(), Pull(2.0))
    with pytest.raises(IllegalCombination, match=r"LossA\(\) and LossB\(\) both fill .*'loss'"):
        Learner(linear(), LossA(), LossB())
    with pytest.raises(IllegalCombination, match=r"Owner\(\) owns the whole update, so Pull\(\)"):
        Learner(linear(), Pull(), Owner())


def test_what_is_no_method_is_refused() -> None:
    """Its name, or the class in place of an object: the message shows how to write it."""
    for slip in ("pull", Pull):
        with pytest.raises(InvalidValue, match=r"is no method; give an object such as"):
            Learner(torch.nn.Linear(2, 2), slip)  # type: ignore[arg-type]


def test_pairs_and_optimisers_made_already_are_refused() -> None:
    """Habits of plain PyTorch: the message shows what to write here."""
    model, x, y = nn.Linear(2, 2), torch.eye(2), torch.tensor([0, 1])
    with pytest.raises(InvalidValue, match=r"a tuple is no batch; give `Batch\(x, y\)`"):
        Learner(model).observe((x, y))  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="optimizer is an object of Adam that is made already"):
        Learner(model, optimizer=torch.optim.Adam(model.parameters()))  # type: ignore[arg-type]


def test_one_memory_with_two_writers_is_refused() -> None:
    """Sharing a memory object between two methods names the memory."""
    from perdure.memory import Reservoir

    class Keeper(Recall):
        keeps = ("memory",)

        def __init__(self, memory: Reservoir, tag: str) -> None:
            self.memory, self.tag = memory, tag

        def __repr__(self) -> str:
            return self.tag

    shared = Reservoir(10)
    with pytest.raises(IllegalCombination, match="one and the same memory"):
        Learner(linear(), Keeper(shared, "a"), Keeper(shared, "b"))


def test_consolidate_runs_writers_first_and_hands_over_rows() -> None:
    """A method that writes parameters comes before one that only looks, whatever their order."""
    calls: list[str] = []

    class Looks(Method):
        def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
            calls.append(f"looks at {sum(len(b) for b in data)}")
            assert all(b.new == 0 for b in data)

    class Writes(Method):
        writes_parameters = True

        def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
            calls.append("writes")

    learner = Learner(linear(), Looks(), Writes())
    learner.consolidate(batch(5))
    learner.consolidate([batch(5), batch(2)])
    assert calls == ["writes", "looks at 5", "writes", "looks at 7"]
    assert learner.consolidations == 2


def test_a_method_that_needs_the_tasks_rows_says_so() -> None:
    """`consolidate()` without rows is refused where rows are needed."""
    from perdure.methods import EWC

    with pytest.raises(InvalidValue, match=r"EWC\(.*needs the rows of the task that ended"):
        Learner(linear(), EWC()).consolidate()


def test_predict_runs_in_evaluation_mode_and_training_in_training_mode() -> None:
    """Dropout is off in answers and on in updates."""
    model = nn.Sequential(nn.Dropout(0.9), nn.Linear(4, 3))
    learner = Learner(model)
    x = torch.randn(5, 4)
    assert torch.equal(learner.predict(x), learner.predict(x))
    learner.observe(batch())
    assert model.training


def test_uint8_is_scaled_and_augmentation_stays_out_of_predictions() -> None:
    """Raw images stay uint8 in the batch; the model sees [0, 1]; augmented only when learning."""
    seen: list[Tensor] = []

    def flip(x: Tensor, rng: torch.Generator) -> Tensor:
        seen.append(x)
        return 1 - x

    learner = Learner(linear(), augment=flip)
    images = torch.full((2, 4), 255, dtype=torch.uint8)
    step = learner.observe(Batch(images, torch.tensor([0, 1])))
    assert step.inputs.max() == 0
    assert seen[0].max() == 1
    assert step.batch.x.dtype == torch.uint8
    torch.testing.assert_close(learner.predict(images), learner.predict(torch.ones(2, 4)))
    assert len(seen) == 1


def test_growth_keeps_old_rows_and_optimiser_moments_bit_for_bit() -> None:
    """New classes get new parameters; the old block's are the same tensors with their moments."""
    head = nets.GrowingHead(4)
    learner = Learner(
        nets.Classifier(nn.Flatten(), head), optimizer=partial(torch.optim.Adam, lr=0.1)
    )
    learner.observe(Batch(torch.randn(4, 4), torch.tensor([0, 1, 0, 1])))
    old = dict(learner.params)
    values = {n: p.detach().clone() for n, p in old.items()}
    moments = {n: learner.optimiser.torch.state[p]["exp_avg"].clone() for n, p in old.items()}
    learner._grow(Batch(torch.randn(1, 4), torch.tensor([2])))
    assert len(learner.params) > len(old)
    for name, p in old.items():
        assert learner.params[name] is p
        assert torch.equal(p, values[name])
        assert torch.equal(learner.optimiser.torch.state[p]["exp_avg"], moments[name])


def test_a_grown_learner_resumes_from_its_file(tmp_path: Path) -> None:
    """Blocks are rebuilt before tensors are restored, and training goes on bit for bit."""

    def make(seed: int) -> Learner:
        torch.manual_seed(seed)
        model = nets.Classifier(nets.MLP(4, (5,)), nets.GrowingHead(5))
        return Learner(model, optimizer=partial(torch.optim.Adam, lr=0.1))

    first, second = make(0), make(1)
    for low in (0, 2, 4):
        first.observe(Batch(torch.randn(4, 4), torch.tensor([low, low + 1] * 2)))
    first.save(tmp_path / "state")
    second.load(tmp_path / "state")
    for learner in (first, second):
        for seed in range(3):
            learner.observe(batch(seed=seed))
    assert first.params.keys() == second.params.keys()
    assert all(torch.equal(p, second.params[n]) for n, p in first.params.items())


def test_checkpoints_of_another_learner_are_refused_by_name() -> None:
    """Other methods, other tensors, another format: each is told apart."""
    state = Learner(linear(), Pull()).state_dict()
    with pytest.raises(CheckpointMismatch, match=r"methods \['pull'\] and this learner has \[\]"):
        Learner(linear()).load_state_dict(state)
    other = Learner(nn.Linear(4, 2), Pull())
    with pytest.raises(CheckpointMismatch, match=r"of another shape \['weight', 'bias'\]"):
        other.load_state_dict(state)
    with pytest.raises(CheckpointMismatch, match="format 99"):
        other.load_state_dict({**state, "format": 99})


def test_frozen_parameters_do_not_move_and_stay_frozen_after_loading() -> None:
    """Weight decay and momentum do not touch what needs no gradient, across a resume as well."""

    def make() -> Learner:
        model = nn.Sequential(linear(), nn.ReLU(), nn.Linear(3, 3))
        return Learner(
            model, optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1)
        )

    learner = make()
    learner.observe(batch())
    learner.model[0].requires_grad_(False)  # type: ignore[index]
    learner.refresh()
    before = learner.model[0].weight.clone()  # type: ignore[index]
    learner.observe(batch())
    again = make()
    again.load_state_dict(learner.state_dict())
    again.observe(batch())
    for each in (learner, again):
        assert torch.equal(each.model[0].weight, before)  # type: ignore[index]
    assert "0.weight" not in again.params


def test_a_teacher_answers_as_the_model_did() -> None:
    """`recite` gives the outputs of the snapshot and leaves model and mode alone."""
    learner = Learner(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)))
    learner.observe(batch())
    x = torch.randn(5, 4)
    teacher, answer = learner.snapshot(), learner.predict(x)
    for seed in range(3):
        learner.observe(batch(seed=seed))
    buffers = {n: b.clone() for n, b in learner.model.named_buffers()}
    assert torch.equal(learner.recite(teacher, x, None), answer)
    assert not torch.equal(learner.predict(x), answer)
    assert all(torch.equal(b, buffers[n]) for n, b in learner.model.named_buffers())


def test_batchnorm_sees_new_and_recalled_rows_together() -> None:
    """The running mean moves towards the mean over both parts of the batch."""
    norm = nn.BatchNorm1d(4, momentum=1.0)
    learner = Learner(nn.Sequential(norm, linear()), Recall(batch(10, 5)))
    rows = batch(6, 4)
    learner.observe(rows)
    expected = torch.cat((rows.x, batch(10, 5).x)).mean(0)
    torch.testing.assert_close(norm.running_mean, expected)


@pytest.mark.parametrize("passes", [1, 2])
def test_refused_rows_leave_no_trace_in_running_statistics(passes: int) -> None:
    """One NaN would stay in a running mean, and in each answer from then on."""
    norm = nn.BatchNorm1d(4)
    model = nn.Sequential(norm, linear())
    learner = Learner(model, engine=Engine(accumulate=passes))
    learner.observe(batch())
    before = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    with pytest.raises(NonFinite):
        learner.observe(replace(batch(), x=torch.full((6, 4), float("nan"))))
    for name, tensor in learner.model.state_dict().items():
        assert torch.equal(before[name], tensor), name
    assert torch.isfinite(learner.predict(batch().x)).all()


def test_schedules_scale_the_learning_rate_by_the_number_of_the_update() -> None:
    """Update k runs at factor(k) times the first rate, and a resumed learner knows its k."""
    learner = Learner(linear(), optimizer=SGD, schedule=lambda update: 1 / (1 + update))
    for expected in (0.1, 0.05, 0.1 / 3):
        learner.observe(batch())
        assert learner.optimiser.torch.param_groups[0]["lr"] == pytest.approx(expected)


def test_restart_returns_to_a_snapshot_with_a_fresh_optimiser() -> None:
    """Parameters come back and momentum is gone."""
    learner = Learner(linear(), optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9))
    start = learner.snapshot()
    learner.observe(batch())
    learner.restart(start)
    assert torch.equal(learner.params["weight"], start["weight"])
    assert not learner.optimiser.torch.state


def test_restart_begins_the_schedule_anew(tmp_path: Path) -> None:
    """A warm-up serves moments that are not there yet, and a resumed learner knows where it is."""

    def made() -> Learner:
        return Learner(linear(), optimizer=SGD, schedule=lambda update: 1 / (1 + update))

    learner, rate = made(), 0.1
    start = learner.snapshot()
    for _ in range(3):
        learner.observe(batch())
    learner.restart(start)
    learner.observe(batch())
    assert learner.optimiser.torch.param_groups[0]["lr"] == pytest.approx(rate)
    learner.save(tmp_path / "state.safetensors")
    again = made()
    again.load(tmp_path / "state.safetensors")
    for one in (learner, again):
        one.observe(batch())
        assert one.optimiser.torch.param_groups[0]["lr"] == pytest.approx(rate / 2)
    assert torch.equal(learner.params["weight"], again.params["weight"])


def test_a_method_passes_values_on_within_an_update_and_no_further() -> None:
    """What `penalty` notes, `settle` finds; the next update, and the step given back, do not."""
    found: list[object] = []

    class Notes(Method):
        def penalty(self, step: Step) -> None:
            found.append(step.noted(self))
            step.note(self, step.outputs)

        def settle(self, step: Step) -> None:
            found.append(step.noted(self) is not None)

    notes = Notes()
    learner = Learner(linear(), notes)
    for _ in range(2):
        assert learner.observe(batch()).noted(notes) is None
    assert found == [None, True, None, True]


def test_rows_are_prepared_once_where_nothing_trains() -> None:
    """A learner without parameters makes no pass of its own: its method reads the features."""
    calls: list[int] = []

    def prepare(x: Tensor) -> Tensor:
        calls.append(len(x))
        return x

    model = nets.Classifier(nets.Flat(4), nets.NoHead(4))
    learner = Learner(model, methods.NCM(), prepare=prepare)
    learner.observe(batch(6))
    assert calls == [6]


def test_regression_targets_work() -> None:
    """Any functional loss of torch will do, weighted rows included."""
    learner = Learner(nn.Linear(4, 2), loss=F.mse_loss)
    rows = Batch(torch.randn(6, 4), torch.randn(6, 2))
    first = float(learner.observe(rows).terms["loss"])
    for _ in range(50):
        last = float(learner.observe(rows).terms["loss"])
    assert last < first
    again = Learner(nn.Linear(4, 2), Recall(rows.weighted(2.0)), loss=F.mse_loss)
    expected = F.mse_loss(again.predict(rows.x), rows.y)
    torch.testing.assert_close(again.observe(rows).terms["loss"].detach(), expected)


def test_a_model_without_features_says_what_to_do() -> None:
    """The message names the class and the way out."""
    with pytest.raises(InvalidValue, match="Linear has no features"):
        Learner(linear()).features(torch.zeros(1, 4))


def test_gradient_clipping_bounds_the_norm() -> None:
    """The applied gradients' global norm is at most `clip`."""
    norms: list[float] = []

    class Norm(Method):
        def settle(self, step: Step) -> None:
            grads = torch.cat([g.flatten() for g in step.applied.values()])
            norms.append(float(grads.norm()))

    learner = Learner(linear(), Pull(100.0), Norm(), engine=Engine(clip=0.5))
    learner.observe(batch())
    assert norms == [pytest.approx(0.5, rel=1e-4)]


@pytest.mark.parametrize("change", [{"surprise": 1}, {"engine": None}])
def test_a_state_with_other_keys_is_refused_by_name(change: dict[str, object]) -> None:
    """One that another version wrote, or someone by hand; `None` stands for a key left out."""
    (key, value), *_ = change.items()
    learner = Learner(linear())
    state = {**learner.state_dict(), key: value}
    if value is None:
        del state[key]
    with pytest.raises(CheckpointMismatch, match=key):
        learner.load_state_dict(state)
