"""Test the pipeline on itself: `python -m folklore.stages.calibrate --out results profile=laptop` writes calibration.json.

With `--family normalisation` it does so with a cell such as that family's claims train, and writes calibration/normalisation.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from folklore.calibration import calibrate
from folklore.files import write_result
from folklore.plan import make_plan
from folklore.stages.command import command
from folklore.stages.jobs import Trainer, run_single_threaded
from folklore.studies import placebo

TRIALS, TOY_TRIALS = 1000, 40
SEED = 20261120


class Quiet:
    """No progress to report: this job is one of its own, beside the training jobs."""

    def finished(self, stack: Sequence, *, trained: bool) -> None:
        pass

    def training(self, stack: Sequence, fraction: float) -> None:
        pass


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--family", help="one of conf/placebo.yaml")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as profile=smoke")
    options = parser.parse_intermixed_args(argv)
    plan = make_plan(options.overrides)
    profile, place = plan.config.profile, options.out / "calibration"
    count = TOY_TRIALS if profile.toy else TRIALS
    cell = placebo(plan.config, options.family)
    run_single_threaded()
    summary, keys = calibrate(cell, profile.placebo_seeds, count, SEED, Trainer(options.out, Quiet()))
    path = place / f"{options.family}.json" if options.family else place.with_suffix(".json")
    content = {"profile": profile.name, "summary": summary, "run_keys": sorted(keys)}
    write_result(path, json.dumps(content, indent=1, sort_keys=True) + "\n")
    print(
        f"calibration{f' of {options.family}' if options.family else ''}: false support {summary['false_support']:.1%}"
        f" of {summary['placebo_trials']} placebo claims,"
        f" power {summary['power']:.1%} for a planted effect of {100 * summary['planted_effect']:.0f} points"
    )


if __name__ == "__main__":
    sys.exit(command(main))
