"""Where the inputs and factors of a block of updates come from.

To a traced net they are written when an update's turn comes, run by run, and never leave the cache. Others are given those of a whole block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Protocol

import torch
from llvmlite import ir
from torch import Tensor

from folklore.core.affine import in_registers
from folklore.core.calls import Calls, Matrix, of_update
from folklore.core.compilation import Compiled, compiled
from folklore.core.machine_code import FLOAT, INTEGER, Code


class Source(Protocol):
    """Of numbers (S, R, m, n), those of S updates."""

    @property
    def shape(self) -> torch.Size: ...

    @property
    def tensor(self) -> Tensor:
        """All of them."""
        ...

    def cut(self, updates: slice) -> Source: ...

    def in_registers(self) -> bool:
        """Whether compiled calls can take them."""
        ...

    def written(self, calls: Calls) -> Matrix:
        """Those of a run and update, for calls that are made while this object lives."""
        ...


@dataclass(frozen=True)
class Given:
    """Numbers that were made ahead."""

    tensor: Tensor

    @property
    def shape(self) -> torch.Size:
        return self.tensor.shape

    def cut(self, updates: slice) -> Given:
        return Given(self.tensor[updates])

    def in_registers(self) -> bool:
        return in_registers(self.tensor)

    def written(self, calls: Calls) -> Matrix:
        return of_update(self.tensor)


@dataclass(frozen=True)
class Rows:
    """Rows of a pool (N, F), by their numbers (S, R, B)."""

    pool: Tensor
    numbers: Tensor

    @property
    def shape(self) -> torch.Size:
        return torch.Size([*self.numbers.shape, self.pool.shape[1]])

    @cached_property
    def tensor(self) -> Tensor:
        # index_select copies rows four times as fast as indexing does
        return self.pool.index_select(0, self.numbers.flatten()).view(self.shape)

    def cut(self, updates: slice) -> Rows:
        return Rows(self.pool, self.numbers[updates])

    def in_registers(self) -> bool:
        return in_registers(self.pool) and self.pool.is_contiguous() and self.numbers.is_contiguous()

    def written(self, calls: Calls) -> Matrix:
        *_, rows, width = self.shape
        found, numbers = calls.scratch(rows, width), of_update(self.numbers.unsqueeze(3)).spot
        calls.add(_copied_part(), rows, width, numbers, self.pool.data_ptr(), found)
        return found


@cache
def _copied_part() -> Compiled:
    """Of a run's number (not used), how many rows, how long, and the addresses of their numbers (rows,) int64, of the pool, and of the result."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, rows, width, numbers, pool, out = given
        size = code.times(width, FLOAT)
        with code.repeating(rows, [numbers, out]) as (at, following):
            number_at, to = at
            start = code.at(pool, code.times(size, code.integer(number_at)))

            def each(before: ir.Value, mask: ir.Value | None) -> None:
                code.store(code.load(code.at(start, before), mask), code.at(to, before), mask)

            code.along(width, each)
            following += [code.at(number_at, code.int(INTEGER)), code.at(to, size)]

    return compiled(write, 6)
