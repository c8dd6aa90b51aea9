"""The slope of tanh is 1 − f²: centred, but gradients still vanish

The derivative of tanh can be read off its own value, as one minus its square, and its outputs lie evenly
around zero. The lecture concludes from the formula that the gradient fades as it does with the sigmoid: the
slope is one at the origin and smaller everywhere else, so each layer should take something away.

The formula and the symmetry are exact and are checked exactly. Whether gradients vanish is a question of
what a layer does as a whole, slope times weights, so we measured it: the gradient of the loss by the first
weight matrix at the start of training, in a net of 20 hidden layers and in one of 2, and from both the
decades (powers of ten) lost for each added layer. We compare two depths, and not the layers of one net,
because with small weights the signal fades on its way forward just as the gradient fades on its way back:
then all layers receive the same gradient, and each one next to nothing.

The scale of the weights decides. For very wide layers the factor of a layer can be computed for any scale,
and a table puts this beside what was measured for three usual laws, tanh next to the sigmoid. The main
study takes Glorot's weights, which were made for tanh; they leave a fading that is a power of the depth
and no longer an exponential. The nets were trained as well, each at its tuned rate.

Supported means: formula and symmetry hold, and with Glorot's weights each added layer loses more than
nothing of the gradient, by an amount not shown to be below .05 decades (a factor of 1.12).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import check, relative_error, slope
from folklore.claims._mean_field import decades_lost
from folklore.claims._starts import stalled
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from folklore.stats.findings import Check, Finding, Table

CLAIM = Claim(
    kind="E+S",
    family="activations",
    lectures=(2,),
    paper="Glorot & Bengio 2010, section 4.2; Schoenholz et al. 2017, arXiv:1611.01232",
    reported="Glorot and Bengio: tanh gradients shrink going back with weights of variance 1/(3n) and much "
    "less with theirs; Schoenholz: gradients of wide tanh nets vanish below a critical scale of the "
    "weights and explode above it",
    limits="The gradient is measured at initialisation only, in nets without normalisation and skip "
    "connections. A gradient that survives does not make a deep net good: see the accuracies.",
    headline=False,
    formulas=(
        Formula(
            "printed",
            "f'(x) = 1 - f(x)^2",
            "the derivative of tanh is one minus the square of tanh",
        ),
        Formula(
            "derived",
            "f'(x) = frac(1, cosh^2 (x)) <= 1",
            "the derivative of tanh is one over the squared hyperbolic cosine, and at most one",
        ),
    ),
)
SHALLOW, DEEP = "tanh, 2 layers", "tanh, 20 layers"
SIGMOID_SHALLOW, SIGMOID_DEEP = "sigmoid, 2 layers", "sigmoid, 20 layers"
ADDED = 18  # layers that the depths differ by
# This study has the arms that are needed, tanh and sigmoid of both depths, for three laws of the weights and two data sets.
# Pilot (seeds 20000 to 20005, initial gradients only): tanh loses .023 decades for each added layer with Glorot's weights (spread
# .007; .022 on Fashion-MNIST), .24 with U(+-1/sqrt n), -.01 with He's; the sigmoid .62, .85 and .50.
DESIGN = "sigmoid-vanishing-gradient"
CRITERION = Criterion(
    text="In float64 the slope of tanh is 1 - f^2 and tanh(-h) = -tanh(h), to a relative 1e-6; and log10 of "
    "the first layer's gradient norm at initialisation with 2 layers minus that with 20, divided by 18, is "
    "above 0 (95 % interval) and not negligible (90 % interval not within .05).",
    metric="gradient lost for each added layer",
    unit="decades",
    delta=0.05,
    pilot_sd=0.007,
    settings={"tolerance": 1e-6, "reach": 20.0, "points": 2001},
)
WEIGHTS = {"main": "Glorot", "uniform_fanin_weights": "U(±1/√n)", "he_normal_weights": "He"}
SCALES = {"Glorot": 1.0, "U(±1/√n)": 3**-0.5, "He": 2**0.5, "4 x Glorot": 4.0}


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The exact formula and symmetry, and the gradient that added tanh layers cost."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    weights, checks = {SHALLOW: 1, DEEP: -1}, _checks(criterion)
    # the sigmoid only stands beside tanh in a table: an end of its grid is told where it is judged
    mine = runs.assign(edge=runs["edge"].where(runs["arm"].isin(weights), ""))
    finding = contrast(mine, weights, criterion.delta, measure=first_gradient)
    notes = (_note(finding, criterion.delta, checks), *finding.notes)
    notes += stalled(runs[runs["arm"].isin(weights)])
    return replace(finding, checks=checks, tables=(_by_weights(runs),), notes=notes)


def _note(finding: Finding, delta: float, checks: tuple[Check, ...]) -> str:
    """Whether the exact half holds, and what decades a layer come to over all added layers."""
    exact = "hold" if all(found.holds for found in checks) else "do not all hold"
    lost, negligible = (10 ** (ADDED * decades) for decades in (finding.estimate.effect, delta))
    return (
        f"Formula and symmetry {exact}; the rest of the verdict is about the gradient. Over all {ADDED} added layers it shrinks by "
        f"a factor of {lost:.2g}. The criterion calls less than a factor of {10**delta:.2f} a layer negligible, which comes to "
        f"{negligible:.2g} over all of them."
    )


def first_gradient(runs: pd.DataFrame) -> pd.Series:
    """log10 of the gradient norm of the first weight matrix, divided by the layers that the depths differ by."""
    import numpy as np
    import pandas as pd

    first = np.array([norms[0] for norms in runs["grad_norms"]], dtype=float)
    return pd.Series(np.log10(np.clip(np.nan_to_num(first), 1e-38, 1e38)) / ADDED, index=runs.index)


def _checks(criterion: Criterion) -> tuple[Check, ...]:
    """Of the function that is trained."""
    import torch

    from folklore.core.activations import sigmoid, tanh

    given = criterion.settings
    h = torch.linspace(-given["reach"], given["reach"], int(given["points"]), dtype=torch.float64)
    f, leaf, moved = tanh(h), h.clone().requires_grad_(), h[::40].clone()
    formula = 1 - f**2
    differences = slope(lambda: tanh(moved).sum(), moved)
    automatic = torch.autograd.grad(tanh(leaf).sum(), leaf)[0]
    found = [
        ("slope 1 - f², by central differences", relative_error(formula[::40], differences), "printed"),
        ("centred: f(-h) = -f(h)", relative_error(tanh(-h), -f), "printed"),
        ("slope 1 - f², by automatic differentiation", relative_error(formula, automatic), "derived"),
        ("slope 1/cosh²: at most 1, at 0", relative_error(formula, torch.cosh(h) ** -2), "derived"),
        ("tanh(h) = 2 sigmoid(2h) - 1", relative_error(2 * sigmoid(2 * h) - 1, f), "derived"),
    ]
    return tuple(check(name, error, given["tolerance"], form) for name, error, form in found)


def _by_weights(runs: pd.DataFrame) -> Table:
    """By law of the weights: decades lost a layer in theory and as measured, and what the deep nets learn."""
    from folklore.stats.findings import Table

    confirmed = runs[runs["phase"] == "confirm"].assign(first=first_gradient)
    means = confirmed.groupby(["variant", "arm"])[["first", "test_accuracy"]].mean()
    variants = {name: variant for variant, name in WEIGHTS.items()}
    rows = []
    for name, scale in SCALES.items():
        row = [name, f"{scale:.2f}", f"{lost_in_theory(scale):.2f}"]
        arms = means.loc[variants[name]] if variants.get(name) in means.index else None
        rows.append((*row, *(_measured(arms) if arms is not None else ("", "", "", ""))))
    return Table(
        "Decades of the first layer's gradient lost for each added layer: tanh in theory (very wide, very "
        "deep; negative: it grows), tanh and sigmoid as measured; and test accuracy in percent of tanh nets.",
        ("weights", "sd x √n", "tanh, theory", "tanh", "sigmoid", "tanh, 2 layers", "tanh, 20 layers"),
        tuple(rows),
    )


def _measured(arms: pd.DataFrame) -> tuple[str, ...]:
    """Of one law of the weights: decades by activation, then accuracies by depth."""
    pairs = ((SHALLOW, DEEP), (SIGMOID_SHALLOW, SIGMOID_DEEP))
    lost = [
        f"{arms['first'].get(a, float('nan')) - arms['first'].get(b, float('nan')):.2f}" for a, b in pairs
    ]
    return (*lost, *(f"{100 * arms['test_accuracy'].get(arm, float('nan')):.1f}" for arm in (SHALLOW, DEEP)))


def lost_in_theory(scale: float) -> float:
    """Decades that a very wide tanh layer takes from the gradient, far from the inputs: there no signal is left for a scale of 1 or less."""
    import numpy as np

    return decades_lost(np.tanh, lambda f: 1 - f**2, scale, start=0.0 if scale <= 1 else 1.0)


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """The function with its slope, and the first layer's gradient by depth, weights and activation."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.4, ncols=2, width_ratios=(1, 1.25))
    _functions(left)
    _gradients(right, runs)
    claims.legend_above(left, 2)
    claims.legend_above(right, 2)
    lost = "; ".join(f"{row[0]} {row[3]}" for row in finding.tables[0].rows if row[3])
    return fig, (
        "Left: tanh, which passes through the origin, and its slope, a bell of height one. Right: norm of the "
        "first layer's gradient at initialisation with 2 and with 20 layers, logarithmic, for tanh and "
        f"sigmoid and three laws of the weights. Decades lost by tanh for each added layer: {lost}."
    )


def _functions(ax: Axes) -> None:
    import numpy as np

    from folklore.figures import style

    h = np.linspace(-4, 4, 201)
    ax.plot(h, np.tanh(h), color=style.PALETTE[0], label="tanh")
    ax.plot(h, 1 - np.tanh(h) ** 2, "--", color=style.PALETTE[1], label="its slope")
    ax.set(xlabel="argument h", ylabel="value")


def _gradients(ax: Axes, runs: pd.DataFrame) -> None:
    """Median over the confirmed runs, with a bar over the middle 80 % of them."""
    from folklore.figures import style

    confirmed = runs[runs["phase"] == "confirm"]
    confirmed = confirmed.assign(norm=10 ** (ADDED * first_gradient(confirmed)))
    for j, (activation, arms) in enumerate(
        {"tanh": (SHALLOW, DEEP), "sigmoid": (SIGMOID_SHALLOW, SIGMOID_DEEP)}.items()
    ):
        for i, (variant, name) in enumerate(WEIGHTS.items()):
            groups = [
                confirmed.loc[(confirmed["variant"] == variant) & (confirmed["arm"] == arm), "norm"]
                for arm in arms
            ]
            if any(group.empty for group in groups):
                continue
            x = [depth + 0.25 * (i - 1) for depth in (2, 20)]
            look = {"color": style.PALETTE[i], "linestyle": ("-", "--")[j], "marker": ("os^", "DvP")[j][i]}
            ax.plot(x, [group.median() for group in groups], label=f"{activation}, {name}", **look)
            ax.vlines(x, *([g.quantile(q) for g in groups] for q in (0.1, 0.9)), color=style.PALETTE[i])
    ax.set(xlabel="hidden layers", ylabel="gradient norm, first layer", yscale="log", xticks=[2, 20])
