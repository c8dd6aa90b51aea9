"""Test the pipeline on itself: `python -m folklore.stages.calibrate --out results profile=laptop` writes calibration.json."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from folklore.calibration import calibrate
from folklore.grid import Cell, Study
from folklore.plan import make_plan
from folklore.stages.command import command, out_and_overrides
from folklore.stages.jobs import Trainer, run_single_threaded
from folklore.store import atomic_write
from folklore.studies import cells, scaled

STUDY = Study("placebo", cells=({"label": "placebo"},), samples=16_384)
TRIALS = 1000
SEED = 20261120


class Quiet:
    """No progress to report: this job is one of its own, beside the training jobs."""

    def finished(self, stack: Sequence, *, trained: bool) -> None:
        pass

    def training(self, stack: Sequence, fraction: float) -> None:
        pass


def main(argv: Sequence[str]) -> None:
    out, overrides = out_and_overrides(__doc__, argv)
    plan = make_plan(overrides)
    cell: Cell = cells(scaled(STUDY, plan.config.profile), plan.config)[0]
    seeds = plan.config.profile.placebo_seeds
    run_single_threaded()
    count = TRIALS if not plan.config.profile.toy else 40
    summary, keys = calibrate(cell, seeds, count, SEED, Trainer(out, Quiet()))
    content = {"summary": summary, "run_keys": sorted(keys)}
    atomic_write(out / "calibration.json", json.dumps(content, indent=1, sort_keys=True) + "\n")
    print(
        f"calibration: false support {summary['false_support']:.1%} of {summary['placebo_trials']} placebo claims, "
        f"power {summary['power']:.1%} for a planted effect of {100 * summary['planted_effect']:.0f} points"
    )


if __name__ == "__main__":
    sys.exit(command(main))
