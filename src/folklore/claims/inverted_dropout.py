"""Dividing by the keep probability in training replaces scaling at test time

Dropout in its first form needs a second version of the network: kept units pass unchanged in training, and at test
time every output is multiplied by the probability p of being kept. The inverted form moves the factor: outputs
of kept units are multiplied by 1/p in training, and the test network is the plain one. All libraries do it so.

We enumerate all 1,024 masks of ten units. The mean of a training output then equals the test output, for the layer
and for anything linear behind it. A net trained in the first form becomes one of the inverted form when its
outgoing weights are multiplied by p: mask by mask both compute the same, and so do their test networks.

What is not the same is the training itself. The outgoing weights of the two forms are a factor p apart and their
gradients a factor 1/p, so one learning rate for both makes the inverted form's step 1/p^2 times as large relative to
these weights; with p^2 of the rate on them the two forms stay in step. A weight penalty changes its meaning in the same way.

The rule holds if the mean over all masks of the printed training output is the printed test output to a relative
error below one in a million, with p the probability of keeping a unit, as in the slide's formulas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import check, dropped, relative_error
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="E",
    family="regularisation",
    lectures=(2,),
    paper="Srivastava et al. 2014, JMLR 15, section 10",
    reported="scaling up by 1/p in training is an equivalent way to have nothing to change at test time",
    limits="Equal means are not equal training: see the factor 1/p^2. Behind a nonlinear unit neither form's test "
    "network is the mean of the thinned ones.",
    formulas=(
        Formula(
            "printed",
            '"train:" quad o = 1/p dot D dot f(X dot W + b)',
            "in training the output is one over p, times the mask D, times f of X W plus b",
        ),
        Formula(
            "printed",
            '"test:" quad o = f(X dot W + b)',
            "at test time the output is f of X W plus b",
        ),
        Formula(
            "derived",
            "EE[1/p dot D dot f(X dot W + b)] = f(X dot W + b)",
            "averaged over all masks, which keep a unit with probability p, the training output is the test output",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="Over all masks, weighted by probability, the mean of the training output D f / p agrees with the test "
    "output f to a relative error below 1e-6 in float64.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "keep": 0.8, "units": 10, "steps": 20, "rate": 0.05},
)
RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def judge(runs: None, criterion: Criterion) -> Finding:
    """Means over all masks, both forms mask by mask, both forms trained, and the masks that this project trains with."""
    from folklore.stats.findings import Finding

    given, tolerance = criterion.settings, criterion.settings["tolerance"]
    keep, units = given["keep"], int(given["units"])
    f, outgoing = _layer(units)
    patterns, probability = dropped(units, keep)
    inverted = (patterns[:, None] / keep) * f
    mean = (probability.view(-1, 1, 1) * inverted).sum(dim=0)
    first = (patterns[:, None] * f) @ outgoing
    steps, rate = int(given["steps"]), given["rate"]
    found = [
        ("mean of the training output is the test output", relative_error(mean, f), "printed"),
        ("and so behind a linear layer", relative_error(mean @ outgoing, f @ outgoing), "derived"),
        ("same function mask by mask", relative_error(inverted @ (keep * outgoing), first), "derived"),
        ("same test function", relative_error((keep * f) @ outgoing, f @ (keep * outgoing)), "derived"),
        ("same training at p^2 of the rate", _apart(keep, steps, rate, keep**2), "derived"),
        ("the masks of this project: 0 or 1/p, mean 1", _project(1 - keep), "derived"),
    ]
    checks = [check(name, error, tolerance, form) for name, error, form in found]
    notes = (_note(keep, _apart(keep, steps, rate, 1.0), steps),)
    return Finding(checks=tuple(checks), tables=(_by_rate(),), notes=notes)


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Mean of the training output by rate, in three versions, and the size of its noise."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(6.6, ncols=2)
    fig.get_layout_engine().set(wspace=0.06)
    drop, plain, mean, words, noise, step = zip(*finding.tables[0].rows, strict=True)
    left.plot(drop, mean, "s-", color=style.VERDICT_COLOURS["holds"], label="times 1/keep rate")
    left.plot(drop, plain, "o--", color=style.PALETTE[0], label="not scaled")
    left.plot(drop, words, "P:", color=style.VERDICT_COLOURS["fails"], label="times 1/drop rate")
    left.set(yscale="log", ylabel="mean training output / test output")
    left.set_yticks((0.3, 1, 3, 10), ("0.3", "1", "3", "10"))
    right.plot(drop, noise, "o-", color=style.PALETTE[0], label="noise, relative")
    right.plot(drop, step, "^--", color=style.PALETTE[1], label="step, times 1/p²")
    right.set(yscale="log", ylabel="factor")
    right.set_yticks((0.3, 1, 3, 10, 30), ("0.3", "1", "3", "10", "30"))
    for ax in (left, right):
        ax.minorticks_off()
        ax.set_xlabel("drop rate")
        claims.legend_above(ax, 1)
    return fig, (
        "Left: mean over all masks of the training output, in units of the test output, by drop rate: 1 throughout when "
        f"multiplied by 1/keep rate, {plain[-1]:.2g} at a rate of {drop[-1]:g} when not scaled, {words[0]:.2g} at "
        f"{drop[0]:g} when p is taken for the drop rate. Right: standard deviation of the training output relative to "
        f"its mean, from {noise[0]:.2g} to {noise[-1]:.2g}, and the step of the outgoing weights, relative to them, in units "
        f"of the first form's at equal rates, from {step[0]:.2f} to {step[-1]:.0f}."
    )


def _layer(units: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs f (B, H) of a layer of tanh units and the weights (H, C) that leave it, float64."""
    import numpy as np
    import torch

    rng = np.random.default_rng(units)
    f = np.tanh(rng.standard_normal((8, units)))
    return torch.from_numpy(f), torch.from_numpy(rng.standard_normal((units, 3)))


def _project(rate: float) -> float:
    """How far the project's own factors are from 0 and 1/p, and their probabilities from a mean of 1."""
    import torch

    from folklore.core.draws import Draws

    draws = Draws([0], [rate], torch.device("cpu")).at(0, 4)
    factors = draws.keep("dropout/0", (64, 64))
    keep = 1 - draws.thresholds[0] / 65536  # a unit is dropped when its 16-bit draw is below the threshold
    odd = torch.minimum(factors.abs(), (factors - 1 / keep).abs()).max()
    return max(float(odd) * keep, abs(keep * float(draws.scales) - 1))


def _apart(keep: float, steps: int, rate: float, share: float) -> float:
    """Relative distance of the two forms' test functions after training on the same masks.

    `share`: the rate of the inverted form's outgoing weights in units of the other form's.
    """
    first = _trained(keep, steps, rate, inverted=False, share=1.0)
    return relative_error(_trained(keep, steps, rate, inverted=True, share=share), first)


def _trained(keep: float, steps: int, rate: float, *, inverted: bool, share: float) -> torch.Tensor:
    """Test output of a small regression net after plain gradient steps, in one of the two forms."""
    import numpy as np
    import torch

    rng = np.random.default_rng(3)
    x, y = (torch.from_numpy(rng.standard_normal((32, k))) for k in (5, 2))
    w, v = (torch.from_numpy(rng.standard_normal(shape)) / 3 for shape in ((5, 10), (10, 2)))
    v = v * keep if inverted else v
    for _ in range(steps):
        w.requires_grad_(), v.requires_grad_()
        factors = torch.from_numpy(rng.random((32, 10)) < keep) / (keep if inverted else 1)
        loss = ((y - (factors * torch.tanh(x @ w)) @ v) ** 2).mean()
        by_w, by_v = torch.autograd.grad(loss, (w, v))
        w, v = (w - rate * by_w).detach(), (v - rate * share * by_v).detach()
    return (1 if inverted else keep) * torch.tanh(x @ w) @ v


def _by_rate() -> Table:
    """By enumeration, of a unit with output 1."""
    from folklore.stats.findings import Table

    rows = []
    for drop in RATES:
        patterns, probability = dropped(1, 1 - drop)
        scaled = patterns[:, 0] / (1 - drop)
        mean = float(probability @ scaled)
        noise = float(probability @ (scaled - mean) ** 2) ** 0.5
        plain = float(probability @ patterns[:, 0])
        rows.append((drop, plain, mean, plain / drop, noise, 1 / (1 - drop) ** 2))
    return Table(
        "Mean of a training output whose test output is 1, by drop rate and by the factor put on kept units; its "
        "standard deviation; and the first step of the outgoing weights, relative to them, in units of the first form's.",
        ("drop rate", "factor 1", "factor 1/keep rate", "factor 1/drop rate", "standard deviation", "step"),
        tuple(rows),
    )


def _note(keep: float, apart: float, steps: int) -> str:
    return (
        f"With one learning rate for both, the forms have drifted {apart:.2g} apart (relative to the largest output) after "
        f"{steps} steps at a keep rate of {keep:g}: a rate tuned for one form is not the rate of the other. The slide's words "
        "call p the probability of switching off; with that p the printed 1/p would be wrong."
    )
