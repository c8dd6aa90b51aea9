"""With little data freeze the inherited layers, with more data train more of them

A net that was trained on one task has learnt features that may serve another. The lecture gives the usual
recipe. If the new data set is small, put a fresh output layer on the old features and train nothing else:
too few rows would spoil the features. If it is larger, train more layers, for now the rows can improve
them.

The old task is to tell the classes 0 to 4 of MNIST-1D apart, from 4,096 rows; the new one has the classes 5
to 9, and 25 or 500 rows of them. For each size there are three arms: the whole net from scratch, the output
layer alone on frozen features, and all layers from the inherited start. Every arm has its own tuned rate
and the same number of updates, enough to fit the rows where the arm can: a rate that spares the features in
one arm would be too small for a fresh output layer in another.

The rule says when to do which, so an interaction decides: by how much freezing beats training everything on
25 rows, minus by how much it does on 500. A table shows both parts, for the sum may be large though one of
them goes the wrong way, and what either way of transfer gains over no transfer at all; that transfer is
always worth it has been disputed.

Supported means: freezing does better on the small set than on the large one, relative to training all
layers, and not by so little that it would not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference
from folklore.claims.base import Claim, Criterion
from folklore.grid import Study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="transfer",
    lectures=(3,),
    paper="Yosinski et al. 2014, arXiv:1411.1792; cs231n course notes, transfer learning; He, Girshick & "
    "Dollár 2019, arXiv:1811.08883",
    reported="The lecture gives the recipe without a figure. He and colleagues: with data enough and time "
    "enough, a detector trained from scratch is as good as one that begins with ImageNet's features.",
    limits="Two halves of one small data set, and a fully connected net whose features are less general than "
    "those of a large convolutional one. Rates are chosen on a validation set that is larger than the small "
    "training set.",
    headline=False,
)
SIZES = (25, 500)
WAYS = {"from scratch": "once", "frozen": "transfer-0", "all layers": "transfer-3"}
ARMS = {(way, n): f"{n} rows, {way}" for n in SIZES for way in WAYS}
# Pilot (seeds 20000 and up; rates .0025, .01 and .04, then 8 seeds, 1,000 updates): validation accuracy on 500 rows .61 from
# scratch (.04), .61 frozen (.01), .70 all layers (.02 to .04); on 25 rows .31, .41 and .38, at any of the rates; the net on
# the old task .79. Spread of the interaction .0275, hence 64 replicates.
# In 64 replicates the spread was .023, hence 80, planned from that spread alone for a power of .8 at 1 point.
DESIGN = Study(
    name="transfer-freeze-finetune",
    title="A second task from inherited layers, frozen or trained on",
    cells=tuple({"label": label, "procedure": WAYS[way], "n_train": n} for (way, n), label in ARMS.items()),
    fixed={"view": "later_classes", "optimizer": "momentum", "batch_size": 25},
    updates=800,
    replicates=80,
    seconds=65,
)
CRITERION = Criterion(
    text="Test accuracy of the output layer alone on frozen layers minus that of all layers trained, on 25 "
    "rows, minus the same on 500 rows, each arm tuned, is above 0 (95 % interval) and not negligible (90 % "
    "interval not within 1 point).",
    metric="gain by freezing on 25 rows minus that on 500, test accuracy",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.0275,
)


def _gain(way: str, other: str, n: int, sign: float = 1.0) -> dict[str, float]:
    """Weights of what one way gains over another at a size."""
    return {ARMS[way, n]: sign, ARMS[other, n]: -sign}


SMALL, LARGE = SIZES
INTERACTION = _gain("frozen", "all layers", SMALL) | _gain("frozen", "all layers", LARGE, -1.0)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The interaction; its two parts and the gains over no transfer as a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    finding = contrast(runs, INTERACTION, criterion.delta)
    return replace(finding, tables=(_by_size(runs),))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Test accuracy by the rows of the new task, and the tuning curves on the larger set."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.4, ncols=2)
    series = {way: {n: ARMS[way, n] for n in SIZES} for way in WAYS}
    claims.level_lines(left, finding.rows, series, xlabel="rows of the new task")
    claims.legend_above(left, 3)
    arms = [ARMS[way, LARGE] for way in WAYS]
    claims.tuning_curves(right, runs, arms, ylabel=f"validation accuracy, {LARGE} rows (%)")
    return fig, (
        "Left: test accuracy with 95 % intervals by the number of rows: "
        f"{claims.rows_in_words(finding.rows)}. Right: validation accuracy against learning rate on {LARGE} rows."
    )


def _by_size(runs: pd.DataFrame) -> Table:
    """What each way gains over each other one, in points."""
    from folklore.stats.findings import Table

    mine = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm")]
    mine = mine.assign(measure=100 * mine["test_accuracy"])
    pairs = (("frozen", "all layers"), ("frozen", "from scratch"), ("all layers", "from scratch"))
    rows = tuple(
        (f"{way} minus {other}", *(difference(mine, _gain(way, other, n)) for n in SIZES))
        for way, other in pairs
    )
    return Table(
        "Differences in points of test accuracy with 95 % intervals, by the rows of the new task.",
        ("arms", *(f"{n} rows" for n in SIZES)),
        rows,
    )
