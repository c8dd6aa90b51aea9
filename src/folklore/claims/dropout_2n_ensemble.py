"""Dropout averages exponentially many networks at the price of one

With n units that may be dropped there are 2^n thinned networks, and every step of training works on one of
them. To predict, one would have to average the forecasts of them all; the rule says that the whole network with
its signals scaled does this in a single pass.

For one hidden layer and a softmax behind it there is a theorem, and with ten units all 1,024 networks can be run to
check it: the scaled network is exactly the geometric mean of their probabilities, made to add up to one. It is not
their arithmetic mean, which is what people call an average, and with a second dropped layer the theorem no longer
applies. So as an average of forecasts the rule is an approximation, and how good it is has to be measured.

We train networks with dropout, draw 50 of the thinned networks at random, average their probabilities and
compare the accuracy with that of the scaled network on the same test rows. The rate is .5, the one of the lecture's
own example. Other rows show a rate of .2, which suits a network of 100 units a layer better, and one wide layer,
where the geometric mean is exact. The rule predicts no difference. Two points are about what the seed alone does
to a network's accuracy; whoever saves 49 passes may well pay less than that.

Supported means: the theorem holds, and the two accuracies are shown to differ by less than 2 points.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from folklore.claims._dropout import middle, unmeasured
from folklore.claims._exact import check, dropped, relative_error
from folklore.claims.base import Claim, Criterion, Formula
from folklore.grid import Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Check, Finding, Table

CLAIM = Claim(
    kind="E+S",
    family="regularisation",
    lectures=(1, 2, 4),
    paper="Hinton et al. 2012, arXiv:1207.0580; Srivastava et al. 2014, JMLR 15, section 7.5",
    reported="Hinton: the scaled net is the geometric mean for one hidden layer and a softmax. Srivastava: on "
    "MNIST some 50 sampled nets are needed to match scaling, more are slightly better.",
    limits="The learning rate is tuned for the scaled net; at one of its own the mean of thinned nets may do better, and the "
    "sign of the difference may turn. Fifty nets drawn at random stand for all of them, each used for all test rows. It is about "
    "accuracy, not about how sure the forecasts are, and not about an ensemble of nets that were trained apart. "
    "Measured on 2,048 of the 10,000 test rows, the same for all. The margin is 2 points, twice the usual one.",
    headline=False,
    formulas=(
        Formula(
            "printed",
            "o = p dot f(X dot W + b)",
            "instead of the mean of the forecasts of all thinned networks take p times f of X W plus b",
        ),
        Formula(
            "right",
            "hat(q)_c = frac(product_D q_c (D)^(P(D)), sum_k product_D q_k (D)^(P(D)))",
            "for one hidden layer and a softmax, the scaled network's probability of class c is the geometric mean over all "
            "masks D, weighted by their probability, of what the thinned networks give it, made to add up to one over the "
            "classes",
        ),
        Formula(
            "derived",
            "sum_D P(D) q_c (D) != hat(q)_c",
            "the arithmetic mean, which is what people call an average, is not the scaled network's probability",
        ),
    ),
)
HALF, FIFTH, WIDE = "dropout .5", "dropout .2", "one layer of 400 units"
# Pilot (seeds 20000 and up): one thinned net .32, mean of 50 or 100 .39, scaled net .26 at a rate of .5, spread of the
# difference .045; .514, .600 and .600 at .2, spread .0025; .537, .595 and .598 in one layer of 400 units at .5, spread .004.
# Validation accuracy .64 without dropout: a rate of .5 is more than three layers of 100 units can bear. It stays the main
# ground, as it was before the pilot, since the lecture works it out at .5 and the rule names no rate.
DESIGN = Study(
    name="dropout-2n-ensemble",
    title="Networks with dropout, and 50 of the nets that it averages",
    cells=({"label": HALF, "dropout": 0.5},),
    fixed={"optimizer": "sgd", "probe": "ensemble-50"},
    updates=2000,
    replicates=64,
    seconds=44,
    variants=(
        Variant(FIFTH, study={"cells": ({"label": FIFTH, "dropout": 0.2},), "replicates": 16}),
        Variant(WIDE, fixed={"depth": 1, "width": 400}, study={"replicates": 16}),
    ),
)
CRITERION = Criterion(
    text="By enumeration in float64 the scaled net of one hidden layer is the geometric mean of the thinned nets' "
    "probabilities (relative error 1e-6); and trained with dropout .5, the test accuracy of the scaled net minus that "
    "of the mean probabilities of 50 thinned nets lies within 2 points of 0 (90 % interval).",
    metric="test accuracy, scaled net minus mean of 50 thinned nets",
    unit="points",
    delta=0.02,
    scale=100,
    equivalence=True,
    pilot_sd=0.045,
    settings={"tolerance": 1e-6, "units": 10},
)
_MEASURES = {
    "one thinned net": "single_accuracy",
    "mean of 50": "ensemble_accuracy",
    "geometric mean": "geometric_accuracy",
    "scaled net": "scaled_accuracy",
}
RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Equivalence at a rate of .5, on every ground; the theorem, and by how much other means miss."""
    from folklore.stats.findings import contrast

    weights = {variant: {group["arm"].iloc[0]: 1.0} for variant, group in runs.groupby("variant", sort=False)}
    finding = contrast(runs, weights, criterion.delta, measure=gap, equivalence=True)
    checks, table = _exact(int(criterion.settings["units"]), criterion.settings["tolerance"])
    return replace(
        finding,
        checks=checks,
        tables=(_accuracies(runs), table),
        notes=(_rate(runs), *finding.notes),
        undecidable=finding.undecidable or unmeasured(runs, "ensemble_accuracy"),
    )


def _rate(runs: pd.DataFrame) -> str:
    main = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm")]
    return (
        f"The learning rate, {main['lr'].iloc[0]:.3g} on the main ground, was tuned for the scaled net: "
        "the mean of the thinned nets is judged at its rival's rate."
    )


def gap(runs: pd.DataFrame) -> pd.Series:
    """Accuracy of the scaled net minus that of the mean of the thinned ones; 0 where both predict nothing."""
    from folklore.stats.findings import measured

    return (measured("scaled_accuracy")(runs) - measured("ensemble_accuracy")(runs)).fillna(0.0)


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Left: accuracy of one thinned net, of means of 50, and of the scaled net. Right: how far means are from it, by rate."""
    from folklore.figures import claims, style
    from folklore.stats.findings import arm_rows, measured

    style.apply()
    fig, (left, right) = style.new(6.8, ncols=2)
    rows = [
        replace(row, arm=name)
        for name, measure in _MEASURES.items()
        for row in arm_rows(runs.assign(measure=measured(measure)))
        if row.variant == "main"
    ]
    claims.arm_points(left, rows, list(_MEASURES))
    drop, arithmetic, geometric, deep = zip(*finding.tables[1].rows, strict=True)
    right.plot(drop, deep, "^:", color=style.PALETTE[2], label="two layers, arithmetic mean")
    right.plot(drop, arithmetic, "o-", color=style.PALETTE[0], label="one layer, arithmetic mean")
    right.plot(drop, geometric, "s--", color=style.PALETTE[1], label="one layer, geometric mean")
    right.set(xlabel="drop rate", ylabel="distance from the scaled net")
    claims.legend_above(right, 1)
    return fig, (
        f"Left: test accuracy with dropout .5 and 95 % intervals: {claims.rows_in_words(rows)}. Right: how far the "
        "probabilities of the scaled net are from means over all thinned nets of ten units, by drop rate: 0 for the geometric "
        f"mean of one layer, up to {max(arithmetic):.2f} for the arithmetic one and up to {max(deep):.2f} with two layers."
    )


def _accuracies(runs: pd.DataFrame) -> Table:
    """On every ground, means over the confirmed runs."""
    from folklore.stats.findings import Table, measured

    confirmed = runs[runs["phase"] == "confirm"]
    rows = tuple(
        (
            HALF if variant == "main" else variant,
            *(f"{100 * middle(measured(measure)(group))[0]:.1f}" for measure in _MEASURES.values()),
        )
        for variant, group in confirmed.groupby("variant", sort=False)
    )
    return Table("Test accuracy in percent on the same rows.", ("", *_MEASURES), rows)


@cache
def _exact(units: int, tolerance: float) -> tuple[tuple[Check, ...], Table]:
    """All thinned nets of one hidden layer against the scaled one, and how far other means are from it."""
    from folklore.stats.findings import Table

    one, keep = _probabilities(1, units, 0.5)
    scaled = _scaled(1, units)
    geometric, arithmetic = _geometric(one, keep), (keep[:, None, None] * one).sum(dim=0)
    uneven, share = _probabilities(1, units, 0.2)
    near = (arithmetic - scaled).abs().amax(dim=-1) <= tolerance
    found = (
        ("scaled net = geometric mean of all nets", relative_error(geometric, scaled), "right"),
        ("the same at a rate of .2", relative_error(_geometric(uneven, share), scaled), "right"),
        ("arithmetic mean: share of inputs where it is the same", float(near.double().mean()), "derived"),
    )
    checks = tuple(check(name, error, tolerance, form) for name, error, form in found)
    deep, rows = _scaled(2, units // 2), []
    for drop in RATES:
        first, p = _probabilities(1, units, drop)
        second, q = _probabilities(2, units // 2, drop)
        rows.append(
            (
                drop,
                _distance((p[:, None, None] * first).sum(dim=0), scaled),
                _distance(_geometric(first, p), scaled),
                _distance((q[:, None, None] * second).sum(dim=0), deep),
            )
        )
    table = Table(
        "Probability that the scaled net puts elsewhere than the mean of all thinned nets (total variation), by drop "
        "rate: arithmetic and geometric mean behind one dropped layer, arithmetic mean behind two.",
        ("drop rate", "one layer, arithmetic", "one layer, geometric", "two layers, arithmetic"),
        tuple(rows),
    )
    return checks, table


def _logits(depth: int, units: int, factors: list[torch.Tensor]) -> torch.Tensor:
    """Logits (M, B, C) of a fixed ReLU net of the project with factors (M, 1, H) on its hidden layers."""
    import numpy as np
    import torch

    from folklore.core.networks import Layout, Parameters, Pass, initial

    layout = Layout(6, 4, depth, units, "relu", "none")
    drawn, many = initial(layout, ["he_normal"], [5], torch.device("cpu")), len(factors[0])
    weights, biases = ([t.double().expand(many, -1, -1) for t in ts] for ts in (drawn.weights, drawn.biases))
    x = torch.from_numpy(np.random.default_rng(2).standard_normal((16, 6)))
    sites = {("unit", i): factor for i, factor in enumerate(factors)}
    net = Pass(layout, Parameters(weights, biases, [], [], []), sites, training=False)
    return net.logits(x.expand(many, -1, -1))


def _probabilities(depth: int, units: int, drop: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Softmax (M, B, C) of all thinned nets, kept units as dropout scales them, and the probability (M,) of each net."""
    patterns, share = dropped(depth * units, 1 - drop)
    factors = list((patterns / (1 - drop)).view(len(patterns), depth, 1, -1).unbind(1))
    return _logits(depth, units, factors).softmax(dim=-1), share


def _scaled(depth: int, units: int) -> torch.Tensor:
    """The one net that stands for all, (B, C): with factors scaled in training, the whole net as it is."""
    import torch

    return _logits(depth, units, [torch.ones(1, 1, units, dtype=torch.float64)] * depth).softmax(dim=-1)[0]


def _geometric(probabilities: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Weighted geometric mean (B, C), made to add up to one."""
    return (share[:, None, None] * probabilities.log()).sum(dim=0).softmax(dim=-1)


def _distance(p: torch.Tensor, q: torch.Tensor) -> float:
    return round(float((p - q).abs().sum(dim=-1).mean() / 2), 4)
