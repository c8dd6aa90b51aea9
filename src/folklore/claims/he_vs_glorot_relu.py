"""ReLU nets need He's initial weights, twice the variance of Glorot's

A ReLU sets half of its inputs to zero, so weights that keep the variance of a linear net let the signal of
a ReLU net fade by half in every layer. He's rule doubles the variance of the weights to make up for it, and
the lecture recommends it whenever the activation is a ReLU.

Half in each layer is little at first: with ten layers training can make up for it. With thirty, one part in a
thousand million of the variance is left. We trained nets of 10 and of 30 hidden layers, without normalisation and
without skip connections, each start and each depth at its own tuned rate. The paper behind the rule saw the same
two regimes: no difference at 14 layers, and no learning at all from Glorot's start at 30.

The verdict is about the deep net, where the rule has its reason. A table shows the difference at both
depths and by how much it grows between them; whoever builds nets of a few layers should read the line for
10. What stops Glorot's start at 30 layers is the size of its gradients, so one of the robustness rows
repeats the comparison with Adam, which rescales them.

Supported means: at 30 layers He's start has the better test accuracy, by an amount not shown to be below 1
point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._starts import by_depth, stalled
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding

CLAIM = Claim(
    kind="S",
    family="initialisation",
    lectures=(2,),
    paper="He et al. 2015, arXiv:1502.01852, section 2.2 and table 2",
    reported="an error of 33.82 against 33.90 % at 14 weight layers, which is no superiority; at 30 layers "
    "only He's start learns",
    limits="Plain nets of 64 units trained by SGD with momentum: normalisation and skip connections hide "
    "the difference, and an optimizer that rescales the gradient, such as Adam, may get Glorot's deep net "
    "going (see robustness).",
)
DEPTHS = (10, 30)
STARTS = {"He": "he_normal", "Glorot": "glorot_normal"}
ARMS = {(start, depth): f"{start}, {depth} layers" for depth in DEPTHS for start in STARTS}
_CELLS = tuple(
    {"label": label, "init": STARTS[start], "depth": depth} for (start, depth), label in ARMS.items()
)
# Pilot (seeds 20000 to 20007, 1,500 updates): validation accuracy at 30 layers .424 (He, rate .0025, spread
# .011; best rates .0013 to .005) and .094 (Glorot, chance at every rate from .0003 to 1.28); at 10 layers
# .495 (He) and .482 (Glorot), best rates .005 to .02, spread of the difference .015. Fashion-MNIST, 600
# updates: He .66 (.00125), Glorot chance. Adam, 30 layers: both .44 after 1,500 updates, and .41 and .44
# after 600, best rates .001 to .002.
# In 32 replicates the spread was .031, in 124 .021, hence 68, planned from that spread alone for a power of .8 at 1 point.
_DEEP = {"cells": _CELLS[2:], "updates": 600, "replicates": 16}
DESIGN = Study(
    name="he-vs-glorot-relu",
    title="He's and Glorot's initial weights in ReLU nets of two depths",
    cells=_CELLS,
    fixed={"activation": "relu", "width": 64, "optimizer": "momentum", "batch_size": 32},
    updates=1500,
    rates=Rates(center=0.005),
    variants=(
        Variant(
            "fashion_mnist",
            fixed={"data": "fashion_mnist", "n_train": 8192},
            study={**_DEEP, "rates": Rates(count=5, center=0.00125)},
        ),
        Variant("adam", fixed={"optimizer": "adam"}, study={**_DEEP, "rates": Rates(count=5, center=0.001)}),
    ),
    half_replicates=8,
    replicates=68,
    seconds=145,
)
CRITERION = Criterion(
    text="At 30 hidden layers, test accuracy of He's start minus that of Glorot's, each at its tuned rate, "
    "is above 0 (95 % interval) and not negligible (90 % interval not within 1 point).",
    metric="test accuracy",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.015,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """He minus Glorot at 30 layers; the other depth and the interaction as a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    finding = contrast(runs, _difference(30), criterion.delta)
    caption = "He minus Glorot in points of test accuracy, by depth."
    table = by_depth(runs, _difference, DEPTHS, caption)
    return replace(finding, tables=(table,), notes=(*finding.notes, *stalled(runs)))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Test accuracy by depth, and the training loss of each arm."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.6, ncols=2, width_ratios=(1, 1.15))
    series = {start: {depth: ARMS[start, depth] for depth in DEPTHS} for start in STARTS}
    claims.level_lines(left, finding.rows, series, xlabel="hidden layers")
    claims.legend_above(left, 2)
    claims.loss_curves(right, runs, list(ARMS.values()))
    claims.legend_above(right, 2)
    return fig, (
        "Left: test accuracy by depth for both starts with 95 % intervals: "
        f"{claims.rows_in_words(finding.rows)}. Right: training loss by update, median of the replicates "
        "with a band of 80 % of them; Glorot's start at 30 layers stays where it began."
    )


def _difference(depth: int) -> dict[str, int]:
    """Weights of He minus Glorot at a depth."""
    return {ARMS["He", depth]: 1, ARMS["Glorot", depth]: -1}
