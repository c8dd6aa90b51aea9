"""Look over a configuration in the lectures' six steps: `folklore-check optimizer=adam batch_size=8 data.n_train=500`.

(The same as `python -m folklore.stages.check ...`.) Each step's outcome in a line, a diagnosis with what to try next, and a figure of the
learning curves. The test rows are not looked at, and nothing is kept but the figure.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from folklore.errors import UsageError
from folklore.progress import describe
from folklore.stages.command import command
from folklore.stages.jobs import run_single_threaded
from folklore.stages.train import RESULTS, load_data, run_by_hand

if TYPE_CHECKING:
    from folklore.checkup import Checkup, Diagnosis, Step

WIDTH = 100


def check(argv: Sequence[str]) -> None:
    """The whole command; UsageError before anything is written when the overrides are wrong."""
    parser = argparse.ArgumentParser(prog="folklore-check", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="results folder (default: %(default)s)")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as activation=tanh or lr=0.1")
    # what argparse does not know gets the configuration's one-line message
    options, rest = parser.parse_known_args(argv)
    run, _ = run_by_hand([*options.overrides, *rest])
    data = load_data(run, options.out)
    from folklore.checkup import SAMPLE, examine
    from folklore.datasets.views import seen

    if run.n_train < SAMPLE:
        raise UsageError(
            f"data.n_train={run.n_train}: allowed is {SAMPLE} or more, the small sample of step 2"
        )
    run_single_threaded()
    print(f"{describe([run])}, rate {run.lr:g}, {run.updates:,} updates\n", flush=True)
    found = examine(run, seen(data, run.view), say)
    for diagnosis in found.diagnoses:
        print("\n" + told(diagnosis))
    print(f"\ncurves: {draw(found, options.out / 'check' / run.key)}.png")


def say(step: Step) -> None:
    print(f"  {'ok' if step.fine else '!!'}  {step.name:<13} {step.said}", flush=True)


def told(diagnosis: Diagnosis) -> str:
    """A diagnosis in a few lines."""
    lines = [
        f"{diagnosis.name.upper()}: {diagnosis.because}.",
        f"Try: {diagnosis.advice}{'' if diagnosis.advice.endswith('?') else '.'}",
    ]
    return "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in lines)


def draw(found: Checkup, stem: Path) -> Path:
    """Training loss and validation accuracy by update, at the configuration's rate and at the one that was found."""
    import pandas as pd

    from folklore.checkup import in_digits
    from folklore.figures import style
    from folklore.figures.claims import legend_on_top, loss_curves

    sides = {
        f"as configured, rate {in_digits(found.run.lr)}": found.own,
        f"refined, rate {in_digits(found.refined[0].run.lr)}": found.refined,
    }
    runs = pd.DataFrame(
        [
            outcome.result | {"variant": "main", "phase": "confirm", "arm": arm}
            for arm, side in sides.items()
            for outcome in side
        ]
    )
    style.apply()
    fig, (left, right) = style.new(7, ncols=2)
    loss_curves(left, runs, list(sides))
    loss_curves(
        right,
        runs,
        list(sides),
        steps="val_step",
        values="val_curve",
        scale=100,
        log=False,
        ylabel="validation accuracy (%)",
    )
    legend_on_top(left)
    named = "; ".join(d.name for d in found.diagnoses)
    style.save(fig, stem, f"Training loss and validation accuracy by update, {' and '.join(sides)}: {named}.")
    return stem


def main() -> int:
    """Console script; the exit status."""
    return command(check)


if __name__ == "__main__":
    sys.exit(main())
