"""`python -m folklore.stages.savings profile=laptop`: what stopping early saved, or would have saved, from the runs of a finished workflow."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from folklore import cost, savings
from folklore.errors import UsageError
from folklore.frames import Frames
from folklore.plan import Plan, make_plan
from folklore.stages.command import command
from folklore.stats.sequential import error_rate, nominal_levels
from folklore.stats.verdicts import ALPHA
from folklore.store import atomic_write

LOOKS, TRIALS, SEED = (32, 184), 100_000, 0  # of the simulation


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the results")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args(argv)
    plan = make_plan(options.overrides)
    found = replayed(_frames(plan, options.out))
    atomic_write(options.out / "savings.json", json.dumps(found, indent=1) + "\n")
    show(found, Console(highlight=False))


def _frames(plan: Plan, out: Path) -> Frames:
    """UsageError where there is nothing to replay."""
    profile = plan.config.profile
    if not plan.jobs:
        raise UsageError(
            f"profile.only=[{','.join(profile.only)}]: these claims train nothing; allowed are some that do, or none of `only` for all"
        )
    try:
        return Frames(plan, out)
    except FileNotFoundError as error:
        raise UsageError(
            f"{error.filename}: no runs of this profile yet; make them by: snakemake --cores all --config profile={profile.name}"
        ) from None


def replayed(frames: Frames) -> dict:
    """What both save, as plain numbers."""
    looked, halved = savings.looked(frames), savings.halved(frames)
    levels = nominal_levels(ALPHA, LOOKS)
    return {
        "error_of_two_looks": {
            "spent": error_rate(levels, LOOKS, TRIALS, SEED),
            "naive": error_rate([ALPHA] * len(LOOKS), LOOKS, TRIALS, SEED),
        },
        "core_seconds": round(sum(map(cost.seconds, frames.runs())), 1),
        "looked": [asdict(one) for one in looked],
        "looks_saved": round(sum(one.saved for one in looked), 1),
        "halved": [asdict(one) for one in halved],
        "halving_saves": round(sum(one.saved for one in halved), 1),
        "halved_alike": float(np.mean([one.moved <= savings.ALIKE for one in halved])) if halved else None,
    }


def show(found: dict, console: Console) -> None:
    looked, saved = found["looked"], found["looks_saved"]
    whole, error = found["core_seconds"], found["error_of_two_looks"]
    if looked:
        table = Table(title="Looks", title_justify="left", box=None, pad_edge=False)
        for column, justify in (
            ("study", "left"),
            ("replicates", "right"),
            ("of", "right"),
            ("core-seconds saved", "right"),
        ):
            table.add_column(column, justify=justify)
        for one in looked:
            trained = one["first"] if one["ended"] else one["planned"]
            table.add_row(one["study"], str(trained), str(one["planned"]), f"{one['saved']:,.0f}")
        console.print(table)
    console.print(
        f"Looks: {sum(one['ended'] for one in looked)} of {len(looked)} studies ended there. Saved {saved:,.0f} of "
        f"{whole + saved:,.0f} core-seconds, {saved / (whole + saved):.0%}."
    )
    console.print(
        f"Errors without any effect, looks after {' and '.join(map(str, LOOKS))}: {error['spent']:.1%} with the level spent over "
        f"them, {error['naive']:.1%} with 5 % at each."
    )
    if found["halved"]:
        console.print(
            f"Halving the rates after {savings.HALVED_AT:.0%} of the updates: {found['halved_alike']:.0%} of {len(found['halved'])} "
            f"cells choose the same rate within a quarter of an octave; saved {found['halving_saves']:,.0f} core-seconds, "
            f"{found['halving_saves'] / whole:.0%}."
        )


if __name__ == "__main__":
    sys.exit(command(main))
