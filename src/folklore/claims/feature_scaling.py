"""Inputs that all have mean 0 and variance 1 make SGD faster

Where one input runs from 0 to 1 and another from 0 to 1,000, the loss is a long narrow valley: the large input
fixes the greatest learning rate that does not diverge, and at that rate nothing is learnt from the small one.
The lectures therefore bring every input to mean 0 and variance 1, with means and deviations of the training
rows.

What that does to the numbers is exact, and checked on the code that prepares the data: on the rows that it was
fitted to, every mean is 0 and every variance 1, whatever the scales were before; on other rows they are not,
and must not be, for those are mapped with the same numbers.

Whether it helps is measured. The curves of MNIST-1D have one scale, so the inputs of one arm are multiplied by
factors from 1 to 1,000, spread evenly over the octaves, and those of the other are standardised after that,
which undoes the factors. An overall factor would be no problem of scaling: a smaller learning rate mends it.
The factors are therefore divided by their root mean square, and each arm has its own tuned rate, tuned for
speed. Factors from 1 to 10, and an optimizer with a step size for every weight, are grounds of their own.

Supported means: the checks hold, and standardised inputs need fewer updates to a fixed training loss, by a
factor not shown to be below 1.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims.base import Claim, Criterion, Formula
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Check, Finding, Table

CLAIM = Claim(
    kind="E+S",
    family="preprocessing",
    lectures=(1, 2, 4),
    paper="LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, section 4.3",
    reported="no figure: an argument about the curvature of the loss for a linear unit, that convergence is fast "
    "when the inputs have mean 0 and like covariances.",
    limits="The factors are made, on data that had one scale, and say nothing about inputs whose scale carries "
    "meaning. Means and deviations are those of the whole pool that training rows are drawn from.",
    headline=False,
    formulas=(
        Formula(
            "printed",
            "frac(X - mu_X, sigma_X)",
            "X minus its mean, over its standard deviation",
        ),
        Formula(
            "right",
            'frac(x_"new" - mu_"train", sigma_"train")',
            "new rows are mapped with the mean and the standard deviation of the training rows",
        ),
        Formula(
            "derived",
            "frac(c X - c mu_X, c sigma_X) = frac(X - mu_X, sigma_X), quad c > 0",
            "a positive factor c on an input leaves no trace",
        ),
    ),
)
MIXED, STANDARD = "different scales", "standardised"
MILD, ADAM = "scales 1 to 10", "Adam"
# Pilot (seeds 20000, 20001, four rates). Scales from 1 to 1,000: the loss falls to 1.2 after 980 to 1,040 of 2,000 updates at the
# best rate (.2; 1,180 at .1) and hardly below 1; standardised: 385 at .2 and .4. Spread of an arm about .1 octaves.
# In 32 replicates the spread was .23, hence 36, planned from that spread alone for a power of .8 at .1375 octaves, corrected.
DESIGN = Study(
    name="feature-scaling",
    title="Inputs on different scales, and standardised",
    cells=(
        {"label": MIXED, "view": "scaled_inputs-1000"},
        {"label": STANDARD, "view": "standardised"},
    ),
    fixed={"optimizer": "sgd"},
    updates=2000,
    tune_on="steps",
    target=1.2,
    replicates=36,
    seconds=30,
    variants=(
        Variant(
            MILD,
            study={
                "cells": (
                    {"label": MIXED, "view": "scaled_inputs-10"},
                    {"label": STANDARD, "view": "standardised"},
                ),
                "replicates": 16,
            },
        ),
        Variant(ADAM, fixed={"optimizer": "adam"}, study={"replicates": 16, "rates": Rates(count=5)}),
    ),
)
CRITERION = Criterion(
    text="In float64, standardised rows have mean 0 and variance 1 and forget the scales they had (error 1e-6); "
    "and log2 of the updates to a training loss of 1.2 with inputs on scales from 1 to 1,000 minus the same with "
    "standardised inputs, both tuned for speed, runs censored at the budget; t-interval and log-rank test; "
    "smallest ratio of interest 1.1.",
    metric="steps to the target, mixed scales against standardised",
    unit="octaves",
    delta=0.1375,
    pilot_sd=0.2,
    settings={"main": 1.2, MILD: 1.2, ADAM: 1.2, "tolerance": 1e-6},
)
_GROUNDS = ("main", MILD, ADAM)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Octaves of steps that standardising saves, and the exact checks; rates and accuracy as a table."""
    from dataclasses import replace

    from folklore.stats.findings import speed_contrast

    targets = {name: criterion.settings[name] for name in _GROUNDS}
    finding = speed_contrast(runs, MIXED, STANDARD, targets, criterion.delta)
    checks = _exact_checks(criterion.settings["tolerance"])
    return replace(finding, checks=checks, tables=(_by_ground(runs, targets),))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Training loss by update, and updates to the target."""
    from folklore.figures.panels import curves_and_steps

    names = {MIXED: "scales 1\nto 1,000"}
    figure, said = curves_and_steps(runs, finding, CRITERION.settings["main"], names)
    return figure, said.replace("\n", " ")


def _by_ground(runs: pd.DataFrame, targets: dict[str, float]) -> Table:
    """Steps, rate and accuracy of both arms on every ground."""
    from folklore.stats.findings import Table, steps_measure

    names = {"main": "factors 1 to 1,000", MILD: "factors 1 to 10", ADAM: "factors 1 to 1,000, Adam"}
    confirmed = runs[runs["phase"] == "confirm"]
    rows = []
    for (variant, arm), group in confirmed.groupby(["variant", "arm"], sort=False):
        taken = 2 ** steps_measure(targets[variant])(group)
        never = int((taken > group["updates"] - 0.5).sum())
        rows.append(
            (
                names[variant],
                "as they are" if arm == MIXED else arm,
                f"{group['lr'].iloc[0]:.3g}",
                f"{taken.mean():,.0f}" + (f" ({never} of {len(group)} never)" if never else ""),
                f"{100 * group['test_accuracy'].mean():.1f}",
            )
        )
    return Table(
        "Tuned rate, mean updates to the target (the budget where it is not reached), and test accuracy at the end.",
        ("inputs", "arm", "rate", "updates", "test accuracy (%)"),
        tuple(rows),
    )


def _exact_checks(tolerance: float) -> tuple[Check, ...]:
    """Moments after standardising, on the rows fitted to and on others, and what is left of the scales before."""
    import numpy as np

    from folklore.claims._exact import check
    from folklore.datasets.views.scaled_inputs import factors_of
    from folklore.datasets.views.standardised import fitted

    rng = np.random.default_rng(0)
    mixing, centre = rng.standard_normal((20, 20)), rng.standard_normal(20)
    train, other = (rng.standard_normal((rows, 20)) @ mixing + centre for rows in (500, 300))
    factors = factors_of(20, 1000)
    standard = fitted(train)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    found = (
        ("every mean of the training rows is 0", standard(train).mean(axis=0), 0.0, "printed"),
        ("every variance of the training rows is 1", standard(train).var(axis=0), 1.0, "printed"),
        (
            "factors from 1 to 1,000 leave no trace",
            fitted(train * factors)(train * factors),
            standard(train),
            "right",
        ),
        ("other rows get the training rows' numbers", standard(other), (other - mean) / deviation, "right"),
        (
            "so their means are not all 0: the largest is at least .05",
            max(0.0, 0.05 - float(np.abs(standard(other).mean(axis=0)).max())),
            0.0,
            "derived",
        ),
    )
    return tuple(
        check(name, np.abs(is_ - should).max(), tolerance, form) for name, is_, should, form in found
    )
