"""Optimizers, one function a level: in-place update of one parameter tensor (R, ...) from its gradient.

Arguments: the parameter w, its gradient g, the learning rate lr (R, 1, 1), `momentum` (R, 1, 1) and the update's number t (from 1).
Keyword-only tensors are the state: the core makes one zero tensor, shaped like w, for each. The formulas are those of
`torch.optim`, with its default constants. Adding a level is adding a public function here.

`_in_factors` adds, to a level that is linear in the gradient, the same update with the gradient of a weight matrix still in its two factors
(see `folklore.core.affine`): inputs (R, B, in), slopes (R, B, out) and the weight decay (R, 1, 1), if any, in the place of g. A decay of 0
must not change a bit: the neighbours may have one.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from folklore.core.affine import add_gradient


def _in_factors(update: Callable) -> Callable:
    """Attach the update from the factors of the gradient to a level, as its attribute `factored`."""

    def attach(level: Callable) -> Callable:
        level.factored = update
        return level

    return attach


def _sgd(
    w: Tensor,
    inputs: Tensor,
    slopes: Tensor,
    decay: Tensor | None,
    lr: Tensor,
    momentum: Tensor,
    t: float,
) -> None:
    if decay is not None:
        w.mul_(1 - lr * decay)
    add_gradient(w, inputs, slopes * lr, scale=-1.0)


def _momentum(
    w: Tensor,
    inputs: Tensor,
    slopes: Tensor,
    decay: Tensor | None,
    lr: Tensor,
    momentum: Tensor,
    t: float,
    *,
    velocity: Tensor,
) -> None:
    velocity.mul_(momentum)
    if decay is not None:
        velocity.addcmul_(decay, w)
    add_gradient(velocity, inputs, slopes)
    w.addcmul_(velocity, lr, value=-1)


@_in_factors(_sgd)
def sgd(w: Tensor, g: Tensor, lr: Tensor, momentum: Tensor, t: float) -> None:
    """w <- w - lr g."""
    w.addcmul_(g, lr, value=-1)


@_in_factors(_momentum)
def momentum(w: Tensor, g: Tensor, lr: Tensor, momentum: Tensor, t: float, *, velocity: Tensor) -> None:
    """Heavy ball (Polyak 1964) in PyTorch's form: v <- mu v + g, w <- w - lr v."""
    velocity.mul_(momentum).add_(g)
    w.addcmul_(velocity, lr, value=-1)


def adagrad(w: Tensor, g: Tensor, lr: Tensor, momentum: Tensor, t: float, *, squares: Tensor) -> None:
    """Duchi et al. 2011; eps 1e-10."""
    squares.addcmul_(g, g)
    w.addcmul_(g / squares.sqrt().add_(1e-10), lr, value=-1)


def adadelta(
    w: Tensor, g: Tensor, lr: Tensor, momentum: Tensor, t: float, *, squares: Tensor, steps: Tensor
) -> None:
    """Zeiler 2012; rho .9, eps 1e-6."""
    squares.mul_(0.9).addcmul_(g, g, value=0.1)
    step = (steps + 1e-6).sqrt_() / (squares + 1e-6).sqrt_() * g
    steps.mul_(0.9).addcmul_(step, step, value=0.1)
    w.addcmul_(step, lr, value=-1)


def rmsprop(w: Tensor, g: Tensor, lr: Tensor, momentum: Tensor, t: float, *, squares: Tensor) -> None:
    """Tieleman & Hinton 2012; alpha .99, eps 1e-8 outside the root."""
    squares.mul_(0.99).addcmul_(g, g, value=0.01)
    w.addcmul_(g / squares.sqrt().add_(1e-8), lr, value=-1)


def adam(
    w: Tensor, g: Tensor, lr: Tensor, momentum: Tensor, t: float, *, first: Tensor, second: Tensor
) -> None:
    """Kingma & Ba 2015; beta .9 and .999, eps 1e-8."""
    first.lerp_(g, 0.1)
    second.mul_(0.999).addcmul_(g, g, value=0.001)
    scale = (1 - 0.999**t) ** 0.5  # of the root's bias correction, moved to eps and the rate: a pass less
    root = second.sqrt().add_(1e-8 * scale)
    w.addcmul_(first / root, lr * (scale / (1 - 0.9**t)), value=-1)
