"""Small Gaussian initial weights do not work for deep nets

Small random numbers were long the advice for initial weights: N(0, .01^2) breaks the symmetry and keeps all
units away from saturation. But a layer whose weights are too small passes on a weaker signal, and the next one
a weaker one still. With 64 units a layer and weights of .01, less than a tenth is left after each layer, in
both directions: after a few layers there is nothing to learn from.

The claim is about depth, so the depth is varied: nets of 1, 2, 3 and 10 hidden ReLU layers, from N(0, .01^2) and
from Glorot's normal weights, each at its own tuned rate, over a grid that can move by three further octaves. A
higher rate is what small weights call for, and it might repair the shallow nets. The verdict is about ten
layers; a table shows the difference at every depth.

Two objections have grounds of their own. The lecture's advice stems from the days of tanh: the same with tanh.
And batch normalisation rescales what arrives at each layer, so with it the scale of the weights should no longer
matter: the same with batch normalisation. What counts is the scale times the root of the width, not the .01.

Supported means: with ten layers Glorot's start has the better test accuracy, by an amount not shown to be below 1
point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._starts import by_depth, layers, stalled
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding

CLAIM = Claim(
    kind="S",
    family="initialisation",
    lectures=(3,),
    paper="Glorot & Bengio 2010; Simonyan & Zisserman 2015, arXiv:1409.1556, who started their deep nets from "
    "shallower trained ones",
    reported="weights of a variance that does not fit the width make signals and gradients fade with depth; no "
    "figure for N(0, .01^2) is given.",
    limits="Nets of 64 units: in a layer of 10,000 the same .01 would be the right scale. Normalisation and "
    "skip connections change the question (see robustness for the first).",
    headline=False,
)
DEPTHS = (1, 2, 3, 10)
STARTS = {"Glorot": "glorot_normal", "N(0, .01²)": "normal_001"}
GOOD, SMALL = STARTS
ARMS = {(start, depth): f"{start}, {layers(depth)}" for depth in DEPTHS for start in STARTS}
_CELLS = tuple(
    {"label": label, "init": STARTS[start], "depth": depth} for (start, depth), label in ARMS.items()
)
# Pilot (seeds 20000, 20010 and up, 1,000 or 1,500 updates), validation accuracy from Glorot's weights and from N(0, .01^2):
# 1 layer .58 and .53 (best rates .02, .04), 2 layers .58 and .46 (.04, .08), 3 layers .59 and chance, 10 layers .48
# (.01, spread .013) and chance; chance at every rate from .005 to 1.28. Tanh, 10 layers: .55 (.01) and chance. With batch
# normalisation: .470 and .479 (.01, .0025).
_DEEP = {"cells": _CELLS[-2:], "replicates": 16}
# In 32 replicates the spread was .021, in 72 .026, hence 88, planned from that spread alone for a power of .8 at 1 point, corrected.
DESIGN = Study(
    name="small-gaussian-deep",
    title="Small Gaussian and Glorot's initial weights in nets of four depths",
    cells=_CELLS,
    fixed={"activation": "relu", "width": 64, "optimizer": "momentum"},
    updates=1000,
    rates=Rates(center=0.02),
    replicates=88,
    seconds=70,
    variants=(
        Variant("tanh", fixed={"activation": "tanh"}, study=_DEEP | {"rates": Rates(count=5, center=0.01)}),
        Variant(
            "batch normalisation",
            fixed={"norm": "batch"},
            study=_DEEP | {"rates": Rates(count=5, octaves=2.0, center=0.01)},
        ),
    ),
)
CRITERION = Criterion(
    text="At ten hidden layers, test accuracy of Glorot's start minus that of N(0, .01^2), each at its tuned "
    "rate, is above 0 (95 % interval) and not negligible (90 % interval not within 1 point).",
    metric="test accuracy",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.015,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Glorot minus N(0, .01^2) at ten layers; every depth as a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    finding = contrast(runs, _difference(10), criterion.delta)
    caption = "Glorot's start minus N(0, .01²) in points of test accuracy, by depth."
    table = by_depth(runs, _difference, DEPTHS, caption)
    return replace(finding, tables=(table,), notes=(*finding.notes, *stalled(runs)))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Test accuracy by depth, and validation accuracy by rate at the extremes."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.8, ncols=2, width_ratios=(1, 1.15))
    series = {start: {depth: ARMS[start, depth] for depth in DEPTHS} for start in STARTS}
    claims.level_lines(left, finding.rows, series, xlabel="hidden layers")
    claims.legend_above(left, 2)
    claims.tuning_curves(right, runs, [ARMS[start, depth] for depth in (2, 10) for start in STARTS])
    claims.legend_above(right, 2)
    return fig, (
        "Left: test accuracy by depth for both starts with 95 % intervals: "
        f"{claims.rows_in_words(finding.rows)}. Right: validation accuracy by learning rate for nets of 2 and of 10 "
        "layers."
    )


def _difference(depth: int) -> dict[str, float]:
    """Weights of Glorot minus N(0, .01^2) at a depth."""
    return {ARMS[GOOD, depth]: 1.0, ARMS[SMALL, depth]: -1.0}
