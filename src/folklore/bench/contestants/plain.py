"""A good plain PyTorch loop: one network, tensors in memory, batches as slices of a shuffled order, torch.nn and torch.optim.

In every form that PyTorch offers: the optimizer's three implementations, and the fused one with the net compiled, where there is a
C++ compiler. The fastest counts.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from folklore.bench.clocks import Updates
from folklore.bench.nets import ROWS, widths
from folklore.grid import Run

EAGER = ("foreach", "fused", "for-loop")  # implementations of one optimizer, in torch.optim
COMPILED = "compiled"


def forms(*, compiling: bool) -> tuple[str, ...]:
    return (*EAGER, COMPILED) if compiling and shutil.which("g++") else EAGER


def clock(run: Run, data: SimpleNamespace, form: str) -> Updates:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.from_numpy(data.pool_x), torch.from_numpy(data.pool_y)
    network, size = net(run), run.batch_size
    optimizer = optimizer_of(run, network, "fused" if form == COMPILED else form)
    loss_of = loss_function(network, compiled=form == COMPILED)

    def measure(updates: int) -> float:
        start = time.process_time()
        for i in range(updates):
            first = i * size % ROWS
            if first == 0:
                order = torch.randperm(ROWS, generator=draw)
            rows = order[first : first + size]
            loss = loss_of(x[rows], y[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return (time.process_time() - start) / updates * 1e6

    return measure


def loss_function(network: nn.Module, *, compiled: bool) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(network(x), y)

    if not compiled:
        return loss
    torch._dynamo.reset()  # each case counts its own recompilations
    return torch.compile(loss, dynamic=False)


def net(run: Run) -> nn.Sequential:
    layers = []
    *hidden, (last, classes) = zip(widths(run), widths(run)[1:], strict=False)
    for inputs, units in hidden:
        norm = [nn.BatchNorm1d(units)] if run.norm == "batch" else []
        layers += [nn.Linear(inputs, units), *norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(last, classes))


def optimizer_of(run: Run, network: nn.Module, form: str) -> torch.optim.Optimizer:
    momentum = run.momentum if run.optimizer == "momentum" else 0.0
    chosen = {"foreach": form == "foreach", "fused": form == "fused"}
    return torch.optim.SGD(network.parameters(), lr=run.lr, momentum=momentum, **chosen)
