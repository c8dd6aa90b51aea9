"""Recurrent nets (Elman 1990), as `torch.nn.RNN` with `depth` layers and a norm before the activation.

A row is read as a sequence, READ inputs a step, and the state after its last step is classified; see `folklore.core.recurrence`. `own`: how
many steps of a layer have a norm of their own; all later steps share the last of them.
"""

from __future__ import annotations

from torch import Tensor

from folklore.core.networks import Anatomy, Layout, Pass

READ = 2  # inputs a step


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
    steps, last = steps_of(net.layout), net.layout.depth - 1
    h = net.by_step(x, READ)
    for i in range(net.layout.depth):
        h = net.states(2 * i + 1, net.linear(2 * i, h), steps, range(i * own, (i + 1) * own))
        h = net.drop(i, h if i < last else net.at_last(h, steps))
    return net.linear(2 * net.layout.depth, h)
