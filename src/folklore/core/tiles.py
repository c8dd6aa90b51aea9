"""A tile of C = A B in vector code: the sums over k are held in registers, and what becomes of them happens before they are written.

How C is cut into tiles hangs on the registers: `folklore.core.wide_tiles`, `folklore.core.short_tiles`. In all of them every element is one chain
of fused multiply-adds in the order of k.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from llvmlite import ir

from folklore.core.machine_code import FLOAT, LANES, QUARTER, Code, Vector
from folklore.core.transposes import Transpose

if TYPE_CHECKING:
    from folklore.core.products import Product

ARGUMENTS = ("a", "a_run", "a_row", "a_column", "b", "b_run", "b_row", "m", "k", "n", "beside", "beside_run")


@dataclass(frozen=True)
class Place:
    """Where a vector of C lies. operands: its addresses; column: bytes from the start of its row; beside: the address of what the run has
    beside its matrices; numbers: the first of it, read; mask: the lanes that there are, None for all; lanes: of the vector.
    """

    operands: Sequence[ir.Value]
    column: ir.Value
    beside: ir.Value
    numbers: Sequence[Vector]
    mask: ir.Value | None
    lanes: int = LANES

    def load(self, code: Code, operand: int) -> Vector:
        return code.load(self.operands[operand], self.mask, self.lanes)

    def row(self, code: Code) -> Vector:
        """Of a row that the run has beside its matrices, what belongs to these columns."""
        return code.load(code.at(self.beside, self.column), self.mask, self.lanes)

    def store(self, code: Code, vectors: Sequence[Vector]) -> None:
        """In the first operands."""
        for vector, address in zip(vectors, self.operands, strict=False):
            code.store(vector, address, self.mask)


@dataclass(frozen=True)
class Columns:
    """A vector's columns: bytes from the panel's first one, how many, and the mask of those that there are, None for all."""

    offset: ir.Value
    lanes: int
    mask: ir.Value | None = None


Lines = list[list[Vector]]  # the sums of rows, side by side


class Tiles(ABC):
    """Writes a product of one run: the addresses here, the tiles where the registers are known. LINE: floats of a line of a transposed panel."""

    LINE: ClassVar[int]

    @staticmethod
    def sums_floats(m: int, k: int) -> int:
        """Floats of the sums that a product of so many rows keeps between blocks of k; 0 where there are no blocks."""
        return 0

    def __init__(self, code: Code, product: Product, arguments: Sequence[ir.Value]) -> None:
        count = len(ARGUMENTS)
        self.code, self.product = code, product
        self.given = dict(zip(ARGUMENTS, arguments[:count], strict=True))
        *self.operands, self.scratch = arguments[count:]

    def write(self, run: ir.Value) -> None:
        code, given = self.code, self.given
        self.row_bytes = code.times(given["n"], FLOAT)
        run_bytes = code.times(self.row_bytes, given["m"])
        a = code.at(given["a"], code.times(given["a_run"], run))
        b = code.at(given["b"], code.times(given["b_run"], run))
        self.beside = code.at(given["beside"], code.times(given["beside_run"], run))
        places = (code.at(self.beside, code.int(FLOAT * i)) for i in range(self.product.numbers))
        self.numbers = [code.number(place) for place in places]
        self.starts = [code.at(operand, code.times(run_bytes, run)) for operand in self.operands]
        self.cover(a, b)

    @abstractmethod
    def cover(self, a: ir.Value, b: ir.Value) -> None:
        """All of C, by matrices that begin there."""

    def either(self, comparison: str, number: ir.Value, bound: int) -> AbstractContextManager:
        """Two bodies: where the number compares so, and where it does not."""
        builder = self.code.builder
        return builder.if_else(builder.icmp_signed(comparison, number, self.code.int(bound)))

    def down(
        self,
        heights: Sequence[int],
        tile: Callable[[ir.Value, int], None],
        *,
        start: ir.Value | None = None,
        ends: dict[int, ir.Value] | None = None,
    ) -> None:
        """Call `tile` for rows from `start` (None: the first) on, with its first and how many: as often as a height fits, one after the other.

        ends: the row that a height goes to, if not to the last.
        """
        code, row = self.code, self.code.int(0) if start is None else start
        for rows in heights:
            with code.counting(row, ends[rows] if ends else self.given["m"], rows) as first:
                tile(first, rows)
            row = code.counted

    def rows_of(self, a: ir.Value, first: ir.Value, rows: int) -> list[ir.Value]:
        """Where so many rows of A begin."""
        return self._apart(a, self.given["a_row"], first, rows)

    def _apart(self, start: ir.Value, row_bytes: ir.Value, first: ir.Value, rows: int) -> list[ir.Value]:
        """Rows of a matrix from number `first` on; their distances from it are the same for all tiles, and taken once."""
        code = self.code
        top = code.at(start, code.times(row_bytes, first))
        return [code.at(top, code.times(row_bytes, i)) for i in range(rows)]

    def sums(
        self,
        a: Sequence[ir.Value],
        b: ir.Value,
        step: ir.Value,
        columns: Sequence[Columns],
        k: ir.Value,
        before: Lines | None = None,
    ) -> Lines:
        """Sums over k, of rows that begin at `a` and a panel at `b`, from line to line `step` bytes; before: what they go on from, None for zero."""
        code, width = self.code, len(columns)
        zeros = [code.vector(0, each.lanes).value for each in columns] * len(a)
        first = zeros if before is None else [vector.value for line in before for vector in line]
        with code.repeating(k, [code.int(0), b, *first]) as (at, following):
            at_a, at_b, *flat = at
            line = [code.load(code.at(at_b, each.offset), each.mask, each.lanes) for each in columns]
            following += [code.at(at_a, self.given["a_column"]), code.at(at_b, step)]
            for i, start in enumerate(a):
                number = code.number(code.at(start, at_a))
                for b_, c in zip(line, flat[i * width : (i + 1) * width], strict=True):
                    added = code.intrinsic("fma", number.first(b_.lanes), b_, Vector(code, c))
                    following.append(added.value)
        return [[Vector(code, value) for value in flat[i * width : (i + 1) * width]] for i in range(len(a))]

    def finish(
        self, sums: Lines, first: ir.Value, column: ir.Value, columns: Sequence[Columns], held: int
    ) -> None:
        """Hand sums of rows from number `first` on to what becomes of them; column: bytes to the panel's first one; held: how many vectors are made
        before any is stored, all of a row at least.
        """
        starts = [self._apart(start, self.row_bytes, first, len(sums)) for start in self.starts]
        rows = [*zip(sums, zip(*starts, strict=True), strict=True)]
        together = max(1, held // len(columns))
        for i in range(0, len(rows), together):
            self._finish_rows(rows[i : i + together], column, columns)

    def _finish_rows(
        self,
        rows: Sequence[tuple[list[Vector], tuple[ir.Value, ...]]],
        column: ir.Value,
        columns: Sequence[Columns],
    ) -> None:
        code, made = self.code, []
        for line, starts in rows:
            for found, each in zip(line, columns, strict=True):
                there = code.at(column, each.offset)
                operands = [code.at(start, there) for start in starts]
                numbers = [number.first(found.lanes) for number in self.numbers]
                place = Place(operands, there, self.beside, numbers, each.mask, found.lanes)
                made.append((place, self.product.end(code, found, place)))
        # all is read before any is written: a load behind a masked store, which seems to reach into the next row, waits until that is done, and
        # where vectors overlap both are made of what was there
        for place, vectors in made:
            place.store(code, vectors)

    def few_rows(self, heights: Sequence[int], a: ir.Value, b: Transpose) -> None:
        """All of C by columns of B that no other rows want: they are turned in registers, and not kept."""
        code, given = self.code, self.given

        def panel(column: ir.Value, _: int, tail: ir.Value | None) -> None:
            lines = b.rows(column, given["n"])
            columns = [Columns(code.int(0), LANES, None if tail is None else code.first_lanes(tail))]

            def tile(first: ir.Value, rows: int) -> None:
                sums = [[vector] for vector in self._sums_of_turned(self.rows_of(a, first, rows), b, lines)]
                self.finish(sums, first, code.times(column, FLOAT), columns, rows)

            self.down(heights, tile)

        code.across(given["n"], 1, panel)

    def _sums_of_turned(self, a: Sequence[ir.Value], b: Transpose, lines: list[ir.Value]) -> list[Vector]:
        """The sums over k of rows that begin at `a`, one vector each, by these rows of the transpose."""
        code, k, apart = self.code, self.given["k"], self.given["a_column"]
        times = code.builder.sdiv(k, code.int(QUARTER))
        whole = code.times(times, QUARTER)
        left, zeros = code.minus(k, whole), [code.vector(0).value] * len(a)

        def added(sums: Sequence[ir.Value], column: ir.Value, vector: Vector) -> list[ir.Value]:
            numbers = [code.number(code.at(start, code.times(apart, column))) for start in a]
            pairs = zip(numbers, sums, strict=True)
            return [code.intrinsic("fma", n, vector, Vector(code, c)).value for n, c in pairs]

        with code.repeating(times, [code.int(0), *zeros]) as (at, following):
            first, *sums = at
            for i, vector in enumerate(b.columns(lines, first)):
                sums = added(sums, code.at(first, code.int(i)), vector)
            following += [code.at(first, code.int(QUARTER)), *sums]
        _, *sums = at
        for i, vector in enumerate(b.columns(lines, whole, left)[:-1]):
            # a column that is not there is the one before it, again, and adds nothing
            there, column = code.builder.icmp_signed("<", code.int(i), left), code.at(whole, code.int(i))
            longer = added(sums, code.smaller(column, code.minus(k, code.int(1))), vector)
            sums = [code.builder.select(there, new, old) for new, old in zip(longer, sums, strict=True)]
        return [Vector(code, value) for value in sums]
