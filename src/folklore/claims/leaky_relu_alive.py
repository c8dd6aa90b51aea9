"""Leaky ReLU never dies, is cheap, and its derivative may have any sign

ReLU passes positive values and stops negative ones; a unit whose values are negative for all data gets no
gradient and stays dead. Leaky ReLU multiplies negative values by a slope a instead of zero. The lecture says
that such a unit does not die and is still cheap to compute, that its derivative may be of any sign, and that
a must not be 1, for then nothing is left but a linear map.

We put a unit far into the negative range, with a bias of -100, and compared its gradient with that of a ReLU
and of a linear unit; wrote the function as one product and one maximum; collected the signs of its
derivative; and multiplied out a deep net with a = 1. Automatic differentiation was checked against finite
differences.

The unit stays alive: its gradient is a times that of a linear unit, neither more nor less. Through several
such layers the factors multiply, so that "alive" can still mean very slow. But the derivative takes the two
values a and 1, both positive for every slope in use; only a negative slope, which a learnt one may become,
gives both signs. What does take both signs is the value of the function. Perhaps that was meant, since it
breaks the common sign of the gradients in the next layer.

The rule holds if all four statements hold as printed, for the usual slope of .01.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from folklore.claims._exact import check, relative_error, slope
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

    Activation = Callable[[torch.Tensor], torch.Tensor]

CLAIM = Claim(
    kind="E",
    family="activations",
    lectures=(2,),
    paper="Maas, Hannun & Ng 2013, Rectifier nonlinearities improve neural network acoustic models; learnt "
    "slopes: He et al. 2015, arXiv:1502.01852",
    reported="a small constant slope below zero keeps a gradient where ReLU has none",
    limits="It does not say that nets with leaky ReLU train better, nor how often units of a ReLU net die; both "
    "are claims of their own. Cheap means few operations here, not measured time.",
    headline=False,
    formulas=(
        Formula(
            "printed",
            "f'(h) gt.lt 0",
            "the lecture's words in symbols: the derivative may be greater or less than zero",
        ),
        Formula(
            "right",
            'f\'(h) = cases(1 & "for" h > 0, a & "for" h < 0), quad a > 0',
            "the derivative is one where h is positive and a where h is negative, and for a positive slope a neither is "
            "negative",
        ),
        Formula(
            "printed",
            "a != 1",
            "the slope a must not be one, or else all is linear",
        ),
        Formula(
            "derived",
            "f(h) = max(h, a h), quad a <= 1",
            "for slopes up to one the function is the larger of h and a h",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="For slope .01 in float64: a unit with bias -100 has a gradient that is not zero; a product and a "
    "maximum give its values; its derivative takes both signs; and with slope 1 a deep net equals one matrix. "
    "Relative errors, and shares of what is missing, are below 1e-6.",
    metric="relative error, or share missing",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "slope": 0.01, "bias": -100.0, "inputs": 20, "rows": 256, "layers": 5},
)
SLOPES = (-0.5, 0.0, 0.01, 0.3, 1.0, 2.0)
BIASES = tuple(-0.5 * i for i in range(15))


def judge(runs: None, criterion: Criterion) -> Finding:
    """The four statements, what mends the third, and where the numbers come from."""
    from folklore.core import activations
    from folklore.stats.findings import Finding

    given, leaky, h = criterion.settings, activations.leaky_relu, _grid()
    a, layers = given["slope"], int(given["layers"])
    alive, dead, linear = (_unit(f, given) for f in (leaky, activations.relu, lambda value: value))
    found = [
        ("does not die: no gradient is 0, bias -100", float((alive == 0).double().mean()), "printed"),
        ("cheap: max(h, a h)", relative_error((a * h).maximum(h), leaky(h)), "printed"),
        ("derivative of both signs", _missing_signs(_derivative(leaky, h)), "printed"),
        ("a = 1 is linear", _linear(layers), "printed"),
        ("derivative of both signs, a = -1/2", _missing_signs(_derivative(_leaky(-0.5), h)), "right"),
        ("value of both signs", _missing_signs(leaky(h)), "right"),
        ("gradient a times that of a linear unit", relative_error(alive, a * linear), "derived"),
        ("ReLU: gradient 0, bias -100", float(dead.abs().max()), "derived"),
        (f"{layers} negative layers: factor a^{layers}", _chain(leaky, given), "derived"),
        ("finite differences agree with autograd", _finite_differences(leaky, given), "derived"),
    ]
    checks = tuple(check(name, error, given["tolerance"], form) for name, error, form in found)
    note = (
        f"Below zero the derivative is {float(_derivative(leaky, h).min()):g}, above it is 1: never negative. All "
        "else on the slide is right, with one condition: the maximum is the function only for slopes up to 1."
    )
    return Finding(checks=checks, tables=(_by_slope(h),), notes=(note,))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """The function for several slopes; the mean derivative of a unit as its bias falls."""
    from folklore.figures import style

    style.apply()
    fig, (left, right) = style.new(7.0, ncols=2)
    h = _grid()
    for a, look in zip((-0.5, 0.01, 0.3, 1.0), ("-.", "-", "--", ":"), strict=True):
        left.plot(h, _leaky(a)(h), look, label=f"a = {a:g}".replace("-", "−"))
    left.set(xlabel="pre-activation h", ylabel="f(h)")
    left.legend(loc="lower right")
    measured = _fall(right)
    right.legend(loc="lower left")
    by_slope = {row[0]: row for row in finding.tables[0].rows}
    dead = next(bias for bias, value in zip(BIASES, measured["ReLU"], strict=True) if value == 0)
    return fig, (
        "Left: leaky ReLU for four slopes a below zero; a = 1 is a straight line, a = -0.5 turns up again. Right: "
        "mean derivative of a unit over 20,001 values of a standard normal input, by its bias. A leaky unit comes "
        f"down from {measured['leaky'][0]:.2f} at bias 0 to {measured['leaky'][-1]:.2g} at {BIASES[-1]:g} and stays "
        f"there, a ReLU's is 0 from {dead:g} on, a linear unit's stays at 1. For a = 0.01 the derivative lies between "
        f"{by_slope[0.01][1]:g} and {by_slope[0.01][2]:g}; it is negative only for a = -0.5."
    )


def _fall(ax: Axes) -> dict[str, list[float]]:
    """Draw the mean derivative by bias, measured by autograd, beside P(h > 0) + a P(h < 0)."""
    from statistics import NormalDist

    from folklore.core import activations
    from folklore.figures import style

    units = {"leaky": activations.leaky_relu, "ReLU": activations.relu, "linear": lambda h: h}
    looks, measured = ("o", "s", "^"), {}
    for (name, f), a, look in zip(units.items(), (CRITERION.settings["slope"], 0.0, 1.0), looks, strict=True):
        measured[name] = [_mean_derivative(f, bias) for bias in BIASES]
        above = [NormalDist().cdf(bias) for bias in BIASES]
        ax.plot(BIASES, [p + a * (1 - p) for p in above], "-", color=style.MUTED, linewidth=0.8)
        shown = [(b, value) for b, value in zip(BIASES, measured[name], strict=True) if value > 0]
        ax.plot(*zip(*shown, strict=True), look, label=name)
    ax.set(yscale="log", ylim=(1e-7, 3), xlabel="bias of the unit", ylabel="mean derivative (lines: theory)")
    ax.invert_xaxis()
    return measured


def _mean_derivative(f: Activation, bias: float) -> float:
    """Over 20,001 quantiles of the standard normal distribution, shifted by the bias."""
    import numpy as np
    import torch
    from scipy.stats import norm

    h = torch.from_numpy(norm.ppf((np.arange(20001) + 0.5) / 20001)) + bias
    return float(_derivative(f, h).mean())


def _leaky(a: float) -> Activation:
    """Leaky ReLU of any slope, from its definition."""
    import torch

    return lambda h: torch.where(h > 0, h, a * h)


def _grid() -> torch.Tensor:
    import torch

    return torch.linspace(-3, 3, 602, dtype=torch.float64)


def _derivative(f: Activation, h: torch.Tensor) -> torch.Tensor:
    import torch

    h = h.clone().requires_grad_()
    return torch.autograd.grad(f(h).sum(), h)[0]


def _missing_signs(values: torch.Tensor) -> float:
    """Share of the two signs that never occur."""
    return 1 - (bool((values > 0).any()) + bool((values < 0).any())) / 2


def _data(given: dict[str, float], *more: int) -> list[torch.Tensor]:
    """Inputs (rows, inputs), weights of one unit, weights of the loss, and matrices of further shapes."""
    import numpy as np
    import torch

    rows, inputs, rng = int(given["rows"]), int(given["inputs"]), np.random.default_rng(1)
    shapes = [(rows, inputs), (inputs,), (rows,), *pairwise(more)]
    return [torch.from_numpy(rng.standard_normal(shape)) for shape in shapes]


def _unit(f: Activation, given: dict[str, float]) -> torch.Tensor:
    """Gradient of a loss by the weights of one unit with the bias of the criterion."""
    import torch

    x, w, by_row = _data(given)
    w.requires_grad_()
    return torch.autograd.grad((by_row * f(x @ w + given["bias"])).sum(), w)[0]


def _finite_differences(f: Activation, given: dict[str, float]) -> float:
    x, w, by_row = _data(given)
    found = slope(lambda: (by_row * f(x @ w + given["bias"])).sum(), w)
    return relative_error(found, _unit(f, given))


def _linear(layers: int) -> float:
    """A net of square layers with slope 1 against the product of its matrices."""
    import torch

    x, _, _, *weights = _data({"rows": 7, "inputs": 6}, *[6] * (layers + 1))
    h = x
    for w in weights:
        h = _leaky(1.0)(h @ w)
    return relative_error(h, x @ torch.linalg.multi_dot(weights))


def _chain(f: Activation, given: dict[str, float]) -> float:
    """Derivative through units that are all negative, weights 1, against the power of the slope."""
    import torch

    layers, bias = int(given["layers"]), given["bias"]
    x = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    h = x
    for _ in range(layers):
        h = f(h + bias)
    (found,) = torch.autograd.grad(h, x)
    return relative_error(found, torch.tensor(given["slope"] ** layers, dtype=torch.float64))


def _by_slope(h: torch.Tensor) -> Table:
    from folklore.stats.findings import Table

    rows = []
    for a in SLOPES:
        f = _leaky(a)
        derivative = _derivative(f, h)
        off = relative_error((a * h).maximum(h), f(h))
        rows.append((a, float(derivative.min()), float(derivative.max()), _bend(h, f(h)), off))
    caption = (
        "Leaky ReLU on [-3, 3] by its slope a: range of the derivative, distance from the best straight line (share "
        "of the standard deviation), and relative error of max(h, a h)."
    )
    columns = (
        "a",
        "smallest derivative",
        "largest derivative",
        "distance from a line",
        "error of the maximum",
    )
    return Table(caption, columns, tuple(rows))


def _bend(h: torch.Tensor, y: torch.Tensor) -> float:
    """What a least-squares line leaves of the standard deviation of y."""
    import numpy as np

    line = np.polyval(np.polyfit(h.numpy(), y.numpy(), 1), h.numpy())
    return float(np.std(y.numpy() - line) / np.std(y.numpy()))
