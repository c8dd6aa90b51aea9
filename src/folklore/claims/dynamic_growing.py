"""To grow a net costs once to twice the time of training the final net at once

Who does not know how many neurons a task needs may begin with too few, wait until the loss no longer falls, add one,
and go on. The lecture says from experience that the whole training then takes only 1.5 to 2 times as long as if the
final number had been there at once, and that what the net has learnt is not lost when neurons are added.

We let one hidden layer grow from 4 to 64 units: it doubles whenever the training loss of 100 updates is less than a
hundredth below that of the 100 before. New units have random incoming weights and outgoing weights of zero, so the
net computes the same before and after; the lecture has other ways to start them. The rival has 64 units from the
first update on.

Time is counted in multiplications until the training loss reaches a target that was set from a pilot, for
an update of a small net costs less than one of a large net; seconds would depend on the machine. Both arms have
their own learning rate, tuned for this, and a run that never arrives counts with the whole budget of the large net.

Supported means: the 90 % interval of the mean ratio (a geometric mean) lies between 1 and 2. That is a wider range
than the lecture's own, and a note says whether that one is met, too. A ratio below 1, which would speak for growing
even more, refutes the figure, too. A table shows the jump of the loss when units are added, and what it would be if
they had random outgoing weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import with_interval
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.estimates import Estimate
    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="transfer",
    lectures=(2,),
    paper="Soloviev & Shigapova 2021 (the lecture), from experience; related: Chen et al. 2016 (Net2Net), "
    "arXiv:1511.05641",
    reported="1.5 to 2 times the time of training with the final number of neurons; what was learnt is not lost.",
    limits="One hidden layer, one schedule of doublings, where the lecture adds one neuron at a time and trains it first; one "
    "target. The ratio depends on the target: one that the "
    "small nets reach makes growing cheap, one near the limit of the final net makes it dear.",
    headline=False,
)
LECTURE = (1.5, 2.0)  # its own range of the ratio
GROWN, FIXED, LATER = "4 to 64 units", "64 units at once", "from 16 units"
_AT_ONCE = {"label": FIXED, "procedure": "grow-64"}
# Pilot (seeds 20010 to 20015, rates .04 and .08, 8,000 updates): log2 of the ratio .15 and .46, spread .25 and .16; the target is
# reached by all after 1,300 to 1,600 updates at once and about 4,000 updates of the growing net. A first target of 1.2 was
# reached at 16 or 32 units already, and could not say what growing to the end costs. Below a rate of .01 both arms are slow.
DESIGN = Study(
    name="dynamic-growing",
    title="A net that grows, and its final size at once",
    cells=({"label": GROWN, "procedure": "grow-4"}, _AT_ONCE),
    fixed={"optimizer": "momentum", "depth": 1, "width": 64},
    updates=6000,
    rates=Rates(center=0.04),
    tune_on="speed",
    seconds=13,
    variants=(Variant(LATER, study={"cells": ({"label": GROWN, "procedure": "grow-16"}, _AT_ONCE)}),),
)
CRITERION = Criterion(
    text="log2 of the multiplications to a training loss of .8 (mean of 20 updates) of the growing net minus that of "
    "the final net at once, both tuned for it, runs censored at the budget; its 90 % interval lies between 0 and 1 (a "
    "ratio between 1 and 2). Refuted: the 95 % interval excludes the middle and does not lie between 0 and 1.",
    metric="multiplications to the target, growing against at once, from a ratio of 1.41",
    unit="octaves",
    delta=0.5,
    equivalence=True,
    pilot_sd=0.2,
    settings={"target": 0.8, "middle": 0.5},
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Equivalence of the ratio's logarithm with the middle between 1 and 2; jumps as a table."""
    from dataclasses import replace

    from folklore.stats.findings import arm_rows, contrast

    middle = criterion.settings["middle"]

    def lowered(frame: pd.DataFrame) -> pd.Series:
        return _octaves(frame) - middle * (frame["arm"] == GROWN)

    finding = contrast(runs, {GROWN: 1.0, FIXED: -1.0}, criterion.delta, measure=lowered, equivalence=True)
    return replace(
        finding,
        rows=arm_rows(runs.assign(measure=_octaves(runs))),
        tables=(_costs(runs, finding), _jumps(runs)),
        notes=(_own_range(finding.estimate), *finding.notes),
        undecidable=finding.undecidable or _silent(runs),
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Training loss with the target, and the work to it."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(6.4, ncols=2, width_ratios=(1.15, 1))
    claims.loss_curves(left, runs, [GROWN, FIXED], target=CRITERION.settings["target"])
    claims.legend_above(left, 2)
    axis = "multiplications to the target (log2)"
    names = {GROWN: "4 to 64\nunits", FIXED: "64 units\nat once"}
    claims.arm_points(right, finding.rows, [GROWN, FIXED], scale=1, xlabel=axis, decimals=2, names=names)
    words = claims.rows_in_words(finding.rows, scale=1, unit="", decimals=2)
    return fig, (
        "Left: training loss by update, median of the replicates with a band of 80 % of them, and the target. Right: "
        f"log2 of the multiplications to the target with 95 % intervals: {words}."
    )


def _octaves(runs: pd.DataFrame) -> pd.Series:
    """log2 of the multiplications to the target."""
    import numpy as np

    from folklore.stats.findings import measured

    return np.log2(measured("operations")(runs))


def _silent(runs: pd.DataFrame) -> str:
    """Why runs that never arrive can decide nothing."""
    from folklore.stats.findings import measured

    mine = runs[(runs["phase"] == "confirm") & (runs["variant"] == "main")]
    shares = measured("arrived")(mine).groupby(mine["arm"]).mean()
    return "" if (shares >= 0.5).all() else "Most runs of an arm never reached the target within the budget."


def _ratio(estimate: Estimate) -> tuple[float, float, float]:
    """Multiplications of the growing net over those at once: the geometric mean and its 90 % interval."""
    mean, low, high = (
        2 ** (v + CRITERION.settings["middle"]) for v in (estimate.effect, *estimate.interval90)
    )
    return mean, low, high


def _own_range(estimate: Estimate) -> str:
    """Where the ratio lies by the lecture's own range, which is narrower than the one that decides."""
    ratio, low, high = _ratio(estimate)
    place = (
        "below"
        if high < LECTURE[0]
        else "above"
        if low > LECTURE[1]
        else "inside"
        if LECTURE[0] <= low and high <= LECTURE[1]
        else "partly inside"
    )
    return (
        f"The ratio is {ratio:.2f} (90 % interval {low:.2f} to {high:.2f}), {place} the lecture's own range of {LECTURE[0]:g} to "
        f"{LECTURE[1]:g}; the verdict is about the wider one of 1 to 2."
    )


def _ground(variant: str) -> str:
    return "from 4 units" if variant == "main" else variant


def _costs(runs: pd.DataFrame, finding: Finding) -> Table:
    """The ratio itself with its interval, and what both arms are worth in the end."""
    from folklore.stats.findings import Table, measured

    found = {"main": finding.estimate} | {row.label: row.estimate for row in finding.robustness}
    confirmed = runs[runs["phase"] == "confirm"]
    confirmed = confirmed.assign(arrived=measured("arrived")(confirmed))
    rows = []
    for variant in (v for v in confirmed["variant"].unique() if v in found):
        mine = confirmed[confirmed["variant"] == variant].groupby("arm")
        ratio, *ends = _ratio(found[variant])
        scores = (f"{100 * mine['test_accuracy'].mean()[arm]:.1f}" for arm in (GROWN, FIXED))
        arrived = f"{100 * mine['arrived'].mean()[GROWN]:.0f} / {100 * mine['arrived'].mean()[FIXED]:.0f}"
        rows.append(
            (_ground(variant), f"{ratio:.2f} ({ends[0]:.2f} to {ends[1]:.2f})", arrived, " / ".join(scores))
        )
    return Table(
        "Multiplications to the target, growing over at once (geometric mean, 90 % interval); runs that arrived and "
        "test accuracy after all updates, in percent, growing / at once.",
        ("ground", "ratio", "arrived", "test accuracy"),
        tuple(rows),
    )


def _jumps(runs: pd.DataFrame) -> Table:
    """Rise of the loss when units are added."""
    from folklore.stats.findings import Table, measured

    mine = runs[(runs["phase"] == "confirm") & (runs["arm"] == GROWN)]
    names = {"jump": "over the next 20 updates", "jump_random": "at once, if outgoing weights were random"}
    rows = [
        (
            name,
            _ground(variant),
            with_interval(measured(measure)(group).dropna().to_numpy(dtype=float), 3),
        )
        for variant, group in mine.groupby("variant", sort=False)
        for measure, name in names.items()
    ]
    return Table(
        "Rise of the training loss when units are added, mean over additions and replicates with 95 % interval. With "
        "outgoing weights of zero it is exactly 0 at once.",
        ("rise", "ground", "loss"),
        tuple(rows),
    )
