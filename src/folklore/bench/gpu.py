"""`FOLKLORE_DEVICE=cuda python -m folklore.bench.gpu`: what stacking gains on a GPU, and how long the whole six-factor grid takes there.

The plain loop has the same GPU, its data on it, and its fastest form: eager, the whole update as one CUDA graph, or that of a compiled net. Times are
wall-clock microseconds for one update of one network, the device waited for. The grid is a sample of its graphs (compute graphs of the full
crossing), tuned and confirmed as the workflow does it, by several processes that share the GPU; its whole length is extrapolated by batch size.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from folklore import cost, datasets, device
from folklore.bench import nets
from folklore.bench.clocks import sized, taking_turns
from folklore.bench.contestants import plain, stacked
from folklore.bench.pipelines import Silent
from folklore.choices import confirming
from folklore.config import compose
from folklore.grid import Run
from folklore.plan import Plan, Unit, plan_of
from folklore.provenance import machine
from folklore.stages.command import command
from folklore.stages.jobs import Trainer
from folklore.store import atomic_write
from folklore.tuning import tune

SEED = 0  # of the sample


@dataclass(frozen=True)
class Effort:
    """How long to measure. profile: whose grid; graphs: of it at each batch size; jobs: processes that train them at once."""

    batches: tuple[int, ...] = (2, 32, 128)
    widths: tuple[int, ...] = (512, 2048)
    updates: int = 100  # of a stack
    repetitions: int = 3
    seconds: float = 0.2  # of a plain loop
    compiling: tuple[int, ...] = (32,)  # at these batch sizes, for it takes long
    profile: str = "full"
    graphs: int = 5
    jobs: int = 4


QUICK = Effort(
    batches=(32,),
    widths=(4,),
    updates=20,
    repetitions=2,
    seconds=0.01,
    compiling=(),
    profile="smoke",
    graphs=1,
    jobs=2,
)


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m folklore.bench.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few steps and graphs: a check that it works")
    parser.add_argument("--data", type=Path, default=Path("results/data"), help="folder of the prepared data")
    parser.add_argument("--out", type=Path, default=Path("results/bench_gpu.json"))
    options = parser.parse_args(argv)
    effort = QUICK if options.quick else Effort()
    datasets.prepare("mnist1d", options.data)
    outcome = {
        "machine": machine() | {"device": device_name()},
        "repetitions": effort.repetitions,
        "rows": steps(effort),
    }
    write(options.out, outcome)  # it stays, should the grid fail
    outcome["grid"] = grid(effort, options.data.resolve())
    write(options.out, outcome)
    show(outcome, Console(highlight=False, width=120))


def write(path: Path, outcome: dict) -> None:
    atomic_write(path, json.dumps(outcome, indent=1) + "\n")


def device_name() -> str:
    return torch.cuda.get_device_name() if device.ready() == "cuda" else "the processor"


def steps(effort: Effort) -> list[dict]:
    """A row for each net and batch size, as plain numbers."""
    cases = [(name, replace(run, batch_size=b)) for name, run in nets.NETS.items() for b in effort.batches]
    return [{"net": name, **measured(run, effort)} for name, run in track(cases, "Measuring steps")]


def measured(run: Run, effort: Effort) -> dict:
    where, data = device.ready(), nets.synthetic(run)
    forms = plain.forms(where, compiling=run.batch_size in effort.compiling)
    clocks = {form: sized(plain.clock(run, data, form, where), effort.seconds, 1) for form in forms}
    widths = sorted({min(width, cost.stack_width(run)) for width in effort.widths})
    stacks = {width: stacked.clock(run, data, width, where) for width in widths}
    clocks |= {width: partial(clock, effort.updates) for width, clock in stacks.items()}
    times = taking_turns(clocks, effort.repetitions)
    fastest, best = (min(names, key=lambda name: times[name].median) for names in (forms, widths))
    return {
        "batch_size": run.batch_size,
        "plain_us": {form: times[form].record() for form in forms},
        "plain_fastest": fastest,
        "stacked_us": {str(width): times[width].record() for width in widths},
        "width": best,
        "gain": times[fastest].over(times[best]).record(),
        "gain_over_eager": times[plain.EAGER[0]].over(times[best]).record(),
    }


def grid(effort: Effort, data: Path) -> dict:
    """Seconds of a sample of the full crossing, and what they say of all of it."""
    plan = plan_of(compose([f"profile={effort.profile}", "profile.only=[six-factor]"]))
    units: dict[int, list[Unit]] = defaultdict(list)
    for job in plan.phase("tune"):
        for unit in job.units:
            units[unit.cells[0].run.batch_size].append(unit)
    rng = random.Random(SEED)
    sample = [
        unit for size in units for unit in rng.sample(units[size], min(effort.graphs, len(units[size])))
    ]
    rng.shuffle(sample)
    processes = ProcessPoolExecutor(effort.jobs, multiprocessing.get_context("spawn"))
    with tempfile.TemporaryDirectory() as folder, processes as workers:
        tasks = [(plan, unit, Path(folder), data) for unit in sample]
        seconds = list(
            track(workers.map(trained, *zip(*tasks, strict=True)), "Training the grid", len(tasks))
        )
    found: dict[int, list[float]] = defaultdict(list)
    for unit, took in zip(sample, seconds, strict=True):
        found[unit.cells[0].run.batch_size].append(took)
    whole = sum(statistics.mean(found[size]) * len(units[size]) for size in found) / effort.jobs
    return {
        "profile": effort.profile,
        "jobs": effort.jobs,
        "graphs": sum(map(len, units.values())),
        "graphs_trained": len(sample),
        "runs": sum(job.runs for job in plan.jobs),
        "seconds_a_graph": {str(size): [round(took, 2) for took in found[size]] for size in found},
        "whole_minutes_extrapolated": round(whole / 60, 4),
    }


def trained(plan: Plan, unit: Unit, folder: Path, data: Path) -> float:
    """Seconds to tune the cells of a graph and to confirm them, data read and results stored; the start of the process and the device not."""
    train = Trainer(Path(tempfile.mkdtemp(dir=folder)), Silent())
    train.data_root = data
    torch.zeros(1, device=device.ready())
    start = time.perf_counter()
    chosen = tune(unit.cells, train)
    replicates = range(max(cell.replicates for cell in unit.cells))
    train([run for cell in unit.cells for run in confirming(cell, chosen, plan, replicates)])
    return time.perf_counter() - start


def show(outcome: dict, console: Console) -> None:
    table = Table(
        title="3 x 100 MLP: microseconds an update of one network",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for column in (
        "net",
        "batch",
        "plain, fastest",
        "plain, eager",
        "stack of",
        "Folklore",
        "gain",
        "over eager",
    ):
        table.add_column(column, justify="left" if column == "net" else "right")
    for row in outcome["rows"]:
        fastest, eager = row["plain_us"][row["plain_fastest"]], row["plain_us"][plain.EAGER[0]]
        table.add_row(
            row["net"],
            f"{row['batch_size']}",
            f"{fastest['median']:.0f} ({row['plain_fastest']})",
            f"{eager['median']:.0f}",
            f"{row['width']:,}",
            f"{row['stacked_us'][str(row['width'])]['median']:.3f}",
            *(f"{row[gain]['median']:.0f}x" for gain in ("gain", "gain_over_eager")),
        )
    console.print(table)
    found = outcome["grid"]
    console.print(
        f"{outcome['machine']['device']}, torch {outcome['machine']['torch']}. The six-factor grid of {found['profile']}, {found['runs']:,} "
        f"runs of {found['graphs']} graphs: {found['whole_minutes_extrapolated']:,.1f} minutes with {found['jobs']} jobs at a time, extrapolated "
        f"from {found['graphs_trained']} graphs."
    )


if __name__ == "__main__":
    sys.exit(command(main))
