"""`python -m folklore.bench [--quick]`: what stacking gains on this machine, against a good plain PyTorch loop.

Both are measured in one run of one thread, taking turns, so that a busy machine slows both. The plain loop trains one network
on tensors in memory, with torch.nn.Sequential and torch.optim, once for each implementation of the optimizer that PyTorch
has; the fastest counts. The stack is what `folklore.core.training.train` does with 32 runs: drawing its batches, updating, and
ten small validations. Set-up and final scores are left out. Times are microseconds of processor time for one
update of one network: on a machine that is doing nothing else, what the clock on the wall shows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from folklore.core.training import train
from folklore.grid import Run
from folklore.provenance import machine
from folklore.stages.command import command
from folklore.store import atomic_write

INPUTS, CLASSES, ROWS = (
    40,
    10,
    4096,
)  # the shape of MNIST-1D; the numbers themselves do not matter to the clock
RATE = 0.005
NETS = {
    "SGD": Run(lr=RATE),
    "batch norm, momentum": Run(lr=RATE, norm="batch", optimizer="momentum"),
}
IMPLEMENTATIONS = ("foreach", "fused", "for-loop")  # of one optimizer, in torch.optim
NARROWEST = 120  # columns of the table, where there is no terminal to fit
PEAK = 1024  # rows and columns of the product that measures the peak

Clock = Callable[[], float]  # microseconds a model-step, or the peak


@dataclass(frozen=True)
class Effort:
    """How long to measure; `seconds` is aimed at for each repetition of each contestant."""

    batches: tuple[int, ...] = (2, 8, 32, 128)
    width: int = 32
    repetitions: int = 5
    seconds: float = 0.3


QUICK = Effort(batches=(2, 32), width=4, repetitions=2, seconds=0.01)


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


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a few steps of stacks of four: a check that it works",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results/bench.json"), help="where the numbers go, as JSON"
    )
    options = parser.parse_args(argv)
    outcome = measure(QUICK if options.quick else Effort())
    atomic_write(options.out, json.dumps(outcome, indent=1) + "\n")
    show(outcome, Console(highlight=False))


def measure(effort: Effort) -> dict:
    """Everything, as plain numbers."""
    torch.set_num_threads(1)
    data = synthetic()
    cases = [(name, replace(run, batch_size=batch)) for name, run in NETS.items() for batch in effort.batches]
    rows = [{"net": name, **measured(run, data, effort)} for name, run in track(cases, "Measuring")]
    return {
        "machine": machine(),
        "threads": 1,
        "width": effort.width,
        "repetitions": effort.repetitions,
        "rows": rows,
    }


def synthetic() -> SimpleNamespace:
    """Random inputs and labels, float32 (ROWS, INPUTS); validation is kept so small that it does not count."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((ROWS, INPUTS), dtype=np.float32), rng.integers(0, CLASSES, ROWS)
    return SimpleNamespace(
        classes=CLASSES, pool_x=x, pool_y=y, val_x=x[:16], val_y=y[:16], test_x=x[:16], test_y=y[:16]
    )


def measured(run: Run, data: SimpleNamespace, effort: Effort) -> dict:
    """One row: a net at a batch size, everyone's times and what follows from them."""
    times = taking_turns(contestants(run, data, effort), effort.repetitions)
    plain = min((times[name] for name in IMPLEMENTATIONS), key=lambda found: found.median)
    bound = Times(tuple(operations(run) / peak for peak in times["peak"].values))
    return {
        "batch_size": run.batch_size,
        "peak_gflops": Times(tuple(peak / 1e3 for peak in times["peak"].values)).record(),
        "plain_us": {name: times[name].record() for name in IMPLEMENTATIONS},
        "plain_fastest": next(name for name in IMPLEMENTATIONS if times[name] is plain),
        "plain_share_of_peak": bound.over(plain).record(),
        "most_possible_gain": plain.over(bound).record(),
        "stacked_us": times["stacked"].record(),
        "gain": plain.over(times["stacked"]).record(),
        "share_of_peak": bound.over(times["stacked"]).record(),
    }


def contestants(run: Run, data: SimpleNamespace, effort: Effort) -> dict[str, Clock]:
    """Who takes turns. Each has been run once, so that what is allocated at first does not count."""
    clocks = {name: sized(plain_clock(run, data, name), effort.seconds) for name in IMPLEMENTATIONS}
    stacked = sized(stack_clock(run, data, effort.width), effort.seconds, effort.width)
    return clocks | {"stacked": stacked, "peak": peak_clock()}


def sized(clock: Callable[[int], float], seconds: float, networks: int = 1) -> Clock:
    """A clock over as many updates as take about `seconds`, at least 20."""
    clock(20)
    updates = max(20, round(seconds * 1e6 / (networks * clock(20))))
    return lambda: clock(updates)


def taking_turns(clocks: dict[str, Clock], repetitions: int) -> dict[str, Times]:
    rounds = [{name: clock() for name, clock in clocks.items()} for _ in range(repetitions)]
    return {name: Times(tuple(each[name] for each in rounds)) for name in clocks}


def plain_clock(run: Run, data: SimpleNamespace, implementation: str) -> Callable[[int], float]:
    """One network, trained as one would write it: batches are slices of a shuffled order of tensors in memory."""
    draw = torch.Generator().manual_seed(0)
    x, y = torch.from_numpy(data.pool_x), torch.from_numpy(data.pool_y)
    net, size = plain_net(run), run.batch_size
    optimizer = plain_optimizer(run, net, implementation)

    def clock(updates: int) -> float:
        start = time.process_time()
        for i in range(updates):
            first = i * size % ROWS
            if first == 0:
                order = torch.randperm(ROWS, generator=draw)
            rows = order[first : first + size]
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return (time.process_time() - start) / updates * 1e6

    return clock


def plain_net(run: Run) -> nn.Sequential:
    layers, inputs = [], INPUTS
    for _ in range(run.depth):
        norm = [nn.BatchNorm1d(run.width)] if run.norm == "batch" else []
        layers += [nn.Linear(inputs, run.width), *norm, nn.ReLU()]
        inputs = run.width
    return nn.Sequential(*layers, nn.Linear(inputs, CLASSES))


def plain_optimizer(run: Run, net: nn.Module, implementation: str) -> torch.optim.Optimizer:
    momentum = run.momentum if run.optimizer == "momentum" else 0.0
    chosen = {"foreach": implementation == "foreach", "fused": implementation == "fused"}
    return torch.optim.SGD(net.parameters(), lr=run.lr, momentum=momentum, **chosen)


def stack_clock(run: Run, data: SimpleNamespace, width: int) -> Callable[[int], float]:
    """The time between the first and the last tick of `train`: its first block of updates is left out."""

    def clock(updates: int) -> float:
        ticks: list[tuple[float, float]] = []
        runs = [replace(run, seed=seed, updates=updates) for seed in range(width)]
        train(runs, data, tick=lambda done: ticks.append((done, time.process_time())))
        (first, start), (last, end) = ticks[0], ticks[-1]
        return (end - start) / ((last - first) * updates * width) * 1e6

    return clock


def peak_clock() -> Clock:
    """Floating-point operations a microsecond in a product of square matrices: the most this thread does."""
    a, b = torch.full((2, PEAK, PEAK), 0.5)
    out = torch.empty(PEAK, PEAK)

    def clock() -> float:
        start = time.process_time()
        torch.mm(a, b, out=out)
        return 2 * PEAK**3 / ((time.process_time() - start) * 1e6)

    clock()
    return clock


def operations(run: Run) -> int:
    """Multiplications and additions of one update's matrix products: forward, backward to the weights, and to the inputs of all
    layers but the first."""
    fans = [INPUTS, *[run.width] * run.depth, CLASSES]
    products = [a * b for a, b in pairwise(fans)]
    return 2 * run.batch_size * (3 * sum(products) - products[0])


def show(outcome: dict, console: Console) -> None:
    """The table, and how to read it."""
    console = console if console.is_terminal else Console(highlight=False, width=NARROWEST)
    console.print(table(outcome))
    console.print(
        f"{outcome['machine']['cpu']}, torch {outcome['machine']['torch']}, one thread; "
        f"medians of {outcome['repetitions']} repetitions, in brackets the smallest and the largest.\n"
        "Gain: time of the plain loop over time of the stack. Most possible: time of the plain loop over that of its matrix "
        f"products alone at this thread's peak ({peak(outcome):.0f} GFLOP/s in a {PEAK} x {PEAK} product). Where it is small, "
        "arithmetic is what the plain loop spends its time on, and no stacking can gain more."
    )


def peak(outcome: dict) -> float:
    return statistics.median(row["peak_gflops"]["median"] for row in outcome["rows"])


def table(outcome: dict) -> Table:
    title = f"3 x 100 MLP, 40 inputs: microseconds an update of one network, alone and in a stack of {outcome['width']}"
    built = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("net", "batch", "plain", "stacked", "gain", "most possible"):
        built.add_column(name, justify="left" if name == "net" else "right", no_wrap=name != "net")
    built.add_column("% of peak:\nplain, stacked", justify="right")
    for row in outcome["rows"]:
        built.add_row(row["net"], str(row["batch_size"]), *cells(row))
    return built


def cells(row: dict) -> list[str]:
    times = (row["plain_us"][row["plain_fastest"]], row["stacked_us"])
    shares = (row["plain_share_of_peak"], row["share_of_peak"])
    return [
        *(f"{found['median']:.0f}" for found in times),
        spread(row["gain"]),
        f"{row['most_possible_gain']['median']:.1f}",
        ", ".join(f"{100 * share['median']:.0f}" for share in shares),
    ]


def spread(found: dict[str, float]) -> str:
    return f"{found['median']:.1f} \\[{found['min']:.1f}-{found['max']:.1f}]"


if __name__ == "__main__":
    sys.exit(command(main))
