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
