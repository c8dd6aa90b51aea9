"""In recurrent nets tanh is the activation to take

A recurrent net multiplies its state by the same matrix at every step. What is bounded stays bounded under that, and
what is not may grow without end; hence, in recurrent nets, the lecture's preference for tanh over ReLU. Le, Jaitly
and Hinton disagree: a ReLU net whose state starts out as its own copy, from the identity matrix, does as well as
far more elaborate ones.

The rows of MNIST-1D are read as sequences, two points at each of 20 steps, into a state of 32 units. Two things besides
the activation decide whether such a net trains at all: the initial recurrent weights and a bound on the gradient.
Both activations get the same: gradients clipped to a norm of 1, and two starts, an orthogonal matrix and the
identity, each with its own tuned rate. For each activation the start with the better validation accuracy enters the
verdict. He's start and nets without clipping are grounds of their own.

Supported means: the recurrent net with tanh has the better test accuracy, by an amount not shown to be below 1 point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference, validated
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="activations",
    lectures=(2,),
    paper="The lecture names none; against it Le, Jaitly & Hinton 2015, arXiv:1504.00941",
    reported="a preference without a figure. Le and colleagues report that ReLU nets started from the identity rival LSTMs on "
    "tasks with long dependencies.",
    limits="Plain recurrent nets of 32 units over 20 steps, 1,152 updates, far from converged. The starts differ in the other weights, too: with the "
    "identity, input and output weights are N(0, .001^2), with the orthogonal start they are orthogonal. Gated nets, in which tanh is "
    "nearly always used, and sequences of hundreds of steps are other questions.",
    headline=False,
)
STARTS = {"orthogonal": "orthogonal", "identity": "identity"}
ACTIVATIONS = {"tanh": "tanh", "ReLU": "relu"}
HE, FREE = "He's start", "no clipping"


def _cells(starts: dict[str, str]) -> tuple[dict[str, object], ...]:
    return tuple(
        {"label": f"{name}, {start}", "activation": activation, "init": init}
        for start, init in starts.items()
        for name, activation in ACTIVATIONS.items()
    )


# Pilot (seeds 20000 up; 1,000 to 1,280 updates): validation accuracy at .0025, .01 and .04: tanh orthogonal .29 .39 .31, identity
# .28 .34 .29, He .18 .30 .26; ReLU orthogonal .23 .26 .18, identity .35 .40 .26, He .23 .29 .22. Six more seeds at .01: .38 tanh
# orthogonal (spread .07), .39 ReLU orthogonal (.08), .43 ReLU identity (.02). Without clipping .21 to .42 at .0025, chance
# at .01.
_SHORT = {"rates": Rates(count=5, center=0.005), "tuning_seeds": 2, "replicates": 12}
# In 64 replicates the spread was .054, hence 416, planned from that spread alone for a power of .8 at 1 point, corrected.
DESIGN = Study(
    name="rnn-tanh",
    title="Recurrent nets with tanh and with ReLU",
    cells=_cells(STARTS),
    fixed={"model": "rnn", "depth": 1, "width": 32, "optimizer": "momentum", "clip": 1.0},
    updates=1152,
    rates=Rates(center=0.01),
    replicates=416,
    seconds=230,
    variants=(
        Variant(
            HE, study=_SHORT | {"cells": _cells({"He": "he_normal"}), "rates": Rates(count=5, center=0.01)}
        ),
        Variant(FREE, fixed={"clip": 0.0}, study=_SHORT | {"cells": _cells(STARTS)}),
    ),
)
CRITERION = Criterion(
    text="Test accuracy of the recurrent net with tanh minus that with ReLU, gradients clipped, each from the start "
    "(orthogonal or identity) that has the better mean validation accuracy at its tuned rate, is above 0 (95 % interval) and "
    "not negligible (90 % interval not within 1 point).",
    metric="test accuracy, tanh minus ReLU",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.07,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """tanh minus ReLU, each from its better start; every start in a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    weights = {variant: _better(mine) for variant, mine in runs.groupby("variant", sort=False)}
    finding = contrast(runs, weights, criterion.delta)
    chosen = f"Chosen on validation: {' and '.join(weights['main'])}."
    return replace(finding, tables=(_by_start(runs),), notes=(chosen, *finding.notes))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    from folklore.figures.panels import tuning_and_scores

    return tuning_and_scores(runs, finding, arms=[cell["label"] for cell in DESIGN.cells], columns=2)


def _better(runs: pd.DataFrame) -> dict[str, float]:
    """Weights of tanh minus ReLU, each from the start that validation prefers."""
    means = validated(runs)
    best = {name: means[[arm.startswith(name) for arm in means.index]].idxmax() for name in ACTIVATIONS}
    return {best["tanh"]: 1.0, best["ReLU"]: -1.0}


def _by_start(runs: pd.DataFrame) -> Table:
    """tanh minus ReLU from each start, and how many nets of each are left at chance."""
    from folklore.stats.findings import Table

    confirmed = runs[runs["phase"] == "confirm"].assign(measure=lambda frame: 100 * frame["test_accuracy"])
    rows = []
    for variant, mine in confirmed.groupby("variant", sort=False):
        for start in dict.fromkeys(arm.partition(", ")[2] for arm in mine["arm"]):
            arms = [mine.loc[mine["arm"] == f"{name}, {start}", "measure"] for name in ACTIVATIONS]
            label = start + {"main": "", HE: "", FREE: ", not clipped"}.get(variant, f", {variant}")
            gain = difference(mine, {f"tanh, {start}": 1.0, f"ReLU, {start}": -1.0})
            rows.append((label, *(_scores(found) for found in arms), gain))
    return Table(
        "Test accuracy in percent with its spread over replicates, and tanh minus ReLU in points with a 95 % interval, "
        "by start.",
        ("start", *ACTIVATIONS, "tanh minus ReLU"),
        tuple(rows),
    )


def _scores(found: pd.Series) -> str:
    return f"{found.mean():.1f} ± {found.std():.1f}"
