"""What dropout keeps, drawn by compiled code: the words of `folklore.core.randomness`, made into factors where they arise.

NumPy draws as fast, but every run, site and block is then a dozen calls from Python: at batch 32 a quarter of the time of three layers with dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import prod

import numpy as np
import torch
from llvmlite import ir
from torch import Tensor

from folklore.core.ahead import mapped, sent
from folklore.core.calls import Calls, Matrix, Spot, of_update
from folklore.core.compilation import Compiled, compiled
from folklore.core.machine_code import INTEGER, LANES, VECTOR, Code, Vector
from folklore.core.randomness import U16_PER_COUNTER, key_of, uint16_block

# Philox 4x64 with ten rounds, Salmon et al. 2011: what words are multiplied by, and what the key grows by from round to round
_ROUNDS = 10
_MULTIPLIERS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_GROWTH = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_I16, _I32, _I64, _I128 = map(ir.IntType, (16, 32, 64, 128))


@dataclass(frozen=True)
class Kept:
    """Factors (S, R, *own): 0 where a run's 16-bit draw is below its threshold, else its scale, of scales (R,).

    Those of the updates first .. first + S - 1, or, if not `fresh`, of the first of them all the time.
    """

    purpose: str
    own: tuple[int, ...]
    seeds: tuple[int, ...]
    thresholds: tuple[int, ...]
    scales: Tensor
    first: int
    updates: int
    fresh: bool

    @property
    def shape(self) -> torch.Size:
        return torch.Size([self.updates, len(self.seeds), *self.own])

    @cached_property
    def tensor(self) -> Tensor:
        drawn = replace(self, updates=self.updates if self.fresh else 1)
        found = drawn._at_once() if self.scales.is_cpu else drawn.for_a_device()
        return found.expand(self.shape)

    def cut(self, updates: slice) -> Kept:
        start, stop, _ = updates.indices(self.updates)
        return replace(self, first=self.first + start * self.fresh, updates=stop - start)

    def in_registers(self) -> bool:
        return self.scales.is_cpu

    def written(self, calls: Calls) -> Matrix:
        found = calls.scratch(*self.own)
        self._draw(calls, found.spot)
        return found

    def _at_once(self) -> Tensor:
        found, calls = torch.empty(self.shape), Calls()
        self._draw(calls, of_update(found.view(self.updates, len(self.seeds), 1, prod(self.own))).spot)
        calls.make(runs=range(len(self.seeds)), updates=self.updates)
        return found

    def _draw(self, calls: Calls, out: Spot) -> None:
        count = prod(self.own)
        counters = -(-count // U16_PER_COUNTER)
        begin = Spot(self.first * counters, 0, counters * self.fresh)
        given = Spot(self._of_runs.data_ptr(), INTEGER * self._of_runs.shape[1])
        calls.add(_factors_part(), count, begin, given, out)

    @cached_property
    def _of_runs(self) -> Tensor:
        """Of each run the two words of its key, its threshold and the bits of its scale."""
        keys = np.stack([key_of(seed, self.purpose) for seed in self.seeds]).view(np.int64)
        bits = self.scales.view(torch.int32).numpy().astype(np.int64)
        return torch.from_numpy(np.column_stack([keys, np.asarray(self.thresholds, np.int64), bits]))

    def for_a_device(self) -> Tensor:
        """Drawn by all cores, then sent; a byte travels for a factor, not four."""
        keep, device = np.empty(self.shape, dtype=np.bool_), self.scales.device

        def draw(r: int, seed: int, threshold: int) -> None:
            if threshold:
                words = uint16_block(seed, self.purpose, self.first, self.updates, prod(self.own))
                np.greater_equal(words.reshape(-1, *self.own), threshold, out=keep[:, r])
            else:  # a run that drops nothing needs no draws: its own counter stream is nobody else's
                keep[:, r] = True

        mapped(draw, range(len(self.seeds)), self.seeds, self.thresholds, device=device)
        return sent(keep, device).to(torch.float32).mul_(self.scales.view(1, -1, *[1] * len(self.own)))


@cache
def _factors_part() -> Compiled:
    """Of a run's number (not used), how many factors, the counter that they begin at, the addresses of two words of the run's key, its threshold
    and its scale, and that of the factors.
    """

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, count, counter, of_run, out = given
        builder = code.builder
        *key, threshold = (code.integer(code.at(of_run, code.int(INTEGER * i))) for i in range(3))
        least = code.splat(builder.trunc(threshold, _I32), _I32)
        scale, nothing = code.number(code.at(of_run, code.int(3 * INTEGER))), code.vector(0.0)

        def each(before: ir.Value, mask: ir.Value | None) -> None:
            # NumPy counts before it draws
            at = code.at(counter, builder.sdiv(before, code.int(VECTOR)), code.int(1))
            draws = builder.zext(_sixteen(code, _philox(code, key, at)), ir.VectorType(_I32, LANES))
            kept = builder.icmp_unsigned(">=", draws, least)
            chosen = Vector(code, builder.select(kept, scale.value, nothing.value))
            code.store(chosen, code.at(out, before), mask)

        code.along(count, each)

    return compiled(write, 5)


def _philox(code: Code, key: Sequence[ir.Value], counter: ir.Value) -> list[ir.Value]:
    """The four words of a counter below 2^64."""
    builder, words = code.builder, [counter, *[code.int(0)] * 3]
    for i in range(_ROUNDS):
        own = [builder.add(k, _word(growth * i)) for k, growth in zip(key, _GROWTH, strict=True)]
        (high, low), (other_high, other_low) = (
            _multiplied(code, word, by) for word, by in zip(words[::2], _MULTIPLIERS, strict=True)
        )
        mixed = builder.xor(builder.xor(other_high, words[1]), own[0])
        other = builder.xor(builder.xor(high, words[3]), own[1])
        words = [mixed, other_low, other, low]
    return words


def _multiplied(code: Code, word: ir.Value, by: int) -> tuple[ir.Value, ir.Value]:
    """The high and the low word of a product."""
    builder = code.builder
    product = builder.mul(builder.zext(word, _I128), ir.Constant(_I128, by))
    high = builder.lshr(product, ir.Constant(_I128, 64))
    return builder.trunc(high, _I64), builder.trunc(product, _I64)


def _sixteen(code: Code, words: Sequence[ir.Value]) -> ir.Value:
    """Four words as sixteen 16-bit numbers, the lowest bits first."""
    vector = ir.Constant(ir.VectorType(_I64, len(words)), ir.Undefined)
    for i, word in enumerate(words):
        vector = code.builder.insert_element(vector, word, ir.Constant(_I32, i))
    return code.builder.bitcast(vector, ir.VectorType(_I16, LANES))


def _word(number: int) -> ir.Value:
    return ir.Constant(_I64, number % (1 << 64))
