"""The variance of a pre-activation is n Var(w) Var(x), and the bias does not matter

A unit adds up n products of weights and inputs. The variance of that sum is the quantity that all recipes
for initial weights control, and it is taken from a short derivation: the products are independent, so their
variances add up; each product has three terms, E(x)^2 Var(w) + E(w)^2 Var(x) + Var(w) Var(x); and where the
means of weights and inputs are zero only the last one is left. A constant bias shifts the sum and no more.

We let each weight and each input take three values with unequal probabilities and went through all
combinations, which gives the variance without any formula and without chance. The same was measured with
random numbers from continuous laws, to show how much the short form misses when the means are not zero.

The condition is half of the statement. Inputs that are all positive, such as pixels or the outputs of ReLU
and sigmoid, have a mean; for them the second moment E(x^2) has to stand where Var(x) is printed. The other
condition is weaker than it looks: when the weights have mean zero the inputs need not be independent, and
may even be equal. When they have not, it is needed.

The rule holds if the printed line, under the conditions that the lecture states, agrees with the full count
to a relative error below one in a million.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import check
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

    Law = tuple[np.ndarray, np.ndarray]  # values and their probabilities

CLAIM = Claim(
    kind="E",
    family="initialisation",
    lectures=(2, 4),
    paper="Glorot & Bengio 2010, equations 5 and 10",
    reported="the variance of a layer is that of the layer before, times n Var(w), for units that work in "
    "their linear range and means of zero",
    limits="The variance is taken over random weights. In one given net the variance over the data differs "
    "from unit to unit and agrees with the formula only on average; after training it need not agree at all.",
    formulas=(
        Formula(
            "printed",
            '"Var"(w_i x_i) = [EE(x_i)]^2 dot "Var"(w_i) + [EE(w_i)]^2 dot "Var"(x_i) + "Var"(x_i) dot "Var"(w_i)',
            "the variance of a product is the squared mean of x times the variance of w, plus the squared mean of w times "
            "the variance of x, plus the product of both variances",
        ),
        Formula(
            "printed",
            '"Var"(h_i) = "Var"(x) dot [n_"in" dot "Var"(w)]',
            "the variance of h is the variance of x times the number of inputs times the variance of w, where both have mean "
            "zero",
        ),
        Formula(
            "right",
            '"Var"(h_i) = EE(x^2) dot [n_"in" dot "Var"(w)]',
            "where only the weights have mean zero, as lecture 2 has it later: the variance of h is the mean square of x times "
            "the number of inputs times the variance of w",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="With independent weights and inputs of mean zero, the variance by full enumeration has a relative "
    "error below 1e-6 against n Var(w) Var(x), with and without a bias; so have the three terms with any means.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "terms": 3, "bias": 0.7, "wide": 30, "samples": 20_000},
)
INPUT_MEANS = (0.0, 0.3, 0.6, 1.0)
WEIGHT_MEANS = {"weights with mean 0": 0.0, "weights with mean .1": 0.1}


def judge(runs: None, criterion: Criterion) -> Finding:
    """The printed lines, and what becomes of them without their conditions."""
    from folklore.stats.findings import Finding

    given = criterion.settings
    n, bias = int(given["terms"]), given["bias"]
    w, x = _law(1), _law(2)
    w0, x0 = _centred(w), _centred(x)
    second = x[1] @ x[0] ** 2
    found = [
        ("n Var(w) Var(x), means zero", _counted(w0, x0, n), n * _var(w0) * _var(x0), "printed"),
        ("the same with a bias", _counted(w0, x0, n, bias), n * _var(w0) * _var(x0), "printed"),
        ("the three terms, any means", _counted(w, x, n), n * _three_terms(w, x), "printed"),
        ("n Var(w) E(x²), weights with mean 0", _counted(w0, x, n), n * _var(w0) * second, "right"),
        ("that, all inputs of a unit equal", _equal_inputs(w0, x, n), n * _var(w0) * second, "derived"),
        (
            "equal inputs, weights with a mean: n(n-1) E(w)² Var(x) more",
            _equal_inputs(w, x, n),
            n * _three_terms(w, x) + n * (n - 1) * _mean(w) ** 2 * _var(x),
            "derived",
        ),
    ]
    checks = [check(name, abs(a / b - 1), given["tolerance"], form) for name, a, b, form in found]
    return Finding(checks=tuple(checks), tables=(_by_means(criterion),), notes=(_note(w0, x, n),))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Variance by the mean of the inputs: measured, the three terms, the printed short form."""
    from folklore.figures import claims, style

    style.apply()
    fig, ax = style.new(6.5, width_cm=12.0)
    colours, markers = claims.arm_colours(WEIGHT_MEANS), claims.arm_markers(WEIGHT_MEANS)
    for name in WEIGHT_MEANS:
        rows = [row for row in finding.tables[0].rows if row[0] == name]
        _, means, short, _, measured, _ = zip(*rows, strict=True)
        curve = [_expected(int(CRITERION.settings["wide"]), WEIGHT_MEANS[name], m / 50) for m in range(51)]
        ax.plot([m / 50 for m in range(51)], curve, "-", color=colours[name], linewidth=1.0)
        ax.plot(means, measured, markers[name], color=colours[name], label=f"{name}, measured")
    ax.plot([], [], "-", color=style.MUTED, linewidth=1.0, label="the three terms")
    ax.plot(means, short, ":", color=style.INK, label="n Var(w) Var(x)")
    ax.set(xlabel="mean of the inputs (their variance is 1)", ylabel="variance of the pre-activation")
    ax.set_ylim(bottom=0)
    claims.legend_above(ax, 2)
    said = "; ".join(f"{r[0]}, inputs with mean {r[1]:g}: {r[4]:.2f}" for r in finding.tables[0].rows[::3])
    return fig, (
        f"Variance of a pre-activation by the mean of its inputs. Measured: {said}. The measurements lie on "
        f"the curves of the three terms; the printed short form is a level line at {short[0]:.2f}."
    )


def _law(seed: int) -> Law:
    """Three values with three probabilities, neither centred nor symmetric."""
    import numpy as np

    rng = np.random.default_rng(seed)
    return rng.normal(0.5, 1.0, 3), rng.dirichlet(np.ones(3))


def _centred(law: Law) -> Law:
    return law[0] - _mean(law), law[1]


def _mean(law: Law) -> float:
    return float(law[1] @ law[0])


def _var(law: Law) -> float:
    return float(law[1] @ (law[0] - _mean(law)) ** 2)


def _three_terms(w: Law, x: Law) -> float:
    """The variance of one product as printed."""
    return _mean(x) ** 2 * _var(w) + _mean(w) ** 2 * _var(x) + _var(x) * _var(w)


def _counted(w: Law, x: Law, n: int, bias: float = 0.0) -> float:
    """Variance of bias + w1 x1 + ... + wn xn over all values of all weights and inputs."""
    import numpy as np

    chance = np.array(_grid([*[w[1]] * n, *[x[1]] * n])).prod(axis=0)
    values = _grid([*[w[0]] * n, *[x[0]] * n])
    return _var((bias + sum(values[i] * values[n + i] for i in range(n)), chance))


def _equal_inputs(w: Law, x: Law, n: int) -> float:
    """The same when all n inputs are one and the same number."""
    import numpy as np

    chance = np.array(_grid([*[w[1]] * n, x[1]])).prod(axis=0)
    *weights, inputs = _grid([*[w[0]] * n, x[0]])
    return _var((sum(weights) * inputs, chance))


def _grid(axes: list[np.ndarray]) -> list[np.ndarray]:
    import numpy as np

    return [axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")]


def _by_means(criterion: Criterion) -> Table:
    from folklore.stats.findings import Table

    n = int(criterion.settings["wide"])
    rows = []
    for name, weight_mean in WEIGHT_MEANS.items():
        for i, mean in enumerate(INPUT_MEANS):
            full = _expected(n, weight_mean, mean)
            found, error = _measured(n, weight_mean, mean, criterion, seed=i)
            rows.append((name, mean, 1.0, full, found, (found - full) / error))
    return Table(
        f"Variance of a sum of {n} products, Var(x) = 1 and Var(w) = 1/n, over {int(criterion.settings['samples']):,} "
        "draws; last, how many standard errors the measured value lies from the three terms.",
        ("weights", "mean of x", "n Var(w) Var(x)", "three terms", "measured", "standard errors"),
        tuple(rows),
    )


def _expected(n: int, w: float, x: float) -> float:
    """The three terms with Var(x) = 1 and Var(w) = 1/n."""
    return n * (x**2 / n + w**2 + 1 / n)


def _measured(n: int, w: float, x: float, criterion: Criterion, seed: int) -> tuple[float, float]:
    """Variance over random weights (uniform) and inputs (exponential, shifted), with its standard error."""
    import numpy as np

    rng, shape = np.random.default_rng([seed, int(w * 1000)]), (int(criterion.settings["samples"]), n)
    weights = w + np.sqrt(3 / n) * rng.uniform(-1, 1, shape)
    h = criterion.settings["bias"] + (weights * (x - 1 + rng.exponential(size=shape))).sum(axis=1)
    squares = (h - h.mean()) ** 2
    return float(squares.mean()), float(squares.std() / np.sqrt(len(h)))


def _note(w: Law, x: Law, n: int) -> str:
    missed = 1 - _var(x) / (x[1] @ x[0] ** 2)
    return (
        f"With the inputs of the fourth check, whose mean is {_mean(x):.2g} and variance {_var(x):.2g}, the "
        f"short form would miss {100 * missed:.0f} % of the variance: the condition on the mean is not a "
        "formality."
    )
