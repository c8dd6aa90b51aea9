"""A good plain PyTorch loop: one network, tensors in memory, batches as slices of a shuffled order, torch.nn and torch.optim.

In every form that PyTorch offers: the optimizer's three implementations, and the fused one with the net compiled, where there is a
C++ compiler; on a GPU also the whole update as one CUDA graph. The fastest counts.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from folklore.bench.clocks import Updates
from folklore.bench.nets import ROWS, widths
from folklore.core.probes.step_time import now
from folklore.grid import Run

EAGER = ("foreach", "fused", "for-loop")  # implementations of one optimizer, in torch.optim
COMPILED, GRAPH, COMPILED_GRAPH = "compiled", "CUDA graph", "compiled CUDA graph"
FIRST = 3  # updates before a graph is recorded, as PyTorch's documentation has it
Update = Callable[[Tensor, Tensor], object]  # of one batch


def forms(device: str = "cpu", *, compiling: bool) -> tuple[str, ...]:
    """On a GPU a compiled net without a graph is left out: what takes its time is the launching of kernels, which a graph saves."""
    recorded = (GRAPH,) if device == "cuda" else ()
    compiled = COMPILED_GRAPH if device == "cuda" else COMPILED
    return (*EAGER, *recorded, *((compiled,) if compiling and shutil.which("g++") else ()))


def clock(run: Run, data: SimpleNamespace, form: str, device: str = "cpu") -> Updates:
    where = torch.device(device)
    draw = torch.Generator(where).manual_seed(0)
    x, y = (torch.from_numpy(rows).to(where) for rows in (data.pool_x, data.pool_y))
    network, size = net(run).to(where), run.batch_size
    optimizer = optimizer_of(run, network, form if form in EAGER else "fused")
    update = update_function(loss_function(network, compiled=form in (COMPILED, COMPILED_GRAPH)), optimizer)
    if form in (GRAPH, COMPILED_GRAPH):
        update = recorded(update, x[:size], y[:size])

    def measure(updates: int) -> float:
        start = now(where)
        for i in range(updates):
            first = i * size % ROWS
            if first == 0:
                order = torch.randperm(ROWS, generator=draw, device=where)
            rows = order[first : first + size]
            update(x[rows], y[rows])
        return (now(where) - start) / updates * 1e6

    return measure


def update_function(loss_of: Callable[[Tensor, Tensor], Tensor], optimizer: torch.optim.Optimizer) -> Update:
    def update(x: Tensor, y: Tensor) -> None:
        loss = loss_of(x, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return update


def recorded(update: Update, x: Tensor, y: Tensor) -> Update:
    """The same updates by a CUDA graph of one, on a batch of its own that each batch is copied to."""
    own_x, own_y, beside, graph = x.clone(), y.clone(), torch.cuda.Stream(), torch.cuda.CUDAGraph()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(FIRST):
            update(own_x, own_y)
    torch.cuda.current_stream().wait_stream(beside)
    with torch.cuda.graph(graph):
        update(own_x, own_y)

    def replay(x: Tensor, y: Tensor, _: Update = update) -> None:  # it holds what the graph writes into
        own_x.copy_(x)
        own_y.copy_(y)
        graph.replay()

    return replay


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
