"""Dropout is to first order an L2 penalty on features scaled by the inverse Fisher diagonal

A lecture quotes the abstract of Wager, Wang and Liang: for generalised linear models, dropout on the inputs acts like an
L2 penalty after the features have been scaled by an estimate of the inverse diagonal Fisher information. Rare but
telling features then pay less than frequent ones, which a plain L2 penalty cannot do.

For logistic regression we average the loss over all 256 patterns of dropped features, so dropout's penalty is known
exactly. Its leading term in the strength of the noise comes from automatic differentiation, the Fisher information from
the curvature of the log likelihood. The two agree: the leading term is half of r/(1 - r), with r the drop rate, times the
sum of the squared weights, each times its entry of the Fisher diagonal. A plain L2 penalty gives that when features are
divided by the square root of the diagonal. Dividing by the diagonal itself, as the quoted sentence has it word for word,
squares the entries and is not even proportional to the truth.

First order means: in the variance of the noise, all else equal. It does not mean that the quadratic penalty becomes
exact as the rate of dropout goes to zero. A rare drop is rare, not small: it removes a whole feature, and the ratio
of the two penalties tends to a number other than 1, unless the feature's contribution was small. For least squares the
quadratic form is exact at all rates.

The rule holds as quoted if the penalties agree up to one constant to a relative error below one in a million.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import check, dropped, relative_error
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="E",
    family="regularisation",
    lectures=(2,),
    paper="Wager, Wang & Liang 2013, arXiv:1307.1493",
    reported="dropout's penalty for generalised linear models is, to first order, an L2 penalty on rescaled features",
    limits="About dropout on the inputs of a model without hidden layers. The square root missing in the quoted sentence "
    "is a matter of wording, and the idea stands.",
    formulas=(
        Formula(
            "printed",
            "x_j arrow.r frac(x_j, F_j): quad R prop sum_j F_j^2 w_j^2",
            "the quoted words in symbols, features divided by their entry of the Fisher diagonal: the penalty is "
            "proportional to the sum of squared weights, each times the square of its entry",
        ),
        Formula(
            "right",
            "x_j arrow.r frac(x_j, sqrt(F_j)): quad R approx 1/2 frac(r, 1 - r) sum_j F_j w_j^2",
            "features divided by the root of their entry: to first order dropout at rate r is a penalty of half of r over "
            "one minus r, times the sum of squared weights, each times its entry of the Fisher diagonal",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="For logistic regression the leading term of dropout's exact penalty is proportional to the L2 penalty on features "
    "scaled as quoted, to a relative error below 1e-6 of the largest coefficient in float64.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "rows": 40, "features": 8, "drop": 0.5},
)
RATES = (0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9)
SCALES = (0.1, 1.0, 3.0)


def judge(runs: None, criterion: Criterion) -> Finding:
    """The leading term of the exact penalty against the quadratic forms, then the limits of the approximation."""
    from folklore.stats.findings import Finding

    given, tolerance = criterion.settings, criterion.settings["tolerance"]
    drop, (x, y, w) = given["drop"], _data(int(given["rows"]), int(given["features"]))
    fisher, half = _fisher(x, w), 0.5 * drop / (1 - drop)
    leading = _leading_by_feature(x, w, drop)
    small, limit = 1e-4 * w, _limit_of_rare_drops(x, w)
    found = [
        ("features times the inverse diagonal, as quoted", _up_to_factor(fisher**2, leading), "printed"),
        ("features times its inverse root", relative_error(half * fisher, leading), "right"),
        (
            "the same with all weights at once",
            _scaled(x, w, fisher, half) / _leading(x, w, drop) - 1,
            "right",
        ),
        ("weights near 0: exact penalty is the quadratic one", _ratio(x, small, drop) - 1, "derived"),
        ("rare drops: the ratio's limit, in closed form", _slope_at_zero(x, w) / limit - 1, "derived"),
        (
            "least squares: exact at this rate",
            _least_squares(x, y, w, drop) / (half * _squares(x, w)) - 1,
            "derived",
        ),
    ]
    checks = tuple(check(name, abs(float(error)), tolerance, form) for name, error, form in found)
    ratio = float(limit / (0.5 * (fisher * w**2).sum()))
    tables = (_by_feature(fisher, leading), _by_rate(x, w))
    return Finding(checks=checks, tables=tables, notes=(_note(checks[0].error, ratio),))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Coefficients by feature, and exact over quadratic penalty by rate."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.0, ncols=2)
    fig.get_layout_engine().set(wspace=0.06)
    _, fisher, exact, root, quoted = zip(*finding.tables[0].rows, strict=True)
    left.plot(fisher, root, "s--", color=style.VERDICT_COLOURS["holds"], label="inverse root")
    left.plot(fisher, quoted, "P:", color=style.VERDICT_COLOURS["fails"], label="inverse, as quoted")
    left.plot(
        fisher,
        exact,
        "o",
        color=style.INK,
        markerfacecolor="none",
        markersize=8,
        label="dropout, leading term",
    )
    left.set(
        xscale="log", yscale="log", xlabel="Fisher information of the feature", ylabel="penalty on its weight"
    )
    rates, *ratios = zip(*finding.tables[1].rows, strict=True)
    for i, (scale, ratio) in enumerate(zip(SCALES, ratios, strict=True)):
        look = {"marker": claims.MARKERS[i], "linestyle": ("-", "--", "-.")[i], "color": style.PALETTE[i]}
        right.plot(rates, ratio, label=f"weights × {scale:g}", **look)
    right.axhline(1, color=style.MUTED, linestyle=":")
    right.set(xlabel="drop rate", ylabel="exact / quadratic penalty", ylim=(0, 1.3))
    for ax in (left, right):
        claims.legend_above(ax, 1)
    ends = "; ".join(
        f"weights x {s:g}: {r[0]:.2f} to {r[-1]:.2f}" for s, r in zip(SCALES, ratios, strict=True)
    )
    return fig, (
        "Left: penalty on each weight, relative to their mean, against the Fisher information of its feature: dropout's "
        "leading term lies on the line of features divided by the root of the diagonal; the quoted scaling is twice as "
        f"steep. Right: exact over quadratic penalty, from a drop rate of {rates[0]:g} to {rates[-1]:g}: {ends}."
    )


def _data(rows: int, features: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """X (n, d) with features of different sizes, labels y (n,) in 0, 1 and weights w (d,), float64."""
    import numpy as np
    import torch

    rng = np.random.default_rng(features)
    x = rng.standard_normal((rows, features)) * np.geomspace(0.3, 2.0, features)
    w = rng.choice([-1.0, 1.0], features) * rng.uniform(0.3, 0.8, features)
    return torch.from_numpy(x), torch.from_numpy((x @ w > rng.logistic(size=rows)) * 1.0), torch.from_numpy(w)


def _partition(z: torch.Tensor) -> torch.Tensor:
    """A(z) = log(1 + e^z); the loss of a row is A(z) - y z, and the mean over dropout changes only A."""
    import torch

    return torch.nn.functional.softplus(z, threshold=50)


def _penalty(
    x: torch.Tensor, w: torch.Tensor, drop: float, noise: float | torch.Tensor = 1.0
) -> torch.Tensor:
    """Mean loss under inverted dropout minus the loss without, summed over rows; `noise` shrinks the perturbation."""
    patterns, probability = dropped(len(w), 1 - drop)
    factors = 1 + noise * (patterns / (1 - drop) - 1)
    return (probability @ _partition((x * w) @ factors.T).T).sum() - _partition(x @ w).sum()


def _leading(x: torch.Tensor, w: torch.Tensor, drop: float) -> torch.Tensor:
    """Half the second derivative of the exact penalty by the size of the noise, at no noise."""
    import torch

    def penalty(noise: torch.Tensor) -> torch.Tensor:
        return _penalty(x, w, drop, noise)

    return torch.func.hessian(penalty)(torch.zeros((), dtype=x.dtype)) / 2


def _leading_by_feature(x: torch.Tensor, w: torch.Tensor, drop: float) -> torch.Tensor:
    """The same, as a coefficient (d,) of each squared weight: noise on one feature at a time."""
    import torch

    patterns, probability = dropped(1, 1 - drop)
    factor, z = patterns[:, 0] / (1 - drop) - 1, x @ w

    def penalties(noise: torch.Tensor) -> torch.Tensor:
        shifted = z + factor[:, None, None] * (noise * w * x).T  # (2, d, n)
        return (probability @ _partition(shifted).sum(dim=2)).sum()

    zero = torch.zeros(len(w), dtype=x.dtype)
    return torch.func.hessian(penalties)(zero).diagonal() / 2 / w**2


def _fisher(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Diagonal (d,) of the Fisher information: curvature of the negative log likelihood, summed over rows."""
    import torch

    return torch.func.hessian(lambda v: _partition(x @ v).sum())(w).diagonal()


def _scaled(x: torch.Tensor, w: torch.Tensor, fisher: torch.Tensor, half: float) -> torch.Tensor:
    """L2 penalty on the weights of a model of features divided by the root of the diagonal, same predictions."""
    import torch

    scaled = x / fisher.sqrt()
    weights = torch.linalg.solve(scaled.T @ scaled, scaled.T @ (x @ w))
    return half * (weights**2).sum()


def _up_to_factor(found: torch.Tensor, truth: torch.Tensor) -> float:
    """Relative error after the best common factor."""
    return relative_error(found * ((found @ truth) / (found @ found)), truth)


def _ratio(x: torch.Tensor, w: torch.Tensor, drop: float) -> torch.Tensor:
    """Exact over quadratic penalty."""
    return _penalty(x, w, drop) / (0.5 * drop / (1 - drop) * (_fisher(x, w) * w**2).sum())


def _slope_at_zero(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Derivative of the exact penalty by the drop rate, at rate 0, by automatic differentiation."""
    import torch

    return torch.func.grad(lambda drop: _penalty(x, w, drop))(torch.zeros((), dtype=x.dtype))


def _limit_of_rare_drops(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """The same in closed form: one feature gone at a time, the others turned up in balance."""
    import torch

    parts, z = x * w, x @ w
    without = _partition(z[:, None] - parts) - _partition(z)[:, None]
    return (without + parts * torch.sigmoid(z)[:, None]).sum()


def _squares(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Sum of squared weights, each times its entry of the Fisher diagonal of a Gaussian model with unit variance."""
    return ((x * w) ** 2).sum()


def _least_squares(x: torch.Tensor, y: torch.Tensor, w: torch.Tensor, drop: float) -> torch.Tensor:
    """Exact penalty of dropout for half the squared error."""
    patterns, probability = dropped(len(w), 1 - drop)
    outputs = (x * w) @ (patterns / (1 - drop)).T
    return 0.5 * ((probability * (outputs - y[:, None]) ** 2).sum() - ((x @ w - y) ** 2).sum())


def _by_feature(fisher: torch.Tensor, leading: torch.Tensor) -> Table:
    from folklore.stats.findings import Table

    columns = [v / v.mean() for v in (leading, fisher, fisher**2)]
    rows = tuple((j + 1, *(float(v[j]) for v in (fisher, *columns))) for j in range(len(fisher)))
    return Table(
        "Fisher information of each feature, and the penalty on its squared weight relative to the mean of all: leading term "
        "of dropout; L2 after dividing features by the root of the diagonal; L2 after dividing by the diagonal.",
        ("feature", "Fisher", "dropout", "inverse root", "inverse, as quoted"),
        rows,
    )


def _by_rate(x: torch.Tensor, w: torch.Tensor) -> Table:
    from folklore.stats.findings import Table

    rows = tuple((drop, *(float(_ratio(x, scale * w, drop)) for scale in SCALES)) for drop in RATES)
    columns = ("drop rate", *(f"weights x {scale:g}" for scale in SCALES))
    return Table(
        "Exact penalty of dropout over the quadratic one, by drop rate and size of the weights.",
        columns,
        rows,
    )


def _note(quoted: float, ratio: float) -> str:
    return (
        f"Word for word the quoted scaling is off by {quoted:.2g} of the largest coefficient, even after the best constant "
        f"factor. With these weights the exact penalty is {ratio:.2f} times the quadratic one in the limit of rare drops, not 1."
    )
