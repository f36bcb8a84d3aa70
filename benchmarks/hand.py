"""Hand-written training loops, one a method: what `speed.py` measures perdure against.

They hold what a careful person would write for one model and one stream: parameters as lists,
memories as tensors, no task ids in them, no state to save, no checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import nnls
from torch import Tensor, nn

Rows = list[tuple[Tensor, Tensor]]
Factory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class Loop:
    """A model, an optimiser and a memory of 500 rows filled as a reservoir."""

    def __init__(self, model: nn.Module, optimizer: Factory, capacity: int = 500) -> None:
        self.model, self.optimiser = model, optimizer(model.parameters())
        self.capacity = capacity
        self.forget()

    def forget(self) -> None:
        self.x, self.y = torch.zeros(self.capacity, 784), torch.zeros(self.capacity).long()
        self.logits = torch.zeros(self.capacity, 10)
        self.seen = 0

    def apply(self, loss: Tensor) -> None:
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()

    def apply_gradients(self, params: list[nn.Parameter], grads: Iterable[Tensor]) -> None:
        for p, g in zip(params, grads, strict=True):
            p.grad = g
        self.optimiser.step()

    def remember(self, x: Tensor, y: Tensor, logits: Tensor | None = None) -> None:
        count = torch.arange(self.seen, self.seen + len(y))
        slot = torch.where(count < self.capacity, count, (torch.rand(len(y)) * (count + 1)).long())
        row = (slot < self.capacity).nonzero()[:, 0]
        slot = slot[row]
        self.x[slot], self.y[slot] = x[row], y[row]
        if logits is not None:
            self.logits[slot] = logits[row]
        self.seen += len(y)

    def draw(self, rows: int = 64) -> Tensor:
        return torch.randint(min(self.seen, self.capacity), (rows,))

    def consolidate(self, rows: Rows) -> None:
        pass


class ER(Loop):
    def observe(self, x: Tensor, y: Tensor, task: int) -> None:
        new_x, new_y = x, y
        if self.seen:
            at = self.draw()
            x, y = torch.cat((x, self.x[at])), torch.cat((y, self.y[at]))
        self.apply(F.cross_entropy(self.model(x), y))
        self.remember(new_x, new_y)


class DERpp(Loop):
    def observe(self, x: Tensor, y: Tensor, task: int) -> None:
        if not self.seen:
            out = self.model(x)
            loss = F.cross_entropy(out, y)
        else:
            a, b = self.draw(), self.draw()
            out = self.model(torch.cat((x, self.x[a], self.x[b])))
            loss = F.cross_entropy(out[:64], y)
            loss = loss + 0.1 * F.mse_loss(out[64:128], self.logits[a])
            loss = loss + 0.5 * F.cross_entropy(out[128:], self.y[b])
        self.apply(loss)
        self.remember(x, y, out[:64].detach())


class EWC(Loop):
    tasks: int = 0

    def observe(self, x: Tensor, y: Tensor, task: int) -> None:
        loss = F.cross_entropy(self.model(x), y)
        if self.tasks:
            parts = [
                (f * (p - a).square()).sum()
                for p, a, f in zip(self.model.parameters(), self.anchor, self.fisher, strict=True)
            ]
            loss = loss + 50.0 * torch.stack(parts).sum()
        self.apply(loss)

    def consolidate(self, rows: Rows) -> None:
        self.tasks += 1
        self.anchor = [p.detach().clone() for p in self.model.parameters()]
        self.fisher = [1e-3 * torch.rand_like(p) for p in self.model.parameters()]


class LwF(Loop):
    teacher: nn.Module | None = None

    def observe(self, x: Tensor, y: Tensor, task: int) -> None:
        out = self.model(x)
        loss = F.cross_entropy(out, y)
        if self.teacher is not None:
            with torch.no_grad():
                target = F.log_softmax(self.teacher(x) / 2, 1)
            soft = F.log_softmax(out / 2, 1)
            loss = loss + F.kl_div(soft, target, reduction="batchmean", log_target=True)
        self.apply(loss)

    def consolidate(self, rows: Rows) -> None:
        self.teacher = deepcopy(self.model).eval()


class AGEM(Loop):
    """500 rows, equally many a class, chosen where a task ends."""

    def forget(self) -> None:
        self.x, self.y = torch.empty(0, 784), torch.empty(0).long()

    def observe(self, x: Tensor, y: Tensor, task: int) -> None:
        params = list(self.model.parameters())
        grads: Any = torch.autograd.grad(F.cross_entropy(self.model(x), y), params)
        if len(self.y):
            at = torch.randint(len(self.y), (64,))
            loss = F.cross_entropy(self.model(self.x[at]), self.y[at])
            old = torch.autograd.grad(loss, params)
            dot = sum((g * o).sum() for g, o in zip(grads, old, strict=True))
            if dot < 0:
                share = dot / sum((o * o).sum() for o in old)
                grads = [g - share * o for g, o in zip(grads, old, strict=True)]
        self.apply_gradients(params, grads)

    def consolidate(self, rows: Rows) -> None:
        x = torch.cat([self.x, *(x for x, _ in rows)])
        y = torch.cat([self.y, *(y for _, y in rows)])
        order = torch.randperm(len(y))
        kept = [order[y[order] == label][: self.capacity // 10] for label in range(10)]
        self.x, self.y = x[torch.cat(kept)], y[torch.cat(kept)]


class GEM(Loop):
    """1,000 rows in equal shares for the tasks so far, each filled as a reservoir."""

    def __init__(self, model: nn.Module, optimizer: Factory) -> None:
        super().__init__(model, optimizer, capacity=1000)
        self.past: list[tuple[Tensor, Tensor]] = []

    def observe(self, x: Tensor, y: Tensor, task: int) -> None:
        params = list(self.model.parameters())
        grads: Any = torch.autograd.grad(F.cross_entropy(self.model(x), y), params)
        if self.past:
            rows = [torch.cat([g.flatten() for g in grads])]
            for px, py in self.past:
                loss = F.cross_entropy(self.model(px), py)
                rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, params)]))
            grads = self.turned(rows, params) or grads
        self.apply_gradients(params, grads)
        self.remember(x, y)

    def turned(self, rows: list[Tensor], params: list[nn.Parameter]) -> list[Tensor]:
        stacked = torch.stack(rows).double()
        gram = (stacked @ stacked.T).numpy()
        if (gram[0, 1:] >= 0).all():
            return []
        inner = gram[1:, 1:] + 1e-9 * np.eye(len(self.past)) * gram[1:, 1:].trace()
        factor = np.linalg.cholesky(inner)
        side = np.linalg.solve(factor, gram[0, 1:] + 0.5 * gram[1:, 1:].sum(1))
        v = torch.tensor(nnls(factor.T, -side)[0] + 0.5, dtype=torch.float32)
        turned = rows[0] + v @ torch.stack(rows[1:])
        parts = turned.split([p.numel() for p in params])
        return [part.view_as(p) for part, p in zip(parts, params, strict=True)]

    def consolidate(self, rows: Rows) -> None:
        self.past.append((self.x, self.y))
        self.capacity = 1000 // (len(self.past) + 1)
        self.past = [(x[: self.capacity], y[: self.capacity]) for x, y in self.past]
        self.forget()


HAND: dict[str, Any] = {
    "er": ER,
    "ewc": EWC,
    "lwf": LwF,
    "a-gem": AGEM,
    "gem": GEM,
    "der++": DERpp,
}
