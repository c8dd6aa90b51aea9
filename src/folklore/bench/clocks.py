"""Fair clocks: contestants take turns in one run of one thread, so that a busy machine slows all of them."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from folklore.core.affine import affine

PEAK, SMALL = 1024, 256  # rows and columns of the products that measure the peak
FIRST = 20  # updates of the first looks at a contestant

Clock = Callable[[], float]  # microseconds a model-step, or the peak
Updates = Callable[[int], float]  # the same over a number of updates


@dataclass(frozen=True)
class Times:
    """Repetitions of one measurement; a spread is (smallest, largest)."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def over(self, other: Times) -> Times:
        """Ratios, repetition by repetition: what took its turn together is compared."""
        return Times(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))

    def record(self) -> dict[str, float]:
        rounded = (round(value, 3) for value in (self.median, min(self.values), max(self.values)))
        return dict(zip(("median", "min", "max"), rounded, strict=True))


def all_cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    return sorted(allowed(0))


def one_core(core: int | None = None) -> None:
    """Keep this process, and whatever threads its libraries start, on one core: the last, or the one with this number."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {all_cores()[-1] if core is None else core})


def sized(clock: Updates, seconds: float, networks: int) -> Clock:
    """A clock over as many updates as take about `seconds`; what is allocated or compiled at first does not count."""
    clock(FIRST)
    updates = max(FIRST, round(seconds * 1e6 / (networks * clock(FIRST))))
    clock(updates)
    return lambda: clock(updates)


def taking_turns(clocks: Mapping[object, Clock], repetitions: int) -> dict[object, Times]:
    rounds = [{name: clock() for name, clock in clocks.items()} for _ in range(repetitions)]
    return {name: Times(tuple(each[name] for each in rounds)) for name in clocks}


def peak_clock() -> Clock:
    """Floating-point operations a microsecond, the most this thread is seen to do: in a square product by torch, or in as many operations
    of small ones in its cache by the core's own kernels, which are faster where torch's library does not know the processor.
    """
    a, b = torch.full((2, PEAK, PEAK), 0.5)
    stacks, bias, out = (
        torch.full((2, 1, SMALL, SMALL), 0.5),
        torch.zeros(1, 1, SMALL),
        torch.empty(PEAK, PEAK),
    )

    def small() -> None:
        for _ in range(PEAK**3 // SMALL**3):
            affine(*stacks, bias)

    def rate(product: Callable[[], object]) -> float:
        start = time.process_time()
        product()
        return 2 * PEAK**3 / ((time.process_time() - start) * 1e6)

    def clock() -> float:
        return max(rate(lambda: torch.mm(a, b, out=out)), rate(small))

    clock()
    return clock
