"""A regulariser is prior information: an L2 penalty is a Gaussian prior

Of the three ways to regularise that a lecture sums up, one is to add prior information. The best known case: who
believes before seeing data that weights are near zero, give or take t, and that the outputs carry noise of standard
deviation s, should report as most probable weights exactly those of ridge regression with a penalty of s^2/(n t^2)
beside the mean squared error.

We compute the most probable weights in four ways that do not use the formula of ridge regression: a Newton step on the
log posterior, conditioning the joint law of weights and outputs, updating the belief row by row, and least squares with
the prior written as extra rows of data. All agree.

Two things follow that are easily overlooked. The right penalty falls as 1/n: a penalty that stays the same while the
data grow stands for a prior that becomes ever more certain. And a prior holds for one choice of units: rescale a
feature, and the same penalty says something else. Whether the information helps depends on whether it is right, too; in
the example here the penalised estimate is worse than the plain one for weights of about one and a half times t and
more.

The rule holds if the minimiser of the penalised loss is the most probable vector of weights to a relative error below
one in a million.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import check, relative_error
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="E",
    family="regularisation",
    lectures=(4,),
    paper="Hoerl & Kennard 1970 (ridge regression); Bishop 2006, section 3.3 (as a prior)",
    reported="the mode of the posterior under a Gaussian prior is the ridge estimate",
    limits="The mode is all that the penalty gives: no uncertainty, and for models that are not linear not the mean either. "
    "The intercept, usually not penalised, has a flat prior. Other penalties are other priors.",
    formulas=(
        Formula(
            "right",
            'op("argmin", limits: #true)_w 1/n norm(y - X w)^2 + lambda norm(w)^2 = op("argmax", limits: #true)_w p(w | y)',
            "the weights that minimise the mean squared error plus lambda times their squared norm are the most probable "
            "weights given the data",
        ),
        Formula(
            "derived",
            "lambda = frac(s^2, n t^2), quad w tilde.op cal(N)(0, t^2), quad y tilde.op cal(N)(X w, s^2)",
            "lambda is s squared over n t squared, where weights are believed normal with mean zero and deviation t, and n "
            "outputs carry normal noise of deviation s",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="The minimiser of mean squared error plus lambda times the squared norm, lambda = s^2/(n t^2), is the mode of the "
    "posterior, computed without it, to a relative error below 1e-6 in float64.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "rows": 25, "inputs": 5, "noise": 0.7, "prior": 0.5},
)
SIZES = (10, 30, 100, 300, 1000, 10000)
BELIEFS = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0)


def judge(runs: None, criterion: Criterion) -> Finding:
    """The ridge estimate against the posterior's mode, found in four ways."""
    from folklore.stats.findings import Finding

    given, tolerance = criterion.settings, criterion.settings["tolerance"]
    noise, prior, (x, y) = given["noise"], given["prior"], _data(int(given["rows"]), int(given["inputs"]))
    ridge = _ridge(x, y, noise**2 / (len(x) * prior**2))
    found = [
        ("Newton step on the log posterior", _mode(x, y, noise, prior), "right"),
        ("joint law, conditioned on the outputs", _conditioned(x, y, noise, prior), "derived"),
        ("belief updated row by row", _row_by_row(x, y, noise, prior), "derived"),
        ("prior as extra rows of data", _extra_rows(x, y, noise, prior), "derived"),
    ]
    checks = [check(name, relative_error(ridge, w), tolerance, form) for name, w, form in found]
    rescaled, kept = _rescaled(x, y, noise, prior)
    checks.append(check("units changed, prior changed with them", rescaled, tolerance, "derived"))
    tables = (_by_rows(noise, prior, len(x)), _by_belief(x, noise, prior))
    return Finding(checks=tuple(checks), tables=tables, notes=(_note(kept),))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Prior, likelihood and posterior of one weight; error of both estimates by size of the true weights."""
    import numpy as np

    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.0, ncols=2)
    fig.get_layout_engine().set(wspace=0.06)
    w, mean, spread, prior = np.linspace(-1.5, 2.5, 200), 1.2, 0.4, 0.5
    share = prior**2 / (prior**2 + spread**2)
    curves = (
        ("prior", 0.0, prior),
        ("likelihood", mean, spread),
        ("posterior", share * mean, share**0.5 * spread),
    )
    for (name, at, sd), dash, colour in zip(curves, (":", "--", "-"), style.PALETTE, strict=False):
        left.plot(
            w, np.exp(-(((w - at) / sd) ** 2) / 2) / (sd * (2 * np.pi) ** 0.5), dash, color=colour, label=name
        )
    left.axvline(share * mean, color=style.INK, linewidth=1)
    left.annotate(
        "ridge", (share * mean, 1.4), xytext=(3, 0), textcoords="offset points", fontsize=8, color=style.INK
    )
    left.set(xlabel="weight", ylabel="density", ylim=(0, 1.55))
    sizes, penalised, plain = zip(*finding.tables[1].rows, strict=True)
    right.plot(sizes, penalised, "o-", color=style.PALETTE[0], label="with the penalty")
    right.plot(sizes, plain, "s--", color=style.PALETTE[1], label="without")
    right.set(
        xlabel="size of the true weights, in units of t", ylabel="expected squared error", ylim=(0, None)
    )
    for ax in (left, right):
        claims.legend_above(ax, 1)
    return fig, (
        f"Left: prior around 0, likelihood around {mean:g}, and the posterior between them, its peak at {share * mean:.2f}, "
        "which is the ridge estimate. Right: expected squared error of the estimated weights by the size of the true ones: "
        f"without the penalty {plain[0]:.2g} throughout, with it from {penalised[0]:.2g} at {sizes[0]:g} to "
        f"{penalised[-1]:.2g} at {sizes[-1]:g} times what the prior expects."
    )


def _data(rows: int, inputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    import numpy as np
    import torch

    rng = np.random.default_rng([rows, inputs])
    x = rng.standard_normal((rows, inputs)) @ (np.eye(inputs) + 0.4)  # correlated inputs
    return torch.from_numpy(x), torch.from_numpy(x @ rng.standard_normal(inputs) + rng.standard_normal(rows))


def _eye(x: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.eye(x.shape[1], dtype=x.dtype)


def _ridge(x: torch.Tensor, y: torch.Tensor, strength: float) -> torch.Tensor:
    """Minimiser of the mean squared error plus strength times the squared norm, (d,)."""
    import torch

    return torch.linalg.solve(x.T @ x / len(x) + strength * _eye(x), x.T @ y / len(x))


def _mode(x: torch.Tensor, y: torch.Tensor, noise: float, prior: float) -> torch.Tensor:
    """One Newton step from zero on the log posterior, with derivatives by autograd; it is quadratic."""
    import torch
    from torch.distributions import Normal

    def log_posterior(w: torch.Tensor) -> torch.Tensor:
        return Normal(x @ w, noise).log_prob(y).sum() + Normal(0.0, prior).log_prob(w).sum()

    zero = torch.zeros(x.shape[1], dtype=x.dtype)
    curvature = torch.func.hessian(log_posterior)(zero)
    return -torch.linalg.solve(curvature, torch.func.grad(log_posterior)(zero))


def _conditioned(x: torch.Tensor, y: torch.Tensor, noise: float, prior: float | torch.Tensor) -> torch.Tensor:
    """Mean of w given y from their joint Gaussian law, Cov(w, y) Var(y)^-1 y; prior: one deviation, or one a weight (d,)."""
    import torch

    covariance = (prior**2 * _eye(x)) @ x.T
    outputs = x @ covariance + noise**2 * torch.eye(len(x), dtype=x.dtype)
    return covariance @ torch.linalg.solve(outputs, y)


def _row_by_row(x: torch.Tensor, y: torch.Tensor, noise: float, prior: float) -> torch.Tensor:
    """Belief (mean, covariance) corrected by one row after the other, as a Kalman filter does."""
    import torch

    mean, covariance = torch.zeros(x.shape[1], dtype=x.dtype), prior**2 * _eye(x)
    for row, target in zip(x, y, strict=True):
        gain = covariance @ row / (row @ covariance @ row + noise**2)
        mean = mean + gain * (target - row @ mean)
        covariance = covariance - torch.outer(gain, row @ covariance)
    return mean


def _extra_rows(x: torch.Tensor, y: torch.Tensor, noise: float, prior: float) -> torch.Tensor:
    """Least squares with one more row a weight, which says that it was once measured to be 0."""
    import torch

    rows = torch.cat([x / noise, _eye(x) / prior])
    targets = torch.cat([y / noise, torch.zeros(x.shape[1], dtype=x.dtype)])
    return torch.linalg.solve(rows.T @ rows, rows.T @ targets)


def _rescaled(x: torch.Tensor, y: torch.Tensor, noise: float, prior: float) -> tuple[float, float]:
    """Relative change of the predictions when a feature is given in ten times larger units: prior changed with it, and not."""
    units = _eye(x).diagonal().clone()
    units[0] = 0.1
    before, scaled = x @ _conditioned(x, y, noise, prior), x * units
    changed, kept = (scaled @ _conditioned(scaled, y, noise, belief) for belief in (prior / units, prior))
    return relative_error(changed, before), relative_error(kept, before)


def _by_rows(noise: float, prior: float, fixed_at: int) -> Table:
    from folklore.stats.findings import Table

    fixed = noise**2 / (fixed_at * prior**2)
    rows = tuple((n, noise**2 / (n * prior**2), noise / (n * fixed) ** 0.5) for n in SIZES)
    return Table(
        f"By the number n of rows: the lambda that stands for a prior of standard deviation {prior:g} with noise {noise:g}, and "
        f"the standard deviation of the prior that lambda = {fixed:.3g}, right at {fixed_at} rows, stands for.",
        ("n", "lambda for this prior", "prior of the fixed lambda"),
        rows,
    )


def _by_belief(x: torch.Tensor, noise: float, prior: float) -> Table:
    """Exact expectation over the noise of the outputs, averaged over directions of the true weights."""
    import torch

    from folklore.stats.findings import Table

    gram = x.T @ x
    share = torch.linalg.solve(gram + (noise / prior) ** 2 * _eye(x), gram)  # E[estimate] = share @ truth
    inverse = torch.linalg.inv(gram)
    variance = noise**2 * (share @ inverse @ share.T).trace()
    bias = ((share - _eye(x)) ** 2).sum()
    plain = float(noise**2 * inverse.trace())
    rows = tuple((k, float(variance + (k * prior) ** 2 * bias), plain) for k in BELIEFS)
    return Table(
        "Expected squared error of the weights, by their true size (root mean square) in units of the prior's t.",
        ("true size / t", "with the penalty", "without"),
        rows,
    )


def _note(kept: float) -> str:
    return (
        f"Giving one feature in ten times larger units, with the penalty left as it is, moves the predictions by {kept:.2g} of "
        "the largest: the penalty is information about weights in certain units, hence the advice to standardise first."
    )
