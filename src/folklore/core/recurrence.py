"""Rows read as sequences, step by step: (R, B, F) as rows of steps, (R, T * B, features), which of them go on, and moments over steps.

Zeros that end a row are padding: it goes on until then, and its state waits afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from llvmlite import ir
from torch import Tensor
from torch.nn.functional import pad

from folklore.core.affine import in_registers
from folklore.core.batch_norm import RUNNING_WEIGHT, Moments
from folklore.core.compilation import Compiled, compiled
from folklore.core.elementary import chosen, select
from folklore.core.machine_code import FLOAT, Code, Vector


def by_step(x: Tensor, read: int) -> Tensor:
    """Inputs (R, B, F) as rows (R, T * B, read), those of the first step first; zeros where the last step has no more inputs."""
    steps = -(-x.shape[2] // read)
    return pad(x, (0, read * steps - x.shape[2])).unflatten(2, (steps, read)).transpose(1, 2).flatten(1, 2)


def going(x: Tensor, read: int) -> Tensor:
    """Of inputs (..., B, F) which rows go on at each step, (..., T, B); at the first all do."""
    steps = -(-x.shape[-1] // read)
    there = pad(x, (0, read * steps - x.shape[-1])).unflatten(-1, (steps, read)).ne(0).any(dim=-1)
    there = there.transpose(-1, -2).int().flip(-2).cummax(dim=-2).values.flip(-2).bool()
    there[..., 0, :] = True
    return there


def reached(going: Sequence[Tensor | None], like: Tensor) -> Tensor:
    """(R, steps, 1): 1 where a run has a row (R, B, 1) that goes on at the step, as all do where there is None, else 0."""
    each = [like.new_ones(1, 1, 1) if g is None else g.any(dim=1, keepdim=True).to(like) for g in going]
    return torch.cat(torch.broadcast_tensors(*each), dim=1)


def together(means: Tensor, variances: Tensor, reached: Tensor, known: Moments, rows: int) -> Moments:
    """Mean and variance (R, 1, H) of all steps together, from those of each, (R, T, H).

    reached (R, T, 1): 1 where a run has a row that goes on at the step, else 0: such a step does not count. A run that none of the steps has
    reached has seen what it `known`: moments of so many rows that leave its running ones as they are.
    """
    if in_registers(means, variances, reached, *known):
        return _together(means, variances, reached, known, rows)
    total = reached.sum(dim=1, keepdim=True)
    share = reached / total.clamp(min=1.0)
    mean = (share * means).sum(dim=1, keepdim=True)
    variance = (share * (variances + (means - mean) ** 2)).sum(dim=1, keepdim=True)
    known_mean, known_variance = known
    mean = torch.where(total > 0, mean, known_mean)
    return mean, torch.where(total > 0, variance, known_variance * ((rows - 1) / rows))


def _together(means: Tensor, variances: Tensor, reached: Tensor, known: Moments, rows: int) -> Moments:
    runs, steps, units = means.shape
    reached = reached.expand(runs, steps, 1)
    given = [t.contiguous() for t in (reached, means, variances, *known)]
    found = [torch.empty_like(known[0]) for _ in known]
    for addresses in zip(*([run.data_ptr() for run in t] for t in (*given, *found)), strict=True):
        together_part(moves=False).call(0, steps, units, rows, *addresses)
    return found[0], found[1]


@cache
def by_step_part() -> Compiled:
    """Of a run's number (not used), rows, inputs, steps, how many a step reads, and the addresses of inputs and of the rows of steps."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, rows, inputs, steps, read, x, found = given
        with code.counting(code.int(0), steps, 1) as step, code.counting(code.int(0), rows, 1) as row:
            first = code.times(step, read)
            source = code.at(x, code.times(code.at(code.times(row, inputs), first), FLOAT))
            put = code.at(found, code.times(code.times(code.at(code.times(step, rows), row), read), FLOAT))

            def each(before: ir.Value, mask: ir.Value | None) -> None:
                column = code.at(first, code.builder.sdiv(before, code.int(FLOAT)))
                there = code.first_lanes(code.minus(inputs, column))
                there = there if mask is None else code.builder.and_(there, mask)
                code.store(code.load(code.at(source, before), there), code.at(put, before), mask)

            code.along(read, each)

    return compiled(write, 7)


@cache
def held_part() -> Compiled:
    """Of a run's number (not used), rows, units, the addresses of what tells which rows go on (above 0), of new states, old ones, and the result."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, rows, units, goes_on, new, old, found = given

        def each(row: ir.Value, before: ir.Value, mask: ir.Value | None) -> None:
            own = code.at(code.times(code.times(units, FLOAT), row), before)
            go = code.number(code.at(goes_on, code.times(row, FLOAT)))
            taken = select(
                ">", go, 0.0, code.load(code.at(new, own), mask), code.load(code.at(old, own), mask)
            )
            code.store(taken, code.at(found, own), mask)

        code.by_row(rows, units, each)

    return compiled(write, 7)


@cache
def held_back_part() -> Compiled:
    """The way back, of the same sizes, the address of what tells which rows go on, and those of slopes: of the states, of new and of old ones.

    The slopes of old states are added to what is there.
    """

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, rows, units, goes_on, slopes, new, old = given

        def each(row: ir.Value, before: ir.Value, mask: ir.Value | None) -> None:
            own = code.at(code.times(code.times(units, FLOAT), row), before)
            go = code.number(code.at(goes_on, code.times(row, FLOAT)))
            slope = code.load(code.at(slopes, own), mask)
            code.store(select(">", go, 0.0, slope, 0.0), code.at(new, own), mask)
            waits = select(">", go, 0.0, 0.0, slope)
            code.store(code.load(code.at(old, own), mask) + waits, code.at(old, own), mask)

        code.by_row(rows, units, each)

    return compiled(write, 7)


@cache
def together_part(*, moves: bool) -> Compiled:
    """Of a run's number (not used), steps, units, rows of all steps, the addresses of `reached` (steps), means and variances (steps, units), the
    known moments, and those of the result; moves: the known ones are running ones, and the result where these have moved to.
    """

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, steps, units, rows, reached, means, variances, *moments = given
        apart, zero = code.times(units, FLOAT), code.vector(0)
        with code.repeating(steps, [reached, zero.value]) as ((place, sum_), following):
            following += [code.at(place, code.int(FLOAT)), (Vector(code, sum_) + code.number(place)).value]
        total = Vector(code, sum_)
        least = select(">", total, 1.0, total, 1.0)
        some = code.builder.fcmp_ordered(">", total.value, zero.value)
        less = code.whole(code.minus(rows, code.int(1))) / code.whole(rows)
        more = code.whole(rows) / code.whole(code.minus(rows, code.int(1)))

        def each(before: ir.Value, mask: ir.Value | None) -> None:
            known_mean, known_variance, *results = (code.at(start, before) for start in moments)
            known = [code.load(place, mask) for place in (known_mean, known_variance)]
            starts = [reached, code.at(means, before)]
            with code.repeating(steps, [*starts, zero.value]) as ((at, at_mean, so_far), following):
                part = code.number(at) / least * code.load(at_mean, mask)
                following += [code.at(at, code.int(FLOAT)), code.at(at_mean, apart)]
                following.append((Vector(code, so_far) + part).value)
            mean = Vector(code, so_far)
            starts.append(code.at(variances, before))
            with code.repeating(steps, [*starts, zero.value]) as (
                (at, at_mean, at_variance, so_far),
                following,
            ):
                away = code.load(at_mean, mask) - mean
                part = code.number(at) / least * (code.load(at_variance, mask) + away * away)
                following += [
                    code.at(at, code.int(FLOAT)),
                    code.at(at_mean, apart),
                    code.at(at_variance, apart),
                ]
                following.append((Vector(code, so_far) + part).value)
            seen = [chosen(some, mean, known[0]), chosen(some, Vector(code, so_far), known[1] * less)]
            if moves:
                corrected = [seen[0], seen[1] * more]
                seen = [k + (s - k) * RUNNING_WEIGHT for k, s in zip(known, corrected, strict=True)]
            for moment, place in zip(seen, results, strict=True):
                code.store(moment, place, mask)

        code.along(units, each)

    return compiled(write, 11)
