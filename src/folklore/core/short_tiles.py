"""Tiles for 16 registers of HALF floats (AVX2).

Masks are dear there, so what is left of a row is covered by vectors that overlap: those at the end begin that much further to the left, and
some columns are made twice, the same both times. Figures are of a Zen 3, microseconds for 100 x 100.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from llvmlite import ir

from folklore.core.machine_code import FLOAT, HALF, Vector
from folklore.core.tiles import Columns, Lines, Tiles
from folklore.core.transposes import Transpose

_REGISTER = FLOAT * HALF  # bytes
# Rows of tall tiles, by how many vectors are side by side, the tallest first; the last take what is left of a panel of three. Two adders that take
# four cycles are busy with 8 chains and more, and 12 leave room for B.
_TALL = {2: (6, 4), 3: (4, 2)}
_TURNED = {2: (6, 4, 2, 1), 3: (4, 2, 1)}  # the same of panels that are transposed first
_LOW = (2, 1)  # of tiles four vectors wide, for rows that tall ones leave
_NARROW = (4, 1)  # of matrices of less than HALF columns
# Of columns that are turned in registers: back 2 and 8 rows took 3.1 and 6.2 so, and 3.4 and 4.6 by lines of a scratch. There is no room for two
# vectors side by side: 2 rows take 1.4 times as long.
_FEW = (2, 1)
# Lines of B and A that stay in the cache of the core while all rows go by, and the most that are left for the last block: without blocks an update
# by 512 rows takes a fifth longer.
_BLOCK, _LAST = 128, 192
_HELD = 6  # vectors of a tile that are made before any is stored: 2, 4 and 12 cost an update by 8 rows 20, 14 and 9 % more

Panel = Callable[[ir.Value, list[Columns]], None]


class ShortTiles(Tiles):
    LINE = 4 * HALF  # room for three vectors, in whole blocks of LANES

    @staticmethod
    def sums_floats(m: int, k: int) -> int:
        return max(_TALL) * HALF * m if k > _LAST else 0

    def cover(self, a: ir.Value, b: ir.Value) -> None:
        code, given = self.code, self.given
        if not self.product.transposed:
            with self.either("<", given["n"], HALF) as (narrow, broad):
                with narrow:
                    self._narrow(a, b, given["b_row"])
                with broad:
                    self._straight(a, b)
            return
        turned = Transpose(code, b, given["b_row"], given["k"])
        with self.either("<=", given["m"], _FEW[0]) as (few, many):
            with few:
                self.few_rows(_FEW, a, turned)
            with many, self.either("<", given["n"], HALF) as (narrow, broad):
                with narrow:
                    self._turn(turned, code.int(0), 1)
                    self._narrow(a, self.scratch, code.int(FLOAT * self.LINE))
                with broad:
                    self._turned(a, turned)

    def _narrow(self, a: ir.Value, panel: ir.Value, step: ir.Value) -> None:
        """All of C, where a row does not fill a register."""
        code = self.code
        columns = [Columns(code.int(0), HALF, code.first(HALF, code.first_lanes(self.given["n"])))]
        heights = _NARROW if self.product.tall else _NARROW[-1:]
        self.down(heights, partial(self._tile, a, panel, step, code.int(0), columns))

    def _straight(self, a: ir.Value, b: ir.Value) -> None:
        """By panels of B as they are: all rows that tall tiles take, block by block, then the others."""
        code, given = self.code, self.given

        def tall(ends: dict[int, ir.Value], column: ir.Value, columns: list[Columns]) -> None:
            none = code.builder.icmp_signed("==", self.scratch, code.int(0))
            behind = code.minus(given["k"], code.int(_LAST - _BLOCK + 1))
            behind = code.builder.select(none, code.int(0), behind)
            with code.counting(code.int(0), behind, _BLOCK) as first:
                self._block(a, b, column, columns, ends, first, code.int(_BLOCK), last=False)
            first = code.counted
            self._block(a, b, column, columns, ends, first, code.minus(given["k"], first), last=True)

        def low(first: ir.Value, rows: int) -> None:
            def panel(column: ir.Value, columns: list[Columns]) -> None:
                self._tile(a, code.at(b, column), given["b_row"], column, columns, first, rows)

            self._panels(4, panel, narrow=2)

        if not self.product.tall:
            self.down(_LOW[-1:], low)
            return
        ends = self._tall_ends()
        self._panels(2, partial(tall, ends))
        self.down(_LOW, low, start=ends[4])

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
        ends: dict[int, ir.Value],
        start: ir.Value,
        count: ir.Value,
        *,
        last: bool,
    ) -> None:
        """All tall tiles of a panel, by so many lines of it; sums wait in the scratch for the block that is the last."""
        code, given = self.code, self.given
        own_a = code.at(a, code.times(given["a_column"], start))
        own_b = code.at(b, code.times(given["b_row"], start), column)

        def tile(first: ir.Value, rows: int) -> None:
            kept = [self._kept(code.at(first, code.int(i)), len(columns)) for i in range(rows)]
            starts, before = self.rows_of(own_a, first, rows), self._before(start, kept)
            found = self.sums(starts, own_b, given["b_row"], columns, count, before)
            if last:
                self.finish(found, first, column, columns, _HELD)
                return
            for line, addresses in zip(found, kept, strict=True):
                for vector, address in zip(line, addresses, strict=True):
                    code.store(vector, address)

        self.down(_TALL[len(columns)], tile, ends=ends)

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
            self._turn(b, code.builder.sdiv(column, code.int(FLOAT)), -(-len(columns) // 2))
            lines = a, self.scratch, code.int(FLOAT * self.LINE)
            self.down(_TURNED[len(columns)], partial(self._tile, *lines, column, columns))

        self._panels(2, panel)

    def _turn(self, b: Transpose, first: ir.Value, vectors: int) -> None:
        b.to_lines(self.scratch, FLOAT * self.LINE, first, self.given["n"], vectors)

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
        a: ir.Value,
        panel: ir.Value,
        step: ir.Value,
        column: ir.Value,
        columns: list[Columns],
        first: ir.Value,
        rows: int,
    ) -> None:
        """So many rows from the first one on, of a panel that begins there, from line to line `step` bytes."""
        sums = self.sums(self.rows_of(a, first, rows), panel, step, columns, self.given["k"])
        self.finish(sums, first, column, columns, _HELD)
