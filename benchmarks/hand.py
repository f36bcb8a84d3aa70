"""Hand-written training loops, one a method: what `speed.py` measures perdure against.

They hold what a careful person would write for one model: parameters as lists, memories as tensors,
no state to save, no checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
        self.x, self.y = torch.zeros(capacity, 784), torch.zeros(capacity, dtype=torch.int64)
        self.logits = torch.zeros(capacity, 10)
        self.capacity, self.seen = capacity, 0

    def apply(self, loss: Tensor) -> None:
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()

    def remember(self, x: Tensor, y: Tensor, logits: Tensor | None = None) -> None:
        count = torch.arange(self.seen, self.seen + len(y))
        slot = torch.where(
            count < self.capacity, count, (torch.rand(len(y)) * (count + 1)).long()
        )
        keep = slot < self.capacity
        self.x[slot[keep]], self.y[slot[keep]] = x[keep], y[keep]
        if logits is not None:
            self.logits[slot[keep]] = logits[keep]
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
                for p, a, f in zip(
                    self.model.parameters(), self.anchor, self.fisher, strict=True
                )
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
                target = torch.softmax(self.teacher(x) / 2, 1)
            loss = loss - (target * torch.log_softmax(out / 2, 1)).sum(1).mean()
        self.apply(loss)

    def consolidate(self, rows: Rows) -> None:
        from copy import deepcopy

        self.teacher = deepcopy(self.model).eval()


class AGEM(Loop):
    past: int = 0

    def observe(self, x: Tensor, y: Tensor, task: int) -> None:
        params = list(self.model.parameters())
        grads: Any = torch.autograd.grad(F.cross_entropy(self.model(x), y), params)
        if self.past:
            at = torch.randint(self.past, (64,))
            loss = F.cross_entropy(self.model(self.x[at]), self.y[at])
            old = torch.autograd.grad(loss, params)
            dot = sum((g * o).sum() for g, o in zip(grads, old, strict=True))
            if dot < 0:
                share = dot / sum((o * o).sum() for o in old)
                grads = [g - share * o for g, o in zip(grads, old, strict=True)]
        for p, g in zip(params, grads, strict=True):
            p.grad = g
        self.optimiser.step()
        self.remember(x, y)

    def consolidate(self, rows: Rows) -> None:
        self.past = min(self.seen, self.capacity)


class GEM(Loop):
    """1,000 rows shared by three tasks: 333 a past task once the third has begun."""

    def __init__(self, model: nn.Module, optimizer: Factory) -> None:
        super().__init__(model, optimizer)
        self.past: list[tuple[Tensor, Tensor]] = []

    def observe(self, x: Tensor, y: Tensor, task: int) -> None:
        params = list(self.model.parameters())
        grads: Any = torch.autograd.grad(F.cross_entropy(self.model(x), y), params)
        if self.past:
            rows = [torch.cat([g.flatten() for g in grads])]
            for px, py in self.past:
                loss = F.cross_entropy(self.model(px), py)
                rows.append(
                    torch.cat([g.flatten() for g in torch.autograd.grad(loss, params)])
                )
            stacked = torch.stack(rows).double()
            gram = (stacked @ stacked.T).numpy()
            if (gram[0, 1:] < 0).any():
                inner = gram[1:, 1:] + 1e-9 * np.eye(len(self.past)) * gram[1:, 1:].trace()
                factor = np.linalg.cholesky(inner)
                side = np.linalg.solve(factor, gram[0, 1:] + 0.5 * gram[1:, 1:].sum(1))
                v = torch.tensor(nnls(factor.T, -side)[0] + 0.5, dtype=torch.float32)
                turned = rows[0] + v @ torch.stack(rows[1:])
                sizes = [p.numel() for p in params]
                grads = [
                    g.view_as(p) for g, p in zip(turned.split(sizes), params, strict=True)
                ]
        for p, g in zip(params, grads, strict=True):
            p.grad = g
        self.optimiser.step()

    def consolidate(self, rows: Rows) -> None:
        x, y = torch.cat([x for x, _ in rows]), torch.cat([y for _, y in rows])
        self.past.append((x[:333], y[:333]))


HAND: dict[str, Any] = {
    "er": ER,
    "ewc": EWC,
    "lwf": LwF,
    "a-gem": AGEM,
    "gem": GEM,
    "der++": DERpp,
}
