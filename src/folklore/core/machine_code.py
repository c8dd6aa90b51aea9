"""Functions for a processor, written as vector instructions; `folklore.core.compilation` has LLVM compile them.

What is written is exact: every operation is rounded by itself, in single precision, as tensors do it; nothing is reordered. So the bits do
not depend on the processor, only the speed does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from llvmlite import ir

from folklore.core import processor

LANES = 16  # floats of a vector; the compiler splits it where registers are shorter
HALF, QUARTER = LANES // 2, LANES // 4
FLOAT, INTEGER, VECTOR = 4, 8, 4 * LANES  # bytes
_AT_ONCE = 4  # vectors that do not wait for one another
_I1, _I32, _I64, _F32 = (*map(ir.IntType, (1, 32, 64)), ir.FloatType())
_VEC, _MASK = ir.VectorType(_F32, LANES), ir.VectorType(_I1, LANES)
# of 32 bits, as floats are: a mask of longer ones is packed anew at every use without registers for masks
_NUMBERED = ir.Constant(ir.VectorType(_I32, LANES), list(range(LANES)))
_PTR = ir.PointerType()


class Vector:
    """Floats of code that is being written, LANES of them if nothing else is said. Its arithmetic is that of tensors, each operation rounded by
    itself.
    """

    def __init__(self, code: Code, value: ir.Value) -> None:
        self.code, self.value = code, value

    @property
    def lanes(self) -> int:
        return self.value.type.count

    def first(self, lanes: int) -> Vector:
        """Its first lanes; where there are less, any follow."""
        return Vector(self.code, self.code.first(lanes, self.value))

    def __add__(self, other: Operand) -> Vector:
        return self._with("fadd", self, other)

    def __radd__(self, other: Operand) -> Vector:
        return self._with("fadd", other, self)

    def __sub__(self, other: Operand) -> Vector:
        return self._with("fsub", self, other)

    def __rsub__(self, other: Operand) -> Vector:
        return self._with("fsub", other, self)

    def __mul__(self, other: Operand) -> Vector:
        return self._with("fmul", self, other)

    def __rmul__(self, other: Operand) -> Vector:
        return self._with("fmul", other, self)

    def __truediv__(self, other: Operand) -> Vector:
        return self._with("fdiv", self, other)

    def __rtruediv__(self, other: Operand) -> Vector:
        return self._with("fdiv", other, self)

    def sqrt(self) -> Vector:
        return self.code.intrinsic("sqrt", self)

    def zero_where(self, comparison: str, other: Vector) -> Vector:
        """These floats, and zero where `other` compares so with zero ("<", "<="), as NaN never does."""
        zero, builder = self.code.vector(0, self.lanes).value, self.code.builder
        condition = builder.fcmp_ordered(comparison, other.value, zero)
        return Vector(self.code, builder.select(condition, zero, self.value))

    def _with(self, operation: str, left: Operand, right: Operand) -> Vector:
        values = (self.code.vector(side, self.lanes).value for side in (left, right))
        return Vector(self.code, getattr(self.code.builder, operation)(*values))


Operand = Vector | float


class Code:
    """Writes a function on addresses and strides in bytes."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    @staticmethod
    def int(value: int) -> ir.Value:
        return ir.Constant(_I64, value)

    def at(self, address: ir.Value, *offsets: ir.Value) -> ir.Value:
        for offset in offsets:
            address = self.builder.add(address, offset)
        return address

    def times(self, a: ir.Value, b: ir.Value | int) -> ir.Value:
        return self.builder.mul(a, b if isinstance(b, ir.Value) else self.int(b))

    def minus(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.sub(a, b)

    def smaller(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    @contextmanager
    def counting(self, start: ir.Value, stop: ir.Value, step: int) -> Iterator[ir.Value]:
        """The body for i = start, start + step, ... as long as i + step <= stop; `counted` is what i has come to afterwards."""
        i = None
        with self._loop([start], lambda at: (self.at(at[0], self.int(step)), "<=", stop)) as (at, following):
            (i,) = at
            following.append(self.at(i, self.int(step)))
            yield i
        self.counted = i

    @contextmanager
    def repeating(
        self, times: ir.Value, starts: Sequence[ir.Value]
    ) -> Iterator[tuple[list[ir.Value], list[ir.Value]]]:
        """The body so often, with values that go on from round to round: given those of a round it lists the following ones.

        Afterwards the same values are those of the end.
        """
        with self._loop([self.int(0), *starts], lambda at: (at[0], "<", times)) as (at, following):
            following.append(self.at(at[0], self.int(1)))
            yield at[1:], following

    @contextmanager
    def _loop(
        self, starts: Sequence[ir.Value], goes_on: Callable[[list[ir.Value]], tuple[ir.Value, str, ir.Value]]
    ) -> Iterator[tuple[list[ir.Value], list[ir.Value]]]:
        builder = self.builder
        before, head, body, after = builder.block, *(builder.append_basic_block() for _ in range(3))
        builder.branch(head)
        builder.position_at_end(head)
        at = [builder.phi(start.type) for start in starts]
        left, comparison, right = goes_on(at)
        builder.cbranch(builder.icmp_signed(comparison, left, right), body, after)
        builder.position_at_end(body)
        following: list[ir.Value] = []
        yield at, following
        for value, start, later in zip(at, starts, following, strict=True):
            value.add_incoming(start, before)
            value.add_incoming(later, builder.block)
        builder.branch(head)
        builder.position_at_end(after)

    def across(self, n: ir.Value, most: int, panel: Callable[[ir.Value, int, ir.Value | None], None]) -> None:
        """Call `panel` for all columns of n: with the first column, how many vectors, and how many lanes the last of them has (None: all).

        From left to right `most` vectors at a time, then what is left.
        """
        builder = self.builder
        with self.counting(self.int(0), n, most * LANES) as column:
            panel(column, most, None)
        column = self.counted
        left = builder.sub(n, column)
        for vectors in range(1, most + 1):
            before = self.int((vectors - 1) * LANES)
            more = builder.icmp_signed(">", left, before)
            fits = builder.and_(more, builder.icmp_signed("<=", left, self.int(vectors * LANES)))
            with builder.if_then(fits):
                panel(column, vectors, builder.sub(left, before))

    def along(self, n: ir.Value, each: Callable[[ir.Value, ir.Value | None], None]) -> None:
        """Call `each` for every vector of n floats: with the bytes before it, and the mask of the lanes that there are, None for all."""

        def panel(first: ir.Value, vectors: int, tail: ir.Value | None) -> None:
            for j in range(vectors):
                mask = self.first_lanes(tail) if tail is not None and j == vectors - 1 else None
                each(self.at(self.times(first, FLOAT), self.int(VECTOR * j)), mask)

        self.across(n, _AT_ONCE, panel)

    def by_row(
        self,
        rows: ir.Value,
        columns: ir.Value,
        each: Callable[[ir.Value, ir.Value, ir.Value | None], None],
    ) -> None:
        """Call `each` for every vector of every row: with the number of the row, and as `along` has it."""
        with self.counting(self.int(0), rows, 1) as row:
            self.along(columns, lambda before, mask: each(row, before, mask))

    def summed(
        self, n: ir.Value, count: int, each: Callable[[ir.Value, ir.Value | None], list[Vector]]
    ) -> list[Vector]:
        """So many sums of what `each` makes of every vector of n floats, called as `along` calls it; each sum is in all lanes.

        Beyond the mask it must be zero. Lane by lane in order, the lanes by a tree.
        """
        whole = self.builder.sdiv(n, self.int(LANES))
        left = self.first_lanes(self.minus(n, self.times(whole, LANES)))
        with self.repeating(whole, [self.int(0), *[self.vector(0).value] * count]) as (at, following):
            before, *sums = at
            parts = each(before, None)
            following.append(self.at(before, self.int(VECTOR)))
            following += [(Vector(self, total) + part).value for total, part in zip(sums, parts, strict=True)]
        before, *sums = at
        parts = each(before, left)
        return [self.over_lanes(Vector(self, total) + part) for total, part in zip(sums, parts, strict=True)]

    def over_lanes(
        self, vector: Vector, together: Callable[[Vector, Vector], Vector] = Vector.__add__
    ) -> Vector:
        """All lanes taken together by a tree, in all lanes."""
        apart = LANES // 2
        while apart:
            vector = together(vector, self.shuffled(vector, vector, [lane ^ apart for lane in range(LANES)]))
            apart //= 2
        return vector

    def vector(self, value: Operand, lanes: int = LANES) -> Vector:
        if isinstance(value, Vector):
            return value
        return Vector(self, ir.Constant(ir.VectorType(_F32, lanes), [float(value)] * lanes))

    def splat(self, value: ir.Value, kind: ir.Type = _F32) -> ir.Value:
        undefined = ir.Constant(ir.VectorType(kind, LANES), ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.Constant(_I32, 0))
        return self.builder.shuffle_vector(
            first, undefined, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
        )

    def first_lanes(self, count: ir.Value) -> ir.Value:
        """The mask of the first `count` lanes."""
        return self.builder.icmp_signed("<", _NUMBERED, self._in_all_lanes(count))

    def lanes(self, first: ir.Value, behind: ir.Value) -> ir.Value:
        """The mask of the lanes first .. behind - 1."""
        from_first = self.builder.icmp_signed(">=", _NUMBERED, self._in_all_lanes(first))
        return self.builder.and_(from_first, self.first_lanes(behind))

    def _in_all_lanes(self, number: ir.Value) -> ir.Value:
        return self.splat(self.builder.trunc(number, _I32), _I32)

    def only_if(self, condition: ir.Value, mask: ir.Value | None) -> ir.Value:
        """The mask (None: all lanes), or no lane at all."""
        all_or_none = self.splat(condition, _I1)
        return all_or_none if mask is None else self.builder.and_(mask, all_or_none)

    def number(self, address: ir.Value) -> Vector:
        """One float, in all lanes."""
        return Vector(self, self.splat(self.builder.load(self._pointer(address), typ=_F32)))

    def whole(self, value: ir.Value) -> Vector:
        """A whole number, in all lanes."""
        return Vector(self, self.splat(self.builder.sitofp(value, _F32)))

    def integer(self, address: ir.Value) -> ir.Value:
        """The whole number of INTEGER bytes there."""
        return self.builder.load(self._pointer(address), typ=_I64)

    def put(self, integer: ir.Value, address: ir.Value) -> None:
        self.builder.store(integer, self._pointer(address))

    def load(self, address: ir.Value, mask: ir.Value | None = None, lanes: int = LANES) -> Vector:
        """Zero where the mask, of so many lanes, is not set."""
        pointer, kind = self._pointer(address), ir.VectorType(_F32, lanes)
        if mask is None:
            return Vector(self, self.builder.load(pointer, align=FLOAT, typ=kind))
        given = [_PTR, _I32, ir.VectorType(_I1, lanes), kind]
        load, zero = self._declared("masked.load", kind, given, ".p0"), ir.Constant(kind, [0.0] * lanes)
        return Vector(self, self.builder.call(load, [pointer, ir.Constant(_I32, FLOAT), mask, zero]))

    def first(self, count: int, lanes: ir.Value) -> ir.Value:
        """The first lanes; where there are less, any follow."""
        if lanes.type.count == count:
            return lanes
        return self.joined(lanes, ir.Constant(lanes.type, ir.Undefined), count)

    def joined(self, a: ir.Value, b: ir.Value, count: int) -> ir.Value:
        """So many lanes of one and then the other."""
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, count), list(range(count))))

    def store(self, vector: Vector, address: ir.Value, mask: ir.Value | None = None) -> None:
        """mask: of the first lanes, the only ones that are stored."""
        pointer = self._pointer(address)
        if mask is None:
            self.builder.store(vector.value, pointer, align=FLOAT)
            return
        if not processor.wide_registers():
            self._store_in_parts(vector, address, mask)
            return
        store = self._declared("masked.store", ir.VoidType(), [_VEC, _PTR, _I32, _MASK], ".p0")
        self.builder.call(store, [vector.value, pointer, ir.Constant(_I32, FLOAT), mask])

    def _store_in_parts(self, vector: Vector, address: ir.Value, mask: ir.Value) -> None:
        """All lanes, half of them, a quarter ..., as the binary digits of their number say.

        Without registers for masks AMD makes some forty operations of a masked store: with those an update of 100 x 100 by 2, 8 and 16 rows takes
        a Zen 3 3.6, 5.8, 7.7 us, so it takes 3.0, 5.0, 6.7.
        """
        builder, value = self.builder, vector.value
        count, lanes = builder.ctpop(builder.bitcast(mask, ir.IntType(vector.lanes))), vector.lanes
        while lanes:
            part, digit = self.first(lanes, value), builder.and_(count, ir.Constant(count.type, lanes))
            there = builder.icmp_unsigned("!=", digit, ir.Constant(count.type, 0))
            with builder.if_then(there):
                builder.store(part, self._pointer(address), align=FLOAT)
            if lanes < vector.lanes:
                behind = ir.Constant(ir.VectorType(_I32, lanes), list(range(lanes, 2 * lanes)))
                value = builder.select(there, builder.shuffle_vector(value, value, behind), part)
                address = builder.select(there, self.at(address, self.int(FLOAT * lanes)), address)
            lanes //= 2

    def call(self, address: ir.Value, arguments: Sequence[ir.Value]) -> None:
        """A function by its address."""
        kind = type_with(len(arguments)).as_pointer()
        self.builder.call(self.builder.inttoptr(address, kind), arguments)

    def intrinsic(self, name: str, *arguments: Vector) -> Vector:
        """Of LLVM: "fma" (a b + c, rounded once), "sqrt"."""
        kind = arguments[0].value.type
        function = self._declared(name, kind, [kind] * len(arguments))
        return Vector(self, self.builder.call(function, [a.value for a in arguments]))

    def shuffled(self, a: Vector, b: Vector, lanes: list[int]) -> Vector:
        mask = ir.Constant(ir.VectorType(_I32, LANES), lanes)
        return Vector(self, self.builder.shuffle_vector(a.value, b.value, mask))

    def _pointer(self, address: ir.Value) -> ir.Value:
        return self.builder.inttoptr(address, _PTR)

    def _declared(
        self, name: str, result: ir.Type, arguments: list[ir.Type], suffix: str = ""
    ) -> ir.Function:
        """lanes: those of the vector that it is named after."""
        lanes = next(kind.count for kind in (result, *arguments) if isinstance(kind, ir.VectorType))
        full, module = f"llvm.{name}.v{lanes}f32{suffix}", self.builder.module
        return module.globals.get(full) or ir.Function(module, ir.FunctionType(result, arguments), full)


def new_code(arguments: int = 0) -> Code:
    """A function of that many whole numbers, nothing of it written yet."""
    function = ir.Function(ir.Module(), type_with(arguments), "written")
    return Code(ir.IRBuilder(function.append_basic_block()))


def type_with(arguments: int) -> ir.FunctionType:
    return ir.FunctionType(ir.VoidType(), [_I64] * arguments)
