"""Draw the figure of every claim: `python -m folklore.stages.draw --out results profile=laptop`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from folklore.figures import style
from folklore.frames import Frames
from folklore.plan import make_plan
from folklore.stages.command import command, out_and_overrides
from folklore.studies import wanted_claims


def main(argv: Sequence[str]) -> None:
    out, overrides = out_and_overrides(__doc__, argv)
    plan = make_plan(overrides)
    frames = Frames(plan, out)
    style.apply()
    for claim in wanted_claims(plan.config.profile):
        runs = frames.study(claim.study) if claim.study else None
        finding = claim.module.judge(runs, claim.criterion)
        figure, alt = claim.module.plot(runs, finding)
        style.save(figure, out / "figures" / claim.id, alt)


if __name__ == "__main__":
    sys.exit(command(main))
