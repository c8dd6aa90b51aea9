"""Recurrent nets (Elman 1990), as `torch.nn.RNN` with `depth` layers and a norm before the activation.

A row is read as a sequence, READ inputs a step, and the state after its last step is classified. Zeros that end a row are padding: its
state waits. `own`: how many steps of a layer have a norm of their own; all later steps share the last of them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from folklore.core.batch_norm import Moments
from folklore.core.networks import Anatomy, Layout, Pass

READ = 2  # inputs a step
Seen = tuple[int, Moments, int]
Going = list[Tensor | None]


def anatomy_of(layout: Layout, own: int) -> Anatomy:
    """Layer l has the weights 2l, of what it reads, and 2l + 1, of its state, and the norms from l * own on."""
    units, depth = layout.width * layout.pieces, layout.depth
    read = [READ] + [layout.width] * (depth - 1)
    fans = [fan for inputs in read for fan in ((inputs, units), (layout.width, units))]
    return Anatomy(
        fans=(*fans, (layout.width, layout.classes)),
        normed=(units,) * (depth * own),
        dropped=((steps_of(layout), layout.width),) * (depth - 1) + ((1, layout.width),),
        reuses=True,
    )


def steps_of(layout: Layout) -> int:
    return -(-layout.inputs // READ)


def logits_of(net: Pass, x: Tensor, own: int) -> Tensor:
    steps = steps_of(net.layout)
    h = pad(x, (0, READ * steps - net.layout.inputs)).unflatten(2, (steps, READ)).transpose(1, 2)
    going = _going(h)
    for i in range(net.layout.depth):
        states = _states(net, i, h, going, own)
        if i < net.layout.depth - 1:
            h = net.drop(i, torch.stack(states, dim=1).flatten(1, 2)).unflatten(1, (steps, -1))
    last = net.layout.depth
    return net.linear(2 * last, net.drop(last - 1, states[-1]))


def _going(h: Tensor) -> Going:
    """For each step of h (R, T, B, features) which rows go on, (R, B, 1), or None if all do."""
    there = h.ne(0).any(dim=3).int()
    there = there.flip(1).cummax(dim=1).values.flip(1).bool()
    there[:, 0] = True
    steps = there.shape[1]
    # a GPU would have to be waited for, and what its answer led to would be recorded for all batches
    whole = there.all(dim=2).all(dim=0).tolist() if h.device.type == "cpu" else [False] * steps
    return [None if all_go_on else there[:, t, :, None] for t, all_go_on in enumerate(whole)]


def _states(net: Pass, i: int, h: Tensor, going: Going, own: int) -> list[Tensor]:
    """The states (R, B, H) of layer i after each step of h (R, T, B, features)."""
    runs, steps, rows, _ = h.shape
    read = net.linear(2 * i, h.flatten(1, 2)).unflatten(1, (steps, rows)).unbind(1)
    state, states, before = h.new_zeros(runs, rows, net.layout.width), [], len(net.seen)
    for t, (part, goes_on) in enumerate(zip(read, going, strict=True)):
        place = i * own + min(t, own - 1)
        new = net.activate(net.norm(place, part + net.linear(2 * i + 1, state)))
        state = new if goes_on is None else torch.where(goes_on, new, state)
        states.append(state)
    net.seen[before:] = _by_place(net.seen[before:], going, net.parameters.running)
    return states


def _by_place(seen: list[Seen], going: Going, running: list[Moments]) -> list[Seen]:
    """What the steps of each place have seen, as of one batch; a step counts in the runs that have a row that goes on.

    Where a run has none at any of a place's steps it has seen what it knew: moments that leave its running ones as they are.
    """
    found = []
    for place in dict.fromkeys(i for i, _, _ in seen):
        steps = [t for t, (i, _, _) in enumerate(seen) if i == place]
        means, variances = (torch.cat([seen[t][1][k] for t in steps], dim=1) for k in (0, 1))
        weights = _reached([going[t] for t in steps], means)
        total, rows = weights.sum(dim=1, keepdim=True), seen[steps[0]][2] * len(steps)
        weights = weights / total.clamp(min=1.0)
        mean = (weights * means).sum(dim=1, keepdim=True)
        variance = (weights * (variances + (means - mean) ** 2)).sum(dim=1, keepdim=True)
        known_mean, known_variance = running[place]
        mean = torch.where(total > 0, mean, known_mean)
        variance = torch.where(total > 0, variance, known_variance * ((rows - 1) / rows))
        found.append((place, (mean, variance), rows))
    return found


def _reached(going: Going, like: Tensor) -> Tensor:
    """(R, steps, 1): 1 where the run has a row that goes on at the step, else 0."""
    each = [like.new_ones(1, 1, 1) if g is None else g.any(dim=1, keepdim=True).to(like) for g in going]
    return torch.cat(torch.broadcast_tensors(*each), dim=1)
