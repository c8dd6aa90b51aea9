"""ReLU halves the second moment, so Var(w) = 2/n keeps the variance

ReLU cuts off negative values. If a pre-activation h is as likely to be negative as positive, half of its
mean square is cut off with them: E[ReLU(h)^2] = Var(h)/2. A layer of n inputs then multiplies the variance
by n Var(w)/2, and weights of variance 2/n keep it. This is He's initialisation.

We integrated the project's ReLU numerically over laws of very different shape, all symmetric about zero,
and compared with half of their known variances. The second statement was checked on all nets of two units a
layer with weights of the right variance, which needs no approximation, since any symmetric weights make the
pre-activations symmetric. For such a mean it is enough to give each weight plus and minus its standard deviation,
so that normal and uniform weights come to the same nets. Nets of 100 units and 30 layers, with ordinary random
weights, were measured beside it.

Symmetry is the whole condition: for a normal law with a mean the half becomes another number, which we also
give. The inputs of a net pass through no ReLU, so the first layer doubles the variance and only the later
ones keep it. A leaky ReLU keeps a little more than half and wants slightly smaller weights. And what is kept
is the mean over all nets: most single nets lose part of the signal on the way.

The rule holds if the printed equation and the constancy after the first layer are found with a relative
error below one in a million.
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
from folklore.claims._variances import over_nets
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="E",
    family="initialisation",
    lectures=(2,),
    paper="He, Zhang, Ren & Sun 2015, arXiv:1502.01852, section 2.2",
    reported="the same derivation, for signals and for gradients, and 2/(1 + a^2) in place of 2 for a leaky "
    "ReLU of slope a",
    limits="The state before training. Whether nets learn better from it than from Glorot's weights is the "
    "claim he-vs-glorot-relu.",
    formulas=(
        Formula(
            "printed",
            'EE(x_i^2) = 1/2 dot "Var"(h_(i-1)), quad x_i = max(0; h_(i-1))',
            "the mean square of x is half the variance of h in the layer before, where x is the larger of zero and that h",
        ),
        Formula(
            "printed",
            '"Var"(w_i) = frac(2, n_"in")',
            "the variance of a weight is two over the number of inputs",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="E[ReLU(h)^2] = Var(h)/2 by quadrature over five laws symmetric about 0, and the variance constant after the "
    "first layer over all nets of width 2 with Var(w) = 2/n: relative errors below 1e-6.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "layers": 4, "mean": 0.5, "leak": 0.01, "width": 100, "depth": 30, "nets": 100},
)  # fmt: skip
LAYERS = (1, 2, 5, 10, 15, 20, 25, 30)


def judge(runs: None, criterion: Criterion) -> Finding:
    """The half, the weights that make up for it, and where the half ends."""
    from folklore.core.activations import leaky_relu, relu
    from folklore.stats.findings import Finding

    given = criterion.settings
    halves = max(abs(2 * _second_moment(relu, d) / v - 1) for d, v in _symmetric().values())
    mean, leak, fan = given["mean"], given["leak"], (50, 400)
    nets = {init: all_nets(init, [2] * (int(given["layers"]) + 1)) for init in ("he_normal", "he_uniform")}
    through = {init: powers(weights, unit_inputs(2), relu) for init, weights in nets.items()}
    leaky = powers(nets["he_normal"], unit_inputs(2), leaky_relu)
    growth = (leaky[1:] / leaky[:-1]) / (1 + leak**2)
    found = [
        ("E[ReLU(h)²] = Var(h)/2, h symmetric", halves, "printed"),
        ("Var(w) = 2/n keeps Var(h), normal weights", _changes(through["he_normal"]), "printed"),
        ("uniform weights, the same two values: so, too", _changes(through["he_uniform"]), "derived"),
        ("U(±√6/√n) has variance 2/n", _off_variance(fan), "derived"),
        ("the first layer doubles Var(x)", abs(float(through["he_normal"][0]) / 2 - 1), "derived"),
        (f"h normal with mean {mean:g}: the half becomes {_shifted(mean):.3f}", _off_shifted(mean), "derived"),
        (f"leaky ReLU: (1 + {leak:g}²) a layer", relative_error(growth, growth / growth), "derived"),
    ]  # fmt: skip
    checks = tuple(check(name, error, given["tolerance"], form) for name, error, form in found)
    by_layer = _by_layer(criterion)
    return Finding(checks=checks, tables=(_by_law(), by_layer), notes=(_note(by_layer),))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Variance by layer with He's and with Glorot's weights, means and medians of random nets."""
    from folklore.figures import claims, style

    style.apply()
    fig, ax = style.new(7.0, width_cm=12.0)
    layers, he, _, he_median, glorot, glorot_median = zip(*finding.tables[1].rows, strict=True)
    every = range(1, layers[-1] + 1)
    ax.plot(every, [2.0 for _ in every], "-", color=style.INK, linewidth=0.9, label="exact mean")
    ax.plot(every, [0.5 ** (k - 1) for k in every], "-", color=style.INK, linewidth=0.9)
    shown = (("He", he, he_median, "o"), ("Glorot", glorot, glorot_median, "s"))
    for colour, (name, mean, median, marker) in zip(style.PALETTE, shown, strict=False):
        ax.plot(layers, mean, marker, color=colour, label=f"{name}, mean")
        ax.plot(layers, median, f"{marker}--", color=colour, markerfacecolor="white", label=f"{name}, median")
    ax.set(xlabel="layer", ylabel="variance of the pre-activations", yscale="log")
    claims.legend_above(ax, 3)
    return fig, (
        f"Variance of the pre-activations of ReLU nets by layer, logarithmic. With He's weights the mean stays near 2 "
        f"({he[0]:.2f} at layer 1, {he[-1]:.2f} at layer {layers[-1]}; median net {he_median[-1]:.2f}); with "
        f"Glorot's it halves in each layer, down to {glorot[-1]:.1g}."
    )


def _symmetric() -> dict[str, tuple[Callable[[float], float], float]]:
    """Densities symmetric about 0, and their variances as the textbooks have them."""
    from scipy import stats

    return {
        "normal": (stats.norm.pdf, 1.0),
        "uniform on (-1, 1)": (stats.uniform(-1, 2).pdf, 1 / 3),
        "Laplace": (stats.laplace.pdf, 2.0),
        "Student, 5 degrees of freedom": (stats.t(5).pdf, 5 / 3),
        "two humps at -3 and 3": (lambda h: (stats.norm.pdf(h, 3) + stats.norm.pdf(h, -3)) / 2, 10.0),
    }


def _second_moment(
    activation: Callable[[torch.Tensor], torch.Tensor], density: Callable[[float], float]
) -> float:
    """E f(h)^2 by adaptive quadrature on both sides of 0."""
    from itertools import pairwise

    import numpy as np
    import torch
    from scipy.integrate import quad

    def integrand(h: float) -> float:
        return float(activation(torch.tensor(h, dtype=torch.float64))) ** 2 * float(density(h))

    edges = (-np.inf, -1.0, 0.0, 1.0, np.inf)
    return sum(quad(integrand, a, b, epsabs=1e-11, epsrel=1e-9)[0] for a, b in pairwise(edges))


def _shifted(mean: float) -> float:
    """E ReLU(h)^2 in closed form for h normal with this mean and variance 1."""
    from scipy.stats import norm

    return float((mean**2 + 1) * norm.cdf(mean) + mean * norm.pdf(mean))


def _off_shifted(mean: float) -> float:
    from scipy.stats import norm

    from folklore.core.activations import relu

    return abs(_second_moment(relu, norm(mean).pdf) / _shifted(mean) - 1)


def _off_variance(fan: tuple[int, int]) -> float:
    return abs(float((even_weights("he_uniform", *fan) ** 2).mean()) * fan[0] / 2 - 1)


def _changes(found: torch.Tensor) -> float:
    """The largest relative change after the first layer."""
    return relative_error(found[1:], found[0].expand(len(found) - 1))


def _by_law() -> Table:
    from folklore.core.activations import relu
    from folklore.stats.findings import Table

    rows = []
    for name, (density, variance) in _symmetric().items():
        found = _second_moment(relu, density)
        rows.append((name, variance, found, found / variance))
    rows += [
        (f"normal, mean {mean:g}, variance 1", 1.0, _shifted(mean), _shifted(mean)) for mean in (0.5, -0.5)
    ]
    return Table(
        "E[ReLU(h)²] by the law of h, five symmetric about 0 and two not.",
        ("law of h", "Var(h)", "E[ReLU(h)²]", "ratio"),
        tuple(rows),
    )


def _by_layer(criterion: Criterion) -> Table:
    from folklore.stats.findings import Table

    given, rows = criterion.settings, []
    widths, nets = [int(given["width"])] * (int(given["depth"]) + 1), int(given["nets"])
    he, glorot = (random_powers(init, widths, "relu", nets) for init in ("he_uniform", "glorot_uniform"))
    for layer in LAYERS:
        rows.append((layer, *over_nets(he[layer - 1], 2), *over_nets(glorot[layer - 1], 1)[::2]))
    return Table(
        f"Variance of the pre-activations in {nets} random ReLU nets with {widths[0]} units a layer, inputs with "
        "variance 1: for He's weights the mean over the nets, its distance from 2 in standard errors, and the "
        "median; for Glorot's mean and median.",
        ("layer", "He: mean", "standard errors", "median", "Glorot: mean", "median"),
        tuple(rows),
    )


def _note(by_layer: Table) -> str:
    layer, mean, _, median, *_ = by_layer.rows[-1]
    return (
        f"At layer {layer} the mean over the nets measured is {mean:.2f}, their median {median:.2f}: the mean is "
        "kept by a minority of nets in which the signal grows."
    )
