"""The contract over every method, every legal pair of methods, and two ranks."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path

import pytest

from perdure import Method, methods, testing
from perdure.combination import check_combination
from perdure.errors import IllegalCombination

MAKES: dict[str, Callable[[], Method]] = {
    "AGEM": lambda: methods.AGEM(capacity=12),
    "AR1Star": lambda: methods.AR1Star(strength=0.1, slow=0.5),
    "BiC": lambda: methods.BiC(aside=12),
    "CWRStar": methods.CWRStar,
    "ContinualBackprop": lambda: methods.ContinualBackprop(rate=0.01, maturity=5),
    "Cumulative": methods.Cumulative,
    "DER": lambda: methods.DER(capacity=12),
    "DERpp": lambda: methods.DERpp(capacity=12),
    "EMA": lambda: methods.EMA(decay=0.9),
    "ER": lambda: methods.ER(capacity=12),
    "ERACE": lambda: methods.ERACE(capacity=12),
    "EWC": lambda: methods.EWC(strength=0.1),
    "FeCAM": methods.FeCAM,
    "FeatureReplay": methods.FeatureReplay,
    "FirstSession": methods.FirstSession,
    "GDumb": lambda: methods.GDumb(capacity=12, epochs=3),
    "GEM": lambda: methods.GEM(capacity=12),
    "GPM": methods.GPM,
    "GenerativeReplay": lambda: methods.GenerativeReplay(hidden=8, latent=2),
    "HAT": lambda: methods.HAT(steps=4),
    "ICaRL": lambda: methods.ICaRL(capacity=12),
    "Joint": methods.Joint,
    "L2Init": lambda: methods.L2Init(strength=0.01),
    "InfLoRA": methods.InfLoRA,
    "L2P": methods.L2P,
    "LUCIR": methods.LUCIR,
    "LoRA": methods.LoRA,
    "LatentReplay": lambda: methods.LatentReplay(capacity=12),
    "LwF": methods.LwF,
    "LwFMC": methods.LwFMC,
    "MIR": lambda: methods.MIR(capacity=12),
    "MAS": lambda: methods.MAS(strength=0.01),
    "NCM": methods.NCM,
    "Naive": methods.Naive,
    "OLoRA": methods.OLoRA,
    "OnlineEWC": lambda: methods.OnlineEWC(strength=0.1, decay=0.9),
    "PackNet": lambda: methods.PackNet(tasks=testing.TASKS),
    "Progressive": methods.Progressive,
    "Prompts": methods.Prompts,
    "RanPAC": lambda: methods.RanPAC(projections=16),
    "Ridge": methods.Ridge,
    "SI": lambda: methods.SI(strength=0.01),
    "SLCA": lambda: methods.SLCA(slow=0.1, epochs=1, rows=8),
    "SLDA": methods.SLDA,
    "ShrinkPerturb": methods.ShrinkPerturb,
    "WA": methods.WA,
    "WiSEFT": lambda: methods.WiSEFT(share=0.7),
    # Its contrast compares the rows of one pass, so that accumulation changes it: see its own test.
    "XDER": lambda: methods.XDER(alpha=0.1, beta=0.1, capacity=12, ready=0.0),
}
ORDER_FREE = {"recall", "penalty", "settle"}
PARTNERS = {"ER", "EWC"}
"""One that projects, one that recalls, one that penalises: each method meets them at every run."""
VERBS = ORDER_FREE | {"grow", "project", "constrain", "consolidate", "decide", "forward", "loss"}


def legal_pairs() -> list[tuple[str, str]]:
    """Pairs that a learner accepts, on an architecture that both can live on."""
    pairs = []
    for a, b in combinations(MAKES, 2):
        try:
            check_combination([MAKES[a](), MAKES[b]()])
        except IllegalCombination:
            continue
        pairs.append((a, b))
    return pairs


def test_every_method_is_under_contract() -> None:
    """A method that `perdure.methods` exports and this file forgets is found out."""
    exported = {
        name
        for name in methods.__all__
        if inspect.isclass(getattr(methods, name)) and issubclass(getattr(methods, name), Method)
    }
    assert exported == set(MAKES)


@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", MAKES)
def test_a_method_keeps_the_contract(name: str, check: Callable[[testing.Make], None]) -> None:
    """Each promise of the contract, for each method."""
    if check is testing.check_bounded_state:
        check = partial(testing.check_bounded_state, steps=100)
    check(MAKES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKES)
def test_the_state_stays_bounded_for_long(name: str) -> None:
    """Over as many steps as the contract asks for by itself."""
    testing.check_bounded_state(MAKES[name])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param(a, b, marks=[] if PARTNERS & {a, b} else [pytest.mark.slow])
        for a, b in legal_pairs()
    ],
)
def test_a_legal_pair_keeps_the_contract(a: str, b: str) -> None:
    """Two methods in one learner resume exactly, predict purely and keep plain state."""

    def make() -> list[Method]:
        return [MAKES[a](), MAKES[b]()]

    testing.check_resume_is_exact(make)
    testing.check_predict_is_pure(make)
    testing.check_unknown_keys_are_refused(make)
    testing.check_single_rows(make)
    implemented = {verb for method in make() for verb in VERBS if method.implements(verb)}
    if not implemented - ORDER_FREE - {"consolidate"}:
        testing.check_order_is_free(make)


def test_a_broken_method_is_found_out() -> None:
    """The contract can fail: a method that forgets part of its state is caught at its resume."""

    class Forgetful(methods.ER):
        keeps = ()

    with pytest.raises(AssertionError, match="resumed after event"):
        testing.check_method(lambda: Forgetful(capacity=12))


@pytest.mark.ranks
@pytest.mark.timeout(300)
def test_two_ranks_end_bit_equal_under_every_method(tmp_path: Path) -> None:
    """Each method on two ranks, each rank with half of the rows: the same parameters on both."""
    here = Path(__file__).parent
    script = tmp_path / "every_method.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(here)!r})\n"
        "import torch; torch.set_num_threads(1)\n"
        "from test_contract import MAKES\n"
        "from perdure import Engine, Ranks, testing\n"
        "engine = Engine(ranks=Ranks('gloo'))\n"
        "for name, make in MAKES.items():\n"
        "    testing.check_ranks_agree(make, engine)\n"
        "    print('agreed', name, flush=True)\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", "--local-addr=127.0.0.1", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("agreed") == 2 * len(MAKES)
