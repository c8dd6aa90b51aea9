"""One update of a stack: forward, backward, optimizer, moving averages. Eager, or compiled to fused C++ by torch.compile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from inspect import getfullargspec

import torch
from torch import Tensor

from folklore.core import optimizers
from folklore.core.losses import cross_entropy
from folklore.core.models import Layout, Parameters, forward, update_running
from folklore.core.norms import Moments

State = list[dict[str, Tensor]]
Hyper = dict[str, Tensor]
Gradients = tuple[Sequence[Tensor], Tensor, list[Moments]]
Step = Callable[[Parameters, State, Hyper, Tensor, Tensor, Sequence[Tensor], float], Tensor]

RECOMPILE_LIMIT = 512  # past the default of 8 signatures torch would silently fall back to eager


def optimizer_state(optimizer: str, trained: Sequence[Tensor]) -> State:
    """A zero tensor for each keyword-only argument of the optimizer's function, for each parameter."""
    slots = getfullargspec(getattr(optimizers, optimizer)).kwonlyargs
    return [{slot: torch.zeros_like(w) for slot in slots} for w in trained]


def eager_step(layout: Layout, optimizer: str, decays: bool) -> Step:
    """An update as a sequence of PyTorch calls. The returned function gives the losses (R,) before the update."""

    def step(parameters, state, hyper, x, y, keep, t):
        gradients, loss, seen = _autograd(layout, parameters, x, y, keep)
        with torch.no_grad():
            _apply(optimizer, decays, parameters, gradients, state, hyper, t)
            update_running(parameters, seen, x.shape[1])
        return loss

    return step


@cache  # stacks of one graph share the compiled code
def compiled_step(layout: Layout, optimizer: str, decays: bool) -> Step:
    """The same update as one compiled function. Sums are reordered: it equals the eager one to float32 rounding only."""
    torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
    torch._dynamo.config.accumulated_recompile_limit = RECOMPILE_LIMIT

    @torch.compile(dynamic=False, fullgraph=True)
    def fused(parameters, state, hyper, x, y, keep, t):
        gradients, loss, seen = _functional(layout, parameters, x, y, keep)
        _apply(optimizer, decays, parameters, gradients, state, hyper, t)
        update_running(parameters, seen, x.shape[1])
        return loss

    counter = torch.zeros(
        (), dtype=torch.float64
    )  # a tensor, since a Python number would be compiled in as a constant

    def step(parameters, state, hyper, x, y, keep, t):
        with torch.no_grad():
            return fused(parameters, state, hyper, x, y, keep, counter.fill_(t))

    return step


def _loss(layout: Layout, parameters: Parameters, x: Tensor, y: Tensor, keep: Sequence[Tensor]):
    """Sum over runs of the mean loss, and by-products. Runs share no parameter, so gradients of the sum never mix."""
    logits, seen = forward(layout, parameters, x, keep, training=True)
    loss = cross_entropy(logits, y)
    return loss.sum(), (loss, seen)


def _autograd(
    layout: Layout, parameters: Parameters, x: Tensor, y: Tensor, keep: Sequence[Tensor]
) -> Gradients:
    trained = parameters.trained()
    for tensor in trained:
        tensor.requires_grad_()
    total, (loss, seen) = _loss(layout, parameters, x, y, keep)
    return torch.autograd.grad(total, trained), loss.detach(), [(m.detach(), v.detach()) for m, v in seen]


def _functional(
    layout: Layout, parameters: Parameters, x: Tensor, y: Tensor, keep: Sequence[Tensor]
) -> Gradients:
    def loss(trained):
        return _loss(layout, parameters.with_trained(trained), x, y, keep)

    gradients, (losses, seen) = torch.func.grad(loss, has_aux=True)(parameters.trained())
    return gradients, losses, seen


def _apply(optimizer, decays, parameters, gradients, state, hyper, t) -> None:
    update = getattr(optimizers, optimizer)
    weights = len(parameters.weights)
    for i, (w, g, slots) in enumerate(zip(parameters.trained(), gradients, state, strict=True)):
        if decays and i < weights:  # L2 acts on weight matrices, not on biases, gains and shifts
            g = g + hyper["weight_decay"] * w
        update(w, g, hyper["lr"], hyper["momentum"], t, **slots)
