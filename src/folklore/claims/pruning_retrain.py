"""Remove what matters least, train on, and take it back if that made things worse

Begin with a net that is too large, remove the connections that matter least, train on to mend the damage, and put
the last ones back if the quality has dropped. The lecture measures how much a connection matters by the error
without it. The common stand-in, used here, is the size of its weight.

A net of 3 x 100 units is trained for half of its updates; then three quarters of its weights go in four
rounds, with training after each. Two things must be shown. That it matters which weights go: the rival loses equally
many by lot. And that the large net was needed at all: the other rival is a dense net with as many weights as are left,
trained from scratch with as many multiplications as the whole procedure, which are about three times as many updates.
Liu and colleagues found that such small nets are often as good. Each arm has its own tuned rate, and the rival that is
better on validation data decides.

Nets that took a removal back are larger than those that did not, and would be compared at unequal size. So the
arms that decide take nothing back. With nine tenths of the weights removed, a robustness row, there is also an arm
that does, whenever a round cost more than a point of validation accuracy; the table says how many weights it keeps,
and what the whole net is worth.

Supported means: the pruned net has a better test accuracy than the one of its rivals that is better on validation
data, by an amount not shown to be below 1 point. The table has the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference, mean_text, preferred
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="transfer",
    lectures=(2,),
    paper="LeCun, Denker & Solla 1990 (optimal brain damage); Han et al. 2015, arXiv:1506.02626; Liu et al. "
    "2019, arXiv:1810.05270",
    reported="The lecture gives no figure. Han: most weights of AlexNet and VGG can go without loss when pruned in "
    "rounds. Liu: a small net from scratch is often as good as the pruned one.",
    limits="Single weights by their size, one schedule; to remove whole units is another matter, and the one "
    "that Liu and colleagues studied most. Multiplications by weights that are gone count as saved, which a processor "
    "does only with special code.",
    headline=False,
)
PRUNED, LOTS, SMALL = "smallest removed", "removed by lot", "small net from scratch"
RETURNS, WHOLE, MORE = "smallest, taken back if worse", "whole net", "nine tenths removed"
RIVALS = (LOTS, SMALL)
UPDATES = 2400


def _cells(percent: int, width: int, updates: int) -> tuple[dict[str, object], ...]:
    """The arms that decide; the small net has as many weights as are left, and as much work in all."""
    return (
        {"label": PRUNED, "procedure": f"prune-{percent}"},
        {"label": LOTS, "procedure": f"prune_random-{percent}"},
        {"label": SMALL, "width": width, "updates": updates},
    )


# Pilot (seeds 20010 to 20012, best of two or three rates): validation accuracy .673 (smallest removed, .04), .594 (by lot, .05,
# 3,000 updates), .618 (small net, .04) and .648 (whole net, .02, 3,000 updates); spread of smallest minus small net .012. The
# last removal alone costs 14 points. Nothing was taken back. With nine tenths removed in 2,000 updates (2 seeds): .59, .34 and
# .57, and every run that may takes a round back, to keep 32 to 44 % of its weights.
# In 32 replicates the spread was .016, hence 44, planned from that spread alone for a power of .8 at 1 point.
DESIGN = Study(
    name="pruning-retrain",
    title="Weights removed by size, by lot, and never there",
    cells=(
        *_cells(75, 45, 6917),  # 6,250 and 6,300 weights; the work of 1,743 updates of 25,000 weights
        {"label": WHOLE},
    ),
    fixed={"optimizer": "momentum"},
    updates=UPDATES,
    replicates=44,
    seconds=66,
    variants=(
        Variant(
            MORE,
            study={
                # 2,500 weights both; the work of 1,547 updates
                "cells": (*_cells(90, 25, 15_469), {"label": RETURNS, "procedure": "prune_return-90"}),
                "replicates": 16,
                "tuning_seeds": 2,
                "rates": Rates(count=5),
            },
        ),
    ),
)
CRITERION = Criterion(
    text="Test accuracy after three quarters of the weights, the smallest, were removed and the rest was trained on, "
    "minus that of the better (validation accuracy after tuning) of equally many removed by lot and a dense net of "
    "equally many weights from scratch with equal work; above 0 (95 % interval) and not negligible (90 % interval not "
    "within 1 point).",
    metric="test accuracy",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.015,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Pruned minus the better rival; all arms as a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    rivals = {variant: preferred(group, RIVALS) for variant, group in runs.groupby("variant", sort=False)}
    weights = {variant: {PRUNED: 1.0, rival: -1.0} for variant, rival in rivals.items()}
    finding = contrast(runs, weights, criterion.delta)
    note = f"The better rival on validation: {rivals['main']}."
    return replace(finding, tables=(_arms(runs),), notes=(note, *finding.notes))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Tuning curves and test accuracies of all arms."""
    from folklore.figures.panels import tuning_and_scores

    names = {RETURNS: "smallest, with return", SMALL: "small net"}
    return tuning_and_scores(runs, finding, names, columns=2)


def _arms(runs: pd.DataFrame) -> Table:
    """What is left of each net, how much a removal hurts before training mends it, and what pruning gains over each arm."""
    from folklore.stats.findings import Table, measured

    confirmed = runs[runs["phase"] == "confirm"].assign(measure=lambda frame: 100 * frame["test_accuracy"])
    found = {name: 100 * measured(name)(confirmed) for name in ("kept", "fall", "returned")}
    confirmed = confirmed.assign(**found)
    rows = [
        (
            f"{arm}{'' if variant == 'main' else ', ' + variant}",
            *(mean_text(group[name], ".0f") for name in found),
            f"{group['measure'].mean():.1f}",
            "" if arm == PRUNED else difference(mine, {PRUNED: 1.0, arm: -1.0}),
        )
        for variant, mine in confirmed.groupby("variant", sort=False)
        for arm, group in mine.groupby("arm", sort=False)
    ]
    return Table(
        "Weights kept (%), points of validation accuracy lost by the last removal before any training, runs that took "
        "one back (%), test accuracy (%), and points by which the net without its smallest weights is better, with 95 % "
        "interval.",
        ("arm", "kept", "lost at once", "taken back", "test accuracy", "pruned is better by"),
        tuple(rows),
    )
