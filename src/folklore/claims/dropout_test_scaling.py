"""At test time, multiply by the probability that a unit is kept

Dropout trains a different, thinned network at every step. To predict with all of them at once is out of the
question, since n units make 2^n networks, so everyone uses the whole network with its signals turned down: what was
present only part of the time in training enters with that part of its strength at test time.

With ten units all 1,024 thinned networks can be run, and their average taken with the right probabilities, so there
is no need for an approximation anywhere. One lecture calls p the probability of dropping and scales the weights by
1 - p. The other introduces p in words as the probability of switching a unit off, then lets its masks be 1 with
probability p, and scales by p; that is right for the formula's p and wrong for the p of the words. At p = 1/2, the
usual choice, both readings agree, so the slip goes unnoticed.

The average is matched exactly as long as everything behind the dropped units is linear, through several dropped
layers, too. Behind a ReLU it is not: the mean of max(0, z) is at least max(0, mean of z), so the scaled network says
systematically less than the average of the thinned ones. So the rule is exact for the mean output of a net whose only
dropped layer is the last before linear outputs, and an approximation where a ReLU follows what is dropped.

The rule holds if each form that is printed gives the average of the thinned networks for linear units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import check, dropped, relative_error
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from folklore.core.networks import Layout, Parameters
    from folklore.stats.findings import Finding, Table

    Net = tuple[Layout, Parameters]

CLAIM = Claim(
    kind="E",
    family="regularisation",
    lectures=(1, 2),
    paper="Srivastava et al. 2014, JMLR 15, section 4",
    reported="weights that were trained with a unit present with probability p are multiplied by p for testing",
    limits="It is about what is computed, not about how well it predicts: whether scaling costs accuracy against "
    "the true average is a question of experiment.",
    formulas=(
        Formula(
            "printed",
            '"lecture 1:" quad z\' dot (1 - p) approx z',
            "lecture 1: the test network's z prime times one minus p is about z, where p is the probability of dropping a "
            "unit",
        ),
        Formula(
            "printed",
            '"lecture 2:" quad o = p dot f(X dot W + b), quad D_i tilde.op "Bern"(p)',
            "lecture 2 by its formulas: the output is p times f, where a mask is one, and the unit kept, with probability p",
        ),
        Formula(
            "printed",
            '"lecture 2:" quad o = p dot f(X dot W + b), quad P(D_i = 0) = p',
            "lecture 2 by its words: the output is p times f, where p is the probability of switching a unit off",
        ),
        Formula(
            "right",
            "o = (1 - p) dot f(X dot W + b), quad P(D_i = 0) = p",
            "the output is one minus p times f, where p is the probability of switching a unit off",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="For linear units every printed form agrees with the average over all thinned networks, enumerated in "
    "float64, to a relative error below 1e-6; p is read both as the words of the slide and as its formulas have it.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "drop": 0.2, "units": 10, "rows": 16},
)
RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
WORDS = "scale by p, p as in the words (p: dropped)"


def judge(runs: None, criterion: Criterion) -> Finding:
    """Each form against the average of all thinned nets, for linear and for ReLU units."""
    from folklore.stats.findings import Finding

    given, tolerance = criterion.settings, criterion.settings["tolerance"]
    keep, units, rows = 1 - given["drop"], int(given["units"]), int(given["rows"])
    one, two = _net(1, units, True), _net(2, units // 2, True)
    x = _inputs(rows).abs()
    cases = [
        ("weights times 1 - p (p: dropped)", _scaled_weights(one, x, keep), one, keep, "printed"),
        ("output times p, p as in the formula (p: kept)", _whole(one, x, keep), one, keep, "printed"),
        (WORDS, _whole(one, x, 1 - keep), one, keep, "printed"),
        ("the same, at p = 1/2", _whole(one, x, 0.5), one, 0.5, "derived"),
        ("two linear layers, both dropped", _whole(two, x, keep), two, keep, "derived"),
    ]
    checks = [
        check(name, relative_error(found, _average(net, x, q)), tolerance, form)
        for name, found, net, q, form in cases
    ]
    average, scaled = _behind_relu(units, rows, keep)
    above = float((scaled - average).clamp(min=0).max() / average.max())
    checks.append(
        check("behind a ReLU, scaling never says more than the average", above, tolerance, "derived")
    )
    return Finding(checks=tuple(checks), tables=(_by_rate(units, rows),), notes=_notes(criterion))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Test output in units of the average of all thinned nets, by rate: linear units, and ReLU."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(6.6, ncols=2)
    fig.get_layout_engine().set(wspace=0.06)
    drop, kept, words, relu = zip(*finding.tables[0].rows, strict=True)
    good, bad = style.VERDICT_COLOURS["holds"], style.VERDICT_COLOURS["fails"]
    left.plot(drop, words, "P-", color=bad, label="times the drop rate")
    left.plot(drop, kept, "s--", color=good, label="times the keep rate")
    left.set(yscale="log", ylabel="scaled net / average, linear")
    left.set_yticks((0.1, 0.3, 1, 3), ("0.1", "0.3", "1", "3"))
    right.plot(drop, relu, "o-", color=style.PALETTE[0], label="ReLU, times the keep rate")
    right.axhline(1, color=style.MUTED, linestyle=":")
    right.set(ylim=(0, 1.08), ylabel="scaled net / average, ReLU")
    for ax in (left, right):
        ax.set_xlabel("drop rate")
        claims.legend_above(ax, 1)
    return fig, (
        "Output of the scaled net over the average of all thinned nets, by drop rate. Left, linear units: times the "
        f"keep rate it is 1 throughout, times the drop rate it runs from {words[0]:.2f} at {drop[0]:g} to "
        f"{words[-1]:.2g} at {drop[-1]:g} and is 1 only at .5. Right, behind a ReLU, times the keep rate: from "
        f"{relu[0]:.2f} at {drop[0]:g} down to {relu[-1]:.2f} at {drop[-1]:g}."
    )


def _inputs(rows: int) -> torch.Tensor:
    import numpy as np
    import torch

    return torch.from_numpy(np.random.default_rng(1).standard_normal((rows, 6)))


def _net(depth: int, width: int, positive: bool) -> Net:
    """A ReLU net of the project in float64; with positive weights (and inputs) no unit is ever off: it is linear."""
    import torch

    from folklore.core.networks import Layout, Parameters, initial

    layout = Layout(inputs=6, classes=4, depth=depth, width=width, activation="relu", norm="none")
    drawn = initial(layout, ["he_normal"], [7], torch.device("cpu"))
    weights = [w.double().abs() if positive else w.double() for w in drawn.weights]
    biases = [torch.full_like(b, 0.1, dtype=torch.float64) for b in drawn.biases]
    return layout, Parameters(weights, biases, [], [], [])


def _run(net: Net, x: torch.Tensor, keep: list[torch.Tensor]) -> torch.Tensor:
    """Logits (M, B, C) with the factors keep[l] (M, 1, H) on hidden layer l, M nets side by side."""
    from folklore.core.networks import Parameters, Pass

    layout, one = net
    many = len(keep[0])
    weights, biases = ([t.expand(many, -1, -1) for t in ts] for ts in (one.weights, one.biases))
    factors = {("unit", i): factor for i, factor in enumerate(keep)}
    thinned = Pass(layout, Parameters(weights, biases, [], [], []), factors, training=False)
    return thinned.logits(x.expand(many, -1, -1))


def _average(net: Net, x: torch.Tensor, keep: float) -> torch.Tensor:
    """Mean output of all thinned nets, each weighted by its probability."""
    layout = net[0]
    patterns, probability = dropped(layout.depth * layout.width, keep)
    outputs = _run(net, x, list(patterns.view(len(patterns), layout.depth, 1, -1).unbind(1)))
    return (probability.view(-1, 1, 1) * outputs).sum(dim=0)


def _whole(net: Net, x: torch.Tensor, factor: float) -> torch.Tensor:
    """The whole net, every hidden layer's output times a factor."""
    import torch

    layout = net[0]
    constant = torch.full((1, 1, layout.width), factor, dtype=torch.float64)
    return _run(net, x, [constant] * layout.depth)[0]


def _scaled_weights(net: Net, x: torch.Tensor, factor: float) -> torch.Tensor:
    """The whole net, the weights that leave dropped units times a factor."""
    from folklore.core.networks import Parameters

    layout, one = net
    weights = [one.weights[0], *(factor * w for w in one.weights[1:])]
    return _whole((layout, Parameters(weights, one.biases, [], [], [])), x, 1.0)


def _behind_relu(units: int, rows: int, keep: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Average and scaled value, each (B, 4), of ReLU units that read a dropped layer."""
    import torch

    layout, net = _net(1, units, False)
    x, zero = _inputs(rows), torch.zeros_like(net.biases[-1])
    open_end = (layout, type(net)(net.weights, [net.biases[0], zero], [], [], []))
    patterns, probability = dropped(units, keep)
    outputs = torch.relu(_run(open_end, x, [patterns.unsqueeze(1)]))
    return (probability.view(-1, 1, 1) * outputs).sum(dim=0), torch.relu(_whole(open_end, x, keep))


def _by_rate(units: int, rows: int) -> Table:
    from folklore.stats.findings import Table

    net, x, found = _net(1, units, True), _inputs(rows).abs(), []
    net[1].biases[-1].zero_()  # else the ratios would mix the dropped part with a bias that nothing drops
    for drop in RATES:
        average = _average(net, x, 1 - drop).sum()
        right, words = (float(_whole(net, x, factor).sum() / average) for factor in (1 - drop, drop))
        mean, scaled = _behind_relu(units, rows, 1 - drop)
        found.append((drop, right, words, float(scaled.sum() / mean.sum())))
    return Table(
        "Output of the scaled net divided by the average of all thinned nets, by drop rate.",
        ("drop rate", "linear, times keep rate", "linear, times drop rate", "ReLU, times keep rate"),
        tuple(found),
    )


def _notes(criterion: Criterion) -> tuple[str, ...]:
    drop = criterion.settings["drop"]
    mean, scaled = _behind_relu(int(criterion.settings["units"]), int(criterion.settings["rows"]), 1 - drop)
    short = 100 * (1 - float(scaled.sum() / mean.sum()))
    return (
        f"Read by its words, the slide turns the signal down to {drop:g} where {1 - drop:g} is right. Only the weights "
        "that leave dropped units are to be scaled, not all weights: a net whose inputs are never dropped keeps its "
        "first layer as it is.",
        f"Behind a ReLU even the right factor is {short:.1f} % short of the average at a drop rate of {drop:g}.",
    )
