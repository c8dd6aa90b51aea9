"""The learning rates that tuning chose, read from its jobs, and the runs that confirm them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from folklore.errors import UsageError
from folklore.grid import Cell, Run
from folklore.plan import Job, Plan


def confirming(cell: Cell, chosen: dict[str, dict], plan: Plan, replicates: range) -> list[Run]:
    """Replicates at the chosen rate, and the first few at the rate that half as many rates would have chosen, where that is another."""
    lr = rate_of(cell, chosen, plan)
    half = rate_of(cell, chosen, plan, "half_lr")
    runs = cell.confirming_runs(lr, replicates)
    if half != lr:
        runs += cell.confirming_runs(
            half, range(replicates.start, min(replicates.stop, cell.half_replicates))
        )
    return runs


def rate_of(cell: Cell, chosen: dict[str, dict], plan: Plan, which: str = "lr") -> float:
    """The rate that a cell is confirmed at: its own tuned one, a fixed one, or a multiple of another arm's."""
    if cell.leader:
        leader = next(
            c for c in plan.cells if (c.study, c.variant, c.label) == (cell.study, cell.variant, cell.leader)
        )
        return float(f"{rate_of(leader, chosen, plan, which) * cell.times:.6g}")
    return float(chosen[cell.key][which]) if cell.tuned else cell.run.lr


def read_choices(plan: Plan, out: Path, names: Sequence[str] | None = None) -> dict[str, dict]:
    """Chosen rates by cell key, from the tuning jobs of these names (all of the plan's by default)."""
    names = [job.name for job in plan.phase("tune")] if names is None else names
    chosen: dict[str, dict] = {}
    for name in names:
        chosen |= _choices(out / "tune" / f"{name}.json", plan.job("tune", name))
    return chosen


def _choices(path: Path, job: Job) -> dict[str, dict]:
    """What a tuning job chose; UsageError when the file is another job's, or none."""
    try:
        content = json.loads(path.read_text())
    except ValueError:
        content = {}
    if content.get("identity") != job.identity:
        raise UsageError(
            f"{path}: not made by this configuration and code; remove it and start the same command again, which trains only what is missing"
        )
    return content["choices"]
