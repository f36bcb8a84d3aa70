"""Learning over ranks: processes started by torchrun, averaged over gloo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from perdure import Ranks
from perdure.errors import InvalidValue

BEGINNING = """
import atexit, os
def say(words):
    os.write(1, f"{words}\\n".encode())  # print writes in pieces, and the ranks share a pipe
def threads():
    return [open(f"/proc/self/task/{t}/comm").read().strip() for t in os.listdir("/proc/self/task")]
def say_threads(when):
    if os.path.exists("/proc/self/task"):  # they are listed by Linux
        say(f"{when} {[t for t in threads() if 'gloo' in t]}")
atexit.register(say_threads, "left")
import torch
from torch import nn
from functools import partial
from perdure import Batch, Engine, Learner, Ranks, nets
from perdure.families.fisher import fisher
from perdure.families.moments import Moments
torch.set_num_threads(1)
ranks = Ranks("gloo")
engine = Engine(ranks=ranks)
import torch._dynamo  # as training with a compiled step, or some optimisers, do
ranks.average({"a": torch.ones(3)})
say_threads("started")
"""

GROWTH = """
torch.manual_seed(ranks.rank)
def model():
    return nets.Classifier(nets.MLP(4, (5,)), nets.GrowingHead(5))
learner = Learner(model(), engine=engine, optimizer=partial(torch.optim.SGD, lr=0.1))
generator = torch.Generator().manual_seed(0)
for step in range(6):
    x = torch.randn(8, 4, generator=generator)
    # Rank 0 sees only even labels and rank 1 only odd ones: growth must still agree.
    y = torch.tensor([0, 1] * 4) + 2 * (step // 2)
    learner.observe(Batch(x[ranks.rank::2], y[ranks.rank::2]))
mine = {n: p.detach() for n, p in learner.params.items()}
for name, mean in ranks.average(mine).items():
    assert torch.equal(mean, mine[name]), name
assert learner.predict(torch.randn(2, 4)).shape == (2, 6)
say("grown alike")
"""

FISHER = """
torch.manual_seed(0)
model, x, y = nn.Linear(4, 3), torch.randn(8, 4), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
shard = slice(0, 3) if ranks.rank == 0 else slice(3, 8)
ours = fisher(Learner(model, engine=engine), [Batch(x[shard], y[shard])])
alone = fisher(Learner(model), [Batch(x, y)])
for name in alone:
    torch.testing.assert_close(ours[name], alone[name])
say("the same Fisher")
"""

MOMENTS = """
generator = torch.Generator().manual_seed(3)
f = 3 + torch.randn(40, 4, generator=generator)
y = 2 * torch.randint(5, (40,), generator=generator)
task = torch.randint(3, (40,), generator=generator)
mine = y < 4 if ranks.rank == 0 else y >= 4  # no label is on both
for kind in ("spherical", "shared", "each"):
    own, whole = Moments(kind), Moments(kind)
    own.add(f[mine], y[mine])
    whole.add(f, y)
    found = own.over(engine).state_dict()
    for name, total in whole.state_dict().items():
        torch.testing.assert_close(found[name], total, rtol=1e-12, atol=1e-12)
none = Moments("each", per_task=True)
if ranks.rank == 1:
    none.add(f, y, task)
found = none.over(engine)
assert found.rows == 40 and found.tasks.unique().tolist() == [0, 1, 2]
say("the same sums")
"""


@pytest.mark.ranks
def test_ranks_agree_on_growth_on_the_fisher_and_on_sums(tmp_path: Path) -> None:
    """One pair of processes, since their start is most of what they cost.

    - Growth is agreed on before it happens, and parameters stay equal to the last bit, though each
      rank sees other labels.
    - 3 rows on one rank and 5 on the other give the Fisher of all 8 on one.
    - Sums by class are those of all rows on every rank, even where one rank has none.
    - No thread of the group outlives its end: such a thread aborted one process in ten, after all
      of its work was done.
    """
    script = tmp_path / "ranks.py"
    script.write_text(BEGINNING + GROWTH + FISHER + MOMENTS)
    done = run_ranks(script)
    assert done.returncode == 0, done.stderr[-3000:]
    for said in ("grown alike", "the same Fisher", "the same sums"):
        assert done.stdout.count(said) == 2
    if Path("/proc/self/task").exists():
        assert done.stdout.count("started [") == 2
        assert "started []" not in done.stdout
        assert done.stdout.count("left []") == 2


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


def test_ranks_outside_torchrun_say_how_to_start() -> None:
    """The message holds the command."""
    with pytest.raises(InvalidValue, match="torchrun --nproc-per-node"):
        Ranks()


def run_ranks(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script on two ranks of this machine."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", "--local-addr=127.0.0.1", str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
