"""What methods with adapters share: own labels, a part a task, and the route to it."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import IllegalCombination, Impossible, InvalidValue
from perdure.nets import MASKED
from perdure.nets.lora import low_rank

ENCODER = partial(nets.Transformer, nets.Patches((1, 1, 4), 1, 8), depth=1, heads=2)
KINDS = {
    "lora": (methods.LoRA, lambda: nets.lora(nets.MLP(4, (8,)), rank=2, alpha=2)),
    "prompts": (methods.Prompts, lambda: nets.Prompted(ENCODER(), 2)),
}
BOTH = pytest.mark.parametrize(("method", "backbone"), KINDS.values(), ids=KINDS)
OPTIMISERS = {
    "momentum and decay": partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=0.1),
    "adamw": partial(torch.optim.AdamW, lr=0.01, weight_decay=0.5),
}


def a_task(task: int, labels: int = 2, rows: int = 24) -> Batch:
    """Two classes around points of their own, the task's id beside them."""
    draws = torch.Generator().manual_seed(task)
    y = torch.arange(rows) % 2
    centres = 3 * torch.randn(2, 4, generator=torch.Generator().manual_seed(100 + task))
    return Batch(centres[y] + 0.3 * torch.randn(rows, 4, generator=draws), y + labels * task, task)


def a_learner(method, backbone: nn.Module, head: nn.Module | None = None, **settings) -> Learner:
    optimizer = settings.pop("optimizer", partial(torch.optim.SGD, lr=0.05, momentum=0.9))
    model = nets.Classifier(backbone, head or nets.GrowingHead(8))
    return Learner(model, method, optimizer=optimizer, **settings)


def learn(learner: Learner, rows: Batch, steps: int = 20) -> None:
    for _ in range(steps):
        learner.observe(rows)


def parts(learner: Learner) -> int:
    (count,) = {adapter.count() for adapter in nets.adapters(learner.model).values()}
    return count


# -- own labels ------------------------------------------------------------------------------------


def test_incoming_rows_are_learnt_among_the_labels_of_their_task() -> None:
    """Logits (0, 0, 9): CE among the labels 0 and 1 is ln 2, whatever the third says."""
    learner = with_logits([0.0, 0.0, 9.0], methods.LoRA())
    step = learner.observe(Batch(torch.zeros(2, 4), torch.tensor([0, 1]), task=0))
    assert math.isclose(math.log(2), step.terms["loss"].item(), rel_tol=1e-6)


def test_labels_of_the_task_add_up_until_the_next_one() -> None:
    """Labels 0, then 1: the second row sees both; after a boundary it would see 1 alone."""
    learner = with_logits([0.0, 0.0, 9.0], methods.LoRA())
    zero, one = (Batch(torch.zeros(1, 4), torch.tensor([label])) for label in (0, 1))
    assert 0 == learner.observe(zero).terms["loss"].item()
    assert math.isclose(math.log(2), learner.observe(one).terms["loss"].item(), rel_tol=1e-6)
    learner.consolidate()
    assert 0 == learner.observe(one).terms["loss"].item()


def test_recalled_rows_see_every_label() -> None:
    """A recalled row of logits (0, 0, 9) and label 0 has loss 9 + ln(1 + 2 e^-9)."""
    learner = with_logits([0.0, 0.0, 9.0], methods.LoRA(), methods.ER(capacity=1))
    row = Batch(torch.zeros(1, 4), torch.tensor([0]), task=0)
    learner.observe(row)
    again = learner.observe(row)
    assert 2 == len(again.batch)
    expected = (0 + 9 + math.log(1 + 2 * math.exp(-9))) / 2
    assert math.isclose(expected, again.terms["loss"].item(), rel_tol=1e-6)


def with_logits(logits: list[float], *together) -> Learner:
    head = nets.FixedHead(8, 3)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor(logits))
    model = nets.Classifier(KINDS["lora"][1](), head)
    return Learner(model, *together, optimizer=partial(torch.optim.SGD, lr=0.0))


# -- a part a task ---------------------------------------------------------------------------------


@BOTH
def test_a_part_begins_at_a_task_id_that_was_not_seen(method, backbone) -> None:
    """The first task takes the part that is there."""
    learner = a_learner(method(), backbone())
    for task, expected in ((3, 1), (3, 1), (1, 2), (2, 3), (2, 3)):
        learn(learner, a_task(task), 1)
        assert expected == parts(learner)
    assert [3, 1, 2] == learner.methods[0].order


@BOTH
def test_without_task_ids_a_part_begins_after_a_boundary(method, backbone) -> None:
    """Not at the boundary itself, and not where nothing was learnt before it."""
    learner = a_learner(method(), backbone())
    rows = Batch(a_task(0).x, a_task(0).y)
    learner.consolidate()
    for expected in (1, 2, 3):
        learn(learner, rows, 2)
        assert expected == parts(learner)
        learner.consolidate()
        assert expected == parts(learner)


@BOTH
@pytest.mark.parametrize("optimizer", OPTIMISERS.values(), ids=OPTIMISERS)
def test_parts_of_past_tasks_never_move(method, backbone, optimizer) -> None:
    """Neither gradients nor momentum nor weight decay reach them."""
    learner = a_learner(method(), backbone(), optimizer=optimizer)
    for task in range(3):
        learn(learner, a_task(task), 4)
    held = {name: p.clone() for name, p in learner.model.backbone.named_parameters()}
    learn(learner, a_task(3), 4)
    now = dict(learner.model.backbone.named_parameters())
    assert all(torch.equal(before, now[name]) for name, before in held.items())
    assert len(now) > len(held)


@BOTH
def test_a_task_that_returns_is_refused_where_parts_answer_alone(method, backbone) -> None:
    """Its part is frozen; merged ones go on with the newest."""
    learner = a_learner(method(route="nearest"), backbone())
    learn(learner, a_task(0), 1)
    learn(learner, a_task(1), 1)
    with pytest.raises(InvalidValue, match=r"got rows of tasks \[0\] after \[0, 1\]"):
        learner.observe(a_task(0))
    with pytest.raises(InvalidValue, match=r"got rows of tasks \[2, 3\]"):
        learner.observe(a_task(2) + a_task(3))
    merged = a_learner(method(), backbone())
    for task in (0, 1, 0):
        learn(merged, a_task(task), 1)
    assert 2 == parts(merged)


@BOTH
def test_a_model_without_the_adapters_is_refused(method, backbone) -> None:
    """Bare, adapted in another way, or with parts of an earlier life."""
    other = KINDS["prompts" if method is methods.LoRA else "lora"][1]()
    used = backbone()
    for adapter in nets.adapters(used).values():
        adapter.begin(alone=True)
    for wrong in (nets.MLP(4, (8,)), other, used):
        with pytest.raises(Impossible, match=f"{method.__name__} works on a new"):
            a_learner(method(), wrong).observe(a_task(0))


def test_an_unknown_route_is_refused() -> None:
    """The message names those that there are."""
    with pytest.raises(InvalidValue, match="route is 'best'; it must be task, nearest or merged"):
        methods.LoRA(route="best")


REFUSED = {
    "one adapter for two": (methods.LoRA, methods.InfLoRA, "both fill the slot|serves one of them"),
    "two adapters": (methods.OLoRA, methods.Prompts, "both fill the slot|serves one of them"),
    "two networks": (methods.LoRA, methods.Progressive, "serves one of them"),
    "features that must stay": (methods.LoRA, methods.NCM, "holds features against later ones"),
    "no head apart": (methods.Progressive, methods.SLCA, "trains a head apart"),
}


@pytest.mark.parametrize(("one", "other", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_share_a_model_is_refused(one, other, why: str) -> None:
    """Before the first batch, in either order."""
    for pair in ((one(), other()), (other(), one())):
        with pytest.raises(IllegalCombination, match=why):
            Learner(nn.Linear(4, 2), *pair)


# -- routes ----------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("optimizer", OPTIMISERS.values(), ids=OPTIMISERS)
def test_by_task_old_tasks_answer_bit_for_bit_as_before(method, backbone, optimizer) -> None:
    """With a head a task nothing that a past task uses moves."""
    learner = a_learner(method(route="task"), backbone(), nets.MultiHead(8), optimizer=optimizer)
    answers: list[Tensor] = []
    for task in range(3):
        learn(learner, a_task(task, labels=0), 6)
        for old, before in enumerate(answers):
            assert torch.equal(before, learner.predict(a_task(old).x, old))
        answers.append(learner.predict(a_task(task).x, task))
    mixed = torch.cat([a_task(task).x[:2] for task in (2, 0, 1)])
    found = learner.predict(mixed, torch.tensor([2, 2, 0, 0, 1, 1]))
    expected = torch.cat([answers[task][:2] for task in (2, 0, 1)])
    assert torch.allclose(expected, found, atol=1e-6)


@BOTH
def test_by_task_a_question_without_its_task_is_refused(method, backbone) -> None:
    """By the method, where the head would not ask."""
    learner = a_learner(method(route="task"), backbone())
    learn(learner, a_task(0), 1)
    with pytest.raises(InvalidValue, match="answers by task"):
        learner.predict(a_task(0).x)


@BOTH
def test_the_nearest_task_answers_among_its_labels(method, backbone) -> None:
    """Three tasks of two classes: well above fine-tuning, which keeps the last."""
    learner = a_learner(method(route="nearest"), backbone())
    naive = Learner(
        nets.Classifier(nets.MLP(4, (8,)), nets.GrowingHead(8)),
        optimizer=partial(torch.optim.SGD, lr=0.05, momentum=0.9),
    )
    for task in range(3):
        learn(learner, a_task(task), 40)
        learn(naive, a_task(task), 40)
    right = {name: accuracy(one) for name, one in {"ours": learner, "naive": naive}.items()}
    assert right["ours"] > right["naive"] + 0.2
    among = (learner.predict(a_task(1).x) > MASKED).view(-1, 3, 2)  # (rows, tasks, labels)
    assert torch.equal(among[..., 0], among[..., 1])
    assert (among[..., 0].sum(1) == 1).all()


@BOTH
def test_the_nearest_task_does_not_depend_on_what_was_learnt(method, backbone) -> None:
    """The features of before adaptation say it: by hand, from the stripped model."""
    learner = a_learner(method(route="nearest"), backbone())
    for task in range(2):
        learn(learner, a_task(task), 10)
    rows = a_task(1).x
    outputs = learner.predict(rows)
    bare = nets.strip(learner.model).eval()
    means = [bare.features(a_task(t).x[k::2]).mean(0) for t in range(2) for k in range(2)]
    features = bare.features(rows)
    cosine = torch.stack([torch.cosine_similarity(features, mean[None]) for mean in means], 1)
    expected = cosine.argmax(1) // 2
    assert torch.equal(expected, (outputs[:, 2] > MASKED).long())


def test_merged_parts_answer_together() -> None:
    """The model's own outputs are the answer."""
    learner = a_learner(methods.LoRA(), KINDS["lora"][1]())
    for task in range(3):
        learn(learner, a_task(task), 2)
    x = a_task(0).x
    (layer,) = low_rank(learner.model).values()
    pairs = zip(layer.a, layer.b, strict=True)
    weight = layer.base.weight + sum(b @ a for a, b in pairs)  # alpha / rank = 1
    features = torch.relu(x @ weight.T + layer.base.bias)
    expected = learner.model.head(features)
    assert torch.allclose(expected, learner.predict(x), atol=1e-5)


@pytest.mark.parametrize("route", ["task", "nearest"])
@pytest.mark.parametrize("method", [methods.LoRA, methods.Prompts])
def test_the_other_routes_keep_the_contract_too(method, route: str) -> None:
    """The parts of it that a route can break."""
    for check in (
        testing.check_resume_is_exact,
        testing.check_predict_is_pure,
        testing.check_single_rows,
        testing.check_unseen_labels,
        testing.check_empty_memory,
    ):
        check(lambda: method(route=route))


def accuracy(learner: Learner) -> float:
    found = [learner.predict(a_task(task).x).argmax(1) == a_task(task).y for task in range(3)]
    return torch.cat(found).float().mean().item()
