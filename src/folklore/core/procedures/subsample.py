"""Begin with hidden units that were trained one by one, each as a net of its own, on `amount` training rows of its own.

A unit alone classifies through a weight and a bias for each class, which are thrown away; layer by layer, each on what the finished layer
before puts out. Then the net is put together, with a fresh output layer, and trained on all rows. Fully connected nets, no norm
in the units' own training. `measures["pretraining"]`: its multiply-adds, in updates of the whole net.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from folklore.core import activations
from folklore.core.affine import affine
from folklore.core.losses import cross_entropy_slope
from folklore.core.networks import Pass
from folklore.core.procedures._transfer import earlier, inherit
from folklore.core.randomness import generator

if TYPE_CHECKING:
    from folklore.core.training import Stack

RATE, BATCH, SHARE = 0.1, 16, 10  # updates of a unit: one in SHARE of the net's


def train(stack: Stack, amount: int) -> None:
    one, layout = stack.one, stack.layout
    early, places = earlier(stack, stack.data, updates=one.updates, rows=one.n_train)
    updates, left = max(1, one.updates // SHARE), []
    x, y = early.training_rows(early.one.n_train)
    for layer in range(layout.depth):
        left.append(_units(early, layer, x, y, amount, updates))
        x = _outputs(early, layer, x)
    inherit(stack, early, places)
    stack.measures["unit_loss"] = np.mean(left, axis=0)[list(places)]
    stack.measures["pretraining"] = np.full(len(stack.runs), _products(stack, updates) / _of_update(stack))
    stack.advance(one.updates)


def _units(early: Stack, layer: int, x: Tensor, y: Tensor, amount: int, updates: int) -> np.ndarray:
    """Train the units of a layer in place on rows x (R, N, F), y (R, N); their mean loss (R,) over the last updates."""
    runs, rows, inputs = x.shape
    weights, biases = early.parameters.weights[layer], early.parameters.biases[layer]
    units, classes, batch = weights.shape[2], early.layout.classes, min(BATCH, amount)
    mine = np.stack(
        [generator(run.seed, f"subsample/{layer}").integers(0, rows, (units, amount)) for run in early.runs]
    )
    index = torch.from_numpy(mine + rows * np.arange(runs)[:, None, None]).to(x.device)
    x, y, activate = x.reshape(-1, inputs), y.reshape(-1), getattr(activations, early.layout.activation)
    # laid out in memory in the same way however many runs there are: the last bit hangs on it
    w = weights.detach().mT.clone(memory_format=torch.contiguous_format).view(-1, inputs, 1)
    b, out, offset = (torch.zeros(runs * units, 1, n, device=x.device) for n in (1, classes, classes))
    leaves, last = [t.requires_grad_() for t in (w, b, out, offset)], []
    for t in range(updates):
        first = t * batch % (amount - batch + 1)
        rows_now = index[:, :, first : first + batch].reshape(-1)
        seen, labels = x.index_select(0, rows_now).view(-1, batch, inputs), y.index_select(0, rows_now)
        logits = activate(affine(seen, w, b)) * out + offset
        losses, slope = cross_entropy_slope(logits.detach(), labels.view(-1, batch))
        with torch.no_grad():
            for leaf, by in zip(leaves, torch.autograd.grad(logits, leaves, slope), strict=True):
                leaf.sub_(by, alpha=RATE)
        last.append(losses.view(runs, units))
    with torch.no_grad():
        weights.copy_(w.view(runs, units, inputs).mT)
        biases.copy_(b.view(runs, 1, units))
    late = torch.stack(last[-max(1, updates // 10) :], dim=1)
    return np.stack([own.double().mean().item() for own in late])


@torch.no_grad()
def _outputs(early: Stack, layer: int, x: Tensor) -> Tensor:
    """What a finished layer makes of rows (R, N, F)."""
    net = Pass(early.layout, early.parameters, {}, training=False)
    return net.activate(net.norm(layer, net.linear(layer, x)))


def _products(stack: Stack, updates: int) -> float:
    """Multiply-adds of what comes before: the units' updates, and all rows once through every layer but the last."""
    fans, classes = stack.layout.fans[:-1], stack.layout.classes
    own = 3 * updates * BATCH * sum(units * (inputs + classes) for inputs, units in fans)
    return own + stack.one.n_train * sum(inputs * units for inputs, units in fans[:-1])


def _of_update(stack: Stack) -> float:
    """Multiply-adds of an update of the whole net: forward, and twice that backward."""
    return 3 * stack.one.batch_size * sum(a * b for a, b in stack.layout.fans)
