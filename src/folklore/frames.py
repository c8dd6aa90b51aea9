"""The frame of a study: its runs from the store, with the arm, the phase and the tuning outcome of each.

One row a run; see `folklore.stats.findings` for the columns that judges rely on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from folklore.choices import rate_of, read_choices, read_ended
from folklore.grid import Cell, Run
from folklore.plan import Job, Plan
from folklore.store import Store

Entry = tuple[Cell, str, int, Run]


def study_runs(plan: Plan, chosen: dict[str, dict], name: str, *, ended: bool) -> Iterator[Entry]:
    """(cell, phase, replicate, run) of everything that a study trained, moved grids included. ended: a look was the end of it."""
    for cell in plan.cells:
        if cell.study == name:
            yield from cell_runs(plan, chosen, cell, range(cell.before_look if ended else cell.replicates))


def job_runs(plan: Plan, chosen: dict[str, dict], job: Job, ended: Collection[str]) -> Iterator[Entry]:
    """The same for the cells and replicates of one job; of an extending one, for studies that no look ended."""
    for unit in job.units:
        if job.phase != "extend" or unit.study not in ended:
            for cell in unit.cells:
                yield from cell_runs(plan, chosen, cell, unit.replicates)


def cell_runs(plan: Plan, chosen: dict[str, dict], cell: Cell, replicates: range) -> Iterator[Entry]:
    """Tuning runs of a cell, its confirmation, and the confirmation of the halved grid's rate where that is another."""
    if cell.tuned:
        for rate, scores in chosen[cell.key]["rates"].items():
            for i, run in enumerate(cell.tuning_runs(float(rate), range(len(scores)))):
                yield cell, "tune", i, run
    lr, half = (rate_of(cell, chosen, plan, which) for which in ("lr", "half_lr"))
    for i, run in zip(replicates, cell.confirming_runs(lr, replicates), strict=True):
        yield cell, "confirm", i, run
    if half != lr:
        first = range(replicates.start, min(replicates.stop, cell.half_replicates))
        for i, run in zip(first, cell.confirming_runs(half, first), strict=True):
            yield cell, "half", i, run


def plain_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """With Python's strings in the place of Arrow's: rows are taken from all such columns at once, and judges take them hundreds of times."""
    return frame.astype(dict.fromkeys(frame.select_dtypes("str").columns, object))


class Frames:
    """Reads each study once: all of them, or those of these names. ended: those that a look was the end of; what the jobs say, by default."""

    def __init__(
        self,
        plan: Plan,
        out: Path,
        names: Collection[str] | None = None,
        ended: Collection[str] | None = None,
    ) -> None:
        wanted = [s.name for s in plan.studies if names is None or s.name in names]
        tuning, extending = (
            [job for job in plan.phase(phase) if set(job.studies) & set(wanted)]
            for phase in ("tune", "extend")
        )
        self.plan, self.chosen = plan, read_choices(plan, out, [job.name for job in tuning])
        self.ended = read_ended(out, extending) if ended is None else set(ended)
        self.listed = {
            name: list(study_runs(plan, self.chosen, name, ended=name in self.ended)) for name in wanted
        }
        self.results = plain_texts(Store(out).read({run.key for run in self.runs()}))
        self._studies: dict[str, pd.DataFrame] = {}

    def runs(self) -> list[Run]:
        """Every network that these studies trained, once."""
        return list({run.key: run for rows in self.listed.values() for *_, run in rows}.values())

    def study(self, name: str) -> pd.DataFrame:
        """The frame of one study, the caller's own. A run that serves two arms or phases stands in two rows."""
        if name not in self._studies:
            labels = plain_texts(pd.DataFrame([self._labels(*entry) for entry in self.listed[name]]))
            rows = self.results.loc[labels["run_key"]].reset_index(drop=True)
            # a deep copy has columns of a kind side by side, of which rows are taken at once
            self._studies[name] = pd.concat([labels.drop(columns="run_key"), rows], axis=1).copy()
        return self._studies[name].copy(deep=False)

    def _labels(self, cell: Cell, phase: str, replicate: int, run: Run) -> dict:
        outcome = self.chosen.get(cell.key, {})
        return {
            "run_key": run.key,
            "phase": phase,
            "variant": cell.variant,
            "arm": cell.label,
            "cell": cell.key,
            "replicate": replicate,
            "chosen": phase == "confirm"
            or (phase == "tune" and np.isclose(run.lr, _nearest(outcome, run.lr))),
            "edge": outcome.get("edge", ""),
        }


def _nearest(outcome: dict, default: float) -> float:
    """Of the rates that were tuned, the one nearest to the choice, which may lie between two."""
    rates = [float(rate) for rate in outcome.get("rates", {})]
    return min(rates, key=lambda rate: abs(np.log(rate / outcome["lr"])), default=default)
