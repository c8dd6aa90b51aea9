"""For images, centred and standardised pixels come to the same

Inputs are usually given mean 0 and variance 1. For images it is enough to centre the pixels, says the lecture: all
of them are intensities on one and the same scale, so dividing each by its own deviation has nothing to mend. It may
even do harm, for a pixel at the rim that is dark in all but three images becomes an input that is 0 as a rule and
huge in those three.

That they share a scale is what sets images apart, and what limits the verdict to them: where inputs do differ in
scale, centring alone is not enough (see the claim on feature scaling). Here nothing is rescaled by hand. The
digits come with intensities from 0 to 16, divided by one number for all pixels in every arm.

Enough means that dividing gains nothing that matters, so the roles are swapped: the claim is supported when the
data show that centred and standardised pixels differ by less than 1 point of test accuracy, each arm at its own
tuned rate. Two more arms show what centring itself is worth: one mean for all pixels instead of one for each, and
intensities from 0 up. MNIST, where dark pixels are many, is a ground of its own.

Refuted means that the two differ, in whichever direction; the note says whether centring alone is at least not
worse, which is all that the advice needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="preprocessing",
    lectures=(3,),
    paper="CS231n course notes, Setting up the data and the model; Krizhevsky et al. 2012 (only the mean is taken off)",
    reported="advice and practice, no figure.",
    limits="Small grey images and fully connected nets. The digits have 360 test images, the same for every replicate, "
    "and 1,200 to draw 1,024 from: a difference that is theirs cannot be told from one that is general.",
    headline=False,
)
ZERO, ONE, CENTRED, STANDARD = "from 0 up", "one mean for all", "a mean for each pixel", "standardised"
MNIST = "MNIST"
# Pilot (seeds 20000 to 20003, five rates), validation accuracy at the best of them: .974 from 0 up, .983 one mean, .975 a mean for
# each, .975 standardised; best rates .05 to .4, spread of an arm .004 to .011.
_PAIR = ({"label": CENTRED, "view": "centred"}, {"label": STANDARD, "view": "standardised"})
DESIGN = Study(
    name="zero-centre-images",
    title="Pixels as they are, centred and standardised",
    cells=({"label": ZERO, "view": "from_zero"}, {"label": ONE, "view": "plain"}, *_PAIR),
    fixed={"optimizer": "sgd", "data": "digits", "n_train": 1024},
    updates=1000,
    seconds=32,
    variants=(
        Variant(
            MNIST,
            fixed={"data": "mnist", "n_train": 8192},
            study={"cells": _PAIR, "updates": 600, "replicates": 16, "rates": Rates(count=5)},
        ),
    ),
)
CRITERION = Criterion(
    text="Test accuracy of nets on centred pixels minus that of nets on standardised pixels, each tuned, digits: the "
    "90 % interval lies within 1 point. Refuted: the 95 % interval excludes 0 and is not within 1 point.",
    metric="test accuracy, centred minus standardised",
    unit="points",
    delta=0.01,
    scale=100,
    equivalence=True,
    pilot_sd=0.01,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Centred minus standardised pixels; what centring itself is worth as a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    finding = contrast(runs, {CENTRED: 1.0, STANDARD: -1.0}, criterion.delta, equivalence=True)
    low = finding.estimate.interval90[0]
    shown = "It is shown" if low > -criterion.delta else "It is not shown"
    note = (
        f"{shown} that centring alone is at most {100 * criterion.delta:g} point worse (lower end of the 90 % "
        f"interval {100 * low:+.2f})."
    )
    return replace(finding, tables=(_by_arm(runs),), notes=(*finding.notes, note))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Tuning curves and test accuracy of the four ways."""
    from folklore.figures.panels import tuning_and_scores

    names = {ONE: "one mean\nfor all", CENTRED: "a mean for\neach pixel"}
    figure, said = tuning_and_scores(runs, finding, names, columns=2)
    return figure, said.replace("\n", " ")


def _by_arm(runs: pd.DataFrame) -> Table:
    """Accuracy of every arm, and what the pixels' own means have more."""
    from folklore.stats.findings import Table

    confirmed = runs[runs["phase"] == "confirm"].assign(measure=lambda frame: 100 * frame["test_accuracy"])
    rows = []
    for variant, mine in confirmed.groupby("variant", sort=False):
        for arm, group in mine.groupby("arm", sort=False):
            more = difference(mine, {CENTRED: 1.0, arm: -1.0}, decimals=2) if arm != CENTRED else ""
            ground = "digits" if variant == "main" else variant
            rows.append((ground, arm, f"{group['lr'].iloc[0]:.3g}", f"{group['measure'].mean():.2f}", more))
    return Table(
        "Test accuracy in percent, and points that pixels with a mean for each have more, with a 95 % interval.",
        ("ground", "pixels", "rate", "test accuracy", "each pixel's mean has more"),
        tuple(rows),
    )
