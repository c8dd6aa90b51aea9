"""A plain net that is made deeper gets worse, and worse on its own training data

More layers can represent whatever fewer can: the added ones would only have to pass on what they get. Yet He and
colleagues found that plain convolutional nets of 34 layers end up behind those of 18, and behind them in training
error, too, so this is no overfitting: the optimizer does not find what is there to be found. They called it
degradation. Batch normalisation was in all of their nets, and they called vanishing gradients an unlikely cause.

We train nets of 9 and 33 hidden layers with batch normalisation, fully connected ones of 32 units a layer and
convolutional ones of 16 channels, each at its own tuned rate. What counts is the training loss at the end, as the
binary logarithm of the ratio of the deep net's to the shallow one's, mean of both kinds of net; a run that diverged
counts with the loss of guessing.

Rates are tuned on validation accuracy, which need not be best for the training loss, and an equal number of updates
might only be too short for the deep net. So a table gives, for every arm, the least training loss at any rate of
the tuning grid, and the figure shows whether the deep nets still fall. Nets with skips stand beside them: the same
depth, the same number of weights.

Supported means: the deep plain net has the higher training loss, in both kinds, on average by an amount not shown
to be below a tenth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._residual import (
    DEEP,
    DEPTHS,
    KINDS,
    LONGER,
    NO_NORM,
    SHALLOW,
    SPEED,
    TARGETS,
    arm,
    by_kind,
    cells,
    over_kinds,
)
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="architecture",
    lectures=(0,),
    paper="He et al. 2016, arXiv:1512.03385, table 2 and figure 4",
    reported="an ImageNet error of 28.54 % with 34 plain layers against 27.94 % with 18, and a higher training "
    "error all along.",
    limits="Narrow nets, 40 inputs and a short budget at a constant rate. Which part of the loss is slowness, and "
    "which would never go away, a fixed number of updates cannot tell.",
    headline=False,
)
# Pilot (seeds 20000, 20001; rates .0065, .026, .052, .104, the best for all arms within them). Training loss and validation
# accuracy: CNN plain .33 and .885 with 9 layers, 1.4 and .46 with 33; residual .22 and .926, .29 and .88. MLP plain 1.33 and
# .49, 2.0 and .18; residual 1.2 and .53, 1.36 and .476. Spreads: .15 for the log ratio of plain nets; the differences that
# the other two claims read spread by 1.75 and 3 points, the latter beside effects ten times as large. Plain
# nets of 9 layers reach 1.45 (MLP) and .6 (CNN) before half of their updates.
# In 32 replicates the spread of residual-tie-shallow was .021, hence 60, planned from that spread alone for a power of .8 at 1 point.
_FEWER = {"rates": Rates(count=5), "tuning_seeds": 2, "replicates": 12}
# In 60 replicates the spread of residual-repairs was .041, hence 184, planned from that spread alone for a power of .8 at 1 point, corrected.
DESIGN = Study(
    name="residual",
    title="Plain and residual nets of two depths",
    cells=cells(),
    fixed={"norm": "batch", "optimizer": "momentum"},
    replicates=184,
    seconds=560,
    variants=(
        *(
            Variant(
                SPEED[kind],
                study={
                    "cells": cells((kind,), (SHALLOW,)),
                    "tune_on": "steps",
                    "target": target,
                    "replicates": 16,
                },
            )
            for kind, target in TARGETS.items()
        ),
        Variant(LONGER, study={"cells": cells(("CNN",), (SHALLOW,), 4), **_FEWER}),
        Variant(
            NO_NORM,
            fixed={"norm": "none"},
            study={"cells": cells(("MLP",), times=0.5), **_FEWER, "rates": Rates(count=5, center=0.0025)},
        ),
    ),
)
CRITERION = Criterion(
    text="log2 of the final training loss of the plain net of 33 hidden layers minus that of the plain net of 9, "
    "all with batch normalisation and tuned, mean of fully connected and convolutional nets, is above 0 (95 % "
    "interval), the same sign in both kinds, and not negligible (90 % interval not within a factor of 1.1).",
    metric="final training loss, 33 against 9 layers",
    unit="octaves",
    delta=0.1375,
    pilot_sd=0.15,
    settings={"guessing": 2.302585, "least": 1e-6},
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The ratio of the plain nets' losses; all arms, skips or not, as a table."""
    from dataclasses import replace

    def loss(frame: pd.DataFrame) -> pd.Series:
        return log_loss(frame, **criterion.settings)

    finding = over_kinds(runs, _deeper, criterion.delta, measure=loss)
    return replace(finding, tables=(_losses(runs, criterion.settings["guessing"]),))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Training loss of all arms by update, a panel for each kind of net."""
    from folklore.figures import claims

    def draw(ax: Axes, kind: str) -> None:
        arms = [arm(kind, skips, depth) for skips in (False, True) for depth in DEPTHS]
        names = {a: a.replace(f" {kind}", "") for a in arms}
        claims.loss_curves(ax, runs, arms, names=names)

    words = claims.rows_in_words(finding.rows, scale=1.0, unit="", decimals=2)
    return by_kind(draw), (
        "Training loss by update of plain and residual nets of 9 and 33 layers, median of the replicates with a band "
        f"of 80 % of them, fully connected on the left, convolutional on the right. Final, as log2: {words}."
    )


def log_loss(runs: pd.DataFrame, guessing: float, least: float) -> pd.Series:
    """log2 of the final training loss; that of guessing for a run that diverged."""
    import numpy as np

    return np.log2(runs["train_loss"].astype(float).fillna(guessing).clip(lower=least))


def _deeper(kind: str) -> dict[str, float]:
    return {arm(kind, False, DEEP): 1.0, arm(kind, False, SHALLOW): -1.0}


def _losses(runs: pd.DataFrame, guessing: float) -> Table:
    """Training loss of every arm at its tuned rate, and at the rate where it was least while tuning."""
    from folklore.stats.findings import Table

    main = runs[runs["variant"] == "main"].assign(loss=lambda frame: frame["train_loss"].fillna(guessing))
    rows = []
    for kind in KINDS:
        for skips in (False, True):
            for depth in DEPTHS:
                mine = main[main["arm"] == arm(kind, skips, depth)]
                done = mine[mine["phase"] == "confirm"]
                scores = f"{done['loss'].mean():.3f}", f"{100 * done['test_accuracy'].mean():.1f}"
                rows.append((arm(kind, skips, depth), *scores, _least(mine[mine["phase"] == "tune"])))
    return Table(
        "Final training loss and test accuracy (%) at the tuned rate, and the least mean training loss at any rate "
        "of the tuning runs.",
        ("net", "training loss", "test accuracy", "least, at its rate"),
        tuple(rows),
    )


def _least(tuned: pd.DataFrame) -> str:
    means = tuned.groupby("lr")["loss"].mean()
    return f"{means.min():.3f} at {means.idxmin():.2g}" if len(means) else "not tuned"
