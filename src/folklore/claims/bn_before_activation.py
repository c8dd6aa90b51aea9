"""Batch normalisation belongs before the nonlinearity

Ioffe and Szegedy normalise what goes into the nonlinearity, not what comes out of it: a sum of many inputs is closer
to a normal distribution, so that mean and variance say nearly all about it, and a sigmoid that gets normalised inputs
does not start saturated. Two lectures pass on the order.

It is contested. In the caffenet-benchmark the norm behind the ReLU was better in one net, CaffeNet, and slightly
worse in another, GoogLeNet. Here both orders are trained with equally many parameters, each with its own tuned
rate. With ReLU the two differ in more than the order: a norm in front lets about half of the units through,
whatever the weights are, and one behind gives the next layer centred inputs.

The reason given is about saturation, so sigmoid units are a ground of their own, as are eight layers.

Supported means: with the norm in front the test accuracy is better, by an amount not shown to be below 1 point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="normalisation",
    lectures=(1, 3),
    paper="Ioffe & Szegedy 2015, arXiv:1502.03167, section 3.2; Mishkin, Sergievskiy & Matas 2017, arXiv:1606.02228 "
    "(caffenet-benchmark)",
    reported="caffenet-benchmark, accuracy with the norm before and after the ReLU: .474 and .499 in CaffeNet, .603 and "
    ".596 in GoogLeNet. Ioffe and Szegedy compare no orders.",
    limits="Fully connected layers without dropout or skip connections, both of which make the order matter "
    "in other ways.",
    headline=False,
)
BEFORE, AFTER = "norm before", "norm after"
SIGMOID, DEEP = "sigmoid units", "eight layers"
_CELLS = ({"label": BEFORE, "model": "mlp"}, {"label": AFTER, "model": "norm_after"})
# Pilot (seeds 20000, 20001): best validation accuracy .666 before (rate .6) and .672 after (.6); sigmoid .58 (1.2) and .65 (.3); eight
# layers .56 (.3) and .55 (.15); the best rates lie within the default grids. Spread of the difference about 1 point.
DESIGN = Study(
    name="bn-before-activation",
    title="Batch normalisation before and after the nonlinearity",
    cells=_CELLS,
    fixed={"norm": "batch", "optimizer": "sgd"},
    updates=2000,
    variants=(
        Variant(SIGMOID, fixed={"activation": "sigmoid"}, study={"replicates": 16, "rates": Rates(count=5)}),
        Variant(
            DEEP,
            fixed={"depth": 8},
            study={"updates": 1000, "replicates": 16, "rates": Rates(count=5)},
        ),
    ),
    seconds=44,
)
CRITERION = Criterion(
    text="Test accuracy with batch normalisation before the ReLU minus that with it behind, both tuned, is above 0 (95 % "
    "interval) and not negligible (90 % interval not within 1 point).",
    metric="test accuracy, norm before minus after",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.015,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Before minus after; all grounds as a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    finding = contrast(runs, {BEFORE: 1.0, AFTER: -1.0}, criterion.delta)
    return replace(finding, tables=(_grounds(finding),))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    from folklore.figures.panels import tuning_and_scores

    return tuning_and_scores(runs, finding, columns=2)


def _grounds(finding: Finding) -> Table:
    """Accuracy of both orders on every ground."""
    from folklore.stats.findings import Table

    words = {"main": "ReLU, three layers"}
    means = {(row.variant, row.arm): row for row in finding.rows if row.mean is not None}
    rows = tuple(
        (words.get(variant, variant), *(_percent(means.get((variant, arm))) for arm in (BEFORE, AFTER)))
        for variant in dict.fromkeys(row.variant for row in finding.rows)
    )
    return Table(
        "Test accuracy in percent with 95 % intervals, and the tuned rate.", ("", BEFORE, AFTER), rows
    )


def _percent(row) -> str:
    if row is None or row.lo is None:
        return ""
    return f"{100 * row.mean:.1f} ({100 * row.lo:.1f} to {100 * row.hi:.1f}), rate {row.lr:.3g}"
