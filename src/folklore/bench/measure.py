"""Microseconds a model-step of every contestant, for every net and batch size, and what follows from them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

from rich.progress import track

from folklore import cost
from folklore.bench import nets
from folklore.bench.clocks import Clock, Times, peak_clock, sized, taking_turns
from folklore.bench.contestants import jax_stack, lightning_loop, plain, stacked
from folklore.grid import Run

PEAK, STACKED, LIGHTNING, JAX = "peak", "stacked", "Lightning", "JAX"
OPTIONAL = {LIGHTNING: lightning_loop, JAX: jax_stack}


@dataclass(frozen=True)
class Effort:
    """How long to measure; `seconds` is aimed at for each repetition of each contestant."""

    batches: tuple[int, ...] = (2, 8, 32, 128, 512)
    width: int = 64  # at most in a stack; how many there are is what the studies take
    repetitions: int = 5
    seconds: float = 0.3
    compiling: bool = True
    pipelines: tuple[int, int, int] = (20, 60, 500)  # runs: of Hydra's short and long sweep, and ours


QUICK = Effort(batches=(2, 32), width=4, repetitions=2, seconds=0.01, compiling=False, pipelines=(1, 2, 4))


def steps(effort: Effort) -> list[dict]:
    """A row for each net and batch size, as plain numbers."""
    return [{"net": name, **measured(run, effort)} for name, run in track(cases(effort), "Measuring steps")]


def cases(effort: Effort) -> list[tuple[str, Run]]:
    """Every net at every batch size, by the net's name."""
    return [(name, replace(run, batch_size=b)) for name, run in nets.NETS.items() for b in effort.batches]


def missing() -> list[str]:
    """Optional contestants whose package is not installed."""
    return [name for name, module in OPTIONAL.items() if importlib.util.find_spec(module.REQUIRES) is None]


def measured(run: Run, effort: Effort) -> dict:
    data, forms = nets.synthetic(run), plain.forms(compiling=effort.compiling)
    times = taking_turns(contestants(run, data, effort), effort.repetitions)
    fastest = min(forms, key=lambda form: times[form].median)
    of_jax = {width: times.pop((JAX, width)) for width in jax_widths(run, effort) if (JAX, width) in times}
    if of_jax:
        times[JAX] = min(of_jax.values(), key=lambda found: found.median)
    bound = Times(tuple(nets.operations(run) / peak for peak in times[PEAK].values))
    rivals = {"plain": times[fastest]} | {name: times[name] for name in OPTIONAL if name in times}
    return {
        "batch_size": run.batch_size,
        "width": width(run, effort),
        "jax_us": {str(wide): found.record() for wide, found in of_jax.items()},
        "peak_gflops": Times(tuple(peak / 1e3 for peak in times[PEAK].values)).record(),
        "plain_us": {form: times[form].record() for form in forms},
        "plain_fastest": fastest,
        "rival_us": {name: times[name].record() for name in rivals if name != "plain"},
        "stacked_us": times[STACKED].record(),
        "gain": {name: found.over(times[STACKED]).record() for name, found in rivals.items()},
        "most_possible_gain": times[fastest].over(bound).record(),
        "share_of_peak": {
            name: bound.over(found).record() for name, found in (rivals | {STACKED: times[STACKED]}).items()
        },
    }


def width(run: Run, effort: Effort) -> int:
    """Networks in a stack of Folklore."""
    return min(effort.width, cost.stack_width(run))


def jax_widths(run: Run, effort: Effort) -> list[int]:
    """Networks in a stack of JAX: as many, or 32, which suits it better at large batches; the faster counts."""
    return sorted({width(run, effort), min(effort.width, 32)})


def contestants(run: Run, data: SimpleNamespace, effort: Effort) -> dict[object, Clock]:
    """Who takes turns, by name, JAX by name and width; each has been run before."""

    def of(clock: Callable[[int], float], networks: int = 1) -> Clock:
        return sized(clock, effort.seconds, networks)

    found = {form: of(plain.clock(run, data, form)) for form in plain.forms(compiling=effort.compiling)}
    there = set(OPTIONAL) - set(missing())
    if LIGHTNING in there:
        found[LIGHTNING] = of(lightning_loop.clock(run, data))
    if JAX in there:
        found |= {(JAX, wide): of(jax_stack.clock(run, data, wide), wide) for wide in jax_widths(run, effort)}
    ours = width(run, effort)
    return found | {STACKED: of(stacked.clock(run, data, ours), ours), PEAK: peak_clock()}
