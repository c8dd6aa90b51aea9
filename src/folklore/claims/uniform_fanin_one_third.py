"""Weights from U(−1/√n, 1/√n) lose two thirds of the variance in every layer

Uniform weights between plus and minus 1/sqrt(n), with n inputs a unit, look well scaled and were the usual
choice for years; the linear layers of PyTorch still start that way. But a uniform number has a third of the
mean square of its bounds, so that Var(w) = 1/(3n), and a layer hands on one third of what it receives. The
lecture shows it as the bad example.

We took the project's own initialiser and replaced its random numbers, first by evenly spaced ones, which
gives the variance of the weights, then by the two values that average any quadratic form in uniform
numbers exactly. With layers of two units one can go through all nets of four layers, and the mean over them
is the true variance, free of chance. Nets with 100 units a layer and ordinary random weights are measured
beside it.

In a linear net l layers leave 3^-l, forward and, layers being equally wide, backward as well. What is lost
is two thirds of the mean square of the inputs: it is the variance only when their mean is zero. A ReLU
takes away half of the rest, so that five sixths are lost in each further layer; tanh makes it a little
worse in the first layers, and behaves like a linear unit once the signal is small.

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
    relative_error,
    unit_inputs,
)
from folklore.claims._variances import FANS
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="E",
    family="initialisation",
    lectures=(2,),
    paper="Glorot & Bengio 2010, equations 1 and 15",
    reported="with this choice n Var(w) = 1/3, so the variance of the back-propagated gradient depends on the "
    "layer and shrinks with depth",
    limits="It is the state before training, in nets without normalisation. That such a start also trains "
    "badly is another claim, and one that a tuned learning rate can soften.",
    formulas=(
        Formula(
            "printed",
            'w_i tilde.op U [-frac(1, sqrt(n_"in")); frac(1, sqrt(n_"in"))]',
            "the weights are uniform between minus and plus one over the root of the number of inputs",
        ),
        Formula(
            "printed",
            '"Var"(w_i) = 1/12 dot (frac(1, sqrt(n_"in")) + frac(1, sqrt(n_"in")))^2 = frac(1, 3 n_"in")',
            "the variance of a weight is a twelfth of the squared width of that range, which is one over three times the "
            "number of inputs",
        ),
        Formula(
            "printed",
            '"Var"(h_i) = 1/3',
            "the variance of h is one third, for inputs of variance one",
        ),
        Formula(
            "derived",
            '"Var"(h_ell) = 3^(-ell) dot "Var"(x)',
            "after l linear layers the variance is three to the power minus l times that of the inputs",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="Var(w) = 1/(3n), and Var(h) = 1/3 for inputs with variance 1: relative errors below 1e-6 against "
    "evenly spaced draws and against the mean over all nets.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "layers": 4, "input_mean": 0.8, "width": 100, "depth": 10, "nets": 100},
)
INIT = "uniform_fanin"
UNITS = {"linear": None, "tanh": "tanh", "ReLU": "relu"}
LAYERS = (1, 2, 4, 6, 8, 10)


def judge(runs: None, criterion: Criterion) -> Finding:
    """Variance of the weights, of one layer, and of several."""
    from folklore.core.activations import relu
    from folklore.stats.findings import Finding

    given, nets, x = criterion.settings, _all_nets(criterion), unit_inputs(2)
    weights = max(abs(float((even_weights(INIT, *fan) ** 2).mean()) * 3 * fan[0] - 1) for fan in FANS)
    linear, rectified = powers(nets, x), powers(nets, x, relu)
    shifted = float(powers(nets[:1], x + given["input_mean"]))
    thirds, sixths = _falling(1 / 3, 1 / 3, criterion), _falling(1 / 6, 1 / 3, criterion)
    found = [
        ("Var(w) = 1/(3n)", weights, "printed"),
        ("Var(h) = 1/3, inputs with variance 1", abs(3 * float(linear[0]) - 1), "printed"),
        ("linear net: 3^-l up to layer 4", relative_error(linear / thirds, thirds / thirds), "derived"),
        ("its gradient: the same going back", abs(_gradient(nets, x) / float(thirds[-1]) - 1), "derived"),
        (
            "inputs with a mean: (1 + mean²)/3",
            abs(3 * shifted / (1 + given["input_mean"] ** 2) - 1),
            "derived",
        ),
        ("ReLU net: 2 x 6^-l", relative_error(rectified / sixths, sixths / sixths), "derived"),
    ]
    checks = tuple(check(name, error, given["tolerance"], form) for name, error, form in found)
    return Finding(
        checks=checks, tables=(_by_layer(criterion),), notes=(_note(float(linear[-1]), criterion),)
    )


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Variance by layer, measured, beside the exact laws of the linear and the ReLU net."""
    from folklore.figures import claims, style

    style.apply()
    fig, ax = style.new(7.0, width_cm=12.0)
    colours, markers = claims.arm_colours(UNITS), claims.arm_markers(UNITS)
    layers, exact, linear, _, *bent = zip(*finding.tables[0].rows, strict=True)
    measured = dict(zip(UNITS, (linear, *bent), strict=True))
    every = range(1, layers[-1] + 1)
    ax.plot(every, [3.0**-k for k in every], "-", color=style.INK, linewidth=0.9, label="3^-l")
    ax.plot(every, [2 * 6.0**-k for k in every], ":", color=style.INK, label="2 x 6^-l")
    for name, values in measured.items():
        ax.plot(layers, values, markers[name], color=colours[name], label=f"{name}, measured")
    ax.set(xlabel="layer", ylabel="variance of the pre-activations", yscale="log")
    claims.legend_above(ax, 3)
    last = ", ".join(f"{name} {values[-1]:.1g}" for name, values in measured.items())
    return fig, (
        "Variance of the pre-activations by layer on a logarithmic axis. The linear net falls along "
        f"3^-l, the tanh net a little below it, to {exact[-1]:.1g} at layer {layers[-1]}, the ReLU net along 2 x 6^-l. Measured there: {last}."
    )


def _all_nets(criterion: Criterion) -> list[torch.Tensor]:
    """Of two units a layer."""
    return all_nets(INIT, [2] * (int(criterion.settings["layers"]) + 1))


def _falling(by: float, first: float, criterion: Criterion) -> torch.Tensor:
    """A variance that is `first` at layer 1 and is multiplied by `by` in each further layer."""
    import torch

    return first * by ** torch.arange(criterion.settings["layers"], dtype=torch.float64)


def _gradient(nets: list[torch.Tensor], x: torch.Tensor) -> float:
    """Mean square of the gradient by the inputs of linear nets, when the gradient by their outputs is x."""
    import torch

    h = leaf = torch.zeros(len(nets[0]), *x.shape[1:], dtype=x.dtype, requires_grad=True)
    for w in nets:
        h = h @ w
    return float((torch.autograd.grad(h, leaf, x.expand_as(h))[0] ** 2).mean())


def _by_layer(criterion: Criterion) -> Table:
    """Measured in wide nets, with the distance from the exact value in standard errors where there is one."""
    from folklore.stats.findings import Table

    given = criterion.settings
    widths = [int(given["width"])] * (int(given["depth"]) + 1)
    linear, tanh, relu = (random_powers(INIT, widths, unit, int(given["nets"])) for unit in UNITS.values())
    error = linear.std(axis=1, ddof=1) / given["nets"] ** 0.5
    rows = []
    for layer in LAYERS:
        here, exact = layer - 1, 3.0**-layer
        means = [float(found[here].mean()) for found in (linear, tanh, relu)]
        apart = (means[0] - exact) / error[here]
        rows.append((layer, exact, means[0], float(apart), means[1], means[2]))
    return Table(
        f"Variance of the pre-activations in {int(given['nets'])} random nets with {widths[0]} units a layer, inputs "
        "from N(0, 1), beside 3^-l.",
        ("layer", "3^-l", "linear", "standard errors", "tanh", "ReLU"),
        tuple(rows),
    )


def _note(left: float, criterion: Criterion) -> str:
    layers = int(criterion.settings["layers"])
    return f"After {layers} linear layers {100 * (1 - left):.1f} % of the variance is gone."
