"""Tiles for 16 registers of HALF floats (AVX2).

Masks are dear there, so what is left of a row is covered by vectors that overlap: those at the end begin that much further to the left, and
some columns are made twice, the same both times. Figures are of a Zen 3, microseconds for 100 x 100.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from llvmlite import ir

from folklore.core.machine_code import FLOAT, HALF, Vector
from folklore.core.tiles import Columns, Lines, Tiles
from folklore.core.transposes import Transpose

MOST = 4  # vectors of HALF that a line of a scratch has room for
_REGISTER = FLOAT * HALF  # bytes
# Rows of tall tiles, by how many vectors are side by side, the tallest first; the last take what is left of a panel of three. Two adders that take
# four cycles are busy with 8 chains and more, and 12 leave room for B.
_TALL = {2: (6, 4), 3: (4, 2)}
_TURNED = {2: (6, 4, 2, 1), 3: (4, 2, 1)}  # the same of panels that are transposed first
_LOW = (2, 1)  # of tiles four vectors wide, for rows that tall ones leave
_NARROW = (4, 1)  # of matrices of less than HALF columns
# of columns that are turned in registers: back 2 rows take 1.5 so, and more by lines of a scratch; two vectors side by side take 2.0, as there is
# no room for them
_FEW = (2, 1)
# Lines of B and A that stay in the cache of the core while all rows go by, and the most that are left for the last block: without blocks an update
# by 512 rows takes a fifth longer.
_BLOCK, _LAST = 128, 192
_HELD = 6  # vectors of a tile that are made before any is stored: 2, 4 and 12 cost an update by 8 rows 20, 14 and 9 % more

Panel = Callable[[ir.Value, list[Columns]], None]


def sums_floats(m: int, k: int) -> int:
    """Floats of the sums that a product of so many rows keeps between blocks of k."""
    return 3 * HALF * m if k > _LAST else 0


class ShortTiles(Tiles):
    def cover(self, a: ir.Value, b: ir.Value) -> None:
        code, given = self.code, self.given
        if not self.product.transposed:
            with self._either("<", given["n"], HALF) as (narrow, broad):
                with narrow:
                    self._narrow(a, b, given["b_row"])
                with broad:
                    self._straight(a, b)
            return
        turned = Transpose(code, b, given["b_row"], given["k"])
        with self._either("<=", given["m"], _FEW[0]) as (few, many):
            with few:
                self.few_rows(_FEW, 1, a, turned)
            with many, self._either("<", given["n"], HALF) as (narrow, broad):
                with narrow:
                    self._turn(turned, code.int(0), 1)
                    self._narrow(a, self.scratch, code.int(MOST * _REGISTER))
                with broad:
                    self._turned(a, turned)

    def _either(self, comparison: str, number: ir.Value, bound: int) -> AbstractContextManager:
        builder = self.code.builder
        return builder.if_else(builder.icmp_signed(comparison, number, self.code.int(bound)))

    def _narrow(self, a: ir.Value, panel: ir.Value, step: ir.Value) -> None:
        """All of C, where a row does not fill a register."""
        code, row = self.code, self.code.int(0)
        mask = code.first(HALF, code.first_lanes(self.given["n"]))
        columns = [Columns(code.int(0), HALF, mask)]
        for rows in _NARROW if self.product.tall else _NARROW[-1:]:
            with code.counting(row, self.given["m"], rows) as first:
                self._tile(first, rows, a, panel, step, code.int(0), columns)
            row = code.counted

    def _straight(self, a: ir.Value, b: ir.Value) -> None:
        """By panels of B as they are: all rows that tall tiles take, block by block, then the others."""
        code, given, row = self.code, self.given, self.code.int(0)

        def tall(column: ir.Value, columns: list[Columns]) -> None:
            blocks_end = code.minus(given["k"], code.int(_LAST - _BLOCK + 1))
            none = code.builder.icmp_signed("==", self.scratch, code.int(0))
            with code.counting(
                code.int(0), code.builder.select(none, code.int(0), blocks_end), _BLOCK
            ) as first:
                self._block(a, b, column, columns, first, code.int(_BLOCK), last=False)
            first = code.counted
            self._block(a, b, column, columns, first, code.minus(given["k"], first), last=True)

        def low(first: ir.Value, rows: int, column: ir.Value, columns: list[Columns]) -> None:
            self._tile(first, rows, a, code.at(b, column), given["b_row"], column, columns)

        if self.product.tall:
            self._ends = self._tall_ends()
            row = self._ends[4]
            self._panels(2, tall)
        for rows in _LOW if self.product.tall else _LOW[-1:]:
            with code.counting(row, given["m"], rows) as first:
                self._panels(4, partial(low, first, rows), narrow=2)
            row = code.counted

    def _tall_ends(self) -> dict[int, ir.Value]:
        """The row at which tall tiles of so many rows end: where six would leave two, two of four are taken."""
        code, builder, m = self.code, self.code.builder, self.given["m"]
        sixes = code.times(builder.sdiv(m, code.int(6)), 6)
        two_left = builder.icmp_signed("==", code.minus(m, sixes), code.int(2))
        less = builder.and_(two_left, builder.icmp_signed(">=", m, code.int(8)))
        sixes = builder.select(less, code.minus(sixes, code.int(6)), sixes)
        end = code.at(sixes, code.times(builder.sdiv(code.minus(m, sixes), code.int(4)), 4))
        return {6: sixes, 4: end, 2: end}

    def _block(
        self,
        a: ir.Value,
        b: ir.Value,
        column: ir.Value,
        columns: list[Columns],
        first: ir.Value,
        count: ir.Value,
        *,
        last: bool,
    ) -> None:
        """All tall tiles of a panel, by so many lines of it; sums wait in the scratch for the block that is the last."""
        code, given, row = self.code, self.given, self.code.int(0)
        own_a = code.at(a, code.times(given["a_column"], first))
        own_b = code.at(b, code.times(given["b_row"], first), column)
        for rows in _TALL[len(columns)]:
            with code.counting(row, self._ends[rows], rows) as top:
                kept = [self._kept(code.at(top, code.int(i)), len(columns)) for i in range(rows)]
                starts, before = self.rows_of(own_a, top, rows), self._before(first, kept)
                found = self.sums(starts, own_b, given["b_row"], columns, count, before)
                if last:
                    self.finish(found, top, column, columns, _HELD)
                else:
                    for line, addresses in zip(found, kept, strict=True):
                        for vector, address in zip(line, addresses, strict=True):
                            code.store(vector, address)
            row = code.counted

    def _kept(self, row: ir.Value, width: int) -> list[ir.Value]:
        """Where sums of a row wait."""
        start = self.code.at(self.scratch, self.code.times(row, _REGISTER * width))
        return [self.code.at(start, self.code.int(_REGISTER * j)) for j in range(width)]

    def _before(self, first: ir.Value, kept: list[list[ir.Value]]) -> Lines:
        """What sums go on from: zero at the first line of B."""
        code, builder = self.code, self.code.builder
        before = builder.block
        with builder.if_then(builder.icmp_signed(">", first, code.int(0))):
            loaded = [[code.load(address, None, HALF).value for address in line] for line in kept]
            behind = builder.block
        zero, found = code.vector(0, HALF).value, []
        for line in loaded:
            found.append([])
            for value in line:
                phi = builder.phi(value.type)
                phi.add_incoming(zero, before)
                phi.add_incoming(value, behind)
                found[-1].append(Vector(code, phi))
        return found

    def _turned(self, a: ir.Value, b: Transpose) -> None:
        """By panels that are transposed first."""
        code = self.code

        def panel(column: ir.Value, columns: list[Columns]) -> None:
            row = code.int(0)
            self._turn(b, code.builder.sdiv(column, code.int(FLOAT)), -(-len(columns) // 2))
            for rows in _TURNED[len(columns)]:
                with code.counting(row, self.given["m"], rows) as first:
                    self._tile(first, rows, a, self.scratch, code.int(MOST * _REGISTER), column, columns)
                row = code.counted

        self._panels(2, panel)

    def _turn(self, b: Transpose, first: ir.Value, vectors: int) -> None:
        b.to_lines(self.scratch, MOST * _REGISTER, first, self.given["n"], vectors)

    def _panels(self, usual: int, panel: Panel, *, narrow: int = 0) -> None:
        """Call `panel` for all columns, at least HALF: with the bytes to its first, and its vectors, as many as is usual.

        At the end one more, where it would be left alone; so few as `narrow` says, where they will do.
        """
        code, builder, n = self.code, self.code.builder, self.given["n"]
        step = HALF * usual
        times = builder.sdiv(code.minus(n, code.int(HALF + 1)), code.int(step))
        rest = code.times(times, step)
        left = code.minus(n, rest)
        long = builder.icmp_signed(">", left, code.int(step))
        short = builder.icmp_signed("<=", left, code.int(HALF * narrow))
        stop = builder.select(builder.or_(long, short), rest, code.at(rest, code.int(step)))
        with code.counting(code.int(0), stop, step) as first:
            self._panel(first, usual, max(1, narrow), panel)
        with builder.if_then(long):
            self._panel(rest, usual + 1, usual, panel)
        if narrow:
            with builder.if_then(short):
                self._panel(rest, narrow, 1, panel)

    def _panel(self, first: ir.Value, width: int, fitting: int, panel: Panel) -> None:
        """A panel of so many vectors: the first of them fit in any case, the others may have to begin further to the left."""
        code = self.code
        left = code.times(code.minus(self.given["n"], first), FLOAT)
        offsets = [code.int(_REGISTER * j) for j in range(width)]
        ends = [code.minus(left, code.int(_REGISTER * (width - j))) for j in range(fitting, width)]
        moved = [code.smaller(*pair) for pair in zip(offsets[fitting:], ends, strict=True)]
        columns = [Columns(offset, HALF) for offset in [*offsets[:fitting], *moved]]
        panel(code.times(first, FLOAT), columns)

    def _tile(
        self,
        first: ir.Value,
        rows: int,
        a: ir.Value,
        panel: ir.Value,
        step: ir.Value,
        column: ir.Value,
        columns: list[Columns],
    ) -> None:
        """So many rows from the first one on, of a panel that begins there, from line to line `step` bytes."""
        sums = self.sums(self.rows_of(a, first, rows), panel, step, columns, self.given["k"])
        self.finish(sums, first, column, columns, _HELD)
