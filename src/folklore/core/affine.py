"""The affine maps of a stack, and the gradient of their weights as two factors.

The gradient of the loss by weights (R, in, out) is a product, inputs^T slopes. An optimizer that only adds a multiple of it to something
can have the product added there by the matrix routine itself: no gradient is written to memory and read again, which at small batches
costs as much as all arithmetic (a step of 32 nets of 3 x 100 at batch 2 moves 3.2 MB a pass).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Receive = Callable[[Tensor, Tensor], None]
NARROW = 16  # matrix routines are slow on fewer columns than a vector register holds


def stored(weights: Tensor) -> Tensor:
    """The same weights (R, in, out), laid out in memory as products with them are fastest: narrow ones column by column.

    100 x 10 at batch 32: forward 54 instead of 95, gradient 27 instead of 106 microseconds for 32 runs.
    """
    return weights.mT.contiguous().mT if weights.shape[2] < NARROW else weights.contiguous()


def affine(inputs: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """inputs (R, B, in) times weights (R, in, out), plus bias (R, 1, out)."""
    return torch.baddbmm(bias, inputs, weights)


def trained_affine(inputs: Tensor, weights: Tensor, bias: Tensor, receive: Receive) -> Tensor:
    """The same for autograd, except that weights and bias get no gradient: in the backward pass `receive` is handed its factors.

    Called with inputs (R, B, in) and slopes (R, B, out) once the slopes of the inputs are computed, it may change the weights.
    """
    return _Affine.apply(inputs, weights, bias, receive)


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, inputs: Tensor, weights: Tensor, bias: Tensor, receive: Receive) -> Tensor:
        ctx.save_for_backward(inputs, weights)
        ctx.receive = receive
        return affine(inputs, weights, bias)

    @staticmethod
    def backward(ctx, slopes: Tensor) -> tuple[Tensor | None, None, None, None]:
        inputs, weights = ctx.saved_tensors
        back = torch.bmm(slopes, weights.mT) if ctx.needs_input_grad[0] else None
        ctx.receive(inputs, slopes)
        return back, None, None, None


def gradient(inputs: Tensor, slopes: Tensor, like: Tensor) -> Tensor:
    """The product of the factors, (R, in, out), laid out as `like` is."""
    if like.is_contiguous():
        return torch.bmm(inputs.mT, slopes)
    return torch.bmm(slopes.mT, inputs).mT


def add_gradient(target: Tensor, inputs: Tensor, slopes: Tensor, scale: float = 1.0) -> None:
    """target += scale times the product of the factors, in place; target (R, in, out)."""
    if target.is_contiguous():
        target.baddbmm_(inputs.mT, slopes, alpha=scale)
    else:
        target.mT.baddbmm_(slopes.mT, inputs, alpha=scale)
