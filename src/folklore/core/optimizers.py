"""Optimizers, one function a level: a parameter w and the optimizer's state after an update, from its gradient g.

Arguments: w, g, the learning rate lr, `momentum` and the update's number t (from 1). Keyword-only arguments are the state, zeros at first. The
answer is the new w and the new state, in that order. The formulas are those of `torch.optim`, with its default constants.

They are called with tensors (w, g and state (R, ...), lr and momentum (R, 1, 1)). A level that does no more than the four operations, `sqrt` and
1 - base ** t is called once with vectors of code that is being written, see `folklore.core.updates`, and several times as fast. Adding a level
is adding a public function here.
"""

from __future__ import annotations

from typing import Any

Number = Any  # a tensor, or a vector of code that is being written


def _sqrt(x: Number) -> Number:
    return x**0.5 if isinstance(x, float) else x.sqrt()


def sgd(w: Number, g: Number, lr: Number, momentum: Number, t: float) -> tuple[Number]:
    """w <- w - lr g."""
    return (w - lr * g,)


def momentum(
    w: Number, g: Number, lr: Number, momentum: Number, t: float, *, velocity: Number
) -> tuple[Number, Number]:
    """Heavy ball (Polyak 1964) in PyTorch's form: v <- mu v + g, w <- w - lr v."""
    velocity = momentum * velocity + g
    return w - lr * velocity, velocity


def adagrad(
    w: Number, g: Number, lr: Number, momentum: Number, t: float, *, squares: Number
) -> tuple[Number, Number]:
    """Duchi et al. 2011; eps 1e-10."""
    squares = squares + g * g
    return w - lr * (g / (_sqrt(squares) + 1e-10)), squares


def adadelta(
    w: Number, g: Number, lr: Number, momentum: Number, t: float, *, squares: Number, steps: Number
) -> tuple[Number, Number, Number]:
    """Zeiler 2012; rho .9, eps 1e-6."""
    squares = 0.9 * squares + 0.1 * (g * g)
    step = _sqrt(steps + 1e-6) / _sqrt(squares + 1e-6) * g
    return w - lr * step, squares, 0.9 * steps + 0.1 * (step * step)


def rmsprop(
    w: Number, g: Number, lr: Number, momentum: Number, t: float, *, squares: Number
) -> tuple[Number, Number]:
    """Tieleman & Hinton 2012; alpha .99, eps 1e-8 outside the root."""
    squares = 0.99 * squares + 0.01 * (g * g)
    return w - lr * (g / (_sqrt(squares) + 1e-8)), squares


def adam(
    w: Number, g: Number, lr: Number, momentum: Number, t: float, *, first: Number, second: Number
) -> tuple[Number, Number, Number]:
    """Kingma & Ba 2015; beta .9 and .999, eps 1e-8."""
    first = 0.9 * first + 0.1 * g
    second = 0.999 * second + 0.001 * (g * g)
    root = _sqrt(second) / _sqrt(1 - 0.999**t) + 1e-8
    return w - lr / (1 - 0.9**t) * (first / root), first, second
