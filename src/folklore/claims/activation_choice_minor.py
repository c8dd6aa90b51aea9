"""Trying other activations gains little

Much has been written about activations, yet the lecture remarks that going through them usually gains little.
In a benchmark of convolutional nets with batch normalisation, ReLU and three of its relatives lie within half
a point of each other, while tanh is five points behind.

Little is a statement about size, so the roles are swapped: the claim is supported when the data show that no
two of the four, ReLU, leaky ReLU, ELU and tanh, differ by 2 points or more, and it is refuted when the pair
that lay furthest apart in a pilot is shown to differ, and not by less. Two points are about the spread that the
random seed alone gives to one net. That the sigmoid is left out belongs to the claim: the lecture allows for
exceptions.

Each activation has its own tuned rate and the start that suits it, He's weights or Glorot's for tanh; with one
rate and one start for all, the difference would be one of tuning. A net of eight layers shows whether the
answer holds where saturation has more layers to act in.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.estimates import Estimate
    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="activations",
    lectures=(2,),
    paper="Mishkin, Sergievskiy & Matas 2017, arXiv:1606.02228 (caffenet-benchmark); the lecture refers to "
    "Pedamonti 2018, arXiv:1804.02763",
    reported="caffenet-benchmark with batch normalisation: ReLU .499, its relatives .498 to .503, tanh .448; "
    "without: ReLU .471, ELU .488, tanh .401.",
    limits="Four activations, two nets, one small data set. A difference below 2 points can matter in a "
    "competition and is called little here.",
    headline=False,
)
ARMS = ("ReLU", "leaky ReLU", "ELU", "tanh")
DEEP = "eight layers"

# Pilot (seeds 20000, 20001 over rates, 20010 to 20017 at .02, best for all): validation accuracy .642 ReLU, .643 leaky
# ReLU, .643 ELU, .652 tanh; spread of the differences .015 to .019 (.028 for one pair). Eight layers: ELU .59, tanh .57,
# leaky ReLU .53, ReLU .51. Tuning, half the replicates and all of the deep nets are runs of activation-ranking, and not
# counted in `seconds`.
DESIGN = Study(
    name="activation-choice-minor",
    title="Four activations, each tuned",
    cells=(
        {"label": "ReLU", "activation": "relu", "init": "he_normal"},
        {"label": "leaky ReLU", "activation": "leaky_relu", "init": "he_normal"},
        {"label": "ELU", "activation": "elu", "init": "he_normal"},
        {"label": "tanh", "activation": "tanh", "init": "glorot_normal"},
    ),
    fixed={"optimizer": "momentum"},
    updates=2000,
    seconds=13,
    variants=(
        Variant(
            DEEP,
            fixed={"depth": 8, "width": 128},
            study={"updates": 896, "rates": Rates(center=0.01)},
        ),
    ),
)
FURTHEST = ("tanh", "ReLU")  # in the pilot
CRITERION = Criterion(
    text="With three hidden layers, the 90 % intervals of the difference in test accuracy lie within 2 points "
    "for all six pairs of ReLU, leaky ReLU, ELU and tanh, each tuned (p: the largest of the pairs' two "
    "one-sided tests). Refuted: the 95 % interval of tanh minus ReLU excludes 0 and is not within 2 points.",
    metric="test accuracy, tanh minus ReLU",
    unit="points",
    delta=0.02,
    scale=100,
    equivalence=True,
    pilot_sd=0.016,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The pair furthest apart in the pilot; the p-value is that of the pair furthest apart now."""
    from dataclasses import replace

    from folklore.stats.estimates import equivalence_p
    from folklore.stats.findings import contrast, differences

    def test(mine: pd.DataFrame) -> float:
        pairs = (differences(mine, {a: 1.0, b: -1.0}) for a, b in combinations(ARMS, 2))
        return max(equivalence_p(d, criterion.delta) if len(d) > 1 else 1.0 for d in pairs)

    one, other = FURTHEST
    finding = contrast(runs, {one: 1.0, other: -1.0}, criterion.delta, equivalence=True, test=test)
    return replace(finding, tables=(_pair_table(runs, criterion.delta),))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    from folklore.figures.panels import tuning_and_scores

    return tuning_and_scores(runs, finding, arms=ARMS, columns=2)


def _pair_table(runs: pd.DataFrame, delta: float) -> Table:
    """Every pair on every ground, with the interval that decides about equivalence."""
    from folklore.stats.findings import Table

    confirmed = runs[runs["phase"] == "confirm"].assign(measure=lambda frame: frame["test_accuracy"])
    rows = [
        ("three layers" if variant == "main" else variant, f"{a} minus {b}", *_points(mine, a, b, delta))
        for variant, mine in confirmed.groupby("variant", sort=False)
        for a, b in combinations(ARMS, 2)
    ]
    return Table(
        f"Every pair, in points of test accuracy, with the 90 % interval that has to lie within {100 * delta:g} "
        "points.",
        ("net", "pair", "mean", "90 % interval", "within"),
        tuple(rows),
    )


def _points(mine: pd.DataFrame, a: str, b: str, delta: float) -> tuple[str, str, str]:
    from folklore.stats.estimates import estimate
    from folklore.stats.findings import differences

    found: Estimate = estimate(differences(mine, {a: 1.0, b: -1.0}), sensitivity=False)
    low, high = found.interval90
    within = "yes" if -delta < low and high < delta else "no"
    return f"{100 * found.effect:+.1f}", f"{100 * low:.1f} to {100 * high:.1f}", within
