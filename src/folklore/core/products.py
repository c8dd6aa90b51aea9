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
from functools import cache

from llvmlite import ir

from folklore.core import processor
from folklore.core.compilation import Compiled, compiled, over_runs
from folklore.core.machine_code import LANES, Code, Vector
from folklore.core.short_tiles import ShortTiles
from folklore.core.tiles import ARGUMENTS, Place, Tiles
from folklore.core.wide_tiles import WideTiles

# of the sum of a vector of C, what the first operands have there afterwards
End = Callable[[Code, Vector, Place], list[Vector]]
Kernel = Callable[..., None]


@dataclass(frozen=True)
class Product:
    """C = A B of one run, and `end`, what becomes of each vector of C.

    A (m, k) by two strides. B (k, n), rows without gaps; if `transposed`, what is given is its transpose (n, k), and a scratch of
    `scratch_floats(k)`; else one of `sums_floats(m, k)`, or none (0), which is slower where k is long.

    The end may read matrices like C, the operands (m, n) without gaps, C the first of them, and makes what is written to the first of them; it may
    read `numbers` floats that the run has beside. tall: a row vector, such as a bias, needs no tall tiles, which take long to compile.
    """

    end: End
    operands: int = 1
    numbers: int = 0
    transposed: bool = False
    tall: bool = True

    @property
    def arguments(self) -> int:
        return len(ARGUMENTS) + self.operands + 1


def kernel(*products: Product) -> Kernel:
    """A compiled function that makes the products for every run, one after the other.

    Its arguments: the number of runs, then for each product addresses, strides in bytes and counts as ARGUMENTS names them, the addresses
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
        _tiles()(code, product, own).write(run)

    return compiled(write, 1 + product.arguments)


def scratch_floats(k: int) -> int:
    """Floats of a transposed panel."""
    return -(-k // LANES) * LANES * _tiles().LINE


def sums_floats(m: int, k: int) -> int:
    """Floats of a scratch that lets a product which is not transposed go block by block; 0 where it would not."""
    return _tiles().sums_floats(m, k)


def _tiles() -> type[Tiles]:
    return WideTiles if processor.wide_registers() else ShortTiles
