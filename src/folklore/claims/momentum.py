"""Momentum makes SGD faster

Momentum adds up the gradients of the last steps and walks along their sum: directions on which they agree
grow, those that flip cancel. The lecture says that SGD usually works with momentum; .9 is the usual value.

There is a catch. Under a steady gradient the sum of a momentum mu grows to 1 / (1 - mu) times one gradient,
so mu = .9 at the same learning rate takes steps ten times as large. Whoever turns it on and leaves the rate
alone has changed the rate. We tune every arm for speed, with its own grid of rates, and print the tuned
rates beside rate / (1 - mu): where these agree, momentum was a larger learning rate in disguise. Two more
arms leave SGD's tuned rate as it is, and divide it by ten.

Shallue and colleagues found that momentum does nothing for small batches, where the noise of the gradient
limits the step, and helps with large ones, where the curvature does. So a robustness row repeats the
comparison with batches of 256.

Supported means: with momentum .9 the net needs fewer updates to a fixed training loss, by a factor not
shown to be below 1.1.
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
    family="optimisation",
    lectures=(3, 4),
    paper="Polyak 1964; Sutskever et al. 2013; Shallue et al. 2019, arXiv:1811.03600",
    reported="Polyak: fewer steps where the curvature differs by direction, without noise. Shallue: plain "
    "and momentum SGD need the same number of steps at small batches, momentum fewer at large ones.",
    limits="The heavy ball, not Nesterov's form, at a constant rate; three hidden layers. Steps, not "
    "seconds: momentum costs one more vector and a little time.",
    headline=False,
)
PLAIN, HEAVY = "no momentum", "momentum .9"
SAME, TENTH = "momentum .9, SGD's rate", "momentum .9, a tenth of SGD's rate"
_MU = {PLAIN: 0.0, "momentum .5": 0.5, HEAVY: 0.9, "momentum .99": 0.99, SAME: 0.9, TENTH: 0.9}
_PAIR = ({"label": PLAIN, "optimizer": "sgd"}, {"label": HEAVY, "optimizer": "momentum"})
# Pilot (seeds 20000 and 20001): mean updates to .8 at the best rates 660 (none, rate .2), 655 (.5, rate .1),
# 617 (.9, rate .02) and 870 (.99, rate .002), spread of none minus .9 about .15 octaves; with batches of 256
# 202 (none, rate .8) and 114 (.9, rate .16, the highest tried).
DESIGN = Study(
    name="momentum",
    title="SGD with and without momentum",
    cells=(
        _PAIR[0],
        {"label": "momentum .5", "optimizer": "momentum", "momentum": 0.5},
        _PAIR[1],
        {"label": "momentum .99", "optimizer": "momentum", "momentum": 0.99},
        {"label": SAME, "optimizer": "momentum", "lr_of": PLAIN},
        {"label": TENTH, "optimizer": "momentum", "lr_of": PLAIN, "lr_times": 0.1},
    ),
    updates=2000,
    tune_on="steps",
    target=0.8,
    seconds=47,
    variants=(
        Variant(
            "batch 256",
            fixed={"batch_size": 256},
            study={
                "cells": _PAIR,
                "updates": 500,
                "replicates": 16,
                "rates": Rates(count=5),
            },
        ),
    ),
)
CRITERION = Criterion(
    text="log2 of the updates to a training loss of .8 without momentum minus the same with momentum .9, "
    "both tuned for speed, runs censored at the budget; t-interval and log-rank test; smallest ratio of "
    "interest 1.1.",
    metric="steps to the target, without against with",
    unit="octaves",
    delta=0.1375,
    pilot_sd=0.2,
    settings={"main": 0.8, "batch 256": 0.8},
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Octaves of steps that momentum .9 saves; tuned rates and their effective size as tables."""
    from dataclasses import replace

    from folklore.stats.findings import speed_contrast

    finding = speed_contrast(runs, PLAIN, HEAVY, criterion.settings, criterion.delta)
    tables = tuple(
        _rates(runs[runs["variant"] == variant], variant, target)
        for variant, target in criterion.settings.items()
        if (runs["variant"] == variant).any()
    )
    return replace(finding, tables=tables)


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Training loss by update, and updates to the target."""
    from folklore.figures.panels import curves_and_steps

    names = {SAME: "momentum .9,\nSGD's rate", TENTH: "momentum .9,\nSGD's rate / 10"}
    figure, said = curves_and_steps(runs, finding, CRITERION.settings["main"], names)
    return figure, said.replace("\n", " ")


def _rates(runs: pd.DataFrame, variant: str, target: float) -> Table:
    """Rate, rate / (1 - mu), steps and accuracy of every arm."""
    from folklore.stats.findings import Table, steps_measure

    confirmed = runs[runs["phase"] == "confirm"]
    steps = 2 ** steps_measure(target)(confirmed)
    rows = []
    for arm, group in confirmed.groupby("arm", sort=False):
        rate, taken = float(group["lr"].iloc[0]), steps.loc[group.index]
        never = int((taken > group["updates"] - 0.5).sum())
        rows.append(
            (
                arm,
                f"{rate:.3g}",
                f"{rate / (1 - _MU[arm]):.3g}",
                f"{taken.mean():,.0f}" + (f" ({never} of {len(group)} never)" if never else ""),
                f"{100 * group['test_accuracy'].mean():.1f}",
            )
        )
    return Table(
        f"Learning rates and what they amount to, batches of {int(confirmed['batch_size'].iloc[0])}: under a "
        f"steady gradient a momentum mu takes steps of rate / (1 - mu). Target: a training loss of {target:g}.",
        ("arm", "rate", "rate / (1 - mu)", "mean updates to the target", "test accuracy at the end (%)"),
        tuple(rows),
    )
