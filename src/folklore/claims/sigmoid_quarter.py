"""The derivative of the sigmoid is at most one quarter

The lecture explains why deep sigmoid nets stand still: every layer multiplies the gradient by the derivative
of its activation, and for the sigmoid f that is f (1 - f). Since f lies between 0 and 1 the product cannot
exceed one quarter, which it reaches where f is one half, at zero.

We took the activation that the project trains with and compared the printed formula with two ways that do
not know it: central differences, and a step along the imaginary axis, which gives a derivative to the last
digit. Automatic differentiation would not do as a judge, because for this function it is the formula. The
largest value was searched on a fine grid and once more by a numerical maximiser.

Two things are easily overlooked. The quarter is the best case and is reached at one point only: six units
away from zero the derivative is a hundred times smaller, and in the short floating-point numbers of
ordinary training f rounds to exactly 1 while its argument is still moderate, so that the derivative is
exactly 0. And it is not a bound on the factor of a layer, which also contains the weights: a sigmoid of a h
has a slope of up to a/4, so weights above 4 can make a gradient grow.

The rule holds if the formula and the bound agree with the other ways to a relative error below one in a
million.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import check, relative_error, slope
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="E",
    family="activations",
    lectures=(2,),
    paper="elementary calculus; Glorot & Bengio 2010, section 3.1",
    reported="deep sigmoid nets stay on a plateau while their last hidden layer is saturated",
    limits="It bounds one factor of the gradient. Whether a deep net stands still depends on the weights as "
    "well, and is a question of training, which sigmoid-vanishing-gradient answers.",
    formulas=(
        Formula(
            "printed",
            "sigma'(x) = sigma(x) dot (1 - sigma(x))",
            "the derivative of the sigmoid is the sigmoid times one minus the sigmoid",
        ),
        Formula(
            "printed",
            "max sigma'(x) = 1/4",
            "the largest value of the derivative is one quarter",
        ),
        Formula(
            "derived",
            "1/4 - sigma'(x) = (sigma(x) - 1/2)^2",
            "one quarter minus the derivative is the square of the sigmoid minus one half, so the quarter is reached where "
            "the sigmoid is one half",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="On a grid in float64, f (1 - f) has a relative error below 1e-6 against a complex step and central "
    "differences, and the largest derivative, on the grid and by search, is 1/4.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "reach": 12.0, "points": 4801, "slope": 6.0},
)
ARGUMENTS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 40.0)
LAYERS = 10


def judge(runs: None, criterion: Criterion) -> Finding:
    """Formula, bound, and where the bound is reached."""
    from folklore.core.activations import sigmoid
    from folklore.stats.findings import Finding

    given, h = criterion.settings, _grid(criterion)
    truth, f, a = _derivative(h), sigmoid(h), given["slope"]
    place, peak = _search(h)
    steep = _derivative(h, a)
    above = max(0.0, float(truth.max()) - 0.25) / 0.25
    found = [
        ("derivative is f (1 - f)", relative_error(f * (1 - f), truth), "printed"),
        ("never above 1/4 on the grid", above, "printed"),
        ("largest value is 1/4", abs(peak / 0.25 - 1), "printed"),
        ("reached at 0, where f is 1/2", max(abs(place), abs(float(truth.max()) / 0.25 - 1)), "derived"),
        ("1/4 minus it is (f - 1/2)²", relative_error(0.25 - truth, (f - 0.5) ** 2), "derived"),
        (f"of f({a:g} h): at most {a:g}/4", abs(float(steep.max()) / (a / 4) - 1), "derived"),
        ("automatic differentiation agrees", relative_error(_automatic(h), truth), "derived"),
        (
            "f (1 - f), by central differences",
            relative_error((f * (1 - f))[::40], _differences(h[::40])),
            "printed",
        ),
    ]
    checks = tuple(check(name, error, given["tolerance"], form) for name, error, form in found)
    return Finding(checks=checks, tables=(_by_argument(),), notes=(_note(),))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """The derivative with its bound, and the same on a logarithmic axis, where single precision ends."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(6.5, ncols=2)
    h = _grid(CRITERION)
    near, colour = h[h.abs() <= 8], style.PALETTE[0]
    left.plot(near, _derivative(near), color=colour, label="derivative")
    left.axhline(0.25, color=style.MUTED, linestyle=":", label="1/4")
    left.plot([0], [0.25], "o", color=style.INK)
    left.set(xlabel="argument h", ylabel="derivative of the sigmoid", ylim=(0, 0.29))
    arguments, exact, _, single, _ = zip(*finding.tables[0].rows, strict=True)
    right.plot(arguments, exact, "o-", color=colour, label="exact")
    kept = [(a, s) for a, s in zip(arguments, single, strict=True) if s]
    right.plot(*zip(*kept, strict=True), "X--", color=style.PALETTE[1], label="in single precision")
    right.set(xlabel="argument h", ylabel="derivative (logarithmic)", yscale="log")
    for ax in (left, right):
        claims.legend_above(ax, 2)
    zero = min(a for a, s in zip(arguments, single, strict=True) if not s)
    return fig, (
        f"Left: the derivative of the sigmoid, a bell that touches 1/4 at 0 and is {exact[2]:.2f} at 2 and "
        f"{exact[4]:.1g} at 8. Right: the same on a logarithmic axis up to 40, a straight line downwards; in "
        f"single precision it ends, for from {zero:g} on the formula gives exactly 0."
    )


def _grid(criterion: Criterion) -> torch.Tensor:
    """Evenly spaced arguments that include 0."""
    import torch

    reach = criterion.settings["reach"]
    return torch.linspace(-reach, reach, int(criterion.settings["points"]), dtype=torch.float64)


def _derivative(h: torch.Tensor, a: float = 1.0) -> torch.Tensor:
    """Of sigmoid(a h) by h: the imaginary part of its value a tiny imaginary step away, over that step."""
    import torch

    from folklore.core.activations import sigmoid

    step = 1e-30
    return sigmoid(a * torch.complex(h, torch.full_like(h, step))).imag / step


def _automatic(h: torch.Tensor) -> torch.Tensor:
    """What training uses."""
    import torch

    from folklore.core.activations import sigmoid

    leaf = h.clone().requires_grad_()
    return torch.autograd.grad(sigmoid(leaf).sum(), leaf)[0]


def _differences(h: torch.Tensor) -> torch.Tensor:
    from folklore.core.activations import sigmoid

    moved = h.clone()
    return slope(lambda: sigmoid(moved).sum(), moved)


def _search(h: torch.Tensor) -> tuple[float, float]:
    """Where the derivative is largest, and how large, by a search around the best point of the grid."""
    import torch
    from scipy.optimize import minimize_scalar

    def negative(at: float) -> float:
        return -float(_derivative(torch.tensor([at], dtype=torch.float64)))

    best = float(h[_derivative(h).argmax()])
    found = minimize_scalar(
        negative, bounds=(best - 1, best + 1.5), method="bounded", options={"xatol": 1e-10}
    )
    return float(found.x), -float(found.fun)


def _by_argument() -> Table:
    import math

    import torch

    from folklore.core.activations import sigmoid
    from folklore.stats.findings import Table

    rows = []
    for h in ARGUMENTS:
        exact = math.exp(-h) / (1 + math.exp(-h)) ** 2
        double, single = (sigmoid(torch.tensor(h, dtype=kind)) for kind in (torch.float64, torch.float32))
        rows.append((h, exact, float(double * (1 - double)), float(single * (1 - single)), exact**LAYERS))
    return Table(
        "Derivative of the sigmoid by its argument: exactly, by the formula in double and in single "
        f"precision, and the product of {LAYERS} such layers without their weights.",
        ("argument", "exact", "double precision", "single precision", f"{LAYERS} layers"),
        tuple(rows),
    )


def _note() -> str:
    return (
        f"{LAYERS} layers at their best leave 1/4 to the power {LAYERS}, that is {0.25**LAYERS:.1g}, of the "
        "gradient, before the weights have their say."
    )
