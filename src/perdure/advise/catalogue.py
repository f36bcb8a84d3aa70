"""The methods that this version has, and in which order to try them in each scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from perdure import methods
from perdure.method import Method
from perdure.scenario import Scenario

REFERENCES = ("naive", "cumulative", "joint")
"""Not answers but yardsticks: no protection at all, all rows at an equal budget, retraining."""


@dataclass(frozen=True)
class Rank:
    """A method's place in a scenario.

    Attributes:
        method: its name.
        reason: what speaks for it, or against it.
        worth_trying: False where it is known to do little; it is then the last resort.
        alone: False where it does its work beside another method, and is never advised by itself.
    """

    method: str
    reason: str
    worth_trying: bool = True
    alone: bool = True


@cache
def catalogue(scenario: Scenario) -> Mapping[str, Method]:
    """One of each method by its name, with the arguments that the scenario calls for.

    They are for looking at: a learner takes one that nobody else holds.
    """
    found = [getattr(methods, name)() for name in methods.__all__]
    if scenario is Scenario.FREE:
        # With its default it writes its memory at boundaries, of which there are none.
        found = [methods.AGEM(write="step") if isinstance(m, methods.AGEM) else m for m in found]
    return MappingProxyType({method.name: method for method in sorted(found, key=_name)})


def ranking(scenario: Scenario) -> tuple[Rank, ...]:
    """The methods of this version from the first to try to the last resort, yardsticks left out.

    A method that has no place anywhere yet comes last, in the words of its own first line.
    """
    known = catalogue(scenario)
    placed = {rank.method for ranks in RANKINGS.values() for rank in ranks}
    left = known.keys() - placed - {*REFERENCES}
    unplaced = [Rank(name, _first_line(known[name]), worth_trying=False) for name in sorted(left)]
    return (*RANKINGS[scenario], *unplaced)


def _name(method: Method) -> str:
    return method.name


def _first_line(method: Method) -> str:
    line = (type(method).__doc__ or method.name).strip().splitlines()[0]
    return f"not compared here yet: {line[0].lower()}{line[1:].rstrip('.')}"


_NO_COMPARISON = (
    "stays near chance without replay: old and new classes never meet in one batch, so nothing "
    "teaches the model to tell them apart"
)
_GDUMB = "a sanity check: trained on its memory alone, so what it beats has learned nothing else"

_INTERFERED = "replays what an update would hurt most; here close to plain replay, and dearer"
_PLASTIC = "keeps a network able to learn on long streams; it does not keep it from forgetting"
_ADAPTS = "for pretrained backbones that must adapt; weak without replay where classes grow"
_SMALL_BATCHES = "made for hundreds of small batches of few classes, with batch renormalisation"

_CLOSED_FORMS = (
    Rank("ranpac", "closed form on random features of features: the best here, and keeps no rows"),
    Rank("slda", "closed form: class means and one covariance; one pass, order does not matter"),
    Rank("ridge", "closed form: least squares; one pass, order does not matter"),
    Rank("fecam", "a covariance for each class: where classes differ in shape"),
    Rank("ncm", "the nearest class mean: the simplest, and the one to beat"),
)
FROM_FEATURES: tuple[Rank, ...] = (
    *_CLOSED_FORMS,
    Rank("feature-replay", "trains a head on features drawn from class Gaussians; keeps no rows"),
    Rank("latent-replay", "replays activations, not rows; the layers below them stay frozen"),
)
"""What to try first on a pretrained backbone that stays frozen, where one head answers."""

_COMPANIONS = (
    Rank("lucir", "a cosine head and a margin between classes; goes beside a replay", alone=False),
    Rank("wa", "levels old and new classes' weights; goes beside replay and lwf", alone=False),
    Rank("bic", "corrects the bias towards new classes; goes beside replay and lwf", alone=False),
    Rank("wise-ft", "mixes the weights with earlier ones; goes beside a method", alone=False),
    Rank("shrink-perturb", _PLASTIC, alone=False),
)
_AT_EVERY_STEP = (
    Rank("ema", "answers with averaged weights; goes beside a method", alone=False),
    Rank("l2-init", _PLASTIC, alone=False),
    Rank("continual-backprop", _PLASTIC, alone=False),
)
_SESSION = Rank("first-session", "adapts the backbone in the first task; goes before", alone=False)
_MERGED = tuple(Rank(name, _ADAPTS) for name in ("o-lora", "lora", "prompts"))
_ADAPTERS = (*(Rank(name, _ADAPTS) for name in ("slca", "l2p", "inflora")), *_MERGED)
FROM_PRETRAINED = frozenset(rank.method for rank in (*FROM_FEATURES, *_ADAPTERS))
"""What has nothing to work on but what a pretrained backbone gives."""

RANKINGS: Mapping[Scenario, tuple[Rank, ...]] = {
    Scenario.CLASS: (
        Rank("der++", "the strongest simple replay: past rows, and what the model said about them"),
        Rank("er-ace", "replay that keeps new classes from pushing old ones down at once"),
        Rank("er", "plain replay: the simplest thing that works, and the one to beat"),
        Rank("der", "replays what the model said; needs no labels of past rows"),
        Rank("icarl", "exemplars and the nearest class mean: for larger memories"),
        Rank("x-der", "der++ that also looks after what it stored; more to compute and to set"),
        Rank("mir", _INTERFERED),
        Rank("gem", "as good as replay on small problems, with several times the cost of a step"),
        Rank("gdumb", _GDUMB),
        Rank("a-gem", "cheap, but one averaged gradient protects much less than replay"),
        Rank("generative-replay", "keeps no rows: replays what a generator draws; small images"),
        *FROM_FEATURES,
        *_ADAPTERS,
        *_COMPANIONS,
        *_AT_EVERY_STEP,
        _SESSION,
        Rank("ar1*", _SMALL_BATCHES, worth_trying=False),
        Rank("cwr*", _SMALL_BATCHES, worth_trying=False),
        Rank("lwf.mc", "distils each old class apart: above chance, and far below replay", False),
        Rank("lwf", _NO_COMPARISON, worth_trying=False),
        Rank("si", _NO_COMPARISON, worth_trying=False),
        Rank("mas", _NO_COMPARISON, worth_trying=False),
        Rank("online-ewc", _NO_COMPARISON, worth_trying=False),
        Rank("ewc", _NO_COMPARISON, worth_trying=False),
        Rank("gpm", _NO_COMPARISON, worth_trying=False),
    ),
    Scenario.DOMAIN: (
        Rank("er", "plain replay: the simplest thing that works, and hard to beat here"),
        Rank("der++", "replays what the model said beside the labels; often a little above er"),
        Rank("der", "replays what the model said; needs no labels of past rows"),
        Rank(
            "gem",
            "lets no update raise the loss of any past task; costs a gradient for each",
        ),
        Rank("er-ace", "made for new classes; with fixed labels it is close to er"),
        Rank("mir", _INTERFERED),
        Rank("gdumb", _GDUMB),
        Rank("a-gem", "lets no update raise the average loss on the past; keeps raw rows"),
        Rank("si", "among the best without old rows: holds the weights that past tasks relied on"),
        Rank("gpm", "keeps no rows: learns only in directions that past inputs did not use"),
        Rank("lwf", "keeps no rows: holds the answers that the model gave before the update"),
        Rank("mas", "keeps no rows: holds the weights that the answers are sensitive to"),
        Rank("online-ewc", "keeps no rows: two tensors a weight, however many tasks"),
        Rank("ewc", "keeps no rows, but helps little where all tasks share the outputs"),
        Rank("generative-replay", "keeps no rows: replays what a generator draws; small images"),
        *FROM_FEATURES,
        *_ADAPTERS,
        Rank("x-der", "made for new classes; with fixed labels it is close to der++"),
        Rank("icarl", "made for new classes; its class means blur when inputs shift"),
        *_COMPANIONS,
        *_AT_EVERY_STEP,
        _SESSION,
        Rank("lwf.mc", "made for new classes", worth_trying=False),
        Rank("ar1*", "made for new classes", worth_trying=False),
        Rank("cwr*", "made for new classes", worth_trying=False),
    ),
    Scenario.TASK: (
        Rank("lwf", "keeps no rows: one copy of the model, and a distillation loss"),
        Rank("online-ewc", "keeps no rows: two tensors a weight, however many tasks"),
        Rank("si", "keeps no rows and costs next to nothing; most of the forgetting is gone"),
        Rank("er", "plain replay; robust where penalties need tuning"),
        Rank("ewc", "keeps no rows; one penalty for each past task"),
        Rank("der++", "replays what the model said beside the labels"),
        Rank("packnet", "forgets exactly nothing; the network is shared out and fills up"),
        Rank("progressive", "forgets exactly nothing; the model grows with every task"),
        Rank("hat", "forgets next to nothing: a learned mask a task, until the network is full"),
        Rank("gpm", "keeps no rows: learns only in directions that past inputs did not use"),
        Rank("mas", "keeps no rows and needs no labels to measure what matters"),
        Rank("der", "replays what the model said; needs no labels of past rows"),
        Rank("er-ace", "made for one label space; here the task id does the same for free"),
        Rank("mir", _INTERFERED),
        Rank("gem", "lets no update raise the loss of a past task; costs a gradient a task"),
        Rank("a-gem", "the cheap form of gem"),
        Rank("gdumb", _GDUMB),
        Rank("generative-replay", "keeps no rows: replays what a generator draws; small images"),
        *FROM_FEATURES,
        *_ADAPTERS,
        Rank("x-der", "made for one label space; here the task id does the same for free"),
        Rank("icarl", "made for one label space: it does not use the task id", worth_trying=False),
        *_COMPANIONS,
        *_AT_EVERY_STEP,
        _SESSION,
        Rank("lwf.mc", "made for one label space", worth_trying=False),
        Rank("ar1*", "made for one label space", worth_trying=False),
        Rank("cwr*", "made for one label space", worth_trying=False),
    ),
    Scenario.FREE: (
        Rank("er", "plain replay from a reservoir needs no boundary: the one to beat"),
        Rank("der++", "made for this scenario: rows and answers in a reservoir, no boundary"),
        Rank("er-ace", "needs no boundary, and calms the jump when new classes arrive"),
        Rank("der", "replays what the model said; needs no boundary and no labels of past rows"),
        Rank("mir", _INTERFERED),
        Rank("a-gem", "with write='step' it needs no boundary; weaker than replay"),
        *_CLOSED_FORMS,
        *_MERGED,
        *_AT_EVERY_STEP,
    ),
}
