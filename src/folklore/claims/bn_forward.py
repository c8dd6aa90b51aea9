"""Batch normalisation gives mean 0 and variance 1, then scales by gamma and shifts by beta

Batch normalisation takes each feature of a minibatch, subtracts its mean, and divides by its standard
deviation; a learnt scale gamma and a learnt shift beta follow. Three of the lectures print the full algorithm
of the original paper, in which a small eps is added to the variance before the root is taken. Shorter forms
stand elsewhere: lecture 3, and a slide of lecture 4, leave eps out, and the text of lecture 2 calls the scale beta
and the shift gamma, against the algorithm that the same lecture prints a little later.

We evaluated every printed form in double precision, on features whose standard deviations differ widely, one
of which does not vary at all, and compared them with the layer that our nets use and with that of a library.

The full algorithm is right. Because of eps the variance of its output is not 1 but s2/(s2 + eps), where s2 is
the variance of the feature: next to 1 in general, but far below for features that hardly vary. Without eps the
variance is 1, and a feature that does not vary at all, such as the output of a dead unit, is divided by zero.
And with beta and gamma exchanged, the usual starting values (gamma = 1, beta = 0) make the layer forget its
input.

The rule holds if every printed form agrees with the layer to one part in a million, or has mean 0 and variance
1 where that is what it is said to have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import check, relative_error
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="E",
    family="normalisation",
    lectures=(0, 2, 3, 4),
    paper="Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1",
    reported="the full algorithm, with eps inside the root, gamma as scale and beta as shift",
    limits="What the layer computes, not what it is good for. Exchanged names do no harm to someone who uses them "
    "throughout; the check is for those who put one slide's names into the other's code.",
    headline=False,
    formulas=(
        Formula(
            "printed",
            '"lecture 3:" quad hat(x)^((k)) = frac(x^((k)) - EE[x^((k))], sqrt("Var"[x^((k))]))',
            "lecture 3, and a slide of lecture 4 in other letters: the normalised value is x minus its mean, over the root "
            "of its variance",
        ),
        Formula(
            "printed",
            '"lectures 0, 2, 4:" quad hat(x)_i arrow.l frac(x_i - mu_cal(B), sqrt(sigma_cal(B)^2 + epsilon)), quad y_i '
            "arrow.l gamma hat(x)_i + beta",
            "lectures 0, 2 and 4: the normalised value is x minus the mean of the batch, over the root of variance plus "
            "epsilon; the output is gamma times the normalised value plus beta",
        ),
        Formula(
            "printed",
            '"lecture 2:" quad beta dot hat(h) + gamma',
            "the text of lecture 2: beta times the normalised value plus gamma",
        ),
        Formula(
            "right",
            'gamma dot hat(h) + beta, quad "Var"(hat(h)) = frac(s^2, s^2 + epsilon)',
            "gamma times the normalised value plus beta, where the normalised value has the variance s squared over s "
            "squared plus epsilon",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="In float64, on 64 rows with standard deviations from 0 to 1: each printed form equals the layer that we "
    "train, or has mean 0 and variance 1 and finite values where it claims that, to a relative error below 1e-6.",
    metric="relative error, or share not finite",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "rows": 64, "eps": 1e-5},
)
SPREADS = (1.0, 0.1, 0.01, 0.003, 0.001, 0.0)


def judge(runs: None, criterion: Criterion) -> Finding:
    """The printed forms, what they should be, and what follows."""
    import torch
    from torch.nn import functional

    from folklore.stats.findings import Finding

    eps, x, gamma, beta = criterion.settings["eps"], _batch(criterion), *_parameters()
    one, zero, variance = torch.ones_like(gamma), torch.zeros_like(beta), _variance(x)
    normalised, short = _layer(x, one, zero), _normalise(x, 0.0)
    full, hat = _layer(x, gamma, beta), _normalise(x, eps)
    library = functional.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)
    shrunk, row = variance / (variance + eps), x[:1]
    found = [
        ("algorithm 1 (lectures 0, 2, 4)", relative_error(gamma * hat + beta, full), "printed"),
        ("no eps (lectures 3, 4), features that vary", _off_standard(short[:, :-1]), "printed"),
        ("no eps (lectures 3, 4), a constant feature", _not_finite(short[:, -1]), "printed"),
        ("beta h + gamma (lecture 2)", relative_error(beta * hat + gamma, full), "printed"),
        ("gamma h + beta (lecture 2, names exchanged)", relative_error(gamma * hat + beta, library), "right"),
        ("mean 0", float(normalised.mean(dim=0).abs().max()), "right"),
        ("variance s2/(s2 + eps)", relative_error(_variance(normalised), shrunk), "right"),
        ("then mean beta", relative_error(full.mean(dim=0), beta), "derived"),
        (
            "then variance gamma^2 s2/(s2 + eps)",
            relative_error(_variance(full), gamma**2 * shrunk),
            "derived",
        ),
        ("one row: beta, whatever the input", relative_error(_layer(row, gamma, beta)[0], beta), "derived"),
        ("a library's layer is the same", relative_error(library, full), "derived"),
    ]
    checks = tuple(check(name, error, criterion.settings["tolerance"], form) for name, error, form in found)
    table = _by_spread(x, normalised, shrunk, short)
    return Finding(checks=checks, tables=(table,), notes=_notes(table))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Variance of the output by that of the input, and both readings of gamma and beta at their starting values."""
    from folklore.figures import style

    style.apply()
    fig, (left, right) = style.new(7.0, ncols=2)
    _variances(left, finding)
    left.legend(loc="lower right")
    _start(right)
    right.legend(loc="upper left")
    spread, _, measured, _ = zip(*finding.tables[0].rows, strict=True)
    return fig, (
        "Left: variance of the normalised values by the standard deviation s of the feature. The curve s2/(s2 + eps) "
        f"meets all measured points: {measured[0]:.5f} at s = {spread[0]:g}, {measured[3]:.2f} at {spread[3]:g}, "
        f"{measured[4]:.2f} at {spread[4]:g}; without eps it is 1 throughout. Right: output of the layer against its "
        "input at the start (gamma = 1, beta = 0); with gamma as the scale it is a rising line, with the two names "
        "exchanged it is 1 for every input."
    )


def _variances(ax: Axes, finding: Finding) -> None:
    import numpy as np

    eps = CRITERION.settings["eps"]
    s = np.logspace(-4, 0.3, 100)
    ax.plot(s, s**2 / (s**2 + eps), "-", label="s2/(s2 + eps)")
    spread, _, measured, short = zip(*finding.tables[0].rows[:-1], strict=True)
    ax.plot(spread, measured, "o", label="our layer")
    ax.plot(spread, short, "s", markerfacecolor="none", label="without eps")
    ax.set(xscale="log", xlabel="standard deviation s of the feature", ylabel="variance of the output")


def _start(ax: Axes) -> None:
    x = _batch(CRITERION)[:, 0]
    hat = _normalise(x[:, None], CRITERION.settings["eps"])[:, 0]
    ax.plot(x, 1 * hat + 0, "o", markersize=3, label="gamma h + beta")
    ax.plot(x, 0 * hat + 1, "s", markersize=3, label="beta h + gamma")
    ax.set(xlabel="input x", ylabel="output at the start", ylim=(-3, 3.4))


def _batch(criterion: Criterion) -> torch.Tensor:
    """Rows (m, F) with exactly the listed standard deviations, the constant feature at 0."""
    import numpy as np
    import torch

    rng, spreads = np.random.default_rng(3), np.array(SPREADS)
    z = rng.standard_normal((int(criterion.settings["rows"]), len(spreads)))
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    return torch.from_numpy(np.where(spreads > 0, 3.0 + spreads * z, 0.0))


def _parameters() -> tuple[torch.Tensor, torch.Tensor]:
    """gamma and beta (F,) as they may be after training."""
    import numpy as np
    import torch

    rng = np.random.default_rng(4)
    gamma, beta = 1 + 0.3 * rng.standard_normal(len(SPREADS)), rng.standard_normal(len(SPREADS))
    return torch.from_numpy(gamma), torch.from_numpy(beta)


def _layer(x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """The layer that we train, on one batch."""
    from folklore.core import norms

    return norms.batch(x[None], gamma[None, None], beta[None, None], None)[0][0]


def _normalise(x: torch.Tensor, eps: float) -> torch.Tensor:
    """The first three lines of algorithm 1, sums over the m rows written out."""
    m = len(x)
    mean = x.sum(dim=0) / m
    return (x - mean) / (((x - mean) ** 2).sum(dim=0) / m + eps).sqrt()


def _variance(x: torch.Tensor) -> torch.Tensor:
    return x.var(dim=0, correction=0)


def _off_standard(x: torch.Tensor) -> float:
    """How far the worst feature is from mean 0 and variance 1."""
    return float(max(x.mean(dim=0).abs().max(), (_variance(x) - 1).abs().max()))


def _not_finite(x: torch.Tensor) -> float:
    return float((~x.isfinite()).double().mean())


def _by_spread(x: torch.Tensor, normalised: torch.Tensor, shrunk: torch.Tensor, short: torch.Tensor) -> Table:
    from folklore.stats.findings import Table

    without = [value if value == value else "0/0" for value in _variance(short).tolist()]
    columns = (_variance(x).sqrt().tolist(), shrunk.tolist(), _variance(normalised).tolist(), without)
    caption = "Variance of the normalised values by the standard deviation s of the feature."
    return Table(
        caption, ("s", "s2/(s2 + eps)", "our layer", "without eps"), tuple(zip(*columns, strict=True))
    )


def _notes(table: Table) -> tuple[str, ...]:
    weak = table.rows[3]
    return (
        "The algorithm that lectures 0, 2 and 4 print is right; what fails are two short forms, the one without eps "
        "on a feature that does not vary, and the one with beta as the scale.",
        f"A feature with standard deviation {weak[0]:.3g} leaves the layer with variance {weak[2]:.2f}, not 1.",
    )
