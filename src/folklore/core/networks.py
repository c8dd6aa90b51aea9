"""Networks of a stack: parameters with a leading run axis, and one pass through a net."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from inspect import getfullargspec

import numpy as np
import torch
from torch import Tensor

from folklore.core import activations, initializers, lookup, norms, recurrence
from folklore.core.affine import affine
from folklore.core.ahead import mapped, sent
from folklore.core.batch_norm import Moments, move
from folklore.core.curves import curved
from folklore.core.positions import every, mean, windows
from folklore.core.randomness import generator

Seen = tuple[int, Moments, int]  # a place, the moments of a batch there, and its rows
Going = list[Tensor | None]  # for each step which rows go on, (R, B, 1), or None if all do


@dataclass(frozen=True)
class Anatomy:
    """The parameters of a net. fans: (fan_in, fan_out) of each weight matrix, first layer first, the output's last; fan_out counts all
    pieces of a unit. normed: width of each place that is normalised. dropped: (positions, units) of each place with dropout.
    reuses: whether one pass uses a weight matrix more than once.
    """

    fans: tuple[tuple[int, int], ...]
    normed: tuple[int, ...]
    dropped: tuple[tuple[int, int], ...]
    reuses: bool = False


@dataclass(frozen=True)
class Layout:
    """What the graph of a net depends on. `model`: a file of `folklore.core.models`."""

    inputs: int
    classes: int
    depth: int
    width: int
    activation: str
    norm: str
    model: str = "mlp"

    @cached_property
    def pieces(self) -> int:
        """Affine maps that one hidden unit takes the maximum of."""
        keywords = getfullargspec(getattr(activations, self.activation)).kwonlydefaults or {}
        return keywords.get("pieces", 1)

    @cached_property
    def anatomy(self) -> Anatomy:
        return lookup.from_file("models", self.model, "anatomy")(self)

    @property
    def fans(self) -> tuple[tuple[int, int], ...]:
        return self.anatomy.fans


@dataclass
class Parameters:
    """Tensors of a stack. weights[l] (R, in, out); biases[l] (R, 1, out); gains, shifts and running moments (R, 1, out)."""

    weights: list[Tensor]
    biases: list[Tensor]
    gains: list[Tensor]
    shifts: list[Tensor]
    running: list[Moments]

    def trained(self) -> list[Tensor]:
        return [*self.weights, *self.biases, *self.gains, *self.shifts]

    def tensors(self) -> list[Tensor]:
        """The trained ones, then the running moments."""
        return [*self.trained(), *(moment for pair in self.running for moment in pair)]

    def copied(self) -> Parameters:
        """The same numbers in memory of their own, as they were laid out."""
        running = [(mean.clone(), variance.clone()) for mean, variance in self.running]
        return replace(self.with_trained([t.detach().clone() for t in self.trained()]), running=running)

    def with_trained(self, tensors: Sequence[Tensor]) -> Parameters:
        """The same parameters, the trained ones replaced, in the order of `trained`."""
        a = len(self.weights)
        b = a + len(self.biases)
        c = b + len(self.gains)
        return Parameters(
            list(tensors[:a]), list(tensors[a:b]), list(tensors[b:c]), list(tensors[c:]), self.running
        )


def initial(layout: Layout, inits: Sequence[str], seeds: Sequence[int], device: torch.device) -> Parameters:
    """Initial parameters of a stack, run r by level `inits[r]` with seed `seeds[r]`; biases and shifts 0, gains 1."""
    runs = len(seeds)

    def fill(value: float, width: int) -> Tensor:
        return torch.full((runs, 1, width), value, device=device)

    def drawn(layer: int) -> Tensor:
        each = mapped(partial(_weights, layout, layer), inits, seeds, device=device)
        return sent(np.stack(each), device)

    weights = [drawn(layer) for layer in range(len(layout.fans))]
    normed = layout.anatomy.normed if layout.norm != "none" else ()
    return Parameters(
        weights,
        [fill(0.0, out) for _, out in layout.fans],
        [fill(1.0, out) for out in normed],
        [fill(0.0, out) for out in normed],
        [(fill(0.0, out), fill(1.0, out)) for out in normed],
    )


def _weights(layout: Layout, layer: int, init: str, seed: int) -> np.ndarray:
    fan_in, fan_out = layout.fans[layer]
    pieces = layout.pieces if layer < len(layout.fans) - 1 else 1
    rng = generator(seed, f"init/{layer}")
    # each piece of a maxout unit is an affine map of its own: its fan_out is the layer's width, not all pieces together
    drawn = [getattr(initializers, init)(rng, fan_in, fan_out // pieces) for _ in range(pieces)]
    return np.concatenate(drawn, axis=1).astype(np.float32)


class Pass:
    """One pass through a net: what a model's `forward` is written with. Rows are (R, B, features).

    `factors`: what dropout multiplies at each site, see `folklore.core.masks`. `linear`: the affine map of a layer's number and its
    inputs, where the plain one will not do. `seen` collects (place, batch moments, rows) wherever a norm has any.
    """

    def __init__(
        self,
        layout: Layout,
        parameters: Parameters,
        factors: Mapping[tuple[str, int], Tensor],
        *,
        training: bool,
        linear: Callable[[int, Tensor], Tensor] | None = None,
    ) -> None:
        self.layout, self.parameters, self.factors, self.training = layout, parameters, factors, training
        self.seen: list[Seen] = []
        self.going: Going = []
        self._linear = linear
        self._activation = getattr(activations, layout.activation)
        self._norm = lookup.function(norms, layout.norm)

    def linear(self, i: int, h: Tensor) -> Tensor:
        """Rows (R, B, in) to (R, B, out) by weight matrix i and its bias."""
        if self._linear:
            return self._linear(i, h)
        return affine(h, self.parameters.weights[i], self.parameters.biases[i])

    def norm(self, i: int, h: Tensor) -> Tensor:
        """Normalised at place i, where the net has a norm."""
        if not self.parameters.gains:
            return h
        moments = None if self.training else self.parameters.running[i]
        h, batch = self._norm(h, self.parameters.gains[i], self.parameters.shifts[i], moments)
        self.seen += [(i, batch, h.shape[1])] if batch else []
        return h

    def activate(self, h: Tensor) -> Tensor:
        return curved(self._activation, h)

    def drop(self, i: int, h: Tensor) -> Tensor:
        """Dropout after hidden layer i."""
        factor = self.factors.get(("unit", i))
        return h if factor is None else h * factor

    def hidden(self, i: int, h: Tensor) -> Tensor:
        """Layer i in the usual order: linear, norm, activation, dropout. What comes may be read by one `linear` only."""
        return self.drop(i, self.activate(self.norm(i, self.linear(i, h))))

    def positions(self, x: Tensor) -> Tensor:
        """Inputs (R, B, F) as rows of one channel, (R, B * F, 1)."""
        return x.flatten(1, 2).unsqueeze(2)

    def windows(self, h: Tensor, length: int, stride: int) -> Tensor:
        """What lies around every `stride`-th of the `length` positions of a sample, side by side; see `folklore.core.positions`."""
        return windows(h, length, stride)

    def mean(self, h: Tensor, length: int) -> Tensor:
        """Over the `length` positions of a sample, (R, B * length, C) to (R, B, C)."""
        return mean(h, length)

    def by_step(self, x: Tensor, read: int) -> Tensor:
        """Inputs (R, B, F) as rows of steps, (R, T * B, read), that read so many of them; see `folklore.core.recurrence`."""
        there = recurrence.going(x, read)
        # a GPU would have to be waited for, and what its answer led to would be recorded for all batches
        whole = there.all(dim=2).all(dim=0).tolist() if x.device.type == "cpu" else [False] * there.shape[1]
        self.going = [None if all_go_on else there[:, t, :, None] for t, all_go_on in enumerate(whole)]
        return recurrence.by_step(x, read)

    def states(self, i: int, read: Tensor, steps: int, places: range) -> Tensor:
        """The states (R, T * B, H) after each step, from zeros on: activations of rows `read` (R, T * B, units) plus the state before by weight
        matrix i. Norms are those at `places`, a step each; later steps share the last of them.
        """
        parts, before = read.unflatten(1, (steps, -1)).unbind(1), len(self.seen)
        state, found = read.new_zeros(*parts[0].shape[:2], self.layout.width), []
        for t, (part, goes_on) in enumerate(zip(parts, self.going, strict=True)):
            place = places[min(t, len(places) - 1)]
            new = self.activate(self.norm(place, part + self.linear(i, state)))
            state = new if goes_on is None else torch.where(goes_on, new, state)
            found.append(state)
        self.seen[before:] = self._by_place(self.seen[before:])
        return torch.cat(found, dim=1)

    def at_last(self, h: Tensor, steps: int) -> Tensor:
        """Of rows of so many steps those of the last one."""
        return h[:, h.shape[1] // steps * (steps - 1) :]

    def _by_place(self, seen: list[Seen]) -> list[Seen]:
        """What the steps of each place have seen, as of one batch."""
        found = []
        for place in dict.fromkeys(i for i, _, _ in seen):
            steps = [t for t, (i, _, _) in enumerate(seen) if i == place]
            means, variances = (torch.cat([seen[t][1][k] for t in steps], dim=1) for k in (0, 1))
            reached = recurrence.reached([self.going[t] for t in steps], means)
            rows = seen[steps[0]][2] * len(steps)
            known = self.parameters.running[place]
            found.append((place, recurrence.together(means, variances, reached, known, rows), rows))
        return found

    def joined(self, h: Tensor, skip: Tensor, length: int = 1, stride: int = 1) -> Tensor:
        """Pre-activations (R, B, units * pieces) plus what skips layers (R, B, units), which every piece of a unit gets.

        Of rows that are `length` positions of a sample every `stride`-th.
        """
        skip = every(skip, length, stride)
        return (h.unflatten(-1, (self.layout.pieces, -1)) + skip.unsqueeze(-2)).flatten(-2)

    def logits(self, x: Tensor) -> Tensor:
        """(R, B, C) of inputs (R, B, F)."""
        factor = self.factors.get(("input", 0))
        return lookup.from_file("models", self.layout.model, "forward")(
            self, x if factor is None else x * factor
        )


def forward(layout: Layout, parameters: Parameters, x: Tensor, *, training: bool = False) -> Tensor:
    """Logits (R, B, C) of inputs (R, B, F), without dropout; with the batch's own moments in training."""
    return Pass(layout, parameters, {}, training=training).logits(x)


def update_running(parameters: Parameters, seen: Sequence[Seen]) -> None:
    """Moves the running moments of every place by what it has seen."""
    for i, moments, rows in seen:
        move(parameters.running[i], *moments, rows)
