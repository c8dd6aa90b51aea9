"""Tiles for 32 registers of LANES floats (AVX-512): what is left of a row is masked, which costs next to nothing there."""

from __future__ import annotations

from functools import partial

from llvmlite import ir

from folklore.core.machine_code import FLOAT, HALF, LANES, VECTOR
from folklore.core.tiles import Columns, Tiles
from folklore.core.transposes import Transpose

_MOST = 4  # vectors side by side: with 6 rows they fill the registers, and leave some for B
# Rows of a tile, the tallest that fits first. Two tiles of 2 are as fast as one of 4, and less to compile.
_HEIGHTS = (6, 2, 1)
# The same where no more than these go back: through 100 x 100, 2 and 8 rows take a Zen 4 1.0 and 1.8 us, and 1.3 and 2.4 by lines of a scratch.
_FEW = (8, 4, 2, 1)
# vectors of a tile that are made before any is stored: with 1, 4, 6, 12, 24 an update of 100 x 10 by 2 rows takes 1.04, .43, .29, .27, .29 us,
# and one of 100 x 100 .95, .95, .93, .97, 1.23
_HELD = 6


class WideTiles(Tiles):
    LINE = LANES * _MOST

    def cover(self, a: ir.Value, b: ir.Value) -> None:
        code, given = self.code, self.given
        if not self.product.transposed:
            code.across(given["n"], _MOST, partial(self._panel, a, b))
            return
        turned = Transpose(code, b, given["b_row"], given["k"])
        with self.either("<=", given["m"], _FEW[0]) as (few, many):
            with few:
                self.few_rows(_FEW, a, turned)
            with many:
                code.across(given["n"], _MOST, partial(self._turned_panel, a, turned))

    def _turned_panel(
        self, a: ir.Value, b: Transpose, column: ir.Value, vectors: int, tail: ir.Value | None
    ) -> None:
        """All rows of a panel, see `Code.across`, that is transposed first."""
        line = FLOAT * self.LINE
        b.to_lines(self.scratch, line, column, self.given["n"], vectors)
        self._rows(a, self.scratch, self.code.int(line), column, vectors, tail)

    def _panel(self, a: ir.Value, b: ir.Value, column: ir.Value, vectors: int, tail: ir.Value | None) -> None:
        """All rows of a panel, see `Code.across`."""
        panel = self.code.at(b, self.code.times(column, FLOAT))
        self._rows(a, panel, self.given["b_row"], column, vectors, tail)

    def _rows(
        self,
        a: ir.Value,
        panel: ir.Value,
        step: ir.Value,
        column: ir.Value,
        vectors: int,
        tail: ir.Value | None,
    ) -> None:
        """All rows of a panel that begins there, from line to line `step` bytes."""
        code, lanes, offset = self.code, [LANES] * vectors, self.code.times(column, FLOAT)
        if tail is None:
            self._tiles(a, panel, step, offset, lanes, None)
            return
        mask = code.first_lanes(tail)
        # half a vector at the end, if that will do, takes half a step where a whole one takes two: 100 columns are 6.5
        with self.either("<=", tail, HALF) as (few, many):
            with few:
                self._tiles(a, panel, step, offset, [*lanes[1:], HALF], mask)
            with many:
                self._tiles(a, panel, step, offset, lanes, mask)

    def _tiles(
        self,
        a: ir.Value,
        panel: ir.Value,
        step: ir.Value,
        offset: ir.Value,
        lanes: list[int],
        mask: ir.Value | None,
    ) -> None:
        """The same, with so many lanes side by side; mask: those of the last vector that there are; offset: bytes to the right."""
        code = self.code
        given = None if self.product.transposed or mask is None else code.first(lanes[-1], mask)
        read, written = self._columns(lanes, given), self._columns([LANES] * len(lanes), mask)

        def tile(first: ir.Value, rows: int) -> None:
            found = self.sums(self.rows_of(a, first, rows), panel, step, read, self.given["k"])
            whole = [[vector.first(LANES) for vector in line] for line in found]
            self.finish(whole, first, offset, written, _HELD)

        self.down(_HEIGHTS if self.product.tall else _HEIGHTS[-1:], tile)

    def _columns(self, lanes: list[int], mask: ir.Value | None) -> list[Columns]:
        masks = [*[None] * (len(lanes) - 1), mask]
        offsets = (self.code.int(VECTOR * j) for j in range(len(lanes)))
        return [Columns(*each) for each in zip(offsets, lanes, masks, strict=True)]
