"""One update of a stack: forward, backward, optimizer, moving averages. Eager, or compiled to fused C++ by torch.compile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from inspect import getfullargspec

import torch
from torch import Tensor

from folklore.core import optimizers
from folklore.core.affine import gradient, trained_affine
from folklore.core.losses import cross_entropy, cross_entropy_slope
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
    """An update as a sequence of PyTorch calls. The returned function gives the losses (R,) before the update.

    Weights and biases are updated inside the backward pass, as soon as the layer before has its slopes: nothing is kept, and where
    the optimizer allows it, no gradient is ever written out.
    """

    def step(parameters, state, hyper, x, y, keep, t):
        for tensor in parameters.trained():
            tensor.requires_grad_()
        update = _Update(optimizer, decays, parameters, state, hyper, t)
        logits, seen = forward(layout, parameters, x, keep, training=True, linear=update.linear)
        losses, slope = cross_entropy_slope(logits.detach(), y)
        torch.autograd.backward(logits, slope)
        with torch.no_grad():
            update.norms()
            update_running(parameters, [(m.detach(), v.detach()) for m, v in seen], x.shape[1])
        return losses

    return step


class _Update:
    """What one update does to each parameter once its slopes are known."""

    def __init__(
        self, optimizer: str, decays: bool, parameters: Parameters, state: State, hyper: Hyper, t: float
    ) -> None:
        self.plain, self.factored = getattr(optimizers, optimizer), optimizers.FACTORED.get(optimizer)
        self.decay = hyper["weight_decay"] if decays else None
        self.parameters, self.state = parameters, state
        self.numbers = (hyper["lr"], hyper["momentum"], t)

    def linear(self, i: int, h: Tensor) -> Tensor:
        """The affine map of layer i, whose backward pass updates it."""
        return trained_affine(
            h,
            self.parameters.weights[i],
            self.parameters.biases[i],
            lambda inputs, slopes: self._affine(i, inputs, slopes),
        )

    def norms(self) -> None:
        """Gains and shifts, which autograd has given gradients."""
        first = 2 * len(self.parameters.weights)
        tensors = [*self.parameters.gains, *self.parameters.shifts]
        for tensor, slots in zip(tensors, self.state[first:], strict=True):
            if tensor.grad is not None:
                self.plain(tensor, tensor.grad, *self.numbers, **slots)
                tensor.grad = None

    def _affine(self, i: int, inputs: Tensor, slopes: Tensor) -> None:
        weights, bias = self.parameters.weights[i], self.parameters.biases[i]
        slots, bias_slots = self.state[i], self.state[i + len(self.parameters.weights)]
        if self.factored and self.decay is None:
            self.factored(weights, inputs, slopes, *self.numbers, **slots)
        else:
            g = gradient(inputs, slopes, like=weights)
            if self.decay is not None:  # L2 acts on weight matrices, not on biases, gains and shifts
                g.addcmul_(self.decay, weights)
            self.plain(weights, g, *self.numbers, **slots)
        self.plain(bias, slopes.sum(dim=1, keepdim=True), *self.numbers, **bias_slots)


@cache  # stacks of one graph share the compiled code
def compiled_step(layout: Layout, optimizer: str, decays: bool) -> Step:
    """The same update as one compiled function. Sums are reordered: it equals the eager one to float32 rounding only."""
    torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
    torch._dynamo.config.accumulated_recompile_limit = RECOMPILE_LIMIT

    @torch.compile(dynamic=False, fullgraph=True)
    def fused(parameters, state, hyper, x, y, keep, t):
        gradients, loss, seen = _gradients(layout, parameters, x, y, keep)
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


def _gradients(
    layout: Layout, parameters: Parameters, x: Tensor, y: Tensor, keep: Sequence[Tensor]
) -> Gradients:
    """Of the sum over runs of the losses. Runs share no parameter, so gradients of the sum never mix."""

    def total(trained):
        logits, seen = forward(layout, parameters.with_trained(trained), x, keep, training=True)
        losses = cross_entropy(logits, y)
        return losses.sum(), (losses, seen)

    gradients, (losses, seen) = torch.func.grad(total, has_aux=True)(parameters.trained())
    return gradients, losses, seen


def _apply(optimizer, decays, parameters, gradients, state, hyper, t) -> None:
    update = getattr(optimizers, optimizer)
    weights = len(parameters.weights)
    for i, (w, g, slots) in enumerate(zip(parameters.trained(), gradients, state, strict=True)):
        if decays and i < weights:  # L2 acts on weight matrices, not on biases, gains and shifts
            g = g + hyper["weight_decay"] * w
        update(w, g, hyper["lr"], hyper["momentum"], t, **slots)
