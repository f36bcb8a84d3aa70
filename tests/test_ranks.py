"""Learning over ranks: processes started by torchrun, averaged over gloo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from perdure import Ranks
from perdure.errors import InvalidValue

SCRIPT = """
import torch
from torch import nn
from functools import partial
from perdure import Batch, Engine, Learner, Ranks, nets
torch.set_num_threads(1)
ranks = Ranks("gloo")
engine = Engine(ranks=ranks)
torch.manual_seed(ranks.rank)
def model():
    return nets.Classifier(nets.MLP(4, (5,)), nets.GrowingHead(5))
learner = Learner(model(), engine=engine, optimizer=partial(torch.optim.SGD, lr=0.1))
generator = torch.Generator().manual_seed(0)
start = {n: t.clone() for n, t in learner.model.state_dict().items()}
alone = Learner(model(), optimizer=partial(torch.optim.SGD, lr=0.1))
for step in range(6):
    x = torch.randn(8, 4, generator=generator)
    # Rank 0 sees only even labels and rank 1 only odd ones: growth must still agree.
    y = torch.tensor([0, 1] * 4) + 2 * (step // 2)
    learner.observe(Batch(x[ranks.rank::2], y[ranks.rank::2]))
    if step == 0:
        first = {n: p.detach().clone() for n, p in learner.params.items()}
mine = {n: p.detach() for n, p in learner.params.items()}
assert learner.model.head.plan() == learner.model.head.plan()
for name, mean in ranks.average(mine).items():
    assert torch.equal(mean, mine[name]), name
assert learner.predict(torch.randn(2, 4)).shape == (2, 6)
print("agreed", ranks.rank, flush=True)
"""


@pytest.mark.ranks
def test_ranks_end_bit_equal_though_each_sees_other_labels(tmp_path: Path) -> None:
    """Growth is agreed on before it happens, and parameters stay equal to the last bit."""
    (tmp_path / "ranks.py").write_text(SCRIPT)
    done = run_ranks(tmp_path / "ranks.py")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("agreed") == 2


SHARDS = """
import torch
from torch import nn
from functools import partial
from perdure import Batch, Engine, Learner, Ranks, methods, nets
from perdure.errors import InvalidValue
torch.set_num_threads(1)
ranks = Ranks("gloo")
SGD = partial(torch.optim.SGD, lr=0.1)
generator = torch.Generator().manual_seed(0)
def learner(*used, engine=None, head=partial(nets.GrowingHead, classes=4)):
    torch.manual_seed(0)
    return Learner(nets.Classifier(nets.MLP(4, (5,)), head(5)), *used, engine=engine, optimizer=SGD)
def shares(batch, cut):
    return batch[:cut] if ranks.rank == 0 else batch[cut:]
for engine in (Engine(ranks=ranks), Engine(ranks=ranks, accumulate=2)):
    alone, shared = learner(methods.L2Init(0.1)), learner(methods.L2Init(0.1), engine=engine)
    for step in range(4):
        weight = torch.rand(9, generator=generator) if step % 2 else None
        rows = Batch(torch.randn(9, 4, generator=generator), torch.arange(9) % 3, weight=weight)
        alone.observe(rows)
        shared.observe(shares(rows, 2))
    for name, p in alone.params.items():
        torch.testing.assert_close(shared.params[name], p)
print("the same", flush=True)

alone = learner(methods.CWRStar(), head=nets.ConsolidatedHead)
shared = learner(methods.CWRStar(), head=nets.ConsolidatedHead, engine=Engine(ranks=ranks))
rows = Batch(torch.randn(9, 4, generator=generator), torch.tensor([0, 0, 0, 0, 1, 1, 2, 2, 2]))
for batch in (rows, rows.seen()):
    alone.observe(batch)
    shared.observe(shares(batch, 5))
assert shared.model.head.blocks[0].current.tolist() == [4, 2, 3]
assert alone.model.head.blocks[0].current.tolist() == [4, 2, 3]
print("counted", flush=True)

drawing = learner(methods.AGEM(rows=1, write="step"), engine=Engine(ranks=ranks))
for step in range(40):
    y = torch.arange(4) % 2 + 2 * (step // 20)
    drawing.observe(Batch(torch.randn(4, 4, generator=generator), y, task=step // 20))
print("drew", flush=True)

try:
    shared.observe(rows[:0] if ranks.rank else rows)
except InvalidValue as error:
    assert "a rank has no rows" in str(error)
    print("refused", flush=True)
"""


@pytest.mark.ranks
def test_ranks_with_shards_of_any_size_learn_as_one_would(tmp_path: Path) -> None:
    """A row weighs the same on each rank and counts once; no rank waits; an empty shard is told."""
    (tmp_path / "shards.py").write_text(SHARDS)
    done = run_ranks(tmp_path / "shards.py")
    assert done.returncode == 0, done.stderr[-3000:]
    for said in ("the same", "counted", "drew", "refused"):
        assert done.stdout.count(said) == 2, done.stdout


ENDS = """
import atexit, os
def threads():
    return [open(f"/proc/self/task/{t}/comm").read().strip() for t in os.listdir("/proc/self/task")]
atexit.register(lambda: print("left", [t for t in threads() if "gloo" in t], flush=True))
import torch
from perdure import Ranks
ranks = Ranks("gloo")
import torch._dynamo  # as training with a compiled step, or some optimisers, do
ranks.average({"a": torch.ones(3)})
print("started", [t for t in threads() if "gloo" in t], flush=True)
"""


@pytest.mark.ranks
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are listed by Linux")
def test_no_thread_of_the_group_outlives_its_end(tmp_path: Path) -> None:
    """Such a thread aborted one process in ten, after all of its work was done."""
    (tmp_path / "ends.py").write_text(ENDS)
    done = run_ranks(tmp_path / "ends.py")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "started []" not in done.stdout
    assert done.stdout.count("left []") == 2


def test_ranks_outside_torchrun_say_how_to_start() -> None:
    """The message holds the command."""
    with pytest.raises(InvalidValue, match="torchrun --nproc-per-node"):
        Ranks()


def run_ranks(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script on two ranks of this machine."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", "--local-addr=127.0.0.1", str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
