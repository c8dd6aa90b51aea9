"""ReLU first, then leaky ReLU, maxout or ELU, then tanh, and the sigmoid last

A lecture gives its advice on activations as an order: ReLU by default, leaky ReLU, maxout and ELU as
alternatives, tanh after them, and the sigmoid rather not. Behind the order stand arguments about gradients:
those of saturating functions fade from layer to layer, those of a ReLU do not, as long as the unit is alive.

Seven activations were trained in nets of eight hidden layers. Each has its own tuned rate and the start made
for its kind: He's for ReLU and its relatives, Glorot's for functions that saturate and for maxout, whose
signal would double its power in every layer with He's. A maxout unit has two sets of weights, so the maxout net is made
narrower until it has as many parameters as the others. Softplus has no place in the lecture's order and
stands beside it in the deep nets only.

An order is right if each of its steps is. A rank correlation would be won by the last step alone, for a deep
sigmoid net hardly learns at all, and everything is better than that. The verdict is therefore about the step
that a reader acts on, ReLU before its three alternatives, and "supported" is not said when one of the lower
steps turns out to be the wrong way round by more than a point. The tables show every step and every pair.
The same nets with three layers are a second ground: there the saturating functions can learn, too.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from folklore.claims._starts import stalled
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="activations",
    lectures=(3,),
    paper="Mishkin, Sergievskiy & Matas 2017, arXiv:1606.02228 (caffenet-benchmark); Glorot & Bengio 2010, table 1",
    reported="caffenet-benchmark, a convolutional net without normalisation: ELU .488, maxout of equal size "
    ".482, ReLU .471, a leaky ReLU of slope 1/3 .469, tanh .401: ELU and maxout are ahead of ReLU, leaky ReLU is level with it. "
    "Glorot and Bengio: MNIST error of sigmoid nets 2.21 %, of tanh nets 1.76 % (1.64 % from their weights).",
    limits="Plain multilayer nets with a short budget and a constant rate. Neither convolutional nets nor "
    "normalisation, which helps the saturating functions most, are part of it.",
    headline=False,
)

TIERS = (("ReLU",), ("leaky ReLU", "maxout", "ELU"), ("tanh",), ("sigmoid",))
HE, GLOROT = {"init": "he_normal"}, {"init": "glorot_normal"}
CELLS = (
    {"label": "ReLU", "activation": "relu", **HE},
    {"label": "leaky ReLU", "activation": "leaky_relu", **HE},
    {
        "label": "maxout",
        "activation": "maxout",
        "width": 90,
        **GLOROT,
    },  # 122,950 parameters, the others 122,122
    {"label": "ELU", "activation": "elu", **HE},
    {"label": "tanh", "activation": "tanh", **GLOROT},
    {"label": "sigmoid", "activation": "sigmoid", **GLOROT},
    {"label": "softplus", "activation": "softplus", **HE},
)
ARMS = tuple(cell["label"] for cell in CELLS)
# 25,034 parameters for maxout, the others 25,310
SHALLOW_CELLS = tuple(cell | {"width": 68} if cell["label"] == "maxout" else cell for cell in CELLS[:-1])
SHALLOW = "three layers"
GROUNDS = {"main": "eight layers", SHALLOW: SHALLOW}
FAR = 0.15  # an arm this far behind the best would leave the others no room in the figure

# Pilot (seeds 20000, 20001 over rates, 20010 to 20015 at the best ones; 896 or 1,000 updates). Validation accuracy
# with eight layers: ELU .59 (best rate .005 to .01), maxout .57 (.01), tanh .57 (.01), leaky ReLU .53 (.01), ReLU .51
# (.01 to .02), softplus .46 (.01), sigmoid at chance from .16 to 2.56; ReLU minus its alternatives has a spread of
# .023, of which one run of six makes half. Maxout from He's weights: .46 at .0025, diverged above. Three layers,
# 2,000 updates: .64 to .65 for ReLU, leaky ReLU, maxout, ELU and tanh (.01 to .02), sigmoid .42 (.08).
# In 32 replicates the spread was .02, in 72 .017, hence 52, planned from that spread alone for a power of .8 at 1 point.
DESIGN = Study(
    name="activation-ranking",
    title="Seven activations in deep and in shallow nets",
    cells=CELLS,
    fixed={"depth": 8, "width": 128, "optimizer": "momentum"},
    updates=896,
    rates=Rates(center=0.01),
    replicates=52,
    seconds=179,
    variants=(
        Variant(
            SHALLOW,
            fixed={"depth": 3, "width": 100},
            study={
                "cells": SHALLOW_CELLS,
                "updates": 2000,
                "rates": Rates(center=0.02),
                "replicates": 16,
            },
        ),
    ),
)
CRITERION = Criterion(
    text="With eight hidden layers, test accuracy of ReLU minus the mean of leaky ReLU, maxout and ELU, each "
    "tuned, is above 0 (95 % interval) and not negligible (90 % interval not within 1 point); and neither of "
    "the steps below, those three minus tanh and tanh minus sigmoid, has a 95 % interval below -1 point.",
    metric="test accuracy, ReLU minus its alternatives",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.0235,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The first step of the order; the other steps and all pairs as tables."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    def contradicted(mine: pd.DataFrame) -> float:
        (_, first, *_), *lower = _steps(mine)
        return float(first > 0 and any(high < -criterion.delta for *_, high in lower))

    finding = contrast(runs, _step(*TIERS[:2]), criterion.delta, test=contradicted)
    confirmed = runs[runs["phase"] == "confirm"].assign(measure=lambda frame: frame["test_accuracy"])
    by_ground = dict(list(confirmed.groupby("variant", sort=False)))
    tables = (_step_table(by_ground), _pair_table(by_ground["main"]))
    notes = (*finding.notes, *stalled(runs), _agreement(by_ground["main"]))
    return replace(finding, tables=tables, notes=notes)


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Test accuracy of every activation with eight and with three layers, in the lecture's order."""
    from folklore.figures import claims, style

    style.apply()
    fig, axes = style.new(7.6, ncols=2)
    for ax, (variant, title) in zip(axes, GROUNDS.items(), strict=True):
        means = {r.arm: r.mean for r in finding.rows if r.variant == variant and r.mean is not None}
        far = {arm: mean for arm, mean in means.items() if mean < max(means.values()) - FAR}
        left_out = "".join(f"; {arm}, not shown: {100 * mean:.1f}" for arm, mean in far.items())
        shown, label = [arm for arm in ARMS if arm in means.keys() - far], f"test accuracy (%){left_out}"
        look = {"variant": variant, "colours": claims.arm_colours(ARMS), "xlabel": label}
        claims.arm_points(ax, finding.rows, shown, **look)
        ax.set_title(title)
    deep, shallow = (claims.rows_in_words(finding.rows, variant=variant) for variant in GROUNDS)
    return fig, (
        "Test accuracy with 95 % intervals, in the lecture's order from above; softplus is not part of it. "
        f"Eight layers: {deep}. Three layers: {shallow}."
    )


def _step(upper: tuple[str, ...], lower: tuple[str, ...]) -> dict[str, float]:
    """Weights of the mean of one tier minus that of the next."""
    return {arm: 1 / len(upper) for arm in upper} | {arm: -1 / len(lower) for arm in lower}


def _steps(mine: pd.DataFrame) -> list[tuple[str, float, float, float]]:
    """Each step of the order: its name, mean and 95 % interval."""
    return [
        (f"{', '.join(upper)} minus {', '.join(lower)}", *_interval(mine, _step(upper, lower)))
        for upper, lower in pairwise(TIERS)
    ]


def _interval(mine: pd.DataFrame, weights: dict[str, float]) -> tuple[float, float, float]:
    from folklore.stats.estimates import estimate
    from folklore.stats.findings import differences

    found = estimate(differences(mine, weights), sensitivity=False)
    return found.effect, *found.interval


def _step_table(by_ground: dict[str, pd.DataFrame]) -> Table:
    from folklore.stats.findings import Table

    rows = [
        (GROUNDS.get(ground, ground), name, *_points(*numbers))
        for ground, mine in by_ground.items()
        for name, *numbers in _steps(mine)
    ]
    return Table(
        "Every step of the order, in points of test accuracy: above 0 is as the lecture has it.",
        ("ground", "step", "mean", "95 % interval"),
        tuple(rows),
    )


def _points(mean: float, low: float, high: float) -> tuple[str, str]:
    return f"{100 * mean:+.1f}", f"{100 * low:.1f} to {100 * high:.1f}"


def _pair_table(mine: pd.DataFrame) -> Table:
    """Row minus column in points, with half the width of the 95 % interval."""
    from folklore.stats.findings import Table

    def cell(row: str, column: str) -> str:
        if row == column:
            return ""
        mean, low, high = _interval(mine, {row: 1.0, column: -1.0})
        return f"{100 * mean:+.1f} ± {50 * (high - low):.1f}"

    return Table(
        "Row minus column with eight layers, points of test accuracy ± half the 95 % interval.",
        ("", *ARMS[1:]),
        tuple(
            (row, *(cell(row, column) if i < j else "" for j, column in enumerate(ARMS) if j))
            for i, row in enumerate(ARMS[:-1])
        ),
    )


def _agreement(mine: pd.DataFrame) -> str:
    """How many pairs of different tiers come out as stated: by the means, and in a replicate on average."""
    import numpy as np

    from folklore.stats.findings import differences

    pairs = [(a, b) for i, tier in enumerate(TIERS) for later in TIERS[i + 1 :] for a in tier for b in later]
    d = {pair: differences(mine, dict(zip(pair, (1.0, -1.0), strict=True))) for pair in pairs}
    tau = np.mean([np.sign(x) for x in d.values()])
    without = np.mean([np.sign(x) for (_, b), x in d.items() if b != "sigmoid"])
    return (
        f"Of {len(pairs)} pairs that the order ranks, {sum(x.mean() > 0 for x in d.values())} have means in this "
        f"order; the rank correlation (Kendall) with the order is {tau:.2f} in a replicate on average, and "
        f"{without:.2f} without the sigmoid."
    )
