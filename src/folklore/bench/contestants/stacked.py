"""Folklore: what `folklore.core.training.train` does, batches drawn and small validations included; set-up and final scores left out."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace

from folklore.bench.clocks import Updates
from folklore.core.training import train
from folklore.grid import Run


def clock(run: Run, data: SimpleNamespace, width: int) -> Updates:
    """The time between the first and the last tick of `train`: its first block of updates is left out."""

    def measure(updates: int) -> float:
        ticks: list[tuple[float, float]] = []
        runs = [replace(run, seed=seed, updates=updates) for seed in range(width)]
        train(runs, data, tick=lambda done: ticks.append((done, time.process_time())))
        (first, start), (last, end) = ticks[0], ticks[-1]
        return (end - start) / ((last - first) * updates * width) * 1e6

    return measure
