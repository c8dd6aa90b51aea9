"""What two ways to stop early save: looks at studies of many replicates, which the pipeline takes, and halving the rates, which it does not.

Looks: see `folklore.looks`; what they left untrained, of the runs that are there.

Halving, replayed: after part of their updates the better half of a cell's rates, by mean validation accuracy, goes on, and the choice is
made among these. The same rule for every arm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from folklore import cost
from folklore.frames import Frames, study_runs
from folklore.grid import Cell
from folklore.looks import look_at
from folklore.stats.tuning import choose

HALVED_AT = 0.3  # of the updates
ALIKE = 0.25  # octaves: two rates nearer than this are taken for the same, as the choice takes them


@dataclass(frozen=True)
class Looked:
    """A study that was looked at: after how many replicates, of how many; expected core-seconds of all that it planned, and of what it did not
    train because the look ended it.
    """

    study: str
    first: int
    planned: int
    ended: bool
    seconds: float
    saved: float


@dataclass(frozen=True)
class Halved:
    """A cell whose rates are halved: how far the choice moves (octaves), expected core-seconds of its tuning and of what is dropped."""

    study: str
    arm: str
    moved: float
    seconds: float
    saved: float


def looked(frames: Frames) -> list[Looked]:
    """Every study that has a look."""
    looks = {name: look for name in frames.listed if (look := look_at(frames, name))}
    return [
        Looked(name, look.first, look.planned, look.ended, *_cost(frames, name))
        for name, look in looks.items()
    ]


def _cost(frames: Frames, study: str) -> tuple[float, float]:
    """Of all runs of a study, and of those that neither it nor another one has trained."""
    everything = {run.key: run for *_, run in study_runs(frames.plan, frames.chosen, study, ended=False)}
    left_out = [run for key, run in everything.items() if key not in frames.results.index]
    return sum(map(cost.seconds, everything.values())), sum(map(cost.seconds, left_out))


def halved(frames: Frames) -> list[Halved]:
    """Every cell that is tuned by validation accuracy over at least four rates."""
    cells = {cell.key: cell for rows in frames.listed.values() for cell, phase, *_ in rows if phase == "tune"}
    found = (_halved(cell, frames.chosen[cell.key], frames.results) for cell in cells.values())
    return [one for one in found if one]


def _halved(cell: Cell, outcome: Mapping[str, Any], results: pd.DataFrame) -> Halved | None:
    rates = sorted(map(float, outcome["rates"]))
    if cell.tune_on != "val_accuracy" or len(rates) < 4:
        return None
    scores = {float(rate): seeds for rate, seeds in outcome["rates"].items()}
    runs = {rate: cell.tuning_runs(rate, range(cell.tuning_seeds)) for rate in rates}
    early = {rate: np.mean([_at(results.loc[run.key]) for run in runs[rate]]) for rate in rates}
    kept = sorted(sorted(rates, key=lambda rate: -early[rate])[: -(-len(rates) // 2)])
    position = choose([scores[rate][: cell.tuning_seeds] for rate in kept]).position
    whole = choose([scores[rate][: cell.tuning_seeds] for rate in rates]).position
    chosen, before = (
        np.interp(at, range(len(x)), np.log2(x)) for at, x in ((position, kept), (whole, rates))
    )
    each = {rate: sum(map(cost.seconds, runs[rate])) for rate in rates}
    dropped = (1 - HALVED_AT) * sum(each[rate] for rate in rates if rate not in kept)
    return Halved(cell.study, cell.label, abs(float(chosen - before)), sum(each.values()), dropped)


def _at(result: pd.Series) -> float:
    """Validation accuracy at the first look after part of the updates; a diverged run scores nothing."""
    after = np.asarray(result["val_step"]) >= HALVED_AT * result["updates"]
    value = float(np.asarray(result["val_curve"])[after][0])
    return value if np.isfinite(value) else 0.0
