"""Columns of a matrix whose transpose is given, LANES of its rows at a time, in vector code.

Four floats of each of four rows are loaded into a vector, and four such vectors changed within their quarters, which costs a processor least.
A block that is turned so takes 63 cycles of a Zen 4 to reach memory, for 85 when sixteen whole rows were read and exchanged lane by lane.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from folklore.core.machine_code import FLOAT, HALF, LANES, QUARTER, VECTOR, Code, Vector


class Transpose:
    """Given (n, k), rows `apart` bytes from one another; wanted are its columns."""

    def __init__(self, code: Code, start: ir.Value, apart: ir.Value, k: ir.Value) -> None:
        self.code, self.start, self.apart, self.k = code, start, apart, k

    def rows(self, first: ir.Value, behind: ir.Value) -> list[ir.Value]:
        """Where LANES rows begin, from number `first` on; one that is not before number `behind` is the last that is, again."""
        code = self.code
        last = code.minus(behind, code.int(1))
        numbers = (code.smaller(code.at(first, code.int(i)), last) for i in range(LANES))
        return [code.at(self.start, code.times(self.apart, number)) for number in numbers]

    def columns(self, rows: list[ir.Value], first: ir.Value, count: ir.Value | None = None) -> list[Vector]:
        """QUARTER columns of LANES rows from number `first` on; if there are only `count` (None: all), zeros behind them."""
        places = [self.code.at(row, self.code.times(first, FLOAT)) for row in rows]
        mask = None if count is None else self.code.first(QUARTER, self.code.first_lanes(count))
        return _turned(self.code, [_beside(self.code, places[i::QUARTER], mask) for i in range(QUARTER)])

    def to_lines(self, lines: ir.Value, apart: int, first: ir.Value, behind: ir.Value, vectors: int) -> None:
        """So many vectors of every column, of the rows from number `first` on, side by side to a line of its own, `apart` bytes from the one
        before it. Lanes of rows that are not there hold anything. There must be lines for a multiple of LANES columns.
        """
        code = self.code
        last_block = code.minus(self.k, code.int(LANES))
        wide = code.builder.icmp_signed(">=", last_block, code.int(0))
        with code.counting(code.int(0), code.int(vectors), 1) as j:
            rows = self.rows(code.at(first, code.times(j, LANES)), behind)
            to = code.at(lines, code.times(j, VECTOR))
            with code.builder.if_else(wide) as (whole_blocks, one_block):
                with (
                    whole_blocks,
                    code.counting(code.int(0), code.at(self.k, code.int(LANES - 1)), LANES) as i,
                ):
                    # the last block ends where the rows do, and makes some lines again
                    self._block(rows, to, apart, code.smaller(i, last_block), None)
                with one_block:
                    self._block(rows, to, apart, code.int(0), self.k)

    def _block(
        self, rows: list[ir.Value], to: ir.Value, apart: int, first: ir.Value, count: ir.Value | None
    ) -> None:
        """LANES columns from number `first` on, of which there are so many (None: all)."""
        code = self.code
        for column in range(0, LANES, QUARTER):
            left = None if count is None else code.minus(count, code.int(column))
            for i, vector in enumerate(self.columns(rows, code.at(first, code.int(column)), left)):
                below = code.times(code.at(first, code.int(column + i)), apart)
                code.store(vector, code.at(to, below))


def _beside(code: Code, addresses: Sequence[ir.Value], mask: ir.Value | None) -> Vector:
    """Four floats from each of four addresses side by side; zero where the mask of four, if there is one, is not set."""
    a, b, c, d = (code.load(address, mask, QUARTER).value for address in addresses)
    return Vector(code, code.joined(code.joined(a, b, HALF), code.joined(c, d, HALF), LANES))


def _turned(code: Code, rows: Sequence[Vector]) -> list[Vector]:
    """Four matrices of 4 x 4 side by side, each in a quarter of four vectors, transposed."""
    a, b, c, d = rows
    found = []
    for pairs in ((0, 4, 1, 5), (2, 6, 3, 7)):
        first, second = _in_quarters(code, a, b, pairs), _in_quarters(code, c, d, pairs)
        found += [_in_quarters(code, first, second, lanes) for lanes in ((0, 1, 4, 5), (2, 3, 6, 7))]
    return found


def _in_quarters(code: Code, a: Vector, b: Vector, lanes: Sequence[int]) -> Vector:
    """Four lanes of every quarter of two vectors, those of the second from number QUARTER on."""
    of_second = LANES - QUARTER
    own = [lane if lane < QUARTER else of_second + lane for lane in lanes]
    return code.shuffled(a, b, [start + lane for start in range(0, LANES, QUARTER) for lane in own])
