"""Matrix products of a stack on one core of a processor: as fast as its vector registers allow, the same bits on every processor.

torch.bmm does 70 to 100 GFLOP/s where the registers could do 240 (an AMD EPYC 9005, on which MKL takes a slower path); these do 150 to 230
from eight rows on, in 32 products of 100 x 100. A tile of C = A B is held in registers while the sum over k runs, and what becomes of it (a
bias, the whole update of an optimizer) happens before it is written, so that no gradient is ever stored.

Every element is one chain of fused multiply-adds in the order of k, whatever the width of the registers, the place of the element and the
number of products: so neither the stack nor the processor changes a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

from llvmlite import ir

from folklore.core.compilation import Compiled, compiled, over_runs
from folklore.core.machine_code import FLOAT, HALF, LANES, QUARTER, VECTOR, Code, Vector
from folklore.core.processor import wide_registers
from folklore.core.transposes import Transpose

# vectors of a tile that are made before any is stored: with 1, 4, 6, 12, 24 an update of 100 x 10 by 2 rows takes 1.04, .43, .29, .27, .29 us,
# and one of 100 x 100 .95, .95, .93, .97, 1.23
_HELD = 6
_ARGUMENTS = ("a", "a_run", "a_row", "a_column", "b", "b_run", "b_row", "m", "k", "n", "beside", "beside_run")


@dataclass(frozen=True)
class _Tiles:
    """What fits the registers. vectors: most side by side; heights: rows, the tallest that fits first; few: the same, one vector wide, of slopes of
    no more rows than these, by columns that are turned in registers.
    """

    vectors: int
    heights: tuple[int, ...]
    few: tuple[int, ...]


# Two tiles of 2 rows are as fast as one of 4, and less to compile. Back through 100 x 100, 2 and 8 rows take a Zen 4 1.0 and 1.8 us by few, and
# 1.3 and 2.4 by lines of a scratch.
_WIDE = _Tiles(4, (6, 2, 1), (8, 4, 2, 1))
# 2 rows are as slow as 4: forward 8, 16, 32 rows take a Zen 3 3.5, 5.6, 9.7 us, and 3.9, 6.7, 10.2 without 4. There is no room for few of 8: back 8
# take 6.2 us so, and 4.6 by lines; 2 take 3.1, and 3.4 by lines.
_SHORT = _Tiles(1, (6, 4, 2, 1), (2, 1))


@dataclass(frozen=True)
class Place:
    """Where a vector of C lies. operands: its addresses; column: bytes from the start of its row; beside: the address of what the run has
    beside its matrices; numbers: the first of it, read; mask: the lanes that there are, None for all.
    """

    operands: Sequence[ir.Value]
    column: ir.Value
    beside: ir.Value
    numbers: Sequence[Vector]
    mask: ir.Value | None

    def load(self, code: Code, operand: int) -> Vector:
        return code.load(self.operands[operand], self.mask)

    def store(self, code: Code, vectors: Sequence[Vector]) -> None:
        """In the first operands."""
        for vector, address in zip(vectors, self.operands, strict=False):
            code.store(vector, address, self.mask)


# of the sum of a vector of C, what the first operands have there afterwards
End = Callable[[Code, Vector, Place], list[Vector]]
Kernel = Callable[..., None]


@dataclass(frozen=True)
class Product:
    """C = A B of one run, and `end`, what becomes of each vector of C.

    A (m, k) by two strides. B (k, n), rows without gaps; if `transposed`, what is given is its transpose (n, k), and a scratch of
    `scratch_floats(k)`. The end may read matrices like C, the operands (m, n) without gaps, C the first of them, and makes what is written to the
    first of them; it may read `numbers` floats that the run has beside. tall: a row vector, such as a bias, needs no tall tiles, which take
    long to compile.
    """

    end: End
    operands: int = 1
    numbers: int = 0
    transposed: bool = False
    tall: bool = True

    @property
    def arguments(self) -> int:
        return len(_ARGUMENTS) + self.operands + 1


def kernel(*products: Product) -> Kernel:
    """A compiled function that makes the products for every run, one after the other.

    Its arguments: the number of runs, then for each product addresses, strides in bytes and counts as _ARGUMENTS names them, the addresses
    of the operands and that of the scratch.
    """
    return over_runs(*map(of_one_run, products))


@cache
def of_one_run(product: Product) -> Compiled:
    """The product of the run whose number comes first, then arguments as `kernel` has them. Kernels share it: to compile one takes a third of
    a second.
    """

    def write(code: Code, arguments: Sequence[ir.Value]) -> None:
        run, *own = arguments
        _Writer(code, product, own).write(run)

    return compiled(write, 1 + product.arguments)


def scratch_floats(k: int) -> int:
    """Floats of a transposed panel."""
    return -(-k // LANES) * LANES * LANES * _tiles().vectors


def _tiles() -> _Tiles:
    """With 6 rows they fill the registers, and leave some for B."""
    return _WIDE if wide_registers() else _SHORT


class _Writer:
    """Writes the loops around a tile, and the tile."""

    def __init__(self, code: Code, product: Product, arguments: Sequence[ir.Value]) -> None:
        count = len(_ARGUMENTS)
        self.code, self.product, tiles = code, product, _tiles()
        self.most, self.few, self.heights = tiles.vectors, tiles.few, tiles.heights if product.tall else (1,)
        self.given = dict(zip(_ARGUMENTS, arguments[:count], strict=True))
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
        if not self.product.transposed:
            code.across(given["n"], self.most, partial(self._panel, a, b))
            return
        turned = Transpose(code, b, given["b_row"], given["k"])
        with code.builder.if_else(code.builder.icmp_signed("<=", given["m"], code.int(self.few[0]))) as (
            few,
            many,
        ):
            with few:
                code.across(given["n"], 1, partial(self._few, a, turned))
            with many:
                code.across(given["n"], self.most, partial(self._turned_panel, a, turned))

    def _few(self, a: ir.Value, b: Transpose, column: ir.Value, _: int, tail: ir.Value | None) -> None:
        """A vector of few rows, see `Code.across`, by columns of B that no other rows want: they are turned in registers, and not kept."""
        code, given, row = self.code, self.given, self.code.int(0)
        mask = None if tail is None else code.first_lanes(tail)
        lines = b.rows(column, given["n"])
        for rows in self.few:
            with code.counting(row, given["m"], rows) as first:
                numbers = [code.at(first, code.int(i)) for i in range(rows)]
                start = [code.at(a, code.times(given["a_row"], i)) for i in numbers]
                sums = [[vector] for vector in self._sums_of_turned(start, b, lines)]
                self._finish(sums, numbers, code.times(column, FLOAT), mask)
            row = code.counted

    def _sums_of_turned(self, a: list[ir.Value], b: Transpose, lines: list[ir.Value]) -> list[Vector]:
        """The sums over k of rows that begin at `a`, one vector each, by these rows of the transpose."""
        code, k, apart = self.code, self.given["k"], self.given["a_column"]
        times = code.builder.sdiv(k, code.int(QUARTER))
        whole = code.times(times, QUARTER)
        left, zeros = code.minus(k, whole), [code.vector(0).value] * len(a)

        def added(sums: list[ir.Value], column: ir.Value, vector: Vector) -> list[ir.Value]:
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

    def _turned_panel(
        self, a: ir.Value, b: Transpose, column: ir.Value, vectors: int, tail: ir.Value | None
    ) -> None:
        """All rows of a panel, see `Code.across`, that is transposed first."""
        line = VECTOR * self.most
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
        # half a vector at the end, if that will do, takes half a step where registers are shorter or a whole one takes two: 100 columns are 6.5
        with code.builder.if_else(code.builder.icmp_signed("<=", tail, code.int(HALF))) as (few, many):
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
        code, given, row = self.code, self.given, self.code.int(0)
        together = max(1, _HELD // len(lanes))
        for rows in self.heights:
            with code.counting(row, self._stop(rows), rows) as first:
                numbers = [code.at(first, code.int(i)) for i in range(rows)]
                start = [code.at(a, code.times(given["a_row"], i)) for i in numbers]
                sums = self._sums(start, panel, step, lanes, None if self.product.transposed else mask)
                for i in range(0, rows, together):
                    self._finish(sums[i : i + together], numbers[i : i + together], offset, mask)
            row = code.counted

    def _stop(self, rows: int) -> ir.Value:
        """The row at which tiles of so many rows end at the latest: where 6 would leave 2 and there are tiles of 4, two of these are taken."""
        code, m = self.code, self.given["m"]
        if rows != 6 or 4 not in self.heights:
            return m
        left = code.builder.srem(m, code.int(6))
        return code.builder.select(
            code.builder.icmp_signed("==", left, code.int(2)), code.minus(m, code.int(8)), m
        )

    def _sums(
        self, a: list[ir.Value], b: ir.Value, step: ir.Value, lanes: list[int], mask: ir.Value | None
    ) -> list[list[Vector]]:
        """The sums over k of a tile: rows that begin at `a`, vectors from `b` on."""
        code, given, vectors = self.code, self.given, len(lanes)
        if mask is not None:
            mask = code.first(lanes[-1], mask)
        masks = [*[None] * (vectors - 1), mask]
        zeros = [code.first(count, code.vector(0).value) for count in lanes]
        with code.repeating(given["k"], [code.int(0), b, *zeros * len(a)]) as (at, following):
            at_a, at_b, *flat = at
            line = [
                code.load(code.at(at_b, code.int(VECTOR * j)), masks[j], count)
                for j, count in enumerate(lanes)
            ]
            following += [code.at(at_a, given["a_column"]), code.at(at_b, step)]
            for i, start in enumerate(a):
                number = code.number(code.at(start, at_a)).value
                for b_, c in zip(line, flat[i * vectors : (i + 1) * vectors], strict=True):
                    same = Vector(code, code.first(c.type.count, number))
                    following.append(code.intrinsic("fma", same, b_, Vector(code, c)).value)
        whole = [Vector(code, code.first(LANES, value)) for value in flat]
        return [whole[i * vectors : (i + 1) * vectors] for i in range(len(a))]

    def _finish(
        self, lines: list[list[Vector]], rows: list[ir.Value], offset: ir.Value, mask: ir.Value | None
    ) -> None:
        """Hand the sums of rows of a tile to what becomes of them; `offset`: bytes to the right."""
        code, made = self.code, []
        for line, row in zip(lines, rows, strict=True):
            for j, found in enumerate(line):
                column = code.at(offset, code.int(VECTOR * j))
                operands = [code.at(start, code.times(self.row_bytes, row), column) for start in self.starts]
                last = mask if j == len(line) - 1 else None
                place = Place(operands, column, self.beside, self.numbers, last)
                made.append((place, self.product.end(code, found, place)))
        # all is read before any is written: a load behind a masked store, which seems to reach into the next row, waits until that is done
        for place, vectors in made:
            place.store(code, vectors)
