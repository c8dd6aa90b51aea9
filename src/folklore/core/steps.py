"""One update of a stack: forward, backward, optimizer, moving averages.

torch.compile was tried and left out: against these eager steps the compiled ones took .7 to 1.2 times as long for the nets of the studies
(only Adadelta gained more, 2 to 3 times), at ten seconds of compiling for each graph and width of stack.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from folklore.core import activations, lookup, norms, optimizers
from folklore.core.affine import Back, affine, gradient, input_slopes, relu, total
from folklore.core.batch_norm import moving
from folklore.core.clipping import clip_
from folklore.core.losses import cross_entropy_slope
from folklore.core.networks import Layout, Parameters, Pass, update_running
from folklore.core.updates import numbers_of, slots, update, update_affine, update_by, update_norm

State = list[list[Tensor]]
HYPER = ("lr", "momentum", "weight_decay", "l1", "clip")
Hyper = dict[str, Tensor]  # of these, columns (R, 1, 1)
Factors = Mapping[tuple[str, int], Tensor]
Step = Callable[[Parameters, State, Hyper, Tensor, Tensor, Factors, float], Tensor]


@dataclass(frozen=True)
class Rule:
    """What an update does, the same for all runs of a stack.

    decays, shrinks, clips: whether any run has weight decay, an L1 penalty, a largest gradient norm. penalised: the weight matrices that
    decay and shrink ("all", "first" or "last"). frozen: layers that stay as they are.
    """

    optimizer: str
    decays: bool = False
    shrinks: bool = False
    clips: bool = False
    penalised: str = "all"
    frozen: frozenset[int] = frozenset()

    def penalises(self, i: int, layers: int) -> bool:
        """Whether weight matrix i of so many decays and shrinks; biases, gains and shifts never do."""
        return {"first": 0, "last": layers - 1}.get(self.penalised, i) == i


def optimizer_state(optimizer: str, trained: list[Tensor]) -> State:
    """Zeros for the optimizer's state of each parameter."""
    names = slots(getattr(optimizers, optimizer))
    return [[torch.zeros_like(w) for _ in names] for w in trained]


def of_layer(parameters: Parameters, state: State, i: int) -> tuple[list[Tensor], list[Tensor]]:
    """Weights and bias of layer i, each with its state."""
    bias = state[len(parameters.weights) + i]
    return [parameters.weights[i], *state[i]], [parameters.biases[i], *bias]


def of_norm(parameters: Parameters, state: State, i: int) -> tuple[list[Tensor], list[Tensor]]:
    """Gain and shift at place i, each with its state."""
    states = state[2 * len(parameters.weights) :]
    shift = states[len(parameters.gains) + i]
    return [parameters.gains[i], *states[i]], [parameters.shifts[i], *shift]


def make_step(layout: Layout, rule: Rule) -> Step:
    """A function that makes one update in place and returns the losses (R,) before it.

    Weights, biases, and gains and shifts of batch norms are updated inside the backward pass, as soon as the layer before has its slopes:
    nothing is kept, and no gradient is written out, except that of masked weights. Where a pass uses weights more than once, or gradients are
    clipped, the updates wait for the end of the backward pass.
    """

    def step(parameters, state, hyper, x, y, factors, t):
        for tensor in parameters.trained():
            tensor.requires_grad_()
        update = _Update(layout, rule, parameters, state, hyper, factors, t)
        net = _TrainedPass(layout, parameters, factors, update)
        logits = net.logits(x)
        losses, slope = cross_entropy_slope(logits.detach(), y)
        torch.autograd.backward(logits, slope)
        with torch.no_grad():
            update.finish()
            update_running(parameters, net.seen)
        return losses

    return step


class _TrainedPass(Pass):
    """A pass in training: maps and batch norms are updated as the backward pass comes to them, and ReLU is part of what is around it."""

    def __init__(self, layout: Layout, parameters: Parameters, factors: Factors, update: _Update) -> None:
        super().__init__(layout, parameters, factors, training=True)
        self.update, self.rectifies = update, getattr(activations, layout.activation) is activations.relu
        self.moves = lookup.function(norms, layout.norm) is norms.batch and not update.waits
        self.rectified: Tensor | None = None

    def linear(self, i: int, h: Tensor) -> Tensor:
        return self.update.linear(i, h, rectified=h is self.rectified)

    def norm(self, i: int, h: Tensor, *, rectify: bool = False) -> Tensor:
        if self.moves and h.requires_grad:
            return self.update.norm(i, h, rectify=rectify)
        h = super().norm(i, h)
        return relu(h) if rectify else h

    def hidden(self, i: int, h: Tensor) -> Tensor:
        if not self.rectifies:
            return super().hidden(i, h)
        if self.parameters.gains:
            above = self.norm(i, self.linear(i, h), rectify=True)
        else:
            above = self.update.linear(i, h, rectified=h is self.rectified, rectify=True)
        # what dropout leaves of it is above zero where it was: factors are 0 or above
        self.rectified = self.drop(i, above)
        return self.rectified


class _Update:
    """What one update does to each parameter once its slopes are known."""

    def __init__(
        self,
        layout: Layout,
        rule: Rule,
        parameters: Parameters,
        state: State,
        hyper: Hyper,
        factors: Factors,
        t: float,
    ) -> None:
        self.rule, self.parameters, self.state = rule, parameters, state
        self.hyper, self.factors = hyper, factors
        self.level, self.t = getattr(optimizers, rule.optimizer), t
        self.numbers = self.decaying = self._with_decay(torch.zeros_like(hyper["lr"]))
        if rule.decays:
            self.decaying = self._with_decay(hyper["weight_decay"])
        self.waits = layout.anatomy.reuses or rule.clips
        self.waiting: dict[int, list[tuple[Tensor, Tensor]]] = defaultdict(list)

    def _with_decay(self, decay: Tensor) -> Tensor:
        return numbers_of(self.level, self.hyper["lr"], self.hyper["momentum"], decay, self.t)

    def linear(self, i: int, h: Tensor, *, rectified: bool, rectify: bool = False) -> Tensor:
        """The affine map of layer i, whose backward pass updates it; see `folklore.core.affine` for its ReLU."""
        weights, bias = self.parameters.weights[i], self.parameters.biases[i]
        mask = self.factors.get(("weight", i))
        if mask is not None:
            weights = weights.detach() * mask
        if i in self.rule.frozen:
            return affine(h, weights.detach(), bias.detach(), rectify=rectify, rectified=rectified)
        receive = partial(self._receive, i, weights.detach())
        return affine(h, weights, bias, receive, rectify=rectify, rectified=rectified)

    def norm(self, i: int, h: Tensor, *, rectify: bool) -> Tensor:
        """The batch norm at place i, which moves its running moments, and whose backward pass updates it."""
        parameters = self.parameters
        gain, shift, running = parameters.gains[i], parameters.shifts[i], parameters.running[i]
        return moving(h, gain, shift, running, partial(self._receive_norm, i), rectify=rectify)

    def finish(self) -> None:
        """What waits for the end of the backward pass: shared or clipped weights; gains and shifts that autograd gave gradients."""
        factors = {i: tuple(map(_joined, zip(*pairs, strict=True))) for i, pairs in self.waiting.items()}
        # these inputs hold the graph, which holds this object: kept here, none of them would ever be freed
        del self.waiting
        first = 2 * len(self.parameters.weights)
        gradients = {
            i: tensor.grad for i, tensor in enumerate(self._norms(), first) if tensor.grad is not None
        }
        if self.rule.clips:
            gradients = self._clipped(factors, gradients)
        else:
            for i, (inputs, slopes) in factors.items():
                if ("weight", i) in self.factors:
                    self._masked(i, inputs, slopes)
                else:
                    self._update(i, inputs, slopes, Back.NOTHING)
        self._update_by(gradients)

    def _norms(self) -> list[Tensor]:
        return [*self.parameters.gains, *self.parameters.shifts]

    def _receive(self, i: int, used: Tensor, inputs: Tensor, slopes: Tensor, back: Back) -> Tensor | None:
        """The backward pass of layer i, whose weights were `used`."""
        if not self.waits and ("weight", i) not in self.factors:
            return self._update(i, inputs, slopes, back)
        found = input_slopes(slopes, used, inputs, back)
        if self.waits:
            self.waiting[i].append((inputs, slopes))
        else:
            self._masked(i, inputs, slopes)
        return found

    def _receive_norm(self, i: int, slopes: Tensor, centred: Tensor, scale: Tensor) -> Tensor:
        """The backward pass of the batch norm at place i."""
        gain, shift = of_norm(self.parameters, self.state, i)
        return update_norm(self.level, gain, shift, self.numbers, self.t, slopes, centred, scale)

    def _clipped(
        self, factors: dict[int, tuple[Tensor, Tensor]], gradients: dict[int, Tensor]
    ) -> dict[int, Tensor]:
        """Of all parameters, by their places in `Parameters.trained`, clipped together."""
        layers = len(self.parameters.weights)
        for i, (inputs, slopes) in factors.items():
            gradients |= {i: self._gradient(i, inputs, slopes), layers + i: total(slopes)}
        gradients = dict(sorted(gradients.items()))
        clip_(list(gradients.values()), self.hyper["clip"])
        return gradients

    def _update_by(self, gradients: dict[int, Tensor]) -> None:
        layers, trained = len(self.parameters.weights), self.parameters.trained()
        for i, g in gradients.items():
            numbers = self._numbers(i) if i < layers else self.numbers
            update_by(self.level, [trained[i], *self.state[i]], numbers, self.t, g)
            trained[i].grad = None
            if i < layers:
                self._shrink(i)

    def _gradient(self, i: int, inputs: Tensor, slopes: Tensor) -> Tensor:
        """By weight matrix i; a masked weight has the gradient that its mask lets through."""
        g, mask = gradient(inputs, slopes), self.factors.get(("weight", i))
        return g if mask is None else g.mul_(mask)

    def _update(self, i: int, inputs: Tensor, slopes: Tensor, back: Back) -> Tensor | None:
        """Of layer i; the slopes of its inputs, if wanted."""
        weights, bias = of_layer(self.parameters, self.state, i)
        numbers = (self._numbers(i), self.numbers)
        found = update_affine(self.level, weights, bias, numbers, self.t, inputs, slopes, back=back)
        self._shrink(i)
        return found

    def _masked(self, i: int, inputs: Tensor, slopes: Tensor) -> None:
        """Of layer i, only some of whose weights took part."""
        weights, bias = of_layer(self.parameters, self.state, i)
        update_by(self.level, weights, self._numbers(i), self.t, self._gradient(i, inputs, slopes))
        self._shrink(i)
        update(self.level, bias, self.numbers, self.t, None, slopes)

    def _numbers(self, i: int) -> Tensor:
        return self.decaying if self.rule.penalises(i, len(self.parameters.weights)) else self.numbers

    def _shrink(self, i: int) -> None:
        if self.rule.shrinks and self.rule.penalises(i, len(self.parameters.weights)):
            _soften(self.parameters.weights[i], self.hyper["lr"] * self.hyper["l1"])


def _joined(parts: tuple[Tensor, ...]) -> Tensor:
    """The rows of all uses of a weight matrix, which the backward pass has met from the last on: its gradient is the sum over all of them."""
    return parts[0] if len(parts) == 1 else torch.cat(parts[::-1], dim=1)


def _soften(weights: Tensor, by: Tensor) -> None:
    """The proximal step of an L1 penalty, soft thresholding in place (Daubechies et al. 2004): exact zeros, which a subgradient never gives."""
    weights.copy_(weights.sign() * (weights.abs() - by).clamp_(min=0.0))
