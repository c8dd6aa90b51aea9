"""Batch normalisation makes a layer insensitive to the scale of its weights

If the weights of a layer are multiplied by a positive factor, its pre-activations grow by that factor, and so do
their mean and their standard deviation over the batch. Batch normalisation subtracts the one and divides by the
other: the factor cancels. A careless scale at initialisation, or weights that have grown during training, then
do not matter to what the layer computes.

The slide's own formula for this is garbled in the text that we have of it; we took its formula for batch
normalisation instead, z minus the mean over the standard deviation. We scaled the weights of a layer, all
together and each neuron by a factor of its own, and compared outputs and gradients in double precision; the
gradient was also taken by finite differences. Then we did the same with the layer as it is used, which adds a
small eps to the variance.

Without eps, as the slide has it, the cancellation is exact. The gradient by the layer's input does not change,
either, and the gradient by the weights is divided by the factor: larger weights take smaller relative steps, and
since that gradient is always at right angles to the weights of its neuron, every plain step makes them longer.
So the output does not feel the scale, but training does. With eps the layer acts on weights a W as it acts
on W with eps/a^2: large weights make eps disappear, and small ones let it win, until the output fades to nothing.

The rule holds if the output of the layer as printed, without eps, stays the same to one part in a million for
factors from 1/100 to 100.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import check, relative_error, slope
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

    Layer = Callable[[torch.Tensor], torch.Tensor]

CLAIM = Claim(
    kind="E",
    family="normalisation",
    lectures=(1,),
    paper="Ioffe & Szegedy 2015, arXiv:1502.03167, section 3.3",
    reported="scaling the weights changes neither the output nor the gradient by the input, and divides the "
    "gradient by the weights by the factor",
    limits="The scale of a neuron's weights only: to their direction the layer is as sensitive as any other. It "
    "holds for the layer in front of the normalisation, in training, not for the output layer.",
    headline=False,
    formulas=(
        Formula(
            "printed",
            "hat(z)^i = frac(z^i - mu, sigma)",
            "the normalised value is z minus the mean over the standard deviation",
        ),
        Formula(
            "right",
            "frac(a z^i - a mu, sqrt(a^2 sigma^2 + epsilon)) = frac(z^i - mu, sqrt(sigma^2 + epsilon slash a^2))",
            "as the layer is used, with epsilon, weights that are a times as large give what the old ones give with epsilon "
            "over a squared",
        ),
        Formula(
            "derived",
            "frac(a z^i - a mu, a sigma) = hat(z)^i, quad a > 0",
            "without epsilon, weights that are a times as large give the same normalised value, for every positive a",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="Without eps in float64, multiplying the weights by .01, .1, 10 and 100, or each neuron's by a factor of "
    "its own, changes the normalised output by a relative error below 1e-6.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "rows": 64, "inputs": 20, "neurons": 10, "eps": 1e-5},
)
FACTORS = (0.01, 0.1, 10.0, 100.0)
SHOWN = (1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0, 100.0)


def judge(runs: None, criterion: Criterion) -> Finding:
    """Output and gradients of scaled weights, without eps and with it."""
    from folklore.stats.findings import Finding

    eps, (x, w, own, _) = criterion.settings["eps"], _data(criterion)
    y = _exact(x @ w)
    wx, ww = _gradients(_exact, 1.0, criterion)
    scaled = {a: _gradients(_exact, a, criterion) for a in FACTORS}

    def worst(error: Callable[[float], float]) -> float:
        return max(error(a) for a in FACTORS)

    found = [
        ("one factor for all", worst(lambda a: relative_error(_exact(x @ (a * w)), y)), "printed"),
        ("a factor for each neuron", relative_error(_exact(x @ (own * w)), y), "printed"),
        ("gradient by the input unchanged", worst(lambda a: relative_error(scaled[a][0], wx)), "derived"),
        (
            "gradient by the weights divided by a",
            worst(lambda a: relative_error(a * scaled[a][1], ww)),
            "derived",
        ),
        ("gradient at right angles to the weights", _cosine(w, ww), "derived"),
        ("a negative factor turns the sign", relative_error(_exact(x @ (-2 * w)), -y), "derived"),
        (
            "with eps: acts as eps/a^2",
            worst(lambda a: relative_error(_ours(x @ (a * w)), _exact(x @ w, eps / a**2))),
            "derived",
        ),
        ("finite differences agree with autograd", _finite_differences(criterion), "derived"),
    ]
    tolerance = criterion.settings["tolerance"]
    checks = tuple(check(name, error, tolerance, form) for name, error, form in found)
    table = _by_factor(criterion)
    return Finding(checks=checks, tables=(table,), notes=_notes(table))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Change of the output and size of the gradient by the factor, without eps and with it."""
    from folklore.figures import style

    style.apply()
    fig, (left, right) = style.new(7.0, ncols=2)
    factor, exact, ours, gradient = zip(*finding.tables[0].rows, strict=True)
    left.plot(factor, [max(error, 1e-17) for error in exact], "s", label="without eps")
    left.plot(factor, ours, "o", label="eps = 1e-5")
    left.plot(*_theory(), "-", color=style.MUTED, linewidth=0.8, label="theory")
    left.set(xscale="log", yscale="log", xlabel="factor a of the weights", ylabel="change of the output")
    left.legend(loc="center left")
    right.plot(factor, [1 / a for a in factor], "-", color=style.MUTED, linewidth=0.8, label="1/a")
    right.plot(factor, gradient, "o", label="eps = 1e-5")
    right.set(xscale="log", yscale="log", xlabel="factor a of the weights")
    right.set_ylabel("gradient by the weights (a = 1: 1)")
    right.legend(loc="upper right")
    return fig, (
        "Left: relative change of the normalised output when the weights are multiplied by a. Without eps it is "
        f"rounding alone, at most {max(exact):.0e}; with eps = 1e-5 it is {ours[0]:.2g} at a = {factor[0]:g}, "
        f"{ours[2]:.1g} at {factor[2]:g} and falls like 1/a^2 to {ours[-1]:.0e} at {factor[-1]:g}. Right: the gradient "
        "by the weights follows 1/a, but with eps it stops growing at small a: "
        f"{gradient[0]:.3g} times that of a = 1 at a = {factor[0]:g}."
    )


def _theory() -> tuple[list[float], list[float]]:
    """Change of the output by the factor a, as that from eps = 0 to eps/a^2."""
    x, w, _, _ = _data(CRITERION)
    factors = [10 ** (i / 10 - 4) for i in range(61)]
    truth, eps = _exact(x @ w), CRITERION.settings["eps"]
    return factors, [relative_error(_exact(x @ w, eps / a**2), truth) for a in factors]


def _notes(table: Table) -> tuple[str, ...]:
    off = {row[0]: row[2] for row in table.rows}
    return (
        f"With eps = 1e-5, the output is {off[1.0]:.1g} off that of a layer without eps for weights that keep the "
        f"variance, {off[0.1]:.1g} when they are ten times smaller, {off[0.01]:.1g} when a hundred times, and "
        f"{off[1e-4]:.2g} when ten thousand times: then it has almost vanished.",
    )


def _data(criterion: Criterion) -> tuple[torch.Tensor, ...]:
    """Inputs (m, n), weights (n, k) that keep the variance, a factor for each neuron (k,), loss weights (m, k)."""
    import numpy as np
    import torch

    rows, inputs, neurons = (int(criterion.settings[name]) for name in ("rows", "inputs", "neurons"))
    rng = np.random.default_rng(11)
    x, w = rng.standard_normal((rows, inputs)), rng.standard_normal((inputs, neurons)) / inputs**0.5
    own, by_output = 10 ** rng.uniform(-2, 2, neurons), rng.standard_normal((rows, neurons))
    return tuple(torch.from_numpy(array) for array in (x, w, own, by_output))


def _exact(h: torch.Tensor, eps: float = 0.0) -> torch.Tensor:
    """The normalised values from their definition."""
    centred = h - h.mean(dim=0)
    return centred / ((centred**2).mean(dim=0) + eps).sqrt()


def _ours(h: torch.Tensor) -> torch.Tensor:
    """The layer that we train, at its starting values gamma = 1 and beta = 0."""
    import torch

    from folklore.core import norms

    one = torch.ones(1, 1, h.shape[1], dtype=h.dtype)
    return norms.batch(h[None], one, 0 * one, None)[0][0]


def _loss(layer: Layer, x: torch.Tensor, w: torch.Tensor, by_output: torch.Tensor) -> torch.Tensor:
    return (by_output * layer(x @ w).tanh()).sum()


def _gradients(layer: Layer, a: float, criterion: Criterion) -> tuple[torch.Tensor, torch.Tensor]:
    """Of a loss, by the inputs and by the weights, at weights a W."""
    import torch

    x, w, _, by_output = _data(criterion)
    leaves = [x.requires_grad_(), (a * w).requires_grad_()]
    return torch.autograd.grad(_loss(layer, *leaves, by_output), leaves)


def _finite_differences(criterion: Criterion) -> float:
    """By the weights, through our own layer and the one without eps."""
    x, w, _, by_output = _data(criterion)
    errors = []
    for layer in (_ours, _exact):
        sampled = slope(lambda layer=layer: _loss(layer, x, w, by_output), w)
        errors.append(relative_error(sampled, _gradients(layer, 1.0, criterion)[1]))
    return max(errors)


def _cosine(w: torch.Tensor, gradient: torch.Tensor) -> float:
    """Largest cosine of the angle between a neuron's weights and their gradient."""
    return float(((w * gradient).sum(dim=0) / (w.norm(dim=0) * gradient.norm(dim=0))).abs().max())


def _by_factor(criterion: Criterion) -> Table:
    from folklore.stats.findings import Table

    x, w, _, _ = _data(criterion)
    truth, whole = _exact(x @ w), _gradients(_ours, 1.0, criterion)[1].norm()
    rows = []
    for a in SHOWN:
        off = (relative_error(layer(x @ (a * w)), truth) for layer in (_exact, _ours))
        rows.append((a, *off, float(_gradients(_ours, a, criterion)[1].norm() / whole)))
    caption = (
        "Relative change of the normalised output, against weights W without eps, when the weights are a W; and size "
        "of the gradient by the weights, with eps (that of a = 1 is 1)."
    )
    return Table(caption, ("a", "without eps", "eps = 1e-5", "gradient by the weights"), tuple(rows))
