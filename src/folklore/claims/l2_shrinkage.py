"""An L2 penalty makes the weights small

Adding the sum of squared weights to the loss makes every step multiply the weights by a number slightly below one.
Lectures promise that the weights become smaller, and that this is good: small weights mean that a small change of
the input changes little.

We train with no penalty and with three strengths, a factor of about three apart, and measure the norm of all weight
matrices together after the last update. The claim is that every step up in strength makes it smaller. One trap is
the learning rate: each strength has its own tuned one, and the rate moves the norm as well. So the same strengths
are also trained at the rate that suits the net without a penalty.

The other trap is batch normalisation. It divides by the size of what a layer puts out, so weights half as large
compute the same function, and small says nothing about the function any more; what the penalty does there is to keep the
steps large relative to the weights. Such nets are trained beside the plain ones: their norm shows whether weights
shrink there, too, and their accuracy what that is worth.

Supported means: without normalisation the norm falls at each of the three steps, and on the average step by a
factor not shown to be below 1.1.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from folklore.claims._contrasts import largest_p
from folklore.claims._penalties import (
    by_arm,
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
    lectures=(1, 2, 4),
    paper="Krogh & Hertz 1991 (weight decay); van Laarhoven 2017, arXiv:1706.05350 (with normalisation)",
    reported="Weight decay suppresses weights that the data do not need. With normalisation it has no regularising "
    "effect of its own and sets the effective learning rate.",
    limits="The norm of all matrices together; single weights may grow. Strengths of practical size: a penalty far weaker "
    "than these is not felt within 2,000 updates.",
    headline=False,
)
NONE, NORMED = "no penalty", "batch normalisation"
_ARMS = ({"label": NONE}, *(l2_arm(strength) for strength in (0.003, 0.01, 0.03)))
ARMS = labels(_ARMS)
_KEPT = tuple(
    arm | {"label": f"{arm['label']}, rate of none", "lr_of": NONE} for arm in _ARMS if arm["label"] != NONE
)
# Pilot (seeds 20000 and 20001, rates .05 to .2): norm at rate .2 30.0 without, 18.0, 12.7 and 5.1 at .003, .01 and .03 (He's start
# has 24.9), spread of its logarithm .01 to .03 octaves (5 seeds). With batch normalisation (rate .1) 27.9, 17.7, 10.8 and 6.9.
# Three of the four tuned arms (none, .003, .01) are runs of l2-first: `seconds` counts the rest.
DESIGN = Study(
    name="l2-shrinkage",
    title="L2 by strength and the size of the weights",
    cells=(*_ARMS, *_KEPT),
    fixed={"optimizer": "sgd", "n_train": 1024, "probe": "weights"},
    updates=2000,
    seconds=38,
    variants=(
        Variant(
            NORMED,
            fixed={"norm": "batch"},
            study={"cells": _ARMS, "rates": Rates(count=5), "tuning_seeds": 2, "replicates": 16},
        ),
    ),
)
CRITERION = Criterion(
    text="log2 of the norm of all weight matrices falls by more than 0 on the average step from none to .003, .01 and .03 "
    "(slope over the four arms, 95 % interval), and not by less than a factor of 1.1 (90 % interval); and at each single "
    "step (p: the largest).",
    metric="fall of the norm a step of strength",
    unit="octaves",
    delta=0.1375,
    pilot_sd=0.02,
    settings={"unknown": 1024.0},
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Slope of the logarithm of the norm over the strengths; every step as a condition; the two traps as rows."""
    from dataclasses import replace

    from folklore.stats.findings import Robust, contrast

    norm = _octaves("norm", criterion)
    finding = contrast(runs, _slope(ARMS), criterion.delta, measure=norm, test=_each_step)
    kept = [NONE, *labels(_KEPT)]
    same = contrast(
        runs[(runs["variant"] == "main") & runs["arm"].isin(kept)],
        _slope(kept),
        criterion.delta,
        measure=norm,
    )
    row = Robust("one learning rate for all", same.verdict(criterion.delta, None), same.estimate)
    columns = {
        "all weights": (reading("norm", float("nan")), 1),
        "first layer": (reading("norm_first", float("nan")), 1),
        "output layer": (reading("norm_last", float("nan")), 1),
        "test accuracy (%)": (test_accuracy, 100),
    }
    caption = (
        "Norm of the weights after training, by layer, and test accuracy: means over the fresh replicates."
    )
    return replace(finding, robustness=(*finding.robustness, row), tables=(by_arm(runs, caption, columns),))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    arms = [*ARMS, *labels(_KEPT)]
    return measure_and_scores(runs, finding, arms, "log2 of the norm of all weights")


def _octaves(name: str, criterion: Criterion) -> Measure:
    """log2 of a norm; that of a run that diverged counts as large."""
    import numpy as np

    read = reading(name, criterion.settings["unknown"])
    return lambda runs: np.log2(read(runs).clip(lower=1e-6))


def _slope(arms: list[str]) -> dict[str, float]:
    """Weights that give minus the least-squares slope over equally spaced arms."""
    places = [i - (len(arms) - 1) / 2 for i in range(len(arms))]
    total = sum(place**2 for place in places)
    return {arm: -place / total for arm, place in zip(arms, places, strict=True)}


def _each_step(runs: pd.DataFrame) -> float:
    """The largest p-value of the single steps."""
    from folklore.stats.findings import differences

    return largest_p(
        [differences(runs, {weaker: 1.0, stronger: -1.0}) for weaker, stronger in pairwise(ARMS)]
    )
