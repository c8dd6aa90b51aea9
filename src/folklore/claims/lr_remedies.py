"""If the loss does not go down, raise the learning rate; if it explodes, lower it

The lecture gives two remedies for a training loss that looks wrong from the start. Both assume that the rate is to blame:
steps so small that nothing happens, or so large that every step overshoots.

They are applied as written, by someone who does not know the right rate. Nets start at the tuned rate divided by 300, or
multiplied by 300. After every twentieth of the budget the loss is looked at: still about that of guessing, the rate goes
up tenfold; not a number or twice that of guessing, it goes down tenfold and training starts again. The updates
spent so far are lost. The same starts without any remedy stand beside them, and the tuned rate with and without.

A loss that does not go down has other causes, too. The counter-example is a net whose hidden units are dead from the
start, by biases of -100: no gradient reaches a weight, the loss looks as it does at a low rate, and the remedy
is the wrong one. A table gives what it brings there. Rates only ten times off are a ground of their own, where the
loss may look healthy although a better rate is near.

Supported means: averaged over the low and the high start the remedies add to the test accuracy, not shown to be below 1
point, and they add something to each of the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference, largest_p, mean_text
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="optimisation",
    lectures=(3,),
    paper="Sun 2018, lecture; a rule of thumb without a paper behind it (compare Stanford's cs231n notes)",
    reported="two lines of advice for watching the loss; no measurement",
    limits="The rules are those of a patient person with a table of three lines; nobody looks at the shape of a curve. "
    "Plain SGD on a small net.",
    headline=False,
)
TUNED, TUNED_CARED = "tuned rate", "tuned rate, remedies"
LOW, LOW_CARED = "rate too low", "rate too low, remedies"
HIGH, HIGH_CARED = "rate too high", "rate too high, remedies"
DEAD, DEAD_CARED = "dead units", "dead units, remedies"
TENFOLD = "ten times off"


def _cells(times: float, dead: bool) -> tuple[dict[str, object], ...]:
    starts = {LOW: {"lr_times": 1 / times}, HIGH: {"lr_times": times}}
    starts |= {DEAD: {"lr_times": 1.0, "bias": -100.0}} if dead else {}
    led = [(label, {"lr_of": TUNED, **start}) for label, start in starts.items()]
    cared = [(f"{label}, remedies", {**start, "procedure": "remedies"}) for label, start in led]
    cared += [(TUNED_CARED, {"lr_of": TUNED, "lr_times": 1.0, "procedure": "remedies"})]
    return ({"label": TUNED}, *({"label": label, **start} for label, start in (*led, *cared)))


# Pilot (seeds 20000 to 20003, 2,000 updates, tuned rate .2): validation accuracy .64 at the tuned rate with and without remedies; from .2/300
# .24 without, .58 with them (two raises); from 60 all runs diverge within 5 updates, .61 with remedies (two restarts); dead units .10
# either way. From .02 the loss falls, so that nothing is done (.51); from 2 all runs diverge, .64 with remedies. Spread about 1 point.
DESIGN = Study(
    name="lr-remedies",
    title="Remedies for a wrong learning rate",
    cells=_cells(300.0, dead=True),
    fixed={"optimizer": "sgd"},
    updates=2000,
    variants=(
        Variant(
            TENFOLD,
            study={"cells": _cells(10.0, dead=False), "replicates": 16, "rates": Rates(count=5)},
        ),
    ),
    seconds=40,
)
CRITERION = Criterion(
    text="Test accuracy with the remedies minus that without, mean of the nets that start 300 times below and 300 times above "
    "the tuned rate, is above 0 (95 % interval) and not negligible (90 % interval not within 1 point), with the same sign "
    "at either start (p of the weaker one).",
    metric="test accuracy, with minus without remedies",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.012,
)
GAINS = {
    "rate too low": {LOW_CARED: 1.0, LOW: -1.0},
    "rate too high": {HIGH_CARED: 1.0, HIGH: -1.0},
    "dead units": {DEAD_CARED: 1.0, DEAD: -1.0},
    "tuned rate": {TUNED_CARED: 1.0, TUNED: -1.0},
}
BOTH = {arm: sign / 2 for name in (LOW, HIGH) for arm, sign in GAINS[name].items()}


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """What the remedies bring at both wrong rates; each start, and the counter-example, as a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast, measured

    finding = contrast(runs, BOTH, criterion.delta, test=_weaker)
    confirmed = runs[runs["phase"] == "confirm"].assign(
        measure=100 * runs["test_accuracy"], raised=measured("raised"), lowered=measured("lowered")
    )
    tables = tuple(_gains(group, variant) for variant, group in confirmed.groupby("variant", sort=False))
    return replace(finding, tables=tables)


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Training loss of the arms with remedies, and accuracy of all."""
    from folklore.figures import claims, panels, style

    style.apply()
    fig, (left, right) = style.new(8.6, ncols=2)
    cared = [TUNED, LOW_CARED, HIGH_CARED, DEAD_CARED]
    arms = [TUNED, TUNED_CARED, LOW, LOW_CARED, HIGH, HIGH_CARED, DEAD, DEAD_CARED]
    colours = claims.arm_colours(arms)
    colours |= {arm: colours[other] for arm, other in zip(cared[1:], (LOW, HIGH, DEAD), strict=True)}
    short = dict(zip(cared, ("tuned rate", "too low", "too high", "dead units"), strict=True))
    claims.loss_curves(left, runs, cared, names=short, colours=colours)
    left.set_ylim(0.1, 20)
    claims.legend_above(left, 2)
    names = {arm: arm.replace(", remedies", ",\nremedies") for arm in arms}
    claims.arm_points(right, finding.rows, arms, names=names, colours=colours)
    return fig, (
        "Left: training loss by update of the tuned rate and of three wrong starts with remedies, median and 80 % of the "
        "replicates; losses of explosions that were taken back lie above the axis. Right: "
        + panels.scores_in_words(finding)
    )


def _weaker(runs: pd.DataFrame) -> float:
    """The larger of the p-values of the low and of the high start; 1 when the two differ in sign."""
    from folklore.stats.findings import differences

    return largest_p([differences(runs, GAINS[name]) for name in (LOW, HIGH)])


def _gains(confirmed: pd.DataFrame, variant: str) -> Table:
    """What the remedies bring at every start, and how often they were applied."""
    from folklore.stats.findings import Table

    arms = dict(list(confirmed.groupby("arm")))
    rows = []
    for name, weights in GAINS.items():
        cared, plain = weights
        if {cared, plain} <= set(arms):
            scores = (f"{arms[arm]['measure'].mean():.1f}" for arm in (plain, cared))
            counts = (mean_text(arms[cared][column], ".1f") for column in ("raised", "lowered"))
            rows.append((name, *scores, difference(confirmed, weights), *counts))
    where = {"main": "300 times off", TENFOLD: TENFOLD}.get(variant, f"300 times off, {variant}")
    return Table(
        f"Wrong rates {where}: test accuracy in percent without and with remedies, the difference in points with a 95 % "
        "interval, and how often a run's rate was raised and lowered on average.",
        ("start", "without", "with", "difference", "raised", "lowered"),
        tuple(rows),
    )
