"""Two jobs at once on two cores against one alone: what they take from each other, of caches, memory and clock rate.

Each job is a process with a core and a stack of its own, as the workflow's jobs are. Wall-clock seconds, alone and together by turns.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection

from rich.progress import track

from folklore.bench import nets
from folklore.bench.clocks import FIRST, Times, one_core
from folklore.bench.contestants import stacked
from folklore.bench.measure import Effort, cases, width
from folklore.grid import Run

JOBS = 2


def side_by_side(effort: Effort, cores: Sequence[int]) -> list[dict]:
    """A row for each net and batch size: work that two jobs do in the time in which one alone does 1. Nothing where there is one core."""
    if len(cores) < JOBS:
        return []
    return [
        {
            "net": name,
            "batch_size": run.batch_size,
            "width": width(run, effort),
            "work": measured(run, effort, cores),
        }
        for name, run in track(cases(effort), "Measuring two jobs")
    ]


def measured(run: Run, effort: Effort, cores: Sequence[int]) -> dict[str, float]:
    with jobs(run, width(run, effort), cores[:JOBS]) as both:
        updates = FIRST
        for _ in range(2):  # what is compiled or allocated at first does not count
            updates = max(FIRST, round(updates * effort.seconds / elapsed(both, updates)))
        alone, together = [], []
        for _ in range(effort.repetitions):
            alone.append(sum(elapsed([job], updates) for job in both) / JOBS)
            together.append(elapsed(both, updates))
    return Times(tuple(JOBS * one / two for one, two in zip(alone, together, strict=True))).record()


@contextmanager
def jobs(run: Run, networks: int, cores: Sequence[int]) -> Iterator[list[Connection]]:
    """A process on each core, which trains as many updates as it is sent and then says that it is done."""
    context = multiprocessing.get_context("spawn")
    ends, processes = [], []
    try:
        for core in cores:
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, run, networks, core), daemon=True)
            process.start()
            theirs.close()  # so that a job that dies is an end of file, not silence
            ends.append(ours)
            processes.append(process)
        yield ends
    finally:
        for end in ends:
            end.close()
        for process in processes:
            process.join()


def elapsed(at_work: Sequence[Connection], updates: int) -> float:
    """Seconds until all of them have trained so many updates."""
    start = time.perf_counter()
    for job in at_work:
        job.send(updates)
    for job in at_work:
        job.recv()
    return time.perf_counter() - start


def _work(told: Connection, run: Run, networks: int, core: int) -> None:
    one_core(core)
    train = stacked.clock(run, nets.synthetic(run), networks)
    while True:
        try:
            updates = told.recv()
        except EOFError:
            return
        train(updates)
        told.send(updates)
