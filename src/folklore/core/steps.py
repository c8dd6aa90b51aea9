"""One update of a stack: forward, backward, optimizer, moving averages.

torch.compile was tried and left out: against these eager steps the compiled ones took .7 to 1.2 times as long for the nets of the studies
(only Adadelta gained more, 2 to 3 times), at ten seconds of compiling for each graph and width of stack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import getfullargspec

import torch
from torch import Tensor

from folklore.core import optimizers
from folklore.core.affine import gradient, trained_affine
from folklore.core.losses import cross_entropy_slope
from folklore.core.models import Layout, Parameters, forward, update_running

State = list[dict[str, Tensor]]
Hyper = dict[str, Tensor]
Step = Callable[[Parameters, State, Hyper, Tensor, Tensor, Sequence[Tensor], float], Tensor]


def optimizer_state(optimizer: str, trained: Sequence[Tensor]) -> State:
    """A zero tensor for each keyword-only argument of the optimizer's function, for each parameter."""
    slots = getfullargspec(getattr(optimizers, optimizer)).kwonlyargs
    return [{slot: torch.zeros_like(w) for slot in slots} for w in trained]


def make_step(layout: Layout, optimizer: str, decays: bool) -> Step:
    """A function that makes one update in place and returns the losses (R,) before it.

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
        if self.factored:
            self.factored(weights, inputs, slopes, self.decay, *self.numbers, **slots)
        else:
            g = gradient(inputs, slopes, like=weights)
            if self.decay is not None:  # L2 acts on weight matrices, not on biases, gains and shifts
                g.addcmul_(self.decay, weights)
            self.plain(weights, g, *self.numbers, **slots)
        self.plain(bias, slopes.sum(dim=1, keepdim=True), *self.numbers, **bias_slots)
