"""Softplus, log(1 + eᵃ), is a smooth nonlinearity in the place of ReLU

Next to the sigmoid, tanh and ReLU, the lecture lists log(1 + e^a), known as softplus. It is a rounded ReLU:
far to the right it is a, far to the left it is zero, and in between it bends smoothly. Its slope is the
sigmoid, which is what makes it smooth.

We computed the printed formula with several hundred decimal digits and compared it with the nonlinearity that
our nets use, and with a form that is meant to be safe in floating point, max(a, 0) + log(1 + e^-|a|). We took
its derivative by automatic differentiation and by differences of the long decimals, and compared both with
the sigmoid.

The formula is right, but it is not a recipe. Evaluated as it is written, e^a overflows for large a, and for
very negative a the sum 1 + e^a rounds to 1, so that its logarithm is zero and has lost every digit. In single
precision, in which nets are trained, both happen early. Libraries use the safe form for that reason. The one that
we train with, PyTorch's, returns its argument above 20, where the two hardly differ; the largest of the tiny errors
in our checks come from there.

The rule holds if the formula, computed exactly, is the function that nets use, to one part in a million.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import TYPE_CHECKING

from folklore.claims._exact import check, relative_error
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="E",
    family="activations",
    lectures=(4,),
    paper="Dugas et al. 2001, Incorporating second-order functional knowledge for better option pricing; "
    "Glorot, Bordes & Bengio 2011, Deep sparse rectifier neural networks",
    reported="the function as printed, as a smooth version of the rectifier",
    limits="The formula only, not whether nets learn better with it; unlike ReLU it is nowhere exactly zero and "
    "needs an exponential and a logarithm.",
    headline=False,
    formulas=(
        Formula(
            "printed",
            "f(a) = log(1 + e^a)",
            "softplus of a is the logarithm of one plus e to the a",
        ),
        Formula(
            "right",
            "f(a) = max(a, 0) + log(1 + e^(-abs(a)))",
            "in a form that neither overflows nor loses digits, softplus is the larger of a and zero plus the logarithm of "
            "one plus e to minus the absolute value of a",
        ),
        Formula(
            "derived",
            "f'(a) = frac(1, 1 + e^(-a))",
            "the slope of softplus is the sigmoid, one over one plus e to minus a",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="For a from -700 to 800 the printed formula in long decimals and the activation that we train agree to a "
    "relative error below 1e-6 at every point in float64.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "digits": 400, "sharpness": 10},
)
POINTS = (
    -700,
    -300,
    -100,
    -40,
    -20,
    -10,
    -5,
    -2,
    -1,
    -0.5,
    0,
    0.5,
    1,
    2,
    5,
    10,
    19,
    20,
    21,
    40,
    100,
    300,
    700,
    800,
)
SHOWN = (-80, -40, -20, -10, 0, 20, 100, 800)


def judge(runs: None, criterion: Criterion) -> Finding:
    """The function, its safe form, its slope, and how it keeps to ReLU."""
    import math

    import torch

    from folklore.core import activations
    from folklore.stats.findings import Finding

    given = criterion.settings
    a, k = torch.tensor(POINTS, dtype=torch.float64), given["sharpness"]
    truth, sigmoid = _by_decimals(_softplus, a), _by_decimals(_sigmoid, a)
    grid = torch.linspace(-30, 30, 6001, dtype=torch.float64)
    mirrored = activations.softplus(grid) - activations.softplus(-grid)
    found = [
        ("log(1 + e^a), exactly", _worst(activations.softplus(a), truth), "printed"),
        ("max(a, 0) + log(1 + e^-|a|)", _worst(_safe(a), truth), "right"),
        ("its slope is the sigmoid", _worst(_slope(a), sigmoid), "derived"),
        ("so are differences of long decimals", _worst(_by_decimals(_difference, a), sigmoid), "derived"),
        ("f(a) - f(-a) = a", relative_error(mirrored, grid), "derived"),
        ("furthest from ReLU at 0, by log 2", abs(_gap(grid, 1) / math.log(2) - 1), "derived"),
        (f"f({k} a)/{k} within log(2)/{k}", abs(k * _gap(grid, k) / math.log(2) - 1), "derived"),
    ]
    checks = tuple(check(name, error, given["tolerance"], form) for name, error, form in found)
    return Finding(checks=checks, tables=(_by_point(),), notes=(_note(),))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """The function between ReLU and its slope, and the error of the formula evaluated as it is written."""
    import torch

    from folklore.core import activations
    from folklore.figures import style

    style.apply()
    fig, (left, right) = style.new(7.0, ncols=2)
    a = torch.linspace(-6, 6, 241, dtype=torch.float64)
    left.plot(a, activations.softplus(a), "-", label="softplus")
    left.plot(a, activations.relu(a), "--", label="ReLU")
    left.plot(a, _slope(a), ":", label="slope of softplus")
    left.set(xlabel="a", ylabel="value", ylim=(-0.3, 6.2))
    left.legend(loc="upper left")
    _errors(right)
    right.legend(loc="lower left", bbox_to_anchor=(0, 0.14), handletextpad=0.1)
    single, double = _lost(torch.float32), _lost(torch.float64)
    return fig, (
        "Left: softplus runs above ReLU, furthest at 0 (by log 2), and nears it on both sides; its slope rises from 0 "
        "to 1 like the sigmoid. Right: relative error of log(1 + e^a) evaluated as written; all digits are gone from "
        f"a = {single[0]} downwards in single precision and from {double[0]} in double, and it overflows from "
        f"{single[1]} and {double[1]} upwards, while the safe form stays at rounding error."
    )


def _errors(ax: Axes) -> None:
    import torch

    a = torch.arange(-50, 11, dtype=torch.float64) + 0.3
    truth = _by_decimals(_softplus, a, digits=60)
    forms = {
        "as written, single": (_as_written(a.float()), "o"),
        "as written, double": (_as_written(a), "s"),
        "safe, double": (_safe(a), "^"),
    }
    for name, (found, look) in forms.items():
        errors = ((found.double() - truth) / truth).abs().clamp(min=1e-17)
        ax.plot(a, errors, look, label=name, markersize=3)
    ax.set(yscale="log", xlabel="a", ylabel="relative error")


def _note() -> str:
    import torch

    (low, high), (low64, high64) = _lost(torch.float32), _lost(torch.float64)
    return (
        f"Evaluated as it is written, in single precision the formula is zero from a = {low} downwards and infinite "
        f"from {high} upwards (in double precision {low64} and {high64})."
    )


def _lost(dtype: torch.dtype) -> tuple[int, int]:
    """The nearest whole numbers a at which the formula as written gives 0, and infinity."""
    import torch

    a = torch.arange(-1000, 1001, dtype=dtype)
    value = _as_written(a)
    return int(a[value == 0].max()), int(a[value.isinf()].min())


def _as_written(a: torch.Tensor) -> torch.Tensor:
    return (1 + a.exp()).log()


def _safe(a: torch.Tensor) -> torch.Tensor:
    return a.clamp(min=0) + (-a.abs()).exp().log1p()


def _slope(a: torch.Tensor) -> torch.Tensor:
    """Derivative of the activation that we train."""
    import torch

    from folklore.core import activations

    a = a.clone().requires_grad_()
    return torch.autograd.grad(activations.softplus(a).sum(), a)[0]


def _gap(a: torch.Tensor, k: float) -> float:
    """Largest distance between f(k a)/k and ReLU."""
    from folklore.core import activations

    return float((activations.softplus(k * a) / k - activations.relu(a)).max())


def _softplus(a: Decimal, context: Context) -> Decimal:
    return context.ln(context.add(1, context.exp(a)))


def _sigmoid(a: Decimal, context: Context) -> Decimal:
    return context.divide(1, context.add(1, context.exp(-a)))


def _difference(a: Decimal, context: Context) -> Decimal:
    """Central difference of the formula, with a step that only long decimals allow."""
    step = Decimal("1e-20")
    above, below = (_softplus(context.add(a, side), context) for side in (step, -step))
    return context.divide(context.subtract(above, below), 2 * step)


def _by_decimals(
    function: Callable[[Decimal, Context], Decimal], a: torch.Tensor, digits: int | None = None
) -> torch.Tensor:
    """The function of every number in decimals of so many digits (the criterion's), rounded to float64 at the end."""
    import torch

    context = Context(prec=digits or int(CRITERION.settings["digits"]))
    return torch.tensor([float(function(Decimal(float(x)), context)) for x in a], dtype=torch.float64)


def _worst(found: torch.Tensor, truth: torch.Tensor) -> float:
    """Largest relative error of all points, each by its own size: small values must be right, too."""
    return float(((found - truth) / truth).abs().max())


def _by_point() -> Table:
    import torch

    from folklore.core import activations
    from folklore.stats.findings import Table

    double = torch.tensor(SHOWN, dtype=torch.float64)
    single, truth = double.float(), _by_decimals(_softplus, double)
    forms = (_as_written(double), _as_written(single), _safe(double), activations.softplus(single))
    columns = [[_cell(*pair) for pair in zip(form.tolist(), truth.tolist(), strict=True)] for form in forms]
    rows = tuple(zip(SHOWN, truth.tolist(), *columns, strict=True))
    caption = "log(1 + e^a), and the relative error of four ways to compute it, by a."
    names = ("as written, double", "as written, single", "safe, double", "ours, single")
    return Table(caption, ("a", "log(1 + e^a)", *names), rows)


def _cell(found: float, truth: float) -> float | str:
    return "overflow" if found == float("inf") else abs(found / truth - 1)
