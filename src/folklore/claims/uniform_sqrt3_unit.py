"""Weights from U(−√3/√n, √3/√n) keep the variance

If uniform weights between plus and minus 1/sqrt(n) hand on a third of the variance, bounds wider by sqrt(3)
must hand on all of it: Var(w) = 1/n, and a unit with n inputs of variance one has variance one. The lecture
presents this as a step on the way to Glorot's rule.

We took the project's own initialiser and replaced its random numbers, first by evenly spaced ones, which
gives the variance of the weights, then by the two values that average any quadratic form in uniform numbers
exactly. With few units a layer one can go through all nets, and the mean over them is the true variance,
free of chance. The same was measured in wide and in narrow nets with ordinary random weights.

The variance stays at one through any number of linear layers, whatever their widths. Gradients going back
are multiplied by n_out/n_in in each layer, as the lecture warns; but these factors cancel along the net,
and only the ratio of the two end widths is left. With ReLU half is lost in each layer. And it is the mean
over all nets that is kept: in a single net, above all a narrow and deep one, the signal usually shrinks,
and a minority of nets in which it grows makes up for that.

The rule holds if both printed lines agree with the full count to a relative error below one in a million.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import (
    all_nets,
    check,
    even_weights,
    powers,
    random_powers,
    unit_inputs,
)
from folklore.claims._variances import FANS, off, over_nets
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="E",
    family="initialisation",
    lectures=(2,),
    paper="LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, section 4.6",
    reported="weights with mean zero and standard deviation 1/sqrt(n) for n inputs, together with "
    "standardised inputs and a tanh that is stretched to fit",
    limits="Exact for linear units before training. With tanh or ReLU the variance is not kept: see "
    "glorot-unit-variance and he-half-second-moment.",
    formulas=(
        Formula(
            "printed",
            'w_i tilde.op U [-frac(sqrt(3), sqrt(n_"in")); frac(sqrt(3), sqrt(n_"in"))]',
            "the weights are uniform between minus and plus the root of three over the root of the number of inputs",
        ),
        Formula(
            "printed",
            '"Var"(w_i) = 1/12 dot (frac(sqrt(3), sqrt(n_"in")) + frac(sqrt(3), sqrt(n_"in")))^2 = frac(1, n_"in")',
            "the variance of a weight is a twelfth of the squared width of that range, which is one over the number of inputs",
        ),
        Formula(
            "printed",
            '"Var"(h_i) = 1',
            "the variance of h is one, for inputs of variance one",
        ),
        Formula(
            "derived",
            '"Var"(frac(partial L, partial x)) = frac(n_"out", n_"in") dot "Var"(frac(partial L, partial h))',
            "going back through a layer, the variance of the gradient is multiplied by the number of outputs over the number "
            "of inputs",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="Var(w) = 1/n, and Var(h) = 1 for inputs with variance 1: relative errors below 1e-6 against evenly "
    "spaced draws and against the mean over all nets.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "wide": 100, "narrow": 10, "depth": 10, "nets": 100, "narrow_nets": 4000},
)
INIT = "uniform_sqrt3"
EQUAL, UNEQUAL = (2, 2, 2, 2, 2), (2, 4, 2)
LAYERS = (1, 2, 4, 6, 8, 10)


def judge(runs: None, criterion: Criterion) -> Finding:
    """Variance of the weights, of one layer, of several, and of the gradients."""
    from folklore.core.activations import relu
    from folklore.stats.findings import Finding

    weights = max(abs(float((even_weights(INIT, *fan) ** 2).mean()) * fan[0] - 1) for fan in FANS)
    equal, unequal = all_nets(INIT, EQUAL), all_nets(INIT, UNEQUAL)
    forward = powers(equal, unit_inputs(2))
    found = [
        ("Var(w) = 1/n", weights, "printed"),
        ("Var(h) = 1, inputs with variance 1", abs(float(forward[0]) - 1), "printed"),
        ("linear net, equal widths: 1 up to layer 4", off(forward, 1, 1, 1, 1), "derived"),
        ("its gradients: 1 down to the inputs", off(_back(equal), 1, 1, 1, 1), "derived"),
        ("linear net 2-4-2: 1", off(powers(unequal, unit_inputs(2)), 1, 1), "derived"),
        ("gradients of 2-4-2: halved, then doubled", off(_back(unequal), 0.5, 1), "derived"),
        (
            "ReLU net: halved at each layer after the first",
            off(powers(equal, unit_inputs(2), relu), 1, 0.5, 0.25, 0.125),
            "derived",
        ),
    ]
    checks = tuple(check(name, error, criterion.settings["tolerance"], form) for name, error, form in found)
    table = _by_layer(criterion)
    return Finding(checks=checks, tables=(table,), notes=(_note(table),))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Mean and median over nets of the variance in one net, by layer."""
    from folklore.figures import claims, style

    style.apply()
    fig, ax = style.new(6.5, width_cm=14.0)
    layers, wide, _, wide_median, narrow, _, narrow_median = zip(*finding.tables[0].rows, strict=True)
    ax.axhline(1, color=style.INK, linewidth=0.9, label="exact mean")
    for values, look, label, colour in (
        (wide, "o", "100 units, mean", 0),
        (wide_median, "o--", "100 units, median", 0),
        (narrow, "s", "10 units, mean", 1),
        (narrow_median, "s--", "10 units, median", 1),
    ):
        filled = {} if "mean" in label else {"markerfacecolor": "white"}
        ax.plot(layers, values, look, color=style.PALETTE[colour], label=label, **filled)
    ax.set(xlabel="layer", ylabel="variance in a linear net")
    ax.set_ylim(bottom=0)
    claims.legend_above(ax, 3)
    return fig, (
        f"Mean square of the pre-activations by layer over random linear nets. The means stay around 1 "
        f"({wide[-1]:.2f} with 100 units a layer, {narrow[-1]:.2f} with 10, at layer {layers[-1]}); the median "
        f"net falls to {wide_median[-1]:.2f} and {narrow_median[-1]:.2f}."
    )


def _back(weights: list[torch.Tensor]) -> torch.Tensor:
    """Mean square of the gradients by the inputs of each layer of linear nets, the last layer's first."""
    import torch

    h = torch.zeros(len(weights[0]), 8, weights[0].shape[1], dtype=torch.float64, requires_grad=True)
    inputs = []
    for w in weights:
        inputs.append(h)
        h = h @ w
    gradients = torch.autograd.grad(h, inputs, unit_inputs(h.shape[2]).expand_as(h))
    return torch.stack([(gradient**2).mean() for gradient in reversed(gradients)])


def _by_layer(criterion: Criterion) -> Table:
    from folklore.stats.findings import Table

    given, rows = criterion.settings, []
    wide, narrow = (
        random_powers(INIT, [int(given[width])] * (int(given["depth"]) + 1), None, int(given[nets]))
        for width, nets in (("wide", "nets"), ("narrow", "narrow_nets"))
    )
    for layer in LAYERS:
        rows.append((layer, *over_nets(wide[layer - 1], 1), *over_nets(narrow[layer - 1], 1)))
    return Table(
        f"Mean square of the pre-activations of random linear nets, {int(given['nets'])} with {int(given['wide'])} units "
        f"a layer and {int(given['narrow_nets'])} with {int(given['narrow'])}: mean over the nets, its distance from 1 in "
        "standard errors, median.",
        ("layer", "wide: mean", "standard errors", "median", "narrow: mean", "standard errors", "median"),
        tuple(rows),
    )


def _note(table: Table) -> str:
    layer, *_, median = table.rows[-1]
    return (
        f"Kept on average is not kept in each net: after {layer} layers of 10 units half of all nets have less "
        f"than {median:.2f} of the variance that went in."
    )
