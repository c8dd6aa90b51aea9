"""Train each neuron on its own part of the data first, then put them together

If every hidden neuron is first trained alone, each on another random part of the training rows, each will pick up
something of its own. Put together they are a net that starts with useful and different features, and is then
trained on all rows. So says the lecture; it gives no figure and no reference.

A neuron alone is a net of one hidden unit here: it classifies through one weight for each class. These weights are
thrown away, the neuron keeps its incoming ones. Each gets 256 rows drawn at random from the 4,096, with replacement:
a row may serve several neurons. To train all neurons costs about as much arithmetic as 95 updates of the whole net,
and the net from scratch gets that many more, so that both arms make the same number of multiplications.

One hidden layer decides, for which the recipe is complete. For three layers it must be extended: layer by layer, each
neuron on the outputs of the finished layer below; that is a robustness row. A further arm draws 4,096 rows for each
neuron, with replacement, of which its updates see the first 3,040; it tells the effect of training neurons alone from
that of their own parts.

Supported means: the net from neurons that were trained alone has the better test accuracy at equal work, by an
amount not shown to be below 1 point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference, mean_text
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
    paper="Soloviev & Shigapova 2021 (the lecture); no other source is named",
    reported="no figure: each neuron takes in features of its own from its random part of the sample.",
    limits="One way to train a neuron alone, by its own classification loss with plain gradient descent; the "
    "lecture does not say how. The share of the work and the size of a part were fixed beforehand.",
    headline=False,
)
SCRATCH, OWN, ALL = "from scratch", "neurons on their own rows", "neurons on all rows"
DEEP = "three hidden layers"
UPDATES = 2000


def _cells(afterwards: int) -> tuple[dict[str, object], ...]:
    """Arms of equal work: what is left for the whole net after its neurons were trained."""
    return (
        {"label": SCRATCH, "updates": UPDATES},
        {"label": OWN, "updates": afterwards, "procedure": "subsample-256"},
        {"label": ALL, "updates": afterwards, "procedure": "subsample-4096"},
    )


# Pilot (seeds 20010 to 20013, rates .02 and .08): validation accuracy .573 and .596 from scratch, .565 and .610 from neurons on
# their own rows, spread of the difference .014 and .021, hence 64 replicates; a neuron alone gets to a loss of 2.02, from
# 2.30. Three layers (2 seeds, rates .01 and .03): .61 and .66 from scratch, .46 and .54 from neurons.
DESIGN = Study(
    name="neuron-subsample-pretrain",
    title="Neurons trained alone first, at equal work",
    cells=_cells(1905),
    fixed={"optimizer": "momentum", "depth": 1},
    updates=UPDATES,
    rates=Rates(center=0.04),
    replicates=64,
    seconds=24,
    variants=(
        Variant(
            DEEP,
            fixed={"depth": 3},
            study={
                "cells": _cells(1875)[:2],
                "replicates": 16,
                "tuning_seeds": 2,
                "rates": Rates(count=5, center=0.02),
            },
        ),
    ),
)
CRITERION = Criterion(
    text="Test accuracy of a net of one hidden layer whose neurons were first trained alone, each on 256 rows of its "
    "own, minus that of a net from scratch with equally many multiplications in all, each tuned, is above 0 "
    "(95 % interval) and not negligible (90 % interval not within 1 point).",
    metric="test accuracy",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.018,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Own rows minus from scratch; the arm that shows what the parts do, as a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    finding = contrast(runs, {OWN: 1.0, SCRATCH: -1.0}, criterion.delta)
    main = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm")]
    parts = difference(main.assign(measure=100 * main["test_accuracy"]), {OWN: 1.0, ALL: -1.0})
    note = f"Neurons on their own rows minus neurons on all rows: {parts} points, what the parts add."
    return replace(finding, tables=(_arms(runs),), notes=(note, *finding.notes))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Training loss of the whole net, and test accuracies."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(6.6, ncols=2, width_ratios=(1.1, 1))
    claims.loss_curves(left, runs)
    claims.legend_above(left, 1)
    claims.arm_points(right, finding.rows, names={OWN: "neurons,\nown rows", ALL: "neurons,\nall rows"})
    return fig, (
        "Left: training loss by update of the whole net, median of the replicates with a band of 80 % of them. Right: "
        f"test accuracy with 95 % intervals: {claims.rows_in_words(finding.rows)}."
    )


def _arms(runs: pd.DataFrame) -> Table:
    """Work before and after the neurons are put together, and what each arm gains over scratch."""
    from folklore.stats.findings import Table, measured

    confirmed = runs[runs["phase"] == "confirm"].assign(measure=lambda frame: 100 * frame["test_accuracy"])
    confirmed = confirmed.assign(
        before=measured("pretraining")(confirmed).fillna(0), unit_loss=measured("unit_loss")(confirmed)
    )
    rows = [
        (
            f"{arm}{'' if variant == 'main' else ', ' + variant}",
            f"{group['before'].mean():.0f} + {group['updates'].iloc[0]:,}",
            mean_text(group["unit_loss"], ".2f"),
            f"{group['measure'].mean():.1f}",
            "" if arm == SCRATCH else difference(mine, {arm: 1.0, SCRATCH: -1.0}),
        )
        for variant, mine in confirmed.groupby("variant", sort=False)
        for arm, group in mine.groupby("arm", sort=False)
    ]
    return Table(
        "Work of the neurons alone (in updates of the whole net) and of the net; mean training loss of a neuron alone; "
        "test accuracy in percent, and points more than from scratch with 95 % interval.",
        ("arm", "work", "neuron's loss", "test accuracy", "more than from scratch"),
        tuple(rows),
    )
