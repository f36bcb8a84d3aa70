"""Data parallel learning over ranks: gradients are averaged explicitly, by name.

Wrapping the model in DistributedDataParallel would leave a head that grows later, and every
gradient taken with `torch.autograd.grad`, silently local to its rank.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Mapping

import torch
import torch.distributed as dist

# Its functions have the group of their import as a default argument. Imported after the group is
# made (torch's compiler does so), they would keep the group's threads past the interpreter's end,
# where letting go of a tensor aborts the process.
import torch.distributed.nn.functional
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import InvalidValue


class Ranks:
    """The processes that learn one model together, each from its own shard of the stream.

    Start them with `torchrun` and make this object in each. Every rank must make the same calls in
    the same order: observe as often, consolidate as often, each time with a row at least. Shards
    may differ in size: a row weighs the same on each.

    Args:
        backend: "gloo" (CPU) or "nccl" (one GPU a rank); None picks by what is available.

    Raises:
        InvalidValue: the process was not started by `torchrun` or an initialised process group.
    """

    def __init__(self, backend: str | None = None) -> None:
        if not dist.is_initialized():
            if not dist.is_torchelastic_launched():
                raise InvalidValue(
                    "Ranks needs one process per rank; start the script with: "
                    "torchrun --nproc-per-node=2 script.py"
                )
            dist.init_process_group(backend or ("nccl" if torch.cuda.is_available() else "gloo"))
            # Left to the interpreter's end, the group's threads may abort the process (see above).
            atexit.register(dist.destroy_process_group)
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()

    def average(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The mean of each tensor over the ranks, in one collective call."""
        flat = torch.cat([tensors[name].flatten() for name in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        pieces = flat.split([tensor.numel() for tensor in tensors.values()])
        return {
            name: piece.view_as(tensors[name]) for name, piece in zip(tensors, pieces, strict=True)
        }

    def average_gradients(self, params: Mapping[str, torch.nn.Parameter]) -> None:
        """Replace each `.grad` by its mean over the ranks; a gradient no rank has stays None."""
        has = torch.tensor([float(p.grad is not None) for p in params.values()])
        has = has.to(next(iter(params.values())).device)
        dist.all_reduce(has, op=dist.ReduceOp.MAX)
        shared = [name for name, flag in zip(params, has.tolist(), strict=True) if flag]
        grads = {
            name: torch.zeros_like(params[name]) if params[name].grad is None else params[name].grad
            for name in shared
        }
        for name, grad in self.average(grads).items():  # type: ignore[arg-type]
            params[name].grad = grad

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Give every rank the values of rank 0, so that what was drawn at random agrees."""
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)

    def any(self, holds: bool) -> bool:
        """Whether it holds on any rank."""
        found = torch.tensor(
            [float(holds)], device="cuda" if dist.get_backend() == "nccl" else "cpu"
        )
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return bool(found)

    def everyone(self, batch: Batch) -> Batch:
        """This rank's inputs' shape with the labels and task ids of all ranks' rows, to grow alike.

        Raises:
            InvalidValue: on every rank, where one has no rows.
        """
        labels = batch.y
        if labels.is_floating_point():  # regression targets call for no growth
            labels = torch.zeros(len(batch), dtype=torch.int64, device=labels.device)
        tasks = torch.full_like(labels, -1) if batch.task is None else batch.task
        new = torch.arange(len(batch), device=labels.device) < batch.new
        found = torch.stack((labels, tasks, new.to(labels)), 1)  # (n, 3)
        sizes = torch.tensor([len(found), -len(found)], device=found.device)
        dist.all_reduce(sizes, op=dist.ReduceOp.MAX)
        most, least = int(sizes[0]), -int(sizes[1])
        if not least:
            raise InvalidValue(
                f"a rank has no rows in this batch, of which rank {self.rank} has {len(batch)}; "
                "each update needs one on every rank: leave the rest of the stream out, or share it"
            )
        padded = found.new_full((most, 3), -1)
        padded[: len(found)] = found
        gathered = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(gathered, padded)
        rows = torch.cat(gathered)
        rows = torch.cat((rows[rows[:, 2] == 1], rows[rows[:, 2] == 0]))  # new ones first
        x = batch.x[:1].expand(len(rows), *batch.x.shape[1:])
        task = None if batch.task is None else rows[:, 1]
        return Batch(x, rows[:, 0], task, new=int(rows[:, 2].sum()))
