"""Whitened inputs make training faster than standardised ones

Standardising gives every input the same variance. Neighbouring inputs are still correlated: along a few
directions the data vary much, along the others hardly at all, and the loss curves accordingly. A rotation to the
principal axes removes the correlations, and dividing by the deviation along each axis, which is called
whitening, leaves inputs without any direction that stands out. The lecture shows both; LeCun and colleagues gave
the reason, that the curvature of the loss becomes the same in all directions.

What becomes of the covariance is exact, and checked on the code that prepares the data: diagonal after the
rotation, the identity after whitening. As used, with a small ridge so that an axis without variance is not blown
up, each variance falls short of 1 by the ridge's share, and by nothing else.

Speed decides, because that is what the argument is about: the updates to a fixed training loss, standardised
against whitened inputs, each at the rate that is fastest for it. But whitening also turns the faintest axes,
which are mostly noise, into inputs as loud as the rest. So a second table compares the test accuracy, the same
arms being tuned for accuracy instead. The rotation alone is the third arm: it changes no distance and should
change little.

Supported means: the checks hold, and whitened inputs need fewer updates than standardised ones, by a factor not
shown to be below 1.1. Whether they are worth having is the accuracy's question: read both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference
from folklore.claims.base import Claim, Criterion, Formula
from folklore.grid import Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Check, Finding, Table

CLAIM = Claim(
    kind="E+S",
    family="preprocessing",
    lectures=(3,),
    paper="LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, section 4.3; Krizhevsky 2009 (whitened CIFAR images)",
    reported="no figure: an argument about the curvature of the loss for a linear unit.",
    limits="Curves of 40 points, whose faint axes are mostly noise by construction. Axes and variances are those of "
    "the whole pool that training rows are drawn from; a few hundred rows would know them badly.",
    headline=False,
    formulas=(
        Formula(
            "right",
            '"Cov"(V^top x) = Lambda',
            "turned to its principal axes V, standardised x has a diagonal covariance, the variances Lambda along the axes",
        ),
        Formula(
            "right",
            '"Cov"(Lambda^(-1 slash 2) V^top x) = I',
            "divided by the root of these variances, it has the identity as its covariance",
        ),
        Formula(
            "derived",
            '"Var"(frac(v_j^top x, sqrt(lambda_j + rho))) = frac(lambda_j, lambda_j + rho)',
            "with a ridge rho added to the variance lambda along axis j, the whitened variance is lambda over lambda plus rho",
        ),
    ),
)
STANDARD, ROTATED, WHITE = "standardised", "decorrelated", "whitened"
ACCURATE = "tuned for accuracy"
# Pilot (seeds 20000, 20001, three rates): updates to a loss of .8, at the best rate, 660 to 780 standardised, 660 decorrelated,
# 540 to 650 whitened, spread of a difference about .2 octaves; best rates .2 and .4 for all. Validation accuracy .59 whitened, .63
# and .65 of the others.
DESIGN = Study(
    name="pca-whitening",
    title="Standardised, decorrelated and whitened inputs",
    cells=tuple({"label": view, "view": view} for view in (STANDARD, ROTATED, WHITE)),
    fixed={"optimizer": "sgd"},
    updates=2000,
    tune_on="steps",
    target=0.8,
    seconds=22,
    variants=(Variant(ACCURATE, study={"tune_on": "val_accuracy", "target": None}),),
)
CRITERION = Criterion(
    text="In float64 the covariance of the rows fitted to is diagonal after decorrelating and the identity after "
    "whitening (error 1e-6); and log2 of the updates to a training loss of 0.8 with standardised inputs minus the "
    "same with whitened ones, both tuned for speed, runs censored at the budget; t-interval and log-rank test; "
    "smallest ratio of interest 1.1.",
    metric="steps to the target, standardised against whitened",
    unit="octaves",
    delta=0.1375,
    pilot_sd=0.2,
    settings={"main": 0.8, "tolerance": 1e-6},
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Octaves of steps that whitening saves, the exact checks, and what the arms are worth when tuned for accuracy."""
    from dataclasses import replace

    from folklore.stats.findings import speed_contrast

    finding = speed_contrast(runs, STANDARD, WHITE, {"main": criterion.settings["main"]}, criterion.delta)
    checks = _exact_checks(criterion.settings["tolerance"])
    return replace(finding, checks=checks, tables=(_accuracies(runs),), notes=(*finding.notes, *_worth(runs)))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Training loss by update, and updates to the target."""
    from folklore.figures.panels import curves_and_steps

    return curves_and_steps(runs, finding, CRITERION.settings["main"])


def _worth(runs: pd.DataFrame) -> tuple[str, ...]:
    """What whitening does to the accuracy, where that was tuned for."""
    mine = runs[(runs["variant"] == ACCURATE) & (runs["phase"] == "confirm")]
    points = mine.assign(measure=100 * mine["test_accuracy"])
    more = difference(points, {WHITE: 1.0, STANDARD: -1.0})
    return (
        (f"Tuned for accuracy, whitened inputs minus standardised ones: {more} points of test accuracy.",)
        if more
        else ()
    )


def _accuracies(runs: pd.DataFrame) -> Table:
    """Test accuracy of every arm under either tuning, and what it has more than standardised inputs."""
    from folklore.stats.findings import Table

    confirmed = runs[runs["phase"] == "confirm"].assign(measure=lambda frame: 100 * frame["test_accuracy"])
    rows = []
    for variant, mine in confirmed.groupby("variant", sort=False):
        for arm, group in mine.groupby("arm", sort=False):
            more = difference(mine, {arm: 1.0, STANDARD: -1.0}) if arm != STANDARD else ""
            words = "for speed" if variant == "main" else "for accuracy"
            rows.append((words, arm, f"{group['lr'].iloc[0]:.3g}", f"{group['measure'].mean():.1f}", more))
    return Table(
        "Test accuracy in percent after the last update, and points more than with standardised inputs, with a 95 % "
        "interval.",
        ("tuned", "inputs", "rate", "test accuracy", "more"),
        tuple(rows),
    )


def _exact_checks(tolerance: float) -> tuple[Check, ...]:
    """Covariances of correlated rows after either map, and what the ridge takes."""
    import numpy as np

    from folklore.claims._exact import check
    from folklore.datasets.views import decorrelated, whitened

    rng = np.random.default_rng(0)
    rows = rng.standard_normal((400, 12)) @ rng.standard_normal((12, 12)) + 3.0

    def covariance(x: np.ndarray) -> np.ndarray:
        return np.cov(x, rowvar=False, bias=True)

    turned = decorrelated.fitted(rows)(rows)
    variances = np.diag(covariance(turned))
    ridge = 0.1
    found = (
        ("decorrelated: no covariance is left", covariance(turned), np.diag(variances), "printed"),
        ("decorrelated: the variances keep their sum", variances.sum(), 12.0, "derived"),
        (
            "decorrelated: lengths are those of the standardised rows",
            (turned**2).sum(axis=1),
            (((rows - rows.mean(axis=0)) / rows.std(axis=0)) ** 2).sum(axis=1),
            "derived",
        ),
        (
            "whitened: the covariance is the identity",
            covariance(whitened.fitted(rows, 0.0)(rows)),
            np.eye(12),
            "printed",
        ),
        (
            "whitened with a ridge: each variance v becomes v / (v + ridge)",
            covariance(whitened.fitted(rows, ridge)(rows)),
            np.diag(variances / (variances + ridge)),
            "right",
        ),
    )
    return tuple(
        check(name, np.abs(is_ - should).max() / np.abs(should).max(), tolerance, form)
        for name, is_, should, form in found
    )
