"""Before training, the loss should be the logarithm of the number of classes

A first check of any training program: before the first update a classifier of C classes knows nothing, so cross-entropy
should be near log C, which is 2.303 for ten. Anything else points to a fault in the data, the loss or the start.

The number is exact when all logits are equal, as with an output layer of zeros, whatever the labels and the hidden
layers are. For logits that vary with variance v, independently of the labels, the loss is higher, by half of v (1 - 1/C)
to second order; it is never lower on average. So the check presumes that the output layer starts small. We compute the
first loss of the nets that this project trains, for four of its initialisations and for a small and a zero output layer,
beside the exact expectation for Gaussian logits.

He's initialisation is made for layers that a ReLU follows; on the output layer it gives logits of a variance around 2,
and a first loss well above log C, with nothing wrong. Scaling that layer's first weights to a hundredth brings the loss
back without touching the hidden layers. The check has other conditions, too: the mean over rows, not the sum; no penalty
in the printed number; and the labels' shares play no role at zero logits, so unbalanced classes look the same.

The rule holds if nets with a small output layer start within .1 of log C, and the correction for larger ones is as
stated, to a relative error below one in a million.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from folklore.claims._exact import check
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="E",
    family="procedure",
    lectures=(0,),
    paper="cs231n, Neural Networks Part 3, sanity checks",
    reported="look for a first loss of about 2.302 with small weights and ten classes",
    limits="A first loss of log C proves little: a net whose labels are shuffled, or whose inputs are all zero, passes too. "
    "A loss that is too high may be no more than a large output layer.",
    formulas=(
        Formula(
            "right",
            "L_0 = log C",
            "with equal logits the first loss is the logarithm of the number of classes C",
        ),
        Formula(
            "derived",
            "EE[L_0] approx log C + v/2 (1 - 1/C)",
            "with logits of a small variance v the mean first loss is about log C plus half of v times one minus one over C",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="With ten classes the first loss is log C to a relative error of 1e-6 with an output layer of zeros, and within .1 of it "
    "with a small one, for each of 32 starts; the leading term in the variance v of the logits is v (1 - 1/C)/2.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "band": 0.1, "classes": 10, "seeds": 32, "rows": 200},
)
# name: initialisation of all layers, and a factor on the output layer
STARTS = {
    "output layer 0": ("he_normal", 0.0),
    "N(0, .01²)": ("normal_001", 1.0),
    "He, output × .01": ("he_normal", 0.01),
    "U(±1/√n)": ("uniform_fanin", 1.0),
    "Glorot": ("glorot_normal", 1.0),
    "He": ("he_normal", 1.0),
}
SMALL = ("N(0, .01²)", "He, output × .01")
CLASSES = (2, 10, 100, 1000)


def judge(runs: None, criterion: Criterion) -> Finding:
    """First losses of the project's nets, and the expectation for Gaussian logits."""
    from math import log

    from folklore.stats.findings import Finding

    given, tolerance = criterion.settings, criterion.settings["tolerance"]
    band, classes, seeds, rows = given["band"], *(int(given[n]) for n in ("classes", "seeds", "rows"))
    starts = {name: _first(*start, classes, seeds, rows) for name, start in STARTS.items()}
    off = {name: losses - log(classes) for name, (losses, _) in starts.items()}
    found = [
        ("output layer of zeros: log C", float(abs(off["output layer 0"]).max()) / log(classes), "printed")
    ]
    found += [(f"{n}: all starts within the band (excess)", _excess(off[n], band), "printed") for n in SMALL]
    found += [
        (
            "He on the output layer: mean above the band (lack)",
            max(0.0, band - float(off["He"].mean())),
            "derived",
        ),
        ("leading term v (1 - 1/C)/2", _leading_term(classes), "right"),
        (
            "a test of the code: all labels together never below log C, as for any logits (lack)",
            _below(classes),
            "derived",
        ),
        ("expectation, against Gauss-Hermite for C = 2", _two_classes(), "derived"),
    ]
    checks = tuple(check(name, error, tolerance, form) for name, error, form in found)
    tables = (_by_start(starts, classes), _by_classes())
    return Finding(checks=checks, tables=tables, notes=(_note(starts, classes),))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """First losses by start, and by the spread of the logits beside the expectation."""
    import numpy as np

    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.0, ncols=2, width_ratios=(1, 1.1))
    fig.get_layout_engine().set(wspace=0.06)
    given = CRITERION.settings
    classes, seeds, rows = (int(given[n]) for n in ("classes", "seeds", "rows"))
    starts = {name: _first(*start, classes, seeds, rows) for name, start in STARTS.items()}
    base, v = np.log(classes), np.linspace(0, 3.2, 40)
    for y, (losses, variance) in enumerate(starts.values()):
        look = {"marker": claims.MARKERS[y], "color": style.PALETTE[y], "linestyle": ""}
        left.plot(losses, np.full(len(losses), y), alpha=0.5, **look)
        right.plot(variance.mean(), losses.mean(), markersize=7, **look)
    left.axvspan(base - given["band"], base + given["band"], color="#E8E8E8", zorder=0, linewidth=0)
    left.axvline(base, color=style.INK, linewidth=1)
    left.set_yticks(range(len(starts)), list(starts))
    left.set(xlabel="first loss, one mark a start", ylim=(len(starts) - 0.4, -0.6))
    left.grid(axis="y", visible=False)
    right.plot(v, [_expected(value, classes) for value in v], color=style.INK, label="Gaussian logits")
    right.plot(v, base + v * (1 - 1 / classes) / 2, ":", color=style.MUTED, label="leading term")
    right.set(xlabel="variance of the logits", ylabel="first loss")
    claims.legend_above(right, 2)
    said = "; ".join(
        f"{n} {losses.mean():.3f} ({losses.min():.3f} to {losses.max():.3f})"
        for n, (losses, _) in starts.items()
    )
    return fig, (
        f"Left: first loss of {seeds} starts for each initialisation, beside log {classes} = {base:.3f} and a band of "
        f"{given['band']:g} around it; means and ranges: {said}. Right: the means by the variance of the logits, on or little below the "
        "curve expected for Gaussian logits, which bends away from the straight line of its leading term."
    )


@cache
def _first(init: str, factor: float, classes: int, seeds: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """First loss and mean variance of a row's logits, each (S,), of 3 x 100 ReLU nets on standardised noise, labels in turn."""
    import numpy as np
    import torch

    from folklore.core.evaluation import scores
    from folklore.core.networks import Layout, forward, initial

    layout = Layout(inputs=40, classes=classes, depth=3, width=100, activation="relu", norm="none")
    net = initial(layout, [init] * seeds, range(seeds), torch.device("cpu"))
    for tensors in (net.weights, net.biases):
        tensors[:] = [tensor.double() for tensor in tensors]
    net.weights[-1] *= factor
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((rows, 40)))
    _, losses = scores(layout, net, x, torch.arange(rows) % classes)
    logits = forward(layout, net, x.expand(seeds, -1, -1))
    return losses, logits.var(dim=2).mean(dim=1).numpy()


def _excess(off: np.ndarray, band: float) -> float:
    """How far the worst start lies outside the band around log C."""
    return max(0.0, float(abs(off).max()) - band)


@cache
def _expected(variance: float, classes: int) -> float:
    """Expected loss with independent N(0, v) logits: E log sum e^z.

    From log S = integral over u > 0 of (e^-u - e^-uS)/u, where E e^-uS is the C-th power of a mean over one logit.
    """
    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    logits, probability = np.exp(np.sqrt(variance) * nodes), weights / weights.sum()
    s = np.linspace(-45, 6, 4001)  # u = e^s; the integrand is below 1e-16 outside
    u = np.exp(s)
    both = np.exp(-u) - (np.exp(-np.outer(u, logits)) @ probability) ** classes
    return float(both.sum() * (s[1] - s[0]))


def _logits(classes: int) -> torch.Tensor:
    import numpy as np
    import torch

    return torch.from_numpy(np.random.default_rng(classes).standard_normal(classes))


def _mean_loss(logits: torch.Tensor) -> torch.Tensor:
    """The project's loss, averaged over all labels."""
    import torch

    from folklore.core.losses import cross_entropy

    classes = len(logits)
    return cross_entropy(logits.expand(1, classes, -1), torch.arange(classes).view(1, -1))[0]


def _leading_term(classes: int) -> float:
    """Relative error of v (1 - 1/C)/2 against half the second derivative of the loss by the scale of the logits."""
    import torch

    z = _logits(classes)
    curvature = torch.func.hessian(lambda scale: _mean_loss(scale * z))(torch.zeros((), dtype=z.dtype))
    variance = float(z.var())  # the unbiased one: its expectation over independent logits is v
    return abs(float(curvature) / 2 / (variance * (1 - 1 / classes) / 2) - 1)


def _below(classes: int) -> float:
    """How far the loss over all labels falls below log C at any of many scales of the logits."""
    from math import log

    z = _logits(classes)
    return max(
        0.0, *(log(classes) - float(_mean_loss(scale * z)) for scale in (1e-3, 0.1, 0.5, 1.0, 3.0, 10.0))
    )


def _two_classes(variance: float = 1.7) -> float:
    """For C = 2 the difference of the logits is N(0, 2 v), and the loss is its softplus: one integral, another rule."""
    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    direct = np.logaddexp(0, np.sqrt(2 * variance) * nodes) @ weights / weights.sum()
    return abs(_expected(variance, 2) / direct - 1)


def _by_start(starts: dict[str, tuple[np.ndarray, np.ndarray]], classes: int) -> Table:
    from folklore.stats.findings import Table

    rows = []
    for name, (losses, variance) in starts.items():
        v = float(variance.mean())
        rows.append(
            (name, v, *map(float, (losses.mean(), losses.min(), losses.max())), _expected(v, classes))
        )
    return Table(
        "Variance of a row's logits, first loss over all starts (mean, smallest, largest), and the loss expected for Gaussian "
        "logits of that variance. Where the variance differs between rows and nets, the mean is a little lower.",
        ("start", "variance", "first loss", "smallest", "largest", "expected"),
        tuple(rows),
    )


def _by_classes() -> Table:
    from math import log

    from folklore.stats.findings import Table

    rows = tuple(
        (c, log(c), _expected(0.1, c) - log(c), _expected(2.0, c) - log(c), 1 - 1 / c) for c in CLASSES
    )
    return Table(
        "By the number C of classes: log C, what logits of variance .1 and 2 add to it, and the leading term at variance 2.",
        ("C", "log C", "added at .1", "added at 2", "leading term at 2"),
        rows,
    )


def _note(starts: dict[str, tuple[np.ndarray, np.ndarray]], classes: int) -> str:
    from math import log

    losses, variance = starts["He"]
    return (
        f"With He's initialisation on all layers the logits have a variance of {variance.mean():.1f} and the first loss is "
        f"{losses.mean():.2f} on average, {losses.mean() - log(classes):.2f} above log {classes}; single starts range from "
        f"{losses.min():.2f} to {losses.max():.2f}. None of them has a fault."
    )
