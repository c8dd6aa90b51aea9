"""Batch normalisation keeps gradients from exploding and vanishing

The gradient of a deep net can shrink or grow by a constant factor in each layer on its way back. Batch
normalisation fixes mean and spread of every layer, and so, the lectures say, the gradient neither vanishes
nor explodes, above all with sigmoid and tanh. The paper itself only conjectured that the Jacobians of
normalised layers have singular values close to one.

We took the gradient norms of the first and the last hidden layer of nets with 20 hidden layers at the start
of training, and the distance of their ratio from one, as the size of its logarithm: a gradient that grows
counts as much as one that fades. The verdict is about the sigmoid, where the trouble is worst. Rows beside
it ask the same for tanh and for ReLU with the weights that were made for them, where a plain net is
well-behaved and where theory (Yang et al.) says that normalisation itself makes the gradient grow from
layer to layer, whatever the weights.

An even gradient need not be a healthy one. With small weights it fades going forward as much as going back,
so that all layers receive equally little; the ratio cannot see this. A table therefore shows the gradients
themselves, tanh with small weights among them, and as a second look the test accuracies of all nets, each
trained at its own tuned rate.

Supported means: in the sigmoid net the ratio of the gradients is closer to one with batch normalisation,
by an amount not shown to be below a factor of two, the distance of two neighbouring learning rates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import with_interval
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Robust, Table

CLAIM = Claim(
    kind="S",
    family="normalisation",
    lectures=(1, 3),
    paper="Ioffe & Szegedy 2015, arXiv:1502.03167, section 3.3; Yang et al. 2019, arXiv:1902.08129",
    reported="Ioffe and Szegedy conjecture singular values near one and leave the effect on gradients to "
    "further study; Yang and colleagues: batch normalisation makes gradients explode with depth at "
    "initialisation, for any weights and activation",
    limits="The ratio is measured at initialisation, and gradients are reported to even out within the first "
    "steps. Glorot's rule is made for units of slope 1 around 0; the sigmoid has slope 1/4 and mean 1/2, a handicap of "
    "scale that batch normalisation removes. Twenty layers of 64 units without skip connections, batches of 32 in "
    "training, 256 rows for the gradients.",
    headline=False,
)
DEPTH = 20
NAMES = {"sigmoid": "sigmoid", "tanh": "tanh", "relu": "ReLU"}


def _arms(activation: str) -> tuple[str, str]:
    """Labels without and with batch normalisation."""
    return NAMES[activation], f"{NAMES[activation]} with BN"


def _cells(*activations: str) -> tuple[dict[str, str], ...]:
    return tuple(
        {"label": label, "activation": a, "norm": norm}
        for a in activations
        for label, norm in zip(_arms(a), ("none", "batch"), strict=True)
    )


# Pilot (seeds 20000 and up, 800 updates; six nets for the gradients). Decades by which the first layer's gradient is larger, without and
# with normalisation: sigmoid -12.1 (spread .2) and .2 (.1), tanh .05 and .6 (.05), ReLU -.6 (.15) and 1.4 (.05); tanh with U(+-1/sqrt n)
# 0 and .7, its gradients without being 1e-5. Validation accuracy with normalisation: sigmoid .40 (rate .0025), tanh .38 (.0025),
# ReLU .40 (.04); without: ReLU .44 (.005 to .02), the rest as in sigmoid-vanishing-gradient, whose arms these are: trained once
# for both, and not counted in `seconds`.
DESIGN = Study(
    name="bn-gradient-flow",
    title="Gradients of deep nets with and without batch normalisation",
    cells=_cells("sigmoid", "tanh"),
    fixed={"init": "glorot_uniform", "width": 64, "optimizer": "momentum", "batch_size": 32, "depth": DEPTH},
    updates=800,
    rates=Rates(center=0.04),
    variants=(
        Variant(
            "relu",
            fixed={"init": "he_normal"},
            study={
                "cells": _cells("relu"),
                "replicates": 12,
                "tuning_seeds": 2,
                "rates": Rates(count=5, center=0.01),
            },
        ),
        Variant(
            "small_weights",
            fixed={"init": "uniform_fanin"},
            study={
                "cells": _cells("tanh"),
                "replicates": 12,
                "rates": Rates(count=5, center=0.04),
            },
        ),
    ),
    seconds=66,
)
CRITERION = Criterion(
    text="Sigmoid, 20 hidden layers: the absolute log10 of the gradient norm of the first over that of the "
    "last hidden layer at initialisation, without batch normalisation minus with it, is above 0 (95 % "
    "interval) and not negligible (90 % interval not within log10(2) = .3).",
    metric="distance of the gradient ratio from one",
    unit="decades",
    delta=0.301,
    pilot_sd=0.2,
)
# What a reader sees as one line: activation and weights, by variant.
GROUNDS = {
    ("main", "sigmoid"): "sigmoid, Glorot",
    ("main", "tanh"): "tanh, Glorot",
    ("small_weights", "tanh"): "tanh, U(±1/√n)",
    ("relu", "relu"): "ReLU, He",
}

# Left: where plain nets are expected to fade; right: where they are not.
PANELS = (("sigmoid, Glorot", "tanh, U(±1/√n)"), ("tanh, Glorot", "ReLU, He"))


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The sigmoid decides; tanh and ReLU beside it, gradients and accuracies as tables."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    decisive = _weights("sigmoid")
    grounds = [v for v, mine in runs.groupby("variant", sort=False) if set(decisive) <= set(mine["arm"])]
    finding = contrast(runs, dict.fromkeys(grounds, decisive), criterion.delta, measure=unevenness)
    others = [("main", "tanh"), ("relu", "relu")]
    rows = tuple(row for key in others for row in _robust(runs, *key, criterion.delta))
    tables = (_gradients(runs), _accuracies(runs))
    return replace(finding, robustness=(*finding.robustness, *rows), tables=tables)


def unevenness(runs: pd.DataFrame) -> pd.Series:
    """Absolute log10 of the gradient norm of the first over that of the last hidden layer."""
    from folklore.claims.sigmoid_vanishing_gradient import lost_a_layer

    return (lost_a_layer(runs) * (runs["depth"] - 1)).abs()


def _weights(activation: str) -> dict[str, int]:
    plain, normed = _arms(activation)
    return {plain: 1, normed: -1}


def _robust(runs: pd.DataFrame, variant: str, activation: str, delta: float) -> list[Robust]:
    """The same contrast for another activation, where it was trained."""
    from folklore.stats.findings import Robust, contrast

    mine = runs[(runs["variant"] == variant) & (runs["phase"] == "confirm")].assign(variant="main")
    if mine.groupby("replicate")["arm"].nunique().ge(2).sum() < 2:
        return []
    found = contrast(mine, {"main": _weights(activation)}, delta, measure=unevenness)
    return [Robust(GROUNDS[variant, activation], found.verdict(delta, None), found.estimate)]


def _groups(runs: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """(line, "without" or "with", confirmed runs) of everything that was trained."""
    confirmed = runs[runs["phase"] == "confirm"]
    found = []
    for (variant, activation), line in GROUNDS.items():
        for arm, how in zip(_arms(activation), ("without", "with"), strict=True):
            group = confirmed[(confirmed["variant"] == variant) & (confirmed["arm"] == arm)]
            found += [(line, how, group)] if len(group) else []
    return found


def _gradients(runs: pd.DataFrame) -> Table:
    """The gradients themselves, and which way they go."""
    import numpy as np

    from folklore.claims.sigmoid_vanishing_gradient import lost_a_layer
    from folklore.stats.findings import Table

    rows = []
    for line, how, group in _groups(runs):
        ends = np.array([[norms[0], norms[DEPTH - 1]] for norms in group["grad_norms"]], dtype=float)
        grown = -(DEPTH - 1) * lost_a_layer(group).mean()
        rows.append((line, how, *(f"{value:.1e}" for value in np.median(ends, axis=0)), f"{grown:+.2f}"))
    return Table(
        "Gradient norm of the first and the last hidden layer at initialisation (median), and decades by "
        "which the first is larger (negative: smaller; mean).",
        ("activation, weights", "batch normalisation", "first layer", "last layer", "decades"),
        tuple(rows),
    )


def _accuracies(runs: pd.DataFrame) -> Table:
    """The second look: what the same nets learn, at the tuned rate."""
    from folklore.stats.findings import Table, differences

    scores = {(line, how): group for line, how, group in _groups(runs)}
    rows = []
    for (variant, activation), line in GROUNDS.items():
        if (line, "without") not in scores or (line, "with") not in scores:
            continue
        means = [100 * scores[line, how]["test_accuracy"].mean() for how in ("without", "with")]
        mine = runs[(runs["variant"] == variant) & (runs["phase"] == "confirm")]
        gain = -differences(mine.assign(measure=100 * mine["test_accuracy"]), _weights(activation))
        rows.append((line, *(f"{mean:.1f}" for mean in means), with_interval(gain)))
    return Table(
        "Test accuracy in percent at the tuned rate, and points gained by batch normalisation.",
        ("activation, weights", "without", "with", "gain, 95 % interval"),
        tuple(rows),
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Gradient norms by layer: where plain nets are expected to fade, and where they are not."""
    from folklore.figures import claims, style

    style.apply()
    fig, axes = style.new(7.8, ncols=2)
    for ax, lines in zip(axes, PANELS, strict=True):
        _profiles(ax, runs, lines)
        claims.legend_above(ax, 2)
    gradients = "; ".join(f"{row[0]} {row[1]} {row[4]}" for row in finding.tables[0].rows)
    learnt = "; ".join(f"{row[0]} {row[1]} and {row[2]}" for row in finding.tables[1].rows)
    return fig, (
        "Gradient norm of each hidden layer at initialisation on a logarithmic axis, median of the runs, "
        f"solid without and dashed with batch normalisation. Left: {'; '.join(PANELS[0])}. Right: "
        f"{'; '.join(PANELS[1])}. Decades by which the first layer's is larger: {gradients}. Test accuracy in percent "
        f"without and with: {learnt}."
    )


def _profiles(ax: Axes, runs: pd.DataFrame, lines: tuple[str, ...]) -> None:
    """Median gradient norm by layer, solid without and dashed with batch normalisation."""
    import numpy as np

    from folklore.figures import style

    layers, drawn = np.arange(1, DEPTH + 1), [entry for entry in _groups(runs) if entry[0] in lines]
    for line, how, group in drawn:
        norms = np.array([np.asarray(n, dtype=float)[:DEPTH] for n in group["grad_norms"]])
        dashes, i = {"without": "-", "with": "--"}[how], lines.index(line)
        name = line.split(",")[0] + (" with BN" if how == "with" else f",{line.split(',')[1]}")
        look = {"color": style.PALETTE[i], "marker": "os"[i], "markersize": 3, "linestyle": dashes}
        ax.plot(layers, np.median(norms, axis=0), label=name, **look)
    if any(np.nanmax(curve.get_ydata(), initial=0) > 0 for curve in ax.lines):
        ax.set_yscale("log")
    ax.set_xticks([1, 5, 10, 15, 20])
    ax.set(xlabel="hidden layer (1: next to the input)", ylabel="gradient norm at initialisation")
