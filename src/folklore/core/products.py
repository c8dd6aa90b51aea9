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

from folklore.core.machine_code import (
    FLOAT,
    LANES,
    VECTOR,
    Code,
    Compiled,
    Vector,
    compiled,
    over_runs,
    wide_registers,
)

ROWS = (
    6,
    2,
    1,
)  # of tiles, the tallest that fits first; two of 2 rows are as fast as one of 4, and less to compile
ROW = (1,)  # of what is one row, as a bias is
_ARGUMENTS = ("a", "a_run", "a_row", "a_column", "b", "b_run", "b_row", "m", "k", "n", "beside", "beside_run")


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

    def store(self, code: Code, operand: int, vector: Vector) -> None:
        code.store(vector, self.operands[operand], self.mask)


# the sum of a vector of C, and what is done with it there
End = Callable[[Code, Vector, Place], None]
Kernel = Callable[..., None]


@dataclass(frozen=True)
class Product:
    """C = A B of one run, and `end`, what becomes of each vector of C.

    A (m, k) by two strides. B (k, n), rows without gaps; if `transposed`, what is given is its transpose (n, k), and a scratch of
    `scratch_floats(k)`. The end may read and write matrices like C, the operands (m, n) without gaps, C the first of them; it may read
    `numbers` floats that the run has beside. rows: of tiles; a row vector needs no tall ones, which take long to compile.
    """

    end: End
    operands: int = 1
    numbers: int = 0
    transposed: bool = False
    rows: tuple[int, ...] = ROWS

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
    return -(-k // LANES) * LANES * LANES * _most_vectors()


def _most_vectors() -> int:
    """Vectors side by side in a tile: with 6 rows they fill the registers, and leave some for B."""
    return 4 if wide_registers() else 1


class _Writer:
    """Writes the loops around a tile, and the tile."""

    def __init__(self, code: Code, product: Product, arguments: Sequence[ir.Value]) -> None:
        count = len(_ARGUMENTS)
        self.code, self.product, self.most = code, product, _most_vectors()
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
        code.across(given["n"], self.most, partial(self._panel, a, b))

    def _panel(self, a: ir.Value, b: ir.Value, column: ir.Value, vectors: int, tail: ir.Value | None) -> None:
        """All rows of a panel, see `Code.across`."""
        code, given = self.code, self.given
        offset = code.times(column, FLOAT)
        mask = None if tail is None else code.first_lanes(tail)
        if self.product.transposed:
            lines = code.int((vectors - 1) * LANES)
            lines = code.at(lines, code.int(LANES) if tail is None else tail)
            self._transpose(code.at(b, code.times(given["b_row"], column)), lines, vectors)
            panel, step = self.scratch, code.int(VECTOR * self.most)
        else:
            panel, step = code.at(b, offset), given["b_row"]
        row = code.int(0)
        for rows in self.product.rows:
            with code.counting(row, given["m"], rows) as first:
                numbers = [code.at(first, code.int(i)) for i in range(rows)]
                start = [code.at(a, code.times(given["a_row"], i)) for i in numbers]
                sums = self._sums(start, panel, step, vectors, None if self.product.transposed else mask)
                for i, line in zip(numbers, sums, strict=True):
                    self._finish(line, code.times(self.row_bytes, i), offset, mask)
            row = code.counted

    def _sums(
        self, a: list[ir.Value], b: ir.Value, step: ir.Value, vectors: int, mask: ir.Value | None
    ) -> list[list[Vector]]:
        """The sums over k of a tile: rows that begin at `a`, vectors from `b` on, from line to line `step` bytes."""
        code, given = self.code, self.given
        zero = code.vector(0).value
        starts = [code.int(0), b, *[zero] * (len(a) * vectors)]
        with code.repeating(given["k"], starts) as (at, following):
            at_a, at_b, *flat = at
            masks = [*[None] * (vectors - 1), mask]
            line = [code.load(code.at(at_b, code.int(VECTOR * j)), masks[j]) for j in range(vectors)]
            following += [code.at(at_a, given["a_column"]), code.at(at_b, step)]
            for i, start in enumerate(a):
                number = code.number(code.at(start, at_a))
                sums = [Vector(code, value) for value in flat[i * vectors : (i + 1) * vectors]]
                following += [
                    code.intrinsic("fma", number, b, c).value for b, c in zip(line, sums, strict=True)
                ]
        return [
            [Vector(code, value) for value in flat[i * vectors : (i + 1) * vectors]] for i in range(len(a))
        ]

    def _finish(self, line: list[Vector], row: ir.Value, offset: ir.Value, mask: ir.Value | None) -> None:
        """Hand the sums of a row of a tile to what becomes of them; `row` and `offset`: bytes down and right."""
        code = self.code
        for j, found in enumerate(line):
            column = code.at(offset, code.int(VECTOR * j))
            operands = [code.at(start, row, column) for start in self.starts]
            last = mask if j == len(line) - 1 else None
            self.product.end(code, found, Place(operands, column, self.beside, self.numbers, last))

    def _transpose(self, source: ir.Value, rows: ir.Value, vectors: int) -> None:
        """`rows` rows of k floats at `source` become k lines of the scratch, LANES x LANES at a time."""
        code, given = self.code, self.given
        line = code.int(VECTOR * self.most)
        blocks = code.builder.sdiv(code.at(given["k"], code.int(LANES - 1)), code.int(LANES))
        with (
            code.counting(code.int(0), blocks, 1) as block,
            code.counting(code.int(0), code.int(vectors), 1) as j,
        ):
            first = code.times(block, LANES)
            mask = code.first_lanes(code.builder.sub(given["k"], first))
            read = []
            for i in range(LANES):
                row = code.at(code.times(j, LANES), code.int(i))
                address = code.at(source, code.times(given["b_row"], row), code.times(first, FLOAT))
                there = code.builder.icmp_signed("<", row, rows)
                read.append(code.load(address, code.only_if(there, mask)))
            for i, vector in enumerate(_transposed(code, read)):
                to = code.times(code.at(first, code.int(i)), line)
                code.store(vector, code.at(self.scratch, to, code.times(j, VECTOR)))


def _transposed(code: Code, rows: list[Vector]) -> list[Vector]:
    """LANES vectors as the columns of what they were the rows of: blocks off the diagonal change places, then those within blocks."""
    size = LANES // 2
    while size:
        for i in range(LANES):
            if not i & size:
                a, b = rows[i], rows[i + size]
                low = [lane if not lane & size else LANES + lane - size for lane in range(LANES)]
                high = [lane + size if not lane & size else LANES + lane for lane in range(LANES)]
                rows[i], rows[i + size] = code.shuffled(a, b, low), code.shuffled(a, b, high)
        size //= 2
    return rows
