"""Draw figures of claims: `python -m folklore.stages.draw --out results profile=laptop`, all or those of `--claims a,b`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from folklore.claim_calls import plot_of
from folklore.errors import UsageError
from folklore.figures import style
from folklore.finding_files import read_findings
from folklore.frames import Frames
from folklore.plan import make_plan
from folklore.stages.command import command
from folklore.studies import wanted_claims


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument(
        "--claims", default="", help="ids, separated by commas; all of the profile by default"
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as profile=smoke")
    options = parser.parse_intermixed_args(argv)
    plan, chosen = make_plan(options.overrides), set(filter(None, options.claims.split(",")))
    wanted = wanted_claims(plan.config.profile)
    if unknown := sorted(chosen - {claim.id for claim in wanted}):
        raise UsageError(
            f"--claims={unknown[0]}: no such claim; allowed are {', '.join(claim.id for claim in wanted)}"
        )
    claims = [claim for claim in wanted if not chosen or claim.id in chosen]
    findings = read_findings(options.out)
    if missing := [claim.id for claim in claims if claim.id not in findings]:
        raise UsageError(f"{missing[0]}: not judged yet; snakemake --cores all does it")
    frames = Frames(plan, options.out, {claim.study for claim in claims if claim.study})
    style.apply()
    for claim in claims:
        runs = frames.study(claim.study) if claim.study else None
        figure, alt = plot_of(claim, runs, findings[claim.id])
        style.save(figure, options.out / "figures" / claim.id, alt)


if __name__ == "__main__":
    sys.exit(command(main))
