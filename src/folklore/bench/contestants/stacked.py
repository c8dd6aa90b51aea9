"""Folklore: what `folklore.core.training.train` does, batches drawn and small validations included; set-up and final scores left out."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import torch

from folklore.bench.clocks import Updates
from folklore.core.probes.step_time import now
from folklore.core.training import train, validation_marks
from folklore.grid import Run


def clock(run: Run, data: SimpleNamespace, width: int, device: str = "cpu") -> Updates:
    """The time from the first validation to the last one, at the end: what comes before the former is left out."""
    where = torch.device(device)

    def measure(updates: int) -> float:
        ticks: dict[int, float] = {}
        marks = validation_marks(updates)

        def tick(done: float) -> None:
            # a device is waited for at these only, as it is for a score
            if round(done * updates) in (marks[0], marks[-1]):
                ticks[round(done * updates)] = now(where)

        train(
            [replace(run, seed=seed, updates=updates) for seed in range(width)],
            data,
            device=device,
            tick=tick,
        )
        (first, start), (last, end) = ticks.items()
        return (end - start) / ((last - first) * width) * 1e6

    return measure
