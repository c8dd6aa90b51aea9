"""The affine maps of a stack, forward and backward.

The gradient of the loss by weights (R, in, out) is a product, inputs^T slopes; see `folklore.core.updates` for what becomes of it. On a
processor float32 goes through the kernels of `folklore.core.products`, anything else through torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from folklore.core.machine_code import FLOAT, Code, Vector
from folklore.core.products import Kernel, Place, Product, kernel, scratch_floats

# inputs (R, B, in), slopes (R, B, out), and whether the slopes of the inputs are wanted -> these (R, B, in), or None
Receive = Callable[[Tensor, Tensor, bool], Tensor | None]
_ONE = torch.ones(1)


def affine(inputs: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """inputs (R, B, in) times weights (R, in, out), plus bias (R, 1, out)."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in (inputs, weights, bias)):
        return _Affine.apply(inputs, weights, bias, None)
    return _mapped(inputs, weights, bias)


def trained_affine(inputs: Tensor, weights: Tensor, bias: Tensor, receive: Receive) -> Tensor:
    """The same for autograd, except that weights and bias get no gradient: `receive` makes the backward pass, and may change the weights."""
    return _Affine.apply(inputs, weights, bias, receive)


def gradient(inputs: Tensor, slopes: Tensor) -> Tensor:
    """The product of the factors, (R, in, out)."""
    if not in_registers(inputs, slopes):
        return torch.bmm(inputs.mT, slopes)
    found = slopes.new_empty(len(slopes), inputs.shape[2], slopes.shape[2])
    multiply(_plain(), operands(inputs.mT, slopes, [found]))
    return found


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, inputs: Tensor, weights: Tensor, bias: Tensor, receive: Receive | None) -> Tensor:
        ctx.save_for_backward(inputs, weights)
        ctx.receive = receive
        return _mapped(inputs, weights, bias)

    @staticmethod
    def backward(ctx, slopes: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        slopes, (inputs, weights) = slopes.contiguous(), ctx.saved_tensors
        if ctx.receive:
            return ctx.receive(inputs, slopes, ctx.needs_input_grad[0]), None, None, None
        back = input_slopes(slopes, weights) if ctx.needs_input_grad[0] else None
        return back, gradient(inputs, slopes), slopes.sum(dim=1, keepdim=True), None


def _mapped(inputs: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    if not in_registers(inputs, weights, bias):
        return torch.baddbmm(bias, inputs, weights)
    found = inputs.new_empty(len(inputs), inputs.shape[1], weights.shape[2])
    multiply(_forward(), operands(inputs, weights, [found], beside=bias))
    return found


def input_slopes(slopes: Tensor, weights: Tensor) -> Tensor:
    """(R, B, in) of slopes (R, B, out)."""
    if not in_registers(slopes, weights):
        return torch.bmm(slopes, weights.mT)
    found, scratch = slopes.new_empty(*slopes.shape[:2], weights.shape[1]), scratch_for(slopes)
    multiply(_back(), operands(slopes, weights, [found], scratch=scratch))
    return found


def in_registers(*tensors: Tensor) -> bool:
    """Whether kernels can take them."""
    return all(tensor.dtype is torch.float32 and tensor.is_cpu for tensor in tensors)


def multiply(run: Kernel, *products: list[int]) -> None:
    """Call a kernel with what `operands` made for each of its products, for all runs of the first of them."""
    run(products[0][0], *(number for product in products for number in product[1:]))


def operands(
    a: Tensor | None,
    b: Tensor,
    results: list[Tensor],
    *,
    beside: Tensor | None = None,
    scratch: Tensor | None = None,
) -> list[int]:
    """The number of runs and the arguments of a product with a (R, m, k), None for ones with m = 1, and b (R, k, n).

    With a scratch b is the transpose (R, n, k). Results (R, m, n) and what each run has beside must have no gaps, nor may the rows of b:
    ValueError, as where shapes do not fit, for the kernel would read and write elsewhere. What comes back are addresses: the tensors must
    live until the call.
    """
    out, (b_run, b_row, b_column) = results[0], b.stride()
    (runs, height, width), (_, sums, columns) = out.shape, b.shape
    if scratch is not None:
        sums, columns = columns, sums
    if b.shape[0] != runs or columns != width or (a is not None and a.shape != (runs, height, sums)):
        raise ValueError(f"shapes that do not fit: {None if a is None else a.shape}, {b.shape}, {out.shape}")
    whole = [*results, *([] if beside is None else [beside])]
    if (b_column != 1 and b.shape[2] != 1) or not all(t.is_contiguous() for t in whole):
        raise ValueError("a kernel takes results without gaps and rows without gaps only")
    one, (a_run, a_row, a_column) = (_ONE, (0, 0, 0)) if a is None else (a, a.stride())
    arguments = [runs, one.data_ptr(), FLOAT * a_run, FLOAT * a_row, FLOAT * a_column]
    arguments += [b.data_ptr(), FLOAT * b_run, FLOAT * b_row, height, sums, width]
    arguments += [0, 0] if beside is None else [beside.data_ptr(), FLOAT * beside.stride(0)]
    arguments += [result.data_ptr() for result in results]
    return [*arguments, 0 if scratch is None else scratch.data_ptr()]


def scratch_for(slopes: Tensor) -> Tensor:
    """What BACK needs for slopes (R, B, out)."""
    return slopes.new_empty(scratch_floats(slopes.shape[2]))


def _biased(code: Code, found: Vector, place: Place) -> None:
    place.store(code, 0, found + code.load(code.at(place.beside, place.column), place.mask))


def _stored(code: Code, found: Vector, place: Place) -> None:
    place.store(code, 0, found)


BACK = Product(_stored, transposed=True)


@cache
def _forward() -> Kernel:
    return kernel(Product(_biased))


@cache
def _plain() -> Kernel:
    return kernel(Product(_stored))


@cache
def _back() -> Kernel:
    return kernel(BACK)
