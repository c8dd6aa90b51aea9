"""Updates of parameters by an optimizer's level, in place.

On a processor the update is part of the product that is the gradient: the level, called once with vectors in the place of tensors, writes the
end of the kernel. So no gradient is written to memory and read again, which at small batches costs more than all arithmetic (32 nets of
3 x 100 move 3.2 MB a pass). Elsewhere the same level is called with tensors, and so is one that needs more than vectors can do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from inspect import getfullargspec

import torch
from torch import Tensor

from folklore.core.affine import (
    BACK,
    Back,
    back_operands,
    gradient,
    in_registers,
    input_slopes,
    multiply,
    operands,
    scratch_for,
    total,
)
from folklore.core.batch_norm import slopes as norm_slopes
from folklore.core.batch_norm import slopes_and_update
from folklore.core.machine_code import Code, Vector, new_code
from folklore.core.products import Kernel, Place, Product, kernel

Level = Callable[..., tuple]
# an update's numbers; from the last on 1 - base ** t for each base that the level asks for
_LR, _MOMENTUM, _DECAY, _POWERS = range(4)


@cache
def slots(level: Level) -> tuple[str, ...]:
    """The names of the level's state: its keyword-only arguments."""
    return tuple(getfullargspec(level).kwonlyargs)


def numbers_of(level: Level, lr: Tensor, momentum: Tensor, decay: Tensor, t: float | Tensor) -> Tensor:
    """What an update needs of a run, (R, numbers), from columns (R, 1, 1) and the update's number t, in a recording a tensor (), float64."""
    powers = [torch.zeros_like(lr) + (1 - base**t) for base in _bases(level) or ()]
    return _side_by_side(lr, momentum, decay, *powers)


def numbers_of_all(
    level: Level, lr: Tensor, momentum: Tensor, decay: Tensor, updates: Sequence[float]
) -> Tensor:
    """The same of many updates, (S, R, numbers), from rates (S, R, 1, 1), columns (R, 1, 1), and the numbers of the updates."""
    taken = [[1 - base**t for t in updates] for base in _bases(level) or ()]
    powers = [lr.new_tensor(each).view(-1, 1, 1, 1) for each in taken]
    return _side_by_side(lr, momentum, decay, *powers)


def _side_by_side(lr: Tensor, *others: Tensor) -> Tensor:
    return torch.cat([part.expand_as(lr) for part in (lr, *others)], dim=-2).squeeze(-1)


def update(
    level: Level, tensors: list[Tensor], numbers: Tensor, t: float, inputs: Tensor | None, slopes: Tensor
) -> None:
    """By the gradient inputs^T slopes, plus decay times the parameter.

    tensors: the parameter (R, in, out), then its state. inputs (R, B, in); None: the gradient (R, 1, out) is the sum of the slopes
    (R, B, out), as a bias has it.
    """
    if _by_kernels(level, *tensors, slopes, *([] if inputs is None else [inputs])):
        multiply(_updating(level), _operands(tensors, numbers, inputs, slopes))
        return
    g = total(slopes) if inputs is None else gradient(inputs, slopes)
    lr, momentum, decay = (numbers[:, i].view(-1, 1, 1) for i in (_LR, _MOMENTUM, _DECAY))
    state = dict(zip(slots(level), tensors[1:], strict=True))
    found = level(tensors[0], g + decay * tensors[0], lr, momentum, t, **state)
    for tensor, new in zip(tensors, found, strict=True):
        tensor.copy_(new)


def update_affine(
    level: Level,
    weights: list[Tensor],
    bias: list[Tensor],
    numbers: tuple[Tensor, Tensor],
    t: float,
    inputs: Tensor,
    slopes: Tensor,
    *,
    back: Back,
) -> Tensor | None:
    """Both parameters of an affine map by `update`, with numbers of their own; before, if wanted, the slopes of its inputs (R, B, in)."""
    if _by_kernels(level, *weights, *bias, inputs, slopes):
        products = [
            _operands(weights, numbers[0], inputs, slopes),
            _operands(bias, numbers[1], None, slopes),
        ]
        if back is Back.NOTHING:
            multiply(_updating_both(level), *products)
            return None
        found, scratch = inputs.new_empty(inputs.shape), scratch_for(slopes)
        first = back_operands(slopes, weights[0], inputs, found, scratch, back)
        multiply(_backward(level, back), first, *products)
        return found
    found = input_slopes(slopes, weights[0], inputs, back)
    update(level, weights, numbers[0], t, inputs, slopes)
    update(level, bias, numbers[1], t, None, slopes)
    return found


def update_norm(
    level: Level,
    gain: list[Tensor],
    shift: list[Tensor],
    numbers: Tensor,
    t: float,
    slopes: Tensor,
    centred: Tensor,
    scale: Tensor,
) -> Tensor:
    """Gain and shift of a batch norm, both (R, 1, H), then their state, by `update`; before, the slopes of its inputs (R, B, H).

    centred (R, B, H) and scale (R, 1, H): see `folklore.core.batch_norm`.
    """
    if _by_kernels(level, *gain, *shift, slopes, centred):
        return slopes_and_update(update_product(level), gain, shift, numbers, slopes, centred, scale)
    found, *gradients = norm_slopes(slopes, centred, gain[0], scale)
    for tensors, g in zip((gain, shift), gradients, strict=True):
        update_by(level, tensors, numbers, t, g)
    return found


def update_by(level: Level, tensors: list[Tensor], numbers: Tensor, t: float, g: Tensor) -> None:
    """By a gradient that is there, shaped as the parameter is."""
    update(
        level,
        [tensor.flatten(1).unsqueeze(1) for tensor in tensors],
        numbers,
        t,
        None,
        g.flatten(1).unsqueeze(1),
    )


def _by_kernels(level: Level, *tensors: Tensor) -> bool:
    return in_registers(*tensors) and writes(level)


@cache
def writes(level: Level) -> bool:
    """Whether the level can be written as code: it does no more than vectors can."""
    bases, one = _bases(level), new_code().vector(1.0)
    if bases is None:
        return False
    t = _Elapsed(dict.fromkeys(bases, one))
    try:
        level(one, one, one, one, t, **dict.fromkeys(slots(level), one))
    except (TypeError, AttributeError):
        return False
    return True


def _operands(tensors: list[Tensor], numbers: Tensor, inputs: Tensor | None, slopes: Tensor) -> list[int]:
    return operands(None if inputs is None else inputs.mT, slopes, tensors, beside=numbers)


@cache
def _updating(level: Level) -> Kernel:
    return kernel(update_product(level))


@cache
def _updating_both(level: Level) -> Kernel:
    return kernel(update_product(level), update_product(level, tall=False))


@cache
def _backward(level: Level, back: Back) -> Kernel:
    return kernel(BACK[back], update_product(level), update_product(level, tall=False))


@cache
def update_product(level: Level, *, tall: bool = True) -> Product:
    """The gradient, and what the level makes of a parameter and its state, the operands, by it; not tall: of a bias."""
    names, bases = slots(level), _bases(level) or ()

    def end(code: Code, found: Vector, place: Place) -> list[Vector]:
        numbers, w, *state = place.numbers, *(place.load(code, i) for i in range(1 + len(names)))
        t = _Elapsed(dict(zip(bases, numbers[_POWERS:], strict=True)))
        # decay w + g: rounded twice, as tensors are; a decay of 0 adds nothing to a weight that is finite
        g = numbers[_DECAY] * w + found
        return [*level(w, g, numbers[_LR], numbers[_MOMENTUM], t, **dict(zip(names, state, strict=True)))]

    return Product(end, operands=1 + len(names), numbers=_POWERS + len(bases), tall=tall)


@cache
def _bases(level: Level) -> tuple[float, ...] | None:
    """Of the powers base ** t that a level takes from 1, found by calling it with numbers; None if it does more with t."""
    t, one = _Asked(), torch.ones(())
    try:
        level(one, one, one, one, t, **dict.fromkeys(slots(level), one))
    except TypeError:
        return None
    return tuple(dict.fromkeys(t.bases))


class _Asked:
    """The number of an update, as one that only remembers what it is asked for."""

    def __init__(self) -> None:
        self.bases: list[float] = []

    def __rpow__(self, base: float) -> float:
        self.bases.append(base)
        return 0.5


class _Elapsed:
    """The number of an update in code that is being written: 1 - base ** t is a number of the run, taken in double precision before."""

    def __init__(self, taken: dict[float, Vector]) -> None:
        self.taken = taken

    def __rpow__(self, base: float) -> _Power:
        return _Power(self.taken[base])


class _Power:
    def __init__(self, taken: Vector) -> None:
        self.taken = taken

    def __rsub__(self, one: int) -> Vector:
        if one != 1:
            raise TypeError("an optimizer may take a power of t from 1 only")
        return self.taken
