"""`python -m folklore.stages.savings profile=laptop`: what stopping early would have saved, replayed on the runs of a finished workflow."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
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
from folklore.studies import wanted_claims

LOOKS, TRIALS, SEED = (16, 32, 64), 100_000, 0  # of the simulation


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the results")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args(argv)
    plan = make_plan(options.overrides)
    found = replayed(_frames(plan, options.out), wanted_claims(plan.config.profile))
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


def replayed(frames: Frames, claims: Sequence) -> dict:
    """Both replays, as plain numbers."""
    staged, halved = savings.staged(claims, frames), savings.halved(frames)
    needed = savings.runs_needed(frames, staged)
    whole = sum(map(cost.seconds, frames.runs()))
    levels = nominal_levels(ALPHA, LOOKS)
    return {
        "error_of_three_looks": {
            "spent": error_rate(levels, LOOKS, TRIALS, SEED),
            "naive": error_rate([ALPHA] * len(LOOKS), LOOKS, TRIALS, SEED),
        },
        "core_seconds": round(whole, 1),
        "staged": [asdict(one) for one in staged],
        "staged_saves": round(whole - sum(map(cost.seconds, needed.values())), 1),
        "halved": [asdict(one) for one in halved],
        "halving_saves": round(sum(one.saved for one in halved), 1),
        "halved_alike": float(np.mean([one.moved <= savings.ALIKE for one in halved])) if halved else None,
    }


def show(found: dict, console: Console) -> None:
    staged = found["staged"]
    other = [one for one in staged if one["whole"] != one["early"]]
    if other:
        table = Table(title="Another verdict in stages", title_justify="left", box=None, pad_edge=False)
        for column in ("claim", "all replicates", "in stages", "stopped at", "of"):
            table.add_column(column)
        for one in other:
            table.add_row(
                one["claim"], one["whole"], one["early"], str(one["stopped"]), str(one["replicates"])
            )
        console.print(table)
    stopped = Counter(one["stopped"] for one in staged if one["stopped"] < one["replicates"])
    at = ", ".join(f"{count} at {look}" for look, count in sorted(stopped.items())) or "none"
    whole, error = found["core_seconds"], found["error_of_three_looks"]
    console.print(
        f"In stages: of {len(staged)} claims these would have stopped early: {at}. {len(other)} verdicts differ. "
        f"Saved {found['staged_saves']:,.0f} of {whole:,.0f} core-seconds, {found['staged_saves'] / whole:.0%}."
    )
    console.print(
        f"Errors without any effect, looks after {', '.join(map(str, LOOKS))}: {error['spent']:.1%} with the level spent over "
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
