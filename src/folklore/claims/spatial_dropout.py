"""In convolutional nets, drop whole channels rather than single units

Neighbouring positions of a feature map are strongly correlated. If dropout hides a unit here and there, its
neighbours give it away: little is regularised, and the noise mainly slows training. Tompson and colleagues
therefore drop a channel at all its positions or at none, and call it spatial dropout.

We train convolutional nets of three layers on 1,024 rows, which a net without dropout fits completely, with the
two kinds of dropout after every hidden layer at rates of .05 and .15, every arm with its own tuned learning rate.
The verdict compares the two at equal dropout rates, mean of both.

An equal rate is not an equal dose, as dropping a whole channel disturbs the net more. So the comparison is repeated
with each kind at the rate that suits it, chosen on validation data, and a table shows each arm against no dropout
at all, where dropout of any kind has yet to earn its place.

Supported means: at equal rates dropping channels has the better test accuracy, by an amount not shown to be below
1 point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference, preferred
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="regularisation",
    lectures=(0,),
    paper="Tompson et al. 2015, arXiv:1411.4280, section 3.2",
    reported="Better localisation of body joints on a small set of images; how much of it is due to spatial "
    "dropout is not something we can quote.",
    limits="24 channels, 10 or 20 positions and a classification from their mean; dropout is said to want wider "
    "nets. Rates below .2 only.",
    headline=False,
)
RATES = (0.05, 0.15)
NONE, KINDS = "no dropout", {"units": "units", "channels": "channels"}
# Pilot (seeds 20000, 20001; rates .02, .04, .08): validation accuracy .91 without dropout (.08, and rising), at a rate of .2
# .865 with units and .85 with channels (.04 to .08). So smaller rates were taken. Training loss .01 without dropout.
# Differences of channels and units at one learning rate and seed spread by .016; their mean over two rates by less.
# In 32 replicates the spread was .014, hence 36, planned from that spread alone for a power of .8 at 1 point, corrected.
DESIGN = Study(
    name="spatial-dropout",
    title="Dropout of units and of channels in a convolutional net",
    cells=(
        {"label": NONE},
        *(
            {"label": f"{kind} {rate:g}", "dropout": rate, "mask": mask}
            for rate in RATES
            for mask, kind in KINDS.items()
        ),
    ),
    fixed={"model": "cnn", "depth": 3, "width": 24, "n_train": 1024, "optimizer": "momentum"},
    updates=1536,
    rates=Rates(center=0.04),
    replicates=36,
    seconds=95,
)
CRITERION = Criterion(
    text="Test accuracy with dropout of channels minus that with dropout of single units, each tuned, mean of the "
    "dropout rates .05 and .15, 1,024 training rows, is above 0 (95 % interval) and not negligible (90 % interval "
    "not within 1 point).",
    metric="test accuracy, channels minus units",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.013,
)
EQUAL = {f"{kind} {rate:g}": s / len(RATES) for rate in RATES for kind, s in (("channels", 1), ("units", -1))}


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Channels minus units at equal rates; each at its best rate, and against no dropout, beside it."""
    from dataclasses import replace

    from folklore.stats.findings import Robust, contrast

    finding = contrast(runs, EQUAL, criterion.delta)
    main = runs[runs["variant"] == "main"]
    best = {kind: preferred(main, [f"{kind} {rate:g}" for rate in RATES]) for kind in KINDS.values()}
    own = contrast(main, {best["channels"]: 1.0, best["units"]: -1.0}, criterion.delta)
    row = Robust("each at its best dropout rate", own.verdict(criterion.delta, None), own.estimate)
    return replace(
        finding,
        robustness=(*finding.robustness, row),
        tables=(_table(main),),
        notes=(f"Chosen on validation: {best['channels']} and {best['units']}.", *finding.notes),
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    from folklore.figures.panels import tuning_and_scores

    return tuning_and_scores(runs, finding, columns=2)


def _table(runs: pd.DataFrame) -> Table:
    """Contrasts at each dropout rate."""
    from folklore.stats.findings import Table

    confirmed = runs[runs["phase"] == "confirm"].assign(measure=lambda frame: 100 * frame["test_accuracy"])

    def row(rate: float) -> tuple[str, str, str, str]:
        units, channels = f"units {rate:g}", f"channels {rate:g}"
        pairs = ((units, NONE), (channels, NONE), (channels, units))
        return f"{rate:g}", *(difference(confirmed, {a: 1.0, b: -1.0}) for a, b in pairs)

    return Table(
        "Points of test accuracy with 95 % intervals, by dropout rate.",
        ("rate", "units minus none", "channels minus none", "channels minus units"),
        tuple(row(rate) for rate in RATES),
    )
