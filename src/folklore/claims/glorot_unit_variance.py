"""Glorot's and He's initialisations keep the variance equal to one

The lecture sums up its derivations in a sentence: for symmetric activations take Glorot's weights, for ReLU
He's, and the variance stays at one. The derivations say less. Glorot's looks at linear units; He's doubles
the weights' variance because ReLU halves the mean square of what passes.

We read the sentence literally and asked for the variance in the tenth layer, of what enters the activations
and of what leaves them, for inputs with mean 0 and variance 1. In very wide layers pre-activations are
normal, so their variance follows from layer to layer by an integral, which we computed in two ways; nets of
200 units, with the project's own weights, are measured beside it.

With Glorot's weights and tanh the variance falls, because tanh makes every value smaller. It falls ever more
slowly: its inverse grows by about two in each layer, so that the ratio of one layer to the one before
approaches one although the variance itself approaches nothing. That is why ten layers survive it and why it
is often overlooked. With He's weights and ReLU the variance is constant, but at two; what is one is the mean
square of the outputs, and as they are never negative, their variance is smaller. A first layer with half
the variance in its weights would bring He's net to one before the activation, not behind it.

The rule holds if the variance is one, to a relative error below one in a million, in all four places. The
sentence does hold for linear units, for the mean square behind ReLU, and before tanh if the weights are
enlarged by the right constant from the second layer on. Behind tanh, whose outputs lie between -1 and 1,
a variance of one is impossible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import all_nets, check, powers, random_powers, unit_inputs
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

    Mean = Callable[[str, float, int], float]

CLAIM = Claim(
    kind="E",
    family="initialisation",
    lectures=(2,),
    paper="Glorot & Bengio 2010, section 4.2; He, Zhang, Ren & Sun 2015, arXiv:1502.01852",
    reported="with the normalised initialisation and tanh a ratio of about .8 from one layer to the next, not 1 "
    "(with the former initialisation about .5)",
    limits="Taken literally. As a rule of thumb, that the variance neither dies nor explodes exponentially, the "
    "sentence is right for both, at the start of training.",
    formulas=(
        Formula(
            "printed",
            '"Var"(h_ell) = "Var"(f(h_ell)) = 1',
            "the lecture's words in symbols: in every layer the variance is one, before the activation and behind it",
        ),
        Formula(
            "right",
            '"tanh:" quad "Var"(h_(ell+1)) = EE[tanh^2 (h_ell)] < "Var"(h_ell)',
            "for tanh with Glorot's weights the variance of a layer is the mean square of tanh in the layer before, which is "
            "less than the variance there",
        ),
        Formula(
            "right",
            '"ReLU:" quad "Var"(h_ell) = 2, quad EE["ReLU"(h_ell)^2] = 1',
            "for ReLU with He's weights and inputs of variance one the variance before the activation is two, and the mean "
            "square behind it is one",
        ),
        Formula(
            "derived",
            'n "Var"(w) = frac(1, EE[tanh^2 (z)]), quad z tilde.op cal(N)(0, 1)',
            "to keep a variance of one before tanh from the second layer on, if the first layer keeps one over n, n times the "
            "variance of a weight has to be one over the mean square of tanh of a standard normal number",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="In layer 10, for inputs of mean 0 and variance 1 and very wide layers of equal width, the variance before "
    "and behind the activation is 1 to a relative error of 1e-6, for tanh with Glorot's weights and for ReLU with He's.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "depth": 10, "width": 200, "nets": 60},
)
FACTORS = {"tanh": 1.0, "relu": 2.0}  # n Var(w) of Glorot's and of He's weights
LAYERS = (1, 2, 3, 4, 6, 8, 10)


def judge(runs: None, criterion: Criterion) -> Finding:
    """The sentence in its four readings, what it would take, and where it is right."""
    from folklore.core.activations import relu
    from folklore.stats.findings import Finding

    depth, given = int(criterion.settings["depth"]), criterion.settings
    tanh, he = (_variances(name, factor, depth)[-1] for name, factor in FACTORS.items())
    hermite = _variances("tanh", 1.0, depth, _by_hermite)[-1]
    gained = _variances("tanh", 1 / _by_hermite("tanh", 1.0, 2), depth, start=1.0)[-1]
    linear = powers(all_nets("glorot_uniform", [2] * 5), unit_inputs(2))[-1]
    doubled = powers(all_nets("he_normal", [2] * 5), unit_inputs(2), relu)[-1]
    found = [
        ("tanh, Glorot: before the activation", abs(tanh - 1), "printed"),
        ("tanh, Glorot: behind it", abs(_behind("tanh", tanh) - 1), "printed"),
        ("ReLU, He: before the activation", abs(he - 1), "printed"),
        ("ReLU, He: behind it", abs(_behind("relu", he) - 1), "printed"),
        ("linear units, Glorot: 1", abs(float(linear) - 1), "right"),
        ("ReLU, He: 2 before, so mean square 1 behind", abs(float(doubled) / 2 - 1), "right"),
        ("before tanh, Var(w) over E tanh² from layer 2 on: 1", abs(gained - 1), "derived"),
        ("two ways to integrate agree, tanh", abs(hermite / tanh - 1), "derived"),
    ]
    checks = tuple(check(name, float(error), given["tolerance"], form) for name, error, form in found)
    return Finding(checks=checks, tables=(_by_layer(criterion),), notes=(_note(tanh, depth),))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Variance before the activation by layer: what was said, what theory has, what was measured."""
    from folklore.figures import claims, style

    style.apply()
    fig, ax = style.new(7.0)
    depth = int(CRITERION.settings["depth"])
    layers, tanh, tanh_measured, _, behind, he, he_measured, he_behind = zip(
        *finding.tables[0].rows, strict=True
    )
    every = range(1, depth + 1)
    ax.axhline(1, color=style.INK, linestyle=":", label="as printed")
    arms = ("tanh", "Glorot, tanh", tanh_measured, "o"), ("relu", "He, ReLU", he_measured, "s")
    for colour, (name, label, measured, marker) in zip(style.PALETTE, arms, strict=False):
        ax.plot(every, _variances(name, FACTORS[name], depth), "-", color=colour, linewidth=0.9)
        ax.plot(layers, measured, marker, color=colour, label=f"{label}: before")
    ax.plot(
        layers, behind, "o--", color=style.PALETTE[0], markerfacecolor="white", label="Glorot, tanh: behind"
    )
    ax.plot(
        layers, he_behind, "s--", color=style.PALETTE[1], markerfacecolor="white", label="He, ReLU: behind"
    )
    ax.set(xlabel="layer", ylabel="variance", yscale="log", xticks=list(every))
    claims.legend_above(ax, 3)
    return fig, (
        f"Variance by layer, before and behind the activation, logarithmic; dotted: one, as printed. With Glorot's weights "
        f"and tanh it falls from {tanh[0]:.2f} to {tanh[-1]:.3f} in layer {layers[-1]}, before the activation "
        f"(measured {tanh_measured[-1]:.3f}); with He's and ReLU it stays at {he[-1]:.2f} before and "
        f"{he_behind[-1]:.2f} behind it."
    )


def _variances(
    name: str, factor: float, depth: int, mean: Mean | None = None, start: float | None = None
) -> list[float]:
    """Variance before the activation by layer: n Var(w) times the mean square behind the layer before."""
    found = [factor if start is None else start]  # the inputs have mean square 1
    while len(found) < depth:
        found.append(factor * (mean or _by_quadrature)(name, found[-1], 2))
    return found


def _by_quadrature(name: str, variance: float, power: int) -> float:
    """E f(h)^power for h normal with mean 0, adaptively, on both sides of 0."""
    import math

    import torch
    from scipy.integrate import quad

    from folklore.core import activations

    def integrand(z: float) -> float:
        f = getattr(activations, name)(torch.tensor(variance**0.5 * z, dtype=torch.float64))
        return float(f) ** power * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    return sum(quad(integrand, a, b, epsabs=1e-12, epsrel=1e-10)[0] for a, b in ((-12, 0), (0, 12)))


def _by_hermite(name: str, variance: float, power: int) -> float:
    """The same by Gauss's rule for the normal law."""
    import numpy as np
    import torch

    from folklore.core import activations

    nodes, weights = np.polynomial.hermite_e.hermegauss(180)
    f = getattr(activations, name)(torch.from_numpy(variance**0.5 * nodes)).numpy()
    return float(weights @ f**power / weights.sum())


def _behind(name: str, variance: float) -> float:
    """Variance of the outputs."""
    return _by_quadrature(name, variance, 2) - _by_quadrature(name, variance, 1) ** 2


def _by_layer(criterion: Criterion) -> Table:
    from folklore.stats.findings import Table

    given = criterion.settings
    depth, nets = int(given["depth"]), int(given["nets"])
    widths = [int(given["width"])] * (depth + 1)
    tanh, he = (_variances(name, factor, depth) for name, factor in FACTORS.items())
    inits = {"tanh": "glorot_uniform", "relu": "he_uniform"}
    found = {name: random_powers(init, widths, name, nets).mean(axis=1) for name, init in inits.items()}
    rows = []
    for i in (layer - 1 for layer in LAYERS):
        ratio = tanh[i] / tanh[i - 1] if i else ""
        one = (tanh[i], float(found["tanh"][i]), ratio, _behind("tanh", tanh[i]))
        rows.append((i + 1, *one, he[i], float(found["relu"][i]), _behind("relu", he[i])))
    return Table(
        f"Variance by layer for tanh with Glorot's weights and ReLU with He's: exact for very wide layers, measured in "
        f"{nets} nets with {widths[0]} units a layer, and for tanh as a share of the layer before.",
        ("layer", "tanh", "measured", "ratio", "behind", "ReLU", "measured", "behind"),
        tuple(rows),
    )


def _note(variance: float, depth: int) -> str:
    return (
        f"With tanh {variance:.3f} of the variance is left in layer {depth}. To keep it at one before the activation, Var(w) "
        f"would have to be 1/n in the first layer and {1 / _by_hermite('tanh', 1.0, 2):.2f}/n in all others; behind tanh no "
        f"weights can bring it to one. U(±1/√n) leaves less than "
        f"{3.0**-depth:.1g} of it."
    )
