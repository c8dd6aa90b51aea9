"""Lists of calls of compiled functions, made for every run and update of a block without coming back to Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate

import torch
from llvmlite import ir
from torch import Tensor

from folklore.core.compilation import Compiled, compiled, of_list
from folklore.core.machine_code import FLOAT, INTEGER, Code
from folklore.core.products import Product, of_one_run, scratch_floats, sums_floats


@dataclass(frozen=True)
class Spot:
    """An argument: its value for the first run and update, most often an address, and what it grows by from run to run and update to update."""

    first: int
    by_run: int = 0
    by_update: int = 0


@dataclass(frozen=True)
class Matrix:
    """Floats of a run and update: where they begin, and bytes from row to row and from column to column."""

    spot: Spot
    height: int
    width: int
    row: int
    column: int = FLOAT

    def rows(self, first: int, count: int) -> Matrix:
        """So many of its rows."""
        spot = replace(self.spot, first=self.spot.first + first * self.row)
        return replace(self, spot=spot, height=count)

    @property
    def flat(self) -> Matrix:
        """All of it as one row, if it has no gaps."""
        count = self.height * self.width
        return Matrix(self.whole(self.height, self.width), 1, count, FLOAT * count)

    @property
    def turned(self) -> Matrix:
        return Matrix(self.spot, self.width, self.height, self.column, self.row)

    def whole(self, height: int, width: int) -> Spot:
        """Where it begins, if it has this shape and no gaps: else ValueError, for compiled code would read and write elsewhere."""
        row = FLOAT * width if height > 1 else self.row
        if (self.height, self.width, self.row, self.column) != (height, width, row, FLOAT):
            raise ValueError(f"a kernel takes {height} x {width} floats without gaps, not {self}")
        return self.spot


def of_run(tensor: Tensor) -> Matrix:
    """Of (R, m, n), the same in all updates."""
    return of_update(tensor.unsqueeze(0))


def of_update(tensor: Tensor) -> Matrix:
    """Of (S, R, m, n); of one update, or with a stride of 0, the same in all of them."""
    size = tensor.element_size()
    update, run, row, column = (size * stride for stride in tensor.stride())
    spot = Spot(tensor.data_ptr(), run, update if len(tensor) > 1 else 0)
    return Matrix(spot, *tensor.shape[2:], row, column)


class Calls:
    """A list of calls, in order. What their arguments are addresses of must live until they are made."""

    def __init__(self) -> None:
        self._parts: list[Compiled] = []
        self._rooms: dict[int, Spot] = {}
        self._arguments: list[Spot] = []
        self._scratch: list[Tensor] = []

    def add(self, part: Compiled, *arguments: Matrix | Spot | int) -> None:
        """A function whose first argument is the number of a run: here always 0, for the others begin where the run does. Matrices must have
        no gaps.
        """
        self._parts.append(part)
        self._arguments += [Spot(0), *map(_spot, arguments)]

    def product(
        self, product: Product, a: Matrix, b: Matrix, results: list[Matrix], *, beside: Spot | int = 0
    ) -> None:
        """The first of the results is A B, or what becomes of it; see `folklore.core.products`."""
        m, n, k = a.height, b.width, a.width
        given = b.turned if product.transposed else b
        scratch = self._room(scratch_floats(k) if product.transposed else sums_floats(m, k))
        if b.height != k or given.column != FLOAT:
            raise ValueError(f"no product of {a} and {b}")
        numbers = a.spot, 0, a.row, a.column, b.spot, 0, given.row, m, k, n, beside, 0
        self.add(of_one_run(product), *numbers, *(result.whole(m, n) for result in results), scratch)

    def _room(self, floats: int) -> Spot | int:
        """What products need one after the other."""
        if floats and floats not in self._rooms:
            self._rooms[floats] = self.scratch(1, floats).spot
        return self._rooms.get(floats, 0)

    def scratch(self, height: int, width: int) -> Matrix:
        """Floats that all runs and updates write over, zeros at first."""
        self._scratch.append(torch.zeros(height, width))
        return Matrix(Spot(self._scratch[-1].data_ptr()), height, width, FLOAT * width)

    def numbers(self, values: Sequence[float]) -> Spot:
        """Floats that all runs and updates read."""
        self._scratch.append(torch.tensor(values, dtype=torch.float32))
        return Spot(self._scratch[-1].data_ptr())

    def make(self, *, runs: Sequence[int], updates: int) -> None:
        """For each of these runs all updates."""
        behind = accumulate((INTEGER * part.arguments for part in self._parts), initial=0)
        places = zip(self._parts, behind, strict=False)
        calls = _list([[of_list(part.arguments).address, part.address, at] for part, at in places])
        arguments = _list(
            [[spot.first, spot.by_run, spot.by_update] for spot in self._arguments]
        ).T.contiguous()
        lists = [_list(runs), *arguments, torch.empty_like(arguments[0])]
        sizes = len(runs), updates, len(calls), calls.data_ptr(), len(lists[-1])
        _player()(*sizes, *(each.data_ptr() for each in lists))


def _spot(argument: Matrix | Spot | int) -> Spot:
    if isinstance(argument, Matrix):
        return argument.whole(argument.height, argument.width)
    return Spot(argument) if isinstance(argument, int) else argument


def _list(numbers: Sequence[int] | Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int64)


@cache
def _player() -> Callable[..., None]:
    """A function that makes a list of calls for every run and update.

    Of how many runs, updates, calls, the address of a list with each call's `of_list`, the address of its function and how many bytes its arguments
    are behind those of the first; arguments of all calls together, the addresses of a list of the runs' numbers, of three with the first value of
    each argument, what it grows by from run to run and from update to update, and of a list for the values now.
    """

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        runs, updates, calls, call_list, arguments, numbers, first, by_run, by_update, now = given

        def each(count: ir.Value, size: int) -> AbstractContextManager[ir.Value]:
            return code.counting(code.int(0), code.times(count, size), size)

        with each(runs, INTEGER) as place_of_run:
            run = code.integer(code.at(numbers, place_of_run))
            with each(arguments, INTEGER) as i:
                grown = code.times(code.integer(code.at(by_run, i)), run)
                code.put(code.at(code.integer(code.at(first, i)), grown), code.at(now, i))
            with code.counting(code.int(0), updates, 1):
                with each(calls, 3 * INTEGER) as call:
                    entry = code.at(call_list, call)
                    caller, function, behind = (
                        code.integer(code.at(entry, code.int(INTEGER * i))) for i in range(3)
                    )
                    code.call(caller, [function, code.at(now, behind)])
                with each(arguments, INTEGER) as i:
                    place = code.at(now, i)
                    code.put(code.at(code.integer(place), code.integer(code.at(by_update, i))), place)

    return compiled(write, 10).call
