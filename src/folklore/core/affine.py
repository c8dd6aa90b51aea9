"""The affine maps of a stack, forward and backward, with the ReLU between two of them.

The gradient of the loss by weights (R, in, out) is a product, inputs^T slopes; see `folklore.core.updates` for what becomes of it. On a
processor float32 goes through the kernels of `folklore.core.products`, anything else through torch.

A ReLU costs no pass through memory of its own: forward it ends the product before it, backward the product after it, which has the rectified
numbers as its inputs. So of two maps the first is told to `rectify`, and the second, the only reader, that its inputs are `rectified`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import cache

import torch
from torch import Tensor

from folklore.core.machine_code import FLOAT, Code, Vector
from folklore.core.products import Kernel, Place, Product, kernel, scratch_floats


class Back(Enum):
    """What the layer before wants: nothing, the slopes of the inputs, or those of what ReLU made the inputs of."""

    NOTHING = 0
    SLOPES = 1
    RECTIFIED = 2


# inputs (R, B, in), slopes (R, B, out), and what is wanted of the slopes of the inputs -> these (R, B, in), or None
Receive = Callable[[Tensor, Tensor, Back], Tensor | None]
_ONE = torch.ones(1)


def affine(
    inputs: Tensor,
    weights: Tensor,
    bias: Tensor,
    receive: Receive | None = None,
    *,
    rectify: bool = False,
    rectified: bool = False,
) -> Tensor:
    """inputs (R, B, in) times weights (R, in, out), plus bias (R, 1, out); its ReLU, if `rectify`.

    receive: for autograd weights and bias get no gradient, but this makes the backward pass, and may change the weights.
    """
    if torch.is_grad_enabled() and any(t.requires_grad for t in (inputs, weights, bias)):
        return _Affine.apply(inputs, weights, bias, receive, rectify, rectified)
    return _mapped(inputs, weights, bias, rectify)


def relu(h: Tensor) -> Tensor:
    """For a map whose inputs are `rectified`: backward it hands on what that map has made zero where h is not above it."""
    return _Rectified.apply(h)


def gradient(inputs: Tensor, slopes: Tensor) -> Tensor:
    """The product of the factors, (R, in, out)."""
    if not in_registers(inputs, slopes):
        return torch.bmm(inputs.mT, slopes)
    found = slopes.new_empty(len(slopes), inputs.shape[2], slopes.shape[2])
    multiply(_plain(), operands(inputs.mT, slopes, [found]))
    return found


def total(slopes: Tensor) -> Tensor:
    """Slopes (R, B, out) summed over the rows, (R, 1, out): the gradient by a bias."""
    if not in_registers(slopes):
        return slopes.sum(dim=1, keepdim=True)
    found = slopes.new_empty(len(slopes), 1, slopes.shape[2])
    multiply(_total(), operands(None, slopes, [found]))
    return found


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx,
        inputs: Tensor,
        weights: Tensor,
        bias: Tensor,
        receive: Receive | None,
        rectify: bool,
        rectified: bool,
    ) -> Tensor:
        ctx.save_for_backward(inputs, weights)
        ctx.receive, ctx.rectified = receive, rectified
        return _mapped(inputs, weights, bias, rectify)

    @staticmethod
    def backward(ctx, slopes: Tensor) -> tuple[Tensor | None, ...]:
        slopes, (inputs, weights) = slopes.contiguous(), ctx.saved_tensors
        wanted = Back.RECTIFIED if ctx.rectified else Back.SLOPES
        back = wanted if ctx.needs_input_grad[0] else Back.NOTHING
        if ctx.receive:
            return ctx.receive(inputs, slopes, back), *_NO_GRADIENTS
        by_weights = gradient(inputs, slopes) if ctx.needs_input_grad[1] else None
        by_bias = total(slopes) if ctx.needs_input_grad[2] else None
        return input_slopes(slopes, weights, inputs, back), by_weights, by_bias, None, None, None


_NO_GRADIENTS = (None,) * 5


class _Rectified(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h: Tensor) -> Tensor:
        return torch.relu(h)

    @staticmethod
    def backward(ctx, slopes: Tensor) -> Tensor:
        return slopes


def _mapped(inputs: Tensor, weights: Tensor, bias: Tensor, rectify: bool) -> Tensor:
    if not in_registers(inputs, weights, bias):
        found = torch.baddbmm(bias, inputs, weights)
        return found.relu_() if rectify else found
    found = inputs.new_empty(len(inputs), inputs.shape[1], weights.shape[2])
    multiply(_forward(rectify), operands(inputs, weights, [found], beside=bias))
    return found


def input_slopes(
    slopes: Tensor, weights: Tensor, inputs: Tensor | None = None, back: Back = Back.SLOPES
) -> Tensor | None:
    """(R, B, in) of slopes (R, B, out); inputs: where they are rectified."""
    if back is Back.NOTHING:
        return None
    if not in_registers(slopes, weights):
        found = torch.bmm(slopes, weights.mT)
        return found.masked_fill_(inputs <= 0, 0.0) if back is Back.RECTIFIED else found
    found, scratch = slopes.new_empty(*slopes.shape[:2], weights.shape[1]), scratch_for(slopes)
    multiply(_back(back), back_operands(slopes, weights, inputs, found, scratch, back))
    return found


def back_operands(
    slopes: Tensor, weights: Tensor, inputs: Tensor | None, found: Tensor, scratch: Tensor, back: Back
) -> list[int]:
    """Of the product BACK[back], which brings the slopes of the inputs to `found`."""
    results = [found, inputs] if back is Back.RECTIFIED else [found]
    return operands(slopes, weights, results, scratch=scratch)


def scratch_for(slopes: Tensor) -> Tensor:
    """What a product of BACK needs for slopes (R, B, out)."""
    return slopes.new_empty(scratch_floats(slopes.shape[2]))


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


def _biased(code: Code, found: Vector, place: Place) -> Vector:
    return found + place.row(code)


def _affine_end(code: Code, found: Vector, place: Place) -> list[Vector]:
    return [_biased(code, found, place)]


def _rectifying_end(code: Code, found: Vector, place: Place) -> list[Vector]:
    biased = _biased(code, found, place)
    return [biased.zero_where("<", biased)]


def _stored(code: Code, found: Vector, place: Place) -> list[Vector]:
    return [found]


def _stored_above(code: Code, found: Vector, place: Place) -> list[Vector]:
    """Where the other operand is above zero; elsewhere zero."""
    return [found.zero_where("<=", place.load(code, 1))]


def _added_end(code: Code, found: Vector, place: Place) -> list[Vector]:
    return [place.load(code, 1) + _biased(code, found, place)]


def _added(code: Code, found: Vector, place: Place) -> list[Vector]:
    return [place.load(code, 0) + found]


FORWARD = {rectify: Product(_rectifying_end if rectify else _affine_end) for rectify in (False, True)}
BACK = {
    Back.SLOPES: Product(_stored, transposed=True),
    Back.RECTIFIED: Product(_stored_above, operands=2, transposed=True),
}
# the affine map plus a second operand; slopes that are added to what is there
FORWARD_ADDED, BACK_ADDED = Product(_added_end, operands=2), Product(_added, transposed=True)
GRADIENT, TOTAL = Product(_stored), Product(_stored, tall=False)


@cache
def _forward(rectify: bool) -> Kernel:
    return kernel(FORWARD[rectify])


@cache
def _plain() -> Kernel:
    return kernel(GRADIENT)


@cache
def _total() -> Kernel:
    return kernel(TOTAL)


@cache
def _back(back: Back) -> Kernel:
    return kernel(BACK[back])
