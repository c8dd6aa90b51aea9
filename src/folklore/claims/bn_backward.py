"""The gradient formulas of batch normalisation are right as printed

Batch normalisation lets every row of a minibatch act on every other one, because mean and variance are
taken over the batch. Its backward pass is therefore longer than that of other layers: a slide lists the
gradient by the normalised values, by the variance, by the mean, by the input, and by the two parameters
gamma and beta. Such lists get copied into code, so a single wrong symbol matters.

We wrote the layer down once more in double precision, as the slide's own forward pass has it (the variance
is a mean over the m rows of the batch), and compared each printed line with automatic differentiation and
with finite differences, which know nothing of any formula. The intermediate quantities were checked, too:
mean, variance and normalised values were each moved by a small amount while everything computed from them
followed.

The slide divides by m - 1 in two places where the paper divides by m. In the line for the mean this does no
harm, for the sum that is divided is zero. In the line for the input it does: there the printed formula
belongs to another layer, one whose forward pass divides by m - 1 as well, and for that layer we find it to
be right. The error shrinks as the batch grows, which is why nobody notices.

The rule holds if every printed line agrees with the true gradient to a relative error below one in a
million.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import check, relative_error, slope
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Check, Finding, Table

CLAIM = Claim(
    kind="E",
    family="normalisation",
    lectures=(2,),
    paper="Ioffe & Szegedy 2015, arXiv:1502.03167, section 3",
    reported="the same six lines, with m where the slide has m - 1",
    limits="It says nothing about training: with batches of 32 and more the slip changes the gradient by "
    "some thousandths at most, and libraries do not use the printed form.",
    formulas=(
        Formula(
            "printed",
            "frac(partial ell, partial x_i) = frac(partial ell, partial hat(x)_i) dot frac(1, sqrt(sigma_cal(B)^2 + "
            "epsilon)) + frac(partial ell, partial sigma_cal(B)^2) dot frac(2 (x_i - mu_cal(B)), m-1) + frac(partial ell, "
            "partial mu_cal(B)) dot 1/m",
            "the derivative by the input is that by the normalised value over the root of variance plus epsilon, plus that "
            "by the variance times twice the deviation from the mean over m minus one, plus that by the mean over m",
        ),
        Formula(
            "right",
            "frac(partial ell, partial x_i) = frac(partial ell, partial hat(x)_i) dot frac(1, sqrt(sigma_cal(B)^2 + "
            "epsilon)) + frac(partial ell, partial sigma_cal(B)^2) dot frac(2 (x_i - mu_cal(B)), m) + frac(partial ell, "
            "partial mu_cal(B)) dot 1/m",
            "the derivative by the input is that by the normalised value over the root of variance plus epsilon, plus that "
            "by the variance times twice the deviation from the mean over m, plus that by the mean over m",
        ),
        Formula(
            "derived",
            '"as printed for" quad sigma_cal(B)^2 = frac(1, m - 1) sum_(i=1)^m (x_i - mu_cal(B))^2',
            "the printed line belongs to a layer whose variance is the sum of squared deviations over m minus one",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="Each printed line, evaluated in float64 on a batch of 8 rows, has a relative error below 1e-6 "
    "against automatic differentiation, which itself agrees with central finite differences.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "rows": 8, "features": 20, "eps": 1e-5},
)
BATCHES = (4, 8, 16, 32, 64, 128, 256, 512)
OTHER_LAYER = "gradient by the input, for a layer that divides by m - 1 in its forward pass"
LINES = ("normalised value", "variance", "mean", "input", "gamma", "beta")


def judge(runs: None, criterion: Criterion) -> Finding:
    """Every line against autograd on one batch, and the line for the input on batches of many sizes."""
    from folklore.stats.findings import Finding

    rows, tolerance = int(criterion.settings["rows"]), criterion.settings["tolerance"]
    truth, sampled = _autograd(rows, criterion, rows), _finite_differences(rows, criterion)
    printed, right = _formulas(rows, criterion, rows - 1), _formulas(rows, criterion, rows)
    worst = max(relative_error(sampled[line], truth[line]) for line in LINES)
    unbiased = _autograd(rows, criterion, rows - 1)
    matching = _formulas(rows, criterion, rows - 1, variance_divisor=rows - 1)

    def agrees(name, found, true, form):
        return check(name, relative_error(found, true), tolerance, form)

    checks = [agrees(f"gradient by the {n}", printed[n], truth[n], "printed") for n in LINES]
    checks += [agrees(f"gradient by the {n}, with m", right[n], truth[n], "right") for n in ("mean", "input")]
    checks += [
        agrees(OTHER_LAYER, matching["input"], unbiased["input"], "derived"),
        check("finite differences agree with autograd, all six", worst, tolerance, "derived"),
    ]
    return Finding(checks=tuple(checks), tables=(_by_batch(criterion),), notes=_notes(checks))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Errors of all lines, and the error of the printed input gradient by batch size."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(8.4, ncols=2, width_ratios=(1, 1.05))
    shown = [check for check in finding.checks if check.form == "printed"]
    shown += [check for check in finding.checks if check.form == "right"]
    claims.check_errors(left, shown, names={c.name: c.name.removeprefix("gradient by the ") for c in shown})
    claims.legend_above(left, 2)
    sizes, wrong, put_right = zip(*finding.tables[0].rows, strict=True)
    right.plot(sizes, wrong, "P-", color=style.VERDICT_COLOURS["fails"], label="with m − 1, as printed")
    right.plot(sizes, put_right, "s--", color=style.VERDICT_COLOURS["holds"], label="with m")
    right.set(
        xscale="log", yscale="log", xlabel="rows in the batch, m", ylabel="error of the gradient by the input"
    )
    right.set_xticks(sizes[::2], [str(size) for size in sizes[::2]])
    right.set_xticks([], minor=True)
    claims.legend_above(right, 1)
    off = _error(finding.checks, "gradient by the input")
    return fig, (
        "Left: relative error of each printed line for a batch of 8 rows; five agree to rounding, the one "
        f"for the input is off by {off:.2g} as printed. Right: that error by batch size, from "
        f"{wrong[0]:.2g} at {sizes[0]} rows to {wrong[-1]:.2g} at {sizes[-1]}; with m in place of m - 1 it "
        f"is rounding alone, at most {max(put_right):.0e}."
    )


def _notes(checks: list[Check]) -> tuple[str, ...]:
    return (
        f"Of the six printed lines only the gradient by the input is wrong (relative error "
        f"{_error(checks, 'gradient by the input'):.2g} with 8 rows). In the line for the mean the slip is "
        "harmless, because the deviations from the mean add up to zero.",
    )


def _error(checks: tuple[Check, ...] | list[Check], name: str) -> float:
    return next(check.error for check in checks if check.name == name)


def _layer(arguments: dict[str, torch.Tensor], divisor: int, eps: float) -> torch.Tensor:
    """A scalar loss of the layer's output; arguments that are 0 shift mean, variance, normalised values."""
    import torch

    x = arguments["input"]
    mean = x.mean(dim=0) + arguments["mean"]
    variance = ((x - mean) ** 2).sum(dim=0) / divisor + arguments["variance"]
    normalised = (x - mean) / torch.sqrt(variance + eps) + arguments["normalised value"]
    y = arguments["gamma"] * normalised + arguments["beta"]
    return (arguments["weights"] * torch.tanh(y)).sum()  # any loss that bends will do


def _arguments(rows: int, criterion: Criterion) -> dict[str, torch.Tensor]:
    """Inputs (m, F), parameters and loss weights, float64, always the same for one batch size."""
    import numpy as np
    import torch

    rng, features = np.random.default_rng(rows), int(criterion.settings["features"])
    arrays = {
        "input": 1.0 + 2.0 * rng.standard_normal((rows, features)),
        "gamma": 1.0 + 0.5 * rng.standard_normal(features),
        "beta": rng.standard_normal(features),
        "weights": rng.standard_normal((rows, features)),
        "mean": np.zeros(features),
        "variance": np.zeros(features),
        "normalised value": np.zeros((rows, features)),
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _autograd(rows: int, criterion: Criterion, divisor: int) -> dict[str, torch.Tensor]:
    """Gradient of the loss by each quantity, by automatic differentiation."""
    import torch

    arguments = _arguments(rows, criterion)
    for name in LINES:
        arguments[name].requires_grad_()
    loss = _layer(arguments, divisor, criterion.settings["eps"])
    return dict(zip(LINES, torch.autograd.grad(loss, [arguments[name] for name in LINES]), strict=True))


def _finite_differences(rows: int, criterion: Criterion) -> dict[str, torch.Tensor]:
    """The same gradients by central differences."""
    arguments = _arguments(rows, criterion)

    def loss() -> torch.Tensor:
        return _layer(arguments, rows, criterion.settings["eps"])

    return {name: slope(loss, arguments[name]) for name in LINES}


def _formulas(
    rows: int, criterion: Criterion, divisor: int, variance_divisor: int | None = None
) -> dict[str, torch.Tensor]:
    """The six lines; `divisor` stands where m - 1 is printed, `variance_divisor` (m) in the forward pass."""
    import torch

    arguments, eps = _arguments(rows, criterion), criterion.settings["eps"]
    x, gamma = arguments["input"], arguments["gamma"]
    centred = x - x.mean(dim=0)
    root = torch.sqrt((centred**2).sum(dim=0) / (variance_divisor or rows) + eps)
    normalised = centred / root
    by_y = arguments["weights"] * (1 - torch.tanh(gamma * normalised + arguments["beta"]) ** 2)
    by_normalised = by_y * gamma
    by_variance = (by_normalised * centred * -0.5 * root**-3).sum(dim=0)
    by_mean = (by_normalised * -1 / root).sum(dim=0) + by_variance * (-2 * centred).sum(dim=0) / divisor
    by_input = by_normalised / root + by_variance * 2 * centred / divisor + by_mean / rows
    by_gamma, by_beta = (by_y * normalised).sum(dim=0), by_y.sum(dim=0)
    return dict(zip(LINES, (by_normalised, by_variance, by_mean, by_input, by_gamma, by_beta), strict=True))


def _by_batch(criterion: Criterion) -> Table:
    from folklore.stats.findings import Table

    rows = []
    for m in BATCHES:
        truth = _autograd(m, criterion, m)["input"]
        rows.append((m, *(relative_error(_formulas(m, criterion, by)["input"], truth) for by in (m - 1, m))))
    return Table(
        "Relative error of the gradient by the input, by the number m of rows in the batch.",
        ("m", "with m - 1, as printed", "with m"),
        tuple(rows),
    )
