"""Small weights because the inputs are noisy

One lecture explains weight decay by noise: if the input is x + e instead of x, the sum w x changes by w e, and to
keep that change small one wants weights near zero.

For a linear unit and squared error this is more than a picture. Averaged over noise of mean 0 and variance s^2 that is
independent between inputs, the loss is the loss without noise plus s^2 times the squared norm of w: an L2 penalty, to
the last digit. We enumerate every sign pattern of a two-valued noise, where the average is exact, and repeat it with
Gaussian noise by quadrature. Least squares on all noisy copies of the data then gives the weights of ridge regression.

The argument has conditions that the slide does not name. If noise is correlated, the penalty is w' C w, and weights
along directions without noise need not be small. Behind a bounded unit such as tanh, large weights silence the
noise just as small ones do, by saturation. And the sign of w x, a classifier's decision, does not care about the size
of w at all: noise flips it equally often for w and for w/1000.

The rule holds if the noise changes w x by s^2 times the squared norm of w in the mean square, and the penalty is
exactly that, to a relative error below one in a million.
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
    lectures=(1,),
    paper="Bishop 1995, Training with noise is equivalent to Tikhonov regularization",
    reported="for small noise the average loss gains a penalty on the slope of the outputs by the inputs; for a linear "
    "model that is an L2 penalty on the weights",
    limits="It explains one penalty on the first layer of a linear model. Weight decay of deep nets acts on all layers, "
    "whose inputs carry other noise, if any.",
    formulas=(
        Formula(
            "printed",
            "z' = w dot x' = w dot (x + epsilon) = z + w dot epsilon",
            "z prime is w times x plus epsilon, which is z plus w times epsilon",
        ),
        Formula(
            "derived",
            "EE[(z' - y)^2] = (z - y)^2 + s^2 norm(w)^2",
            "averaged over independent noise of variance s squared, the squared error is that without noise plus s squared "
            "times the squared norm of w",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="Averaged exactly over independent noise of variance s^2, (w e)^2 and the gain in squared error are both s^2 "
    "times the squared norm of w, to a relative error below 1e-6 in float64.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "noise": 0.3, "rows": 20, "inputs": 8},
)
WEIGHTS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def judge(runs: None, criterion: Criterion) -> Finding:
    """The average over all noise, for two laws of it; the weights that follow; and where the argument stops."""
    import torch

    from folklore.stats.findings import Finding

    given, tolerance = criterion.settings, criterion.settings["tolerance"]
    noise, (x, y, w) = given["noise"], _data(int(given["rows"]), int(given["inputs"]))
    e = _signs(len(w)) * noise
    penalty = noise**2 * (w @ w)
    gain = _loss(x, y, w, e) - ((x @ w - y) ** 2).mean()
    mixed = e @ _correlations(len(w))
    correlated = _loss(x, y, w, mixed) - ((x @ w - y) ** 2).mean()
    covariance = mixed.T @ mixed / len(mixed)
    ridge = torch.linalg.solve(
        x.T @ x / len(x) + noise**2 * torch.eye(len(w), dtype=x.dtype), x.T @ y / len(x)
    )
    found = [
        ("mean square of w e", relative_error(((e @ w) ** 2).mean(), penalty), "printed"),
        ("gain in squared error, two-valued noise", relative_error(gain, penalty), "right"),
        (
            "gain in squared error, Gaussian noise",
            relative_error(_gaussian(x, y, w, noise), penalty),
            "right",
        ),
        ("least squares on all noisy copies is ridge", relative_error(_fitted(x, y, e), ridge), "derived"),
        ("correlated noise: the gain is w' C w", relative_error(correlated, w @ covariance @ w), "derived"),
        (
            "behind tanh, large weights silence noise",
            _behind_tanh(50.0, noise) / _behind_tanh(1.0, noise),
            "derived",
        ),
        (
            "flipped signs: as many for w as for w/1000",
            abs(_flips(x, w, e) - _flips(x, w / 1000, e)),
            "derived",
        ),
    ]
    checks = tuple(check(name, float(error), tolerance, form) for name, error, form in found)
    return Finding(checks=checks, tables=(_by_weight(noise),), notes=_notes(x, w, e, covariance, noise))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """What noise on the input does to the output, by size of the weight, and the loss that it leaves to minimise."""
    import numpy as np

    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(6.8, ncols=2)
    fig.get_layout_engine().set(wspace=0.06)
    noise = CRITERION.settings["noise"]
    sizes = np.geomspace(0.1, 30, 80)
    blue, orange, green = style.PALETTE[:3]
    left.plot(sizes, noise * sizes, color=blue, label="linear unit")
    left.plot(sizes, [_behind_tanh(v, noise) for v in sizes], "--", color=orange, label="tanh unit")
    left.set(xscale="log", xlabel="weight", ylabel="output noise (sd)", ylim=(0, 1.0))
    w, large = np.linspace(-0.2, 1.6, 80), 0.7
    error, penalty = (w - 1) ** 2, large**2 * w**2
    right.plot(w, error, ":", color=style.MUTED, label="without noise")
    right.plot(w, penalty, "-.", color=green, label=f"penalty, noise {large:g}")
    right.plot(w, error + penalty, color=blue, label="mean loss with noise")
    best = 1 / (1 + large**2)
    right.plot(best, (best - 1) ** 2 + (large * best) ** 2, "o", color=blue)
    right.set(xlabel="weight (true: 1)", ylabel="squared error", ylim=(0, 1.6))
    for ax in (left, right):
        claims.legend_above(ax, 1)
    peak = max(sizes, key=lambda v: _behind_tanh(v, noise))
    return fig, (
        f"Left: standard deviation of a unit's output with noise {noise:g} on an input of 1, by weight: it grows in "
        f"proportion for a linear unit; behind tanh it peaks at a weight of {peak:.1f} and then vanishes. Right: squared "
        f"error of a linear unit whose true weight is 1: without noise, the penalty {large:g}^2 w^2, and their sum, the "
        f"mean loss with noise, lowest at {best:.2f}: smaller than 1, not 0."
    )


def _data(rows: int, inputs: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """X (n, d), y (n,) and some weights (d,), float64."""
    import numpy as np
    import torch

    rng = np.random.default_rng(rows)
    x, w = rng.standard_normal((rows, inputs)), rng.standard_normal(inputs)
    return (
        torch.from_numpy(x),
        torch.from_numpy(x @ w + rng.standard_normal(rows)),
        torch.from_numpy(w[::-1].copy()),
    )


def _signs(inputs: int) -> torch.Tensor:
    """All sign patterns (2^d, d): independent noise of variance 1, each pattern equally likely."""
    import torch

    return torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * inputs)


def _correlations(inputs: int) -> torch.Tensor:
    """A matrix that lets neighbouring inputs share their noise."""
    import torch

    return torch.eye(inputs, dtype=torch.float64) + 0.8 * torch.diag(torch.ones(inputs - 1).double(), 1)


def _loss(x: torch.Tensor, y: torch.Tensor, w: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
    """Squared error, averaged over rows and over all noise patterns (M, d)."""
    return (((x[:, None] + e) @ w - y[:, None]) ** 2).mean()


def _gaussian(x: torch.Tensor, y: torch.Tensor, w: torch.Tensor, noise: float) -> torch.Tensor:
    """The gain with Gaussian noise on all inputs: three nodes an input, exact for a quadratic."""
    import torch

    nodes = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64) * 3**0.5
    weights = torch.tensor([1 / 6, 2 / 3, 1 / 6], dtype=torch.float64)
    e = torch.cartesian_prod(*[nodes] * len(w)) * noise
    probability = torch.cartesian_prod(*[weights] * len(w)).prod(dim=1)
    shift = e @ w
    residual = x @ w - y
    return (probability @ ((residual + shift[:, None]) ** 2).mean(dim=1)) - (residual**2).mean()


def _fitted(x: torch.Tensor, y: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
    """Least squares on every row with every noise pattern added."""
    import torch

    copies = (x[:, None] + e).reshape(-1, x.shape[1])
    return torch.linalg.solve(copies.T @ copies, copies.T @ y.repeat_interleave(len(e)))


def _behind_tanh(weight: float, noise: float) -> float:
    """Standard deviation of tanh(w (1 + e)) for noise of two values."""
    from math import tanh

    return abs(tanh(weight * (1 + noise)) - tanh(weight * (1 - noise))) / 2


def _flips(x: torch.Tensor, w: torch.Tensor, e: torch.Tensor) -> float:
    """Share of rows and noise patterns for which the sign of w x changes."""
    return float((((x[:, None] + e) @ w).sign() != (x @ w).sign()[:, None]).double().mean())


def _by_weight(noise: float) -> Table:
    from folklore.stats.findings import Table

    rows = tuple((w, noise * w, _behind_tanh(w, noise)) for w in WEIGHTS)
    caption = f"Standard deviation of the output of a unit with one input of 1 and noise {noise:g} on it, by its weight."
    return Table(caption, ("weight", "linear", "tanh"), rows)


def _notes(
    x: torch.Tensor, w: torch.Tensor, e: torch.Tensor, covariance: torch.Tensor, noise: float
) -> tuple[str, ...]:
    import torch

    spread = torch.linalg.eigvalsh(covariance) / noise**2
    return (
        f"Noise {noise:g} flips the sign of w x in {100 * _flips(x, w, e):.1f} % of all cases, whatever the size of w: the "
        "argument is about a squared error, not about decisions.",
        f"With neighbouring inputs sharing noise, the price of a unit weight runs from {spread[0]:.2g} to {spread[-1]:.2g} "
        "times the variance by direction; one L2 penalty charges all directions alike.",
    )
