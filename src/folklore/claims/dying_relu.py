"""A large negative bias kills a ReLU unit, so initialise with care

A ReLU passes nothing on below zero, and no gradient back. A unit whose bias lies so far down that no input lifts
it above zero is silent on every row; then no row can change its weights, and it stays silent for ever. The
lecture warns against starting there, and a course at Stanford says how nets get there by themselves: a step
that is too long throws the bias down, and with a high learning rate 40 % of a net may end up dead.

The first part is arithmetic, and is checked exactly with the code that trains: in 100 steps
nothing moves in a unit that starts with a bias of -100, and the rest of the net trains as if it were not there.

The second part is measured. A net is tuned, and trained again at multiples of its tuned rate that were fixed
beforehand. A unit counts as dead if no validation row activates it. The verdict compares eight times the tuned
rate with the tuned rate itself; a table shows what it costs in accuracy, and how far below zero a bias has to
start to do harm. A run that diverges has no dead units and counts as none.

Supported means: the formulas hold, and at eight times the tuned rate more units are dead, by an amount not shown
to be below 5 points.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from folklore.claims._exact import check, relative_error
from folklore.claims.base import Claim, Criterion
from folklore.grid import Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from matplotlib.figure import Figure

    from folklore.core.networks import Layout, Parameters
    from folklore.stats.findings import Check, Finding, Table

CLAIM = Claim(
    kind="E+S",
    family="activations",
    lectures=(2,),
    paper="Stanford course CS231n, notes on commonly used activation functions",
    reported="with the learning rate set too high as much as 40 % of a network can be dead, as the course notes put it",
    limits="Three hidden layers of 100 units, SGD with momentum, no norm. Dead on 2,000 validation rows: some other "
    "row might still activate a unit. Silent for ever holds in the first hidden layer, whose inputs stay what they are; behind "
    "layers that still learn a unit may wake. Dead units need not cost accuracy where there are units to spare.",
    headline=False,
)
LEADER = "tuned, for accuracy"
TIMES = {"a quarter": 0.25, "tuned rate": 1.0, "4 x": 4.0, "8 x": 8.0, "16 x": 16.0}
HIGH, SAME = "8 x", "tuned rate"
BIASES = "initial bias"
_LEADER = {"label": LEADER, "activation": "relu", "init": "he_normal"}
_FOLLOWER = _LEADER | {"lr_of": LEADER, "probe": "dead"}

# Pilot (seeds 20000 to 20002): dead after 2,000 updates at rates .005, .02, .04 and .08 (best: .02) at most 1 %, at .16 47, 48
# and 37 %, at .32 53 %, and divergence from .64 on; at the start .1 %. From a bias of -1 a net learns, from -2 it does not. The
# tuned arm is one of maxout's, and not counted in `seconds`.
# In 32 replicates the spread was .073, hence 40, planned from that spread alone for a power of .8 at 5 points.
DESIGN = Study(
    name="dying-relu",
    title="Dead ReLU units at multiples of the tuned rate",
    cells=(_LEADER, *(_FOLLOWER | {"label": name, "lr_times": times} for name, times in TIMES.items())),
    fixed={"optimizer": "momentum"},
    updates=2000,
    replicates=40,
    seconds=39,
    variants=(
        Variant(
            BIASES,
            study={
                "cells": (
                    _LEADER,
                    *(_FOLLOWER | {"label": f"bias {b:g}", "bias": b} for b in (-0.5, -1.0, -2.0, -4.0)),
                ),
                "replicates": 12,
            },
        ),
    ),
)
CRITERION = Criterion(
    text="In float64 the weights and the bias of a unit with a bias of -100 do not move in 100 steps (relative error 1e-6); "
    "and the share of hidden units that no validation row activates, at eight times the tuned rate minus that at the "
    "tuned rate, is above 0 (95 % interval) and not negligible (90 % interval not within 5 points: a net with a "
    "twentieth of its units missing is hardly another net). A diverged run counts as 0.",
    metric="dead hidden units, 8 times the tuned rate minus the tuned rate",
    unit="points",
    delta=0.05,
    scale=100,
    pilot_sd=0.06,
    settings={"tolerance": 1e-6, "steps": 100, "bias": -100.0},
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Dead units at the high rate minus those at the tuned one, and the exact checks."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    grounds = (ground for ground in runs["variant"].unique() if ground != BIASES)  # which has one rate only
    weights = {ground: {HIGH: 1.0, SAME: -1.0} for ground in grounds}
    finding = contrast(runs, weights, criterion.delta, measure=dead_share)
    numbers = criterion.settings
    checks = _exact(int(numbers["steps"]), numbers["bias"], numbers["tolerance"])
    return replace(finding, checks=checks, tables=(_by_arm(runs),))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Dead units and accuracy at each multiple of the tuned rate."""
    from folklore.figures import claims, style
    from folklore.stats.findings import arm_rows

    style.apply()
    figure, (left, right) = style.new(6.4, ncols=2)
    names = {arm: f"{arm} tuned rate" if arm[-1] == "x" else arm for arm in TIMES}
    accuracies = arm_rows(runs.assign(measure=runs["test_accuracy"]))
    claims.arm_points(left, finding.rows, list(TIMES), names=names, xlabel="dead hidden units (%)")
    claims.arm_points(right, accuracies, list(TIMES), names=dict.fromkeys(TIMES, ""))
    shares, scores = (
        claims.rows_in_words([row for row in rows if row.arm in TIMES and row.variant == "main"], names=names)
        for rows in (finding.rows, accuracies)
    )
    return figure, (
        f"Left: share of dead hidden units at multiples of the tuned rate, with 95 % intervals: {shares}. Right: "
        f"test accuracy of the same nets: {scores}."
    )


def dead_share(runs: pd.DataFrame) -> pd.Series:
    """Share of dead units; 0 for a run that has diverged, nothing for one whose units were not looked at."""
    from folklore.stats.findings import measured

    found = measured("dead_share")(runs)
    return found.where(found.notna() | (runs["probe"] != "dead"), 0.0)


def _by_arm(runs: pd.DataFrame) -> Table:
    """Dead units, dead nets and accuracy of every arm that was looked at."""
    from folklore.stats.findings import Table, measured

    looked = runs[(runs["phase"] == "confirm") & (runs["probe"] == "dead")]
    looked = looked.assign(share=dead_share(looked), net=measured("dead_net")(looked).fillna(0.0))
    rows = [
        (
            {"main": arm, BIASES: f"tuned rate, {arm}"}.get(variant, f"{arm}, {variant}"),
            f"{group['lr'].iloc[0]:.3g}",
            f"{100 * group['share'].mean():.1f}",
            f"{int(group['net'].sum())} of {len(group)}",
            int((group["status"] == "diverged").sum()),
            f"{100 * group['test_accuracy'].mean():.1f}",
        )
        for (variant, arm), group in looked.groupby(["variant", "arm"], sort=False)
    ]
    return Table(
        "Hidden units that no validation row activates, nets that say the same of every row, diverged runs, and test "
        "accuracy, by learning rate and by the bias that all hidden units start with.",
        ("arm", "rate", "dead units (%)", "dead nets", "diverged", "test accuracy (%)"),
        tuple(rows),
    )


ROWS, INPUTS, UNITS, CLASSES = 64, 20, 16, 3


@cache
def _exact(steps: int, bias: float, tolerance: float) -> tuple[Check, ...]:
    """What some steps of gradient descent change: one unit of the first hidden layer with the bias, then all of that layer."""
    start, end = _net(bias, units=1), _net(bias, units=1, steps=steps)
    rest = _trained(_without_first(start), steps)
    layer, layer_end = _net(bias, units=UNITS), _net(bias, units=UNITS, steps=steps)
    said = _logits(layer_end)
    pairs = zip(_without_first(end).trained(), rest.trained(), strict=True)
    found = (
        ("movement of the unit's weights and bias", _moved(start, end, units=1), "printed"),
        ("a layer of such units: movement", _moved(layer, layer_end, units=UNITS), "derived"),
        ("such a layer: outputs of rows differ by", float((said - said[:, :1]).abs().max()), "derived"),
        ("the rest, against a net without the unit", max(relative_error(a, b) for a, b in pairs), "derived"),
    )
    return tuple(check(name, error, tolerance, form) for name, error, form in found)


def _net(bias: float, units: int, steps: int = 0) -> Parameters:
    """A float64 net of two hidden layers, the first `units` units of the first one with the bias, after some steps."""
    import torch

    from folklore.core.networks import Parameters, initial

    drawn = initial(_layout(), ["he_normal"], [0], torch.device("cpu"))
    biases = [b.double() for b in drawn.biases]
    biases[0][..., :units] = bias
    return _trained(Parameters([w.double() for w in drawn.weights], biases, [], [], []), steps)


def _layout() -> Layout:
    from folklore.core.networks import Layout

    return Layout(inputs=INPUTS, classes=CLASSES, depth=2, width=UNITS, activation="relu", norm="none")


def _moved(start: Parameters, end: Parameters, units: int) -> float:
    """Largest relative change of what the first units of the first hidden layer are made of."""
    pairs = zip((end.weights[0], end.biases[0]), (start.weights[0], start.biases[0]), strict=True)
    return max(relative_error(after[..., :units], before[..., :units]) for after, before in pairs)


def _without_first(net: Parameters) -> Parameters:
    """The net without the first unit of its first hidden layer."""
    first, second, last = net.weights
    biases = [net.biases[0][..., 1:], *net.biases[1:]]
    return net.with_trained([first[..., 1:], second[:, 1:], last, *biases])


def _trained(net: Parameters, steps: int) -> Parameters:
    """A copy after some steps at rate .1."""
    import torch

    from folklore.core.steps import Rule, make_step

    net = net.with_trained([t.detach().clone() for t in net.trained()])
    hyper = {"lr": torch.full((1, 1, 1), 0.1).double(), "momentum": torch.zeros(1, 1, 1)}
    step, state = make_step(_layout(), Rule("sgd")), [{} for _ in net.trained()]
    for t, x in enumerate(_inputs(steps)):
        step(net, state, hyper, x, x[:, :, :CLASSES].argmax(dim=2), {}, float(t + 1))
    return net.with_trained([t.detach() for t in net.trained()])


def _inputs(count: int) -> list[torch.Tensor]:
    import numpy as np
    import torch

    rng = np.random.default_rng(0)
    return [torch.from_numpy(rng.standard_normal((1, ROWS, INPUTS))) for _ in range(count)]


def _logits(net: Parameters) -> torch.Tensor:
    from folklore.core.networks import forward

    return forward(_layout(), net, _inputs(1)[0])
