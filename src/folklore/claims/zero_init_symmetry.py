"""Zero or constant initial weights keep hidden units identical for ever

If all weights of a layer start equal, its units compute the same number, receive the same gradient and make
the same step: they are one unit, copied. The lectures therefore call zero weights a pitfall and ask for
small random numbers instead, which destroy the symmetry.

The statement about symmetry is exact, so it is checked exactly: nets with zero and with constant weights
take 100 steps in double precision, and the weights of all units of a layer are compared. That this hurts is
a statement about training: a net that starts at .01 everywhere has one useful unit a layer, and we compare
its test accuracy with that of a random start, each with its own learning rate.

One thing breaks the tie without any randomness in the weights: dropout, which removes different units at
each step. We show both sides of that, too: the units come apart, and the tuned accuracy of a constant start
with dropout.

Supported means: all weights of equal units stay equal, and the random start (He) is better by more than
nothing, by an amount not shown to be below 1 point.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from matplotlib.figure import Figure

    from folklore.core.networks import Parameters
    from folklore.stats.findings import Check, Finding, Table

CLAIM = Claim(
    kind="E+S",
    family="initialisation",
    lectures=(2, 3, 4),
    paper="common knowledge; Goodfellow, Bengio & Courville 2016, section 8.4",
    reported="initial weights have to break the symmetry between units; no number is given",
    limits="Constant weights are less harmful where something else tells the units apart: dropout, or a layer "
    "whose inputs are already different for each unit. A logistic regression may well start at zero.",
)
RANDOM, GLOROT, CONSTANT, DROPOUT, ZERO = "He", "Glorot", "constant .01", "constant .01, dropout .2", "zero"
_CELLS = (
    {"label": RANDOM, "init": "he_normal"},
    {"label": GLOROT, "init": "glorot_normal"},
    {"label": CONSTANT, "init": "constant"},
    {"label": DROPOUT, "init": "constant", "dropout": 0.2},
    {"label": ZERO, "init": "zero", "lr": 0.02},  # at chance at every rate: there is nothing to tune
)
# Pilot (seeds 20000 and up, 1,024 updates): He .596, Glorot .603, constant .266, best rates .01 to .04;
# constant with dropout .36 at .08, .13 at .16; zero at chance from .0025 to .16. Spread of He minus
# constant: .011.
DESIGN = Study(
    name="zero-init-symmetry",
    title="Constant and random initial weights",
    cells=_CELLS,
    fixed={"optimizer": "momentum", "activation": "relu", "batch_size": 32},
    updates=1024,
    variants=(
        Variant(
            "fashion_mnist",
            fixed={"data": "fashion_mnist", "n_train": 8192},
            study={"cells": (_CELLS[0], _CELLS[2]), "replicates": 16, "rates": Rates(count=5, center=0.005)},
        ),
    ),
    half_replicates=8,
    seconds=41,
)
CRITERION = Criterion(
    text="After 100 steps in float64 the weights of all units of a layer agree to a relative difference of "
    "1e-6; and test accuracy of He's start minus that of the constant start, each at its tuned rate, is "
    "above 0 (95 % interval) and not negligible (90 % interval not within 1 point).",
    metric="test accuracy",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.011,
    settings={"tolerance": 1e-6, "steps": 100, "rate": 0.1, "dropout": 0.2},
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The contrast of random and constant, and the exact checks of the symmetry."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    finding = contrast(runs, {RANDOM: 1, CONSTANT: -1}, criterion.delta)
    apart = _differences_of_units(criterion)
    checks = tuple(
        _check(*key, value, criterion)
        for key, value in apart.items()
        if key[0] in EQUAL_STARTS and not key[2]
    )
    return replace(
        finding, checks=checks, tables=(_table(apart, criterion),), notes=(*finding.notes, _note(runs))
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Validation accuracy by rate, and the confirmed accuracy of each start."""
    from folklore.figures import claims, style

    style.apply()
    arms = [cell["label"] for cell in _CELLS]
    fig, (left, right) = style.new(7.5, ncols=2, width_ratios=(1.1, 1))
    colours, names = claims.arm_colours(arms), {DROPOUT: "constant .01,\ndropout .2"}
    claims.tuning_curves(left, runs, arms[:4], names=names, colours=colours)
    claims.legend_on_top(left)
    claims.arm_points(right, finding.rows, arms, names=names, colours=colours)
    said = claims.rows_in_words(finding.rows)
    return fig, (
        "Left: validation accuracy by learning rate for each start. Right: test accuracy with 95 % "
        f"intervals: {said}."
    )


EQUAL_STARTS = ("zero", "constant")
_STARTS = (*EQUAL_STARTS, "he_normal")


def _differences_of_units(criterion: Criterion) -> dict[tuple[str, str, bool], float]:
    """Largest relative difference between units of a layer, by start, activation and use of dropout."""
    cases = [(start, activation, False) for start in _STARTS for activation in ("sigmoid", "relu")]
    cases += [("constant", activation, True) for activation in ("sigmoid", "relu")]
    steps, rate = int(criterion.settings["steps"]), criterion.settings["rate"]
    return {
        (start, activation, dropped): _difference_after(
            start, activation, criterion.settings["dropout"] * dropped, steps, rate
        )
        for start, activation, dropped in cases
    }


@cache
def _difference_after(start: str, activation: str, dropout: float, steps: int, rate: float) -> float:
    return _difference(_trained(start, activation, dropout, steps, rate))


def _trained(start: str, activation: str, dropout: float, steps: int, rate: float) -> Parameters:
    """A float64 net of two hidden layers after some steps of plain gradient descent on a random task."""
    import numpy as np
    import torch

    from folklore.core.networks import Layout, Parameters, initial
    from folklore.core.steps import Rule, make_step

    layout = Layout(inputs=20, classes=3, depth=2, width=16, activation=activation, norm="none")
    single = initial(layout, [start], [0], torch.device("cpu"))
    net = Parameters([w.double() for w in single.weights], [b.double() for b in single.biases], [], [], [])
    step, rng = make_step(layout, Rule("sgd")), np.random.default_rng(0)
    hyper = {"lr": torch.full((1, 1, 1), rate).double(), "momentum": torch.zeros(1, 1, 1)}
    state: list[dict[str, torch.Tensor]] = [{} for _ in net.trained()]
    for t in range(steps):
        x = torch.from_numpy(rng.standard_normal((1, 64, 20)))
        keep = torch.from_numpy((rng.random((2, 1, 64, 16)) >= dropout) / (1 - dropout))
        factors = {("unit", i): factor for i, factor in enumerate(keep)}
        step(net, state, hyper, x, x[:, :, :3].argmax(dim=2), factors, float(t + 1))
    return net


def _difference(net: Parameters) -> float:
    """Distance of a hidden unit's weights from those of its layer's first unit, relative to the largest."""
    hidden = [weight.detach() for weight in net.weights[:-1]]
    apart = max(float((w - w[:, :, :1]).abs().max()) for w in hidden)
    largest = max(float(w.abs().max()) for w in hidden)
    return apart / largest if largest else 0.0


def _check(start: str, activation: str, dropped: bool, error: float, criterion: Criterion) -> Check:
    from folklore.stats.findings import Check

    tolerance = criterion.settings["tolerance"]
    return Check(f"units stay equal: {start} weights, {activation}", error, tolerance, error <= tolerance)


def _table(apart: dict[tuple[str, str, bool], float], criterion: Criterion) -> Table:
    from folklore.stats.findings import Table

    names = {"he_normal": "He"}
    rows = tuple(
        (names.get(start, start), activation, "yes" if dropped else "no", value)
        for (start, activation, dropped), value in apart.items()
    )
    steps = int(criterion.settings["steps"])
    return Table(
        f"Largest difference between the weights of two units of a layer after {steps} steps, relative to "
        "the largest weight.",
        ("start", "activation", "dropout", "difference"),
        rows,
    )


def _note(runs: pd.DataFrame) -> str:
    confirmed = runs[(runs["phase"] == "confirm") & (runs["variant"] == "main")]
    mean = confirmed.groupby("arm")["test_accuracy"].mean() * 100
    with_it, without = mean.get(DROPOUT, float("nan")), mean.get(CONSTANT, float("nan"))
    return (
        "Dropout tells equal units apart: from the same constant start the tuned net reaches "
        f"{with_it:.1f} % with it and {without:.1f} % without. A ReLU net that starts at zero learns only "
        "the biases of the output layer."
    )
