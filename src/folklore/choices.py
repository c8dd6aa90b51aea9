"""What jobs decided, read from their results: the learning rates that tuning chose, with the runs that confirm them, and the studies that a
look ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

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
        chosen |= _outcome(out, plan.job("tune", name))["choices"]
    return chosen


def read_ended(out: Path, jobs: Iterable[Job]) -> set[str]:
    """Studies that a look ended before all of their replicates were trained, of those of these extending jobs."""
    return {study for job in jobs for study in _outcome(out, job)["ended"]}


def _outcome(out: Path, job: Job) -> dict[str, Any]:
    """What a job wrote; UsageError when the file is another job's, or none."""
    path = out / job.phase / f"{job.name}.json"
    try:
        content = json.loads(path.read_text())
    except ValueError:
        content = {}
    if content.get("identity") != job.identity:
        raise UsageError(
            f"{path}: not made by this configuration and code; remove it and start the same command again, which trains only what is missing"
        )
    return content
