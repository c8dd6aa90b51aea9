"""A penalty on one layer keeps it from leaning on an input that sticks out

Frameworks let one penalise the weights of a single layer. A lecture says why one would: so that a unit does not
concentrate on an input that stands out too much.

We add such an input, ten times as large as the others, and make it useless: its rows are shuffled, so leaning on it
can only do harm. The penalty acts on the first layer alone, L2 or L1, at three strengths each; the strength is chosen
on validation data. What decides is the share of the first layer's squared weight that the useless input has, in
units of what an average input has. A share does not change when all weights shrink together, and neither does it
when the next layer makes up for a smaller first one.

There is a reason to doubt the rule. A large input needs only small weights to have its say, so it pays little of a
penalty on weights, and the others pay more. The share of the signal, weights times inputs, is therefore shown
beside it. And standing out can mean outliers: on a second ground the useless input is ordinary but for one row in
twenty, where it is ten times as large.

Supported means: with the penalty the useless input's share of weight is smaller, by an amount not shown to be below
a tenth of an average input's share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import preferred
from folklore.claims._penalties import (
    by_arm,
    choices,
    difference_of,
    l1_arm,
    l2_arm,
    labels,
    measure_and_scores,
    reading,
    test_accuracy,
)
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Measure

CLAIM = Claim(
    kind="S",
    family="regularisation",
    lectures=(2,),
    paper="none named; the lecture shows the regularisers of a Keras layer",
    reported="No figure. The slide lists the kernel regulariser twice; the one on a layer's outputs is the activity "
    "regulariser.",
    limits="The penalty on the weights (the kernel regulariser) of the first layer. The penalty on a layer's outputs, "
    "which does see large inputs, is not trained here; nor is an input that sticks out and is useful.",
    headline=False,
)
NONE, RARE = "no penalty", "large in one row of 20"
_L2, _L1 = tuple(map(l2_arm, (0.003, 0.01, 0.03))), tuple(map(l1_arm, (0.0003, 0.001, 0.003)))
_PENALTIES = (*_L2, *_L1)
# Pilot (seeds 20000, 20001 at rates .05 and .2, 20010 to 20015 at .1): the large input's share of weight, an average input's being
# .024, is .005 to .009 without a penalty, .006 to .009 with L1 .001, .009 to .021 with L2 .01, .022 to .084 with L2 .03; validation
# accuracies .37, .38, .37, .37. Spread of the difference, in average inputs, .17 (L1 .001) and 2.1 (L2 .03). Rare spikes: .021
# without, .022 (L1 .001), .027 and .035 (L2 .01, .03).
DESIGN = Study(
    name="per-layer-regulariser",
    title="A penalty on the first layer beside an input that sticks out",
    cells=({"label": NONE}, *_PENALTIES),
    fixed={
        "optimizer": "sgd",
        "n_train": 1024,
        "penalised": "first",
        "view": "spiked_input-10",
        "probe": "input_share-40",
    },
    updates=2000,
    seconds=60,
    variants=(
        Variant(
            RARE,
            fixed={"view": "rare_spikes-10"},
            study={
                "cells": ({"label": NONE}, l2_arm(0.03), l1_arm(0.001)),
                "rates": Rates(count=5),
                "tuning_seeds": 2,
                "replicates": 16,
            },
        ),
    ),
)
CRITERION = Criterion(
    text="The large input's share of the first layer's squared weight, as a multiple of an average input's, without a penalty "
    "minus with the penalty on the first layer (L2 or L1, of three strengths each the one of best mean validation accuracy), "
    "is above 0 (95 % interval) and not negligible (90 % interval not within .1, a tenth of an average input).",
    metric="share of weight, without minus with the penalty",
    unit="average inputs",
    delta=0.1,
    pilot_sd=0.2,
    settings={"inputs": 41},
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The share without minus the share with the penalty that validates best; shares of the signal and accuracy beside it."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    weight, signal = (
        _multiple(name, criterion.settings["inputs"]) for name in ("weight_share", "signal_share")
    )
    arms = labels(_PENALTIES)
    chosen = {v: preferred(group, arms) for v, group in runs.groupby("variant", sort=False)}
    weights = {v: {NONE: 1.0, arm: -1.0} for v, arm in chosen.items()}
    finding = contrast(runs, weights, criterion.delta, measure=weight)
    columns = {
        "share of weight (average inputs)": (weight, 1),
        "share of weight (%)": (reading("weight_share", float("nan")), 100),
        "share of signal (%)": (reading("signal_share", float("nan")), 100),
        "test accuracy (%)": (test_accuracy, 100),
    }
    caption = "The useless input in the first layer, and accuracy: means over the fresh replicates."
    main = runs[runs["variant"] == "main"]
    notes = (
        choices({"main": [chosen["main"]]}, {"main": (labels(_L2), labels(_L1))}),
        f"Share of the signal without minus with it, in average inputs: {difference_of(main, weights['main'], signal)}.",
        f"Test accuracy with minus without it, in points: {difference_of(main, weights['main'], test_accuracy, -100)}.",
    )
    return replace(finding, tables=(by_arm(runs, caption, columns),), notes=(*notes, *finding.notes))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    arms = [NONE, *labels(_PENALTIES)]
    return measure_and_scores(runs, finding, arms, "share of weight (average inputs)")


def _multiple(name: str, inputs: float) -> Measure:
    """A share in units of an average input's, 1 / inputs; a run that diverged tells nothing and counts as average."""
    read = reading(name, 1 / inputs)
    return lambda runs: inputs * read(runs)
