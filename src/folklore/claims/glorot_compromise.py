"""Unequal widths cannot serve both directions, so Glorot's variance 2/(n_in + n_out) is a compromise

To keep the variance of the signal a layer needs Var(w) = 1/n_in; to keep that of the gradient on its way
back it needs 1/n_out. Where the two widths differ no number is both, and Glorot and Bengio put the mean of
the widths in the denominator: U(-b, b) with b = sqrt(6)/sqrt(n_in + n_out).

We measured what the project's initialiser does to the signal and to the gradient in a single layer, with
evenly spaced numbers in place of random ones, searched numerically for the variance whose larger error is
smallest, and went through all nets of a small bottleneck. The rule of Glorot and Bengio turns out to be the
best compromise in exactly this sense: both errors are equally large, one upward and one downward.

But a net is not one layer. The factors of consecutive layers multiply, and with weights of variance 1/n_in
those of the gradient cancel, n_1/n_0 times n_2/n_1 and so on, until only the ratio of the end widths is
left. The compromise cancels nothing: going to another width and back costs the factor
4 n m/(n + m)^2, which is below one, in both directions, and again for each such pair of layers.

The rule holds if the printed bound gives the printed variance, if it is the mean of the two conditions, and
if no variance meets both, each to a relative error below one in a million.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import all_nets, check, even_weights, unit_inputs
from folklore.claims._variances import off
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="E",
    family="initialisation",
    lectures=(2, 3),
    paper="Glorot & Bengio 2010, equations 10 to 12 and 16",
    reported="the two conditions, the variance 2/(n_in + n_out) as a compromise between them, and the uniform "
    "law that has it",
    limits="Linear units before training. Lecture 3 only recommends the rule. That the compromise is optimal "
    "for one layer does not make it the better choice for a whole net, nor does the reverse: neither is a "
    "statement about learning.",
    formulas=(
        Formula(
            "printed",
            'w_i tilde.op U [-frac(sqrt(6), sqrt(n_"out" + n_"in")); frac(sqrt(6), sqrt(n_"out" + n_"in"))]',
            "the weights are uniform between minus and plus the root of six over the root of the number of outputs plus the "
            "number of inputs",
        ),
        Formula(
            "derived",
            '"Var"(w) = frac(2, n_"in" + n_"out"), quad frac(n_"in" + n_"out", 2) "Var"(w) = 1',
            "the variance of a weight is two over the sum of inputs and outputs, and so the mean of inputs and outputs times "
            "that variance is one",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="For layers 50-400 and 400-50 in float64: the printed bound gives Var(w) = 2/(n_in + n_out), the mean "
    "of n_in Var(w) and n_out Var(w) is 1, and the least possible larger error is that of this variance, not "
    "0; relative errors below 1e-6.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "narrow": 50, "wide": 400, "pairs": 5, "nets": 40},
)
SMALL = (2, 4, 2)
RULES = {
    "1/n_in": lambda a, b: 1 / a,
    "1/n_out": lambda a, b: 1 / b,
    "2/(n_in + n_out)": lambda a, b: 2 / (a + b),
    "1/√(n_in n_out)": lambda a, b: (a * b) ** -0.5,
}


def judge(runs: None, criterion: Criterion) -> Finding:
    """One layer, then layers in a row."""
    from folklore.stats.findings import Finding

    a, b = int(criterion.settings["narrow"]), int(criterion.settings["wide"])
    up, down = even_weights("glorot_uniform", a, b), even_weights("glorot_uniform", b, a)
    variance, worst, gap = 2 / (a + b), _least_error(a, b), (b - a) / (a + b)
    found = [
        ("U(±√6/√(n_in + n_out)) has variance 2/(n_in + n_out)", off((_gains(up)[0], _gains(down)[0]), a * variance, b * variance), "printed"),
        ("so the mean of both conditions is met", off((sum(_gains(up)) / 2, sum(_gains(down)) / 2), 1, 1), "printed"),
        (f"no variance meets both: one error is {gap:.2f} at least", off((worst[1],), gap), "printed"),
        ("2/(n_in + n_out) attains that", off((worst[0],), variance), "printed"),
        ("widths 2-4-2: signal and gradient times 8/9", off(_through("glorot_uniform"), 8 / 9, 8 / 9), "derived"),
        ("Var(w) = 1/n_in: over 2-4-2 both are kept", off(_through("uniform_sqrt3"), 1, 1), "derived"),
    ]  # fmt: skip
    checks = tuple(check(name, error, criterion.settings["tolerance"], form) for name, error, form in found)
    pair = 4 * a * b / (a + b) ** 2
    return Finding(checks=checks, tables=(_by_rule(criterion),), notes=(_note(pair, criterion),))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Signal and gradient by layer in a net whose widths alternate, for Glorot's rule and for 1/n_in."""
    from folklore.figures import claims, style

    style.apply()
    fig, axes = style.new(7.0, ncols=2, sharey=True)
    widths, said = _alternating(CRITERION), []
    arms = {"glorot_uniform": "2/(n_in + n_out)", "uniform_sqrt3": "1/n_in"}
    measured = {init: _measured(init, CRITERION) for init in arms}
    for ax, what, way in zip(axes, ("signal", "gradient"), (0, 1), strict=True):
        for (init, name), colour, marker in zip(arms.items(), style.PALETTE[:2], ("o", "s"), strict=True):
            values = measured[init][way]
            ax.plot(range(len(widths)), values, marker, color=colour, label=f"{name}, measured")
            ax.plot(range(len(widths)), _course(name, widths)[way], "-", color=colour, linewidth=0.9)
            said.append(f"{what} with {name} {values[-1 if way == 0 else 0]:.2g}")
        ax.set(xlabel="layer (0: the inputs)", yscale="log")
    axes[0].set_ylabel("variance of the signal")
    axes[1].set_ylabel("variance of the gradient")
    claims.legend_on_top(axes[0])
    return fig, (
        f"Variance by layer in linear nets of widths {widths[0]}, {widths[1]}, {widths[0]} and so on, left of the signal from "
        "the inputs on, right of the gradient from the last layer back, on logarithmic axes; lines: exact. At "
        f"the far end: {', '.join(said)}."
    )


def _gains(w: torch.Tensor) -> tuple[float, float]:
    """By what a layer multiplies the variance of signals, and of gradients, that point in all directions alike."""
    import torch

    n_in, n_out = w.shape
    signals, sent = n_in**0.5 * torch.eye(n_in, dtype=w.dtype), n_out**0.5 * torch.eye(n_out, dtype=w.dtype)
    leaf = torch.zeros(n_out, n_in, dtype=w.dtype, requires_grad=True)
    gradients = torch.autograd.grad(leaf @ w, leaf, sent)[0]
    return float(((signals @ w) ** 2).mean()), float((gradients**2).mean())


def _least_error(a: int, b: int) -> tuple[float, float]:
    """The variance whose larger error, of a v = 1 and of b v = 1, is least; and that error."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda v: max(abs(a * v - 1), abs(b * v - 1)),
        bounds=(0.5 / max(a, b), 2 / min(a, b)),
        method="bounded",
        options={"xatol": 1e-12, "maxiter": 500},
    )
    return float(found.x), float(found.fun)


def _through(init: str) -> tuple[float, float]:
    """Mean square of the outputs, and of the gradients by the inputs, over all nets of a small bottleneck."""
    import torch

    nets, x = all_nets(init, SMALL), unit_inputs(SMALL[0])
    leaf = x.repeat(len(nets[0]), 1, 1).requires_grad_()
    h = leaf @ nets[0] @ nets[1]
    gradient = torch.autograd.grad(h, leaf, x.expand_as(h))[0]
    return float((h.detach() ** 2).mean()), float((gradient**2).mean())


def _alternating(criterion: Criterion) -> list[int]:
    a, b = int(criterion.settings["narrow"]), int(criterion.settings["wide"])
    return [*[a, b] * int(criterion.settings["pairs"]), a]


def _course(rule: str, widths: list[int]) -> tuple[list[float], list[float]]:
    """Exact variances of signal and gradient at each layer."""
    from itertools import accumulate, pairwise
    from operator import mul

    fans = list(pairwise(widths))
    forward = accumulate((a * RULES[rule](a, b) for a, b in fans), mul, initial=1.0)
    back = accumulate((b * RULES[rule](a, b) for a, b in reversed(fans)), mul, initial=1.0)
    return list(forward), list(back)[::-1]


def _measured(init: str, criterion: Criterion) -> tuple[np.ndarray, np.ndarray]:
    """The same in random nets, averaged."""
    from itertools import pairwise

    import numpy as np
    import torch

    from folklore.core import initializers

    rng, nets = np.random.default_rng(0), int(criterion.settings["nets"])
    widths = _alternating(criterion)
    signals = [torch.from_numpy(rng.standard_normal((nets, 4, widths[0]))).requires_grad_()]
    for fan in pairwise(widths):
        w = np.stack([getattr(initializers, init)(rng, *fan) for _ in range(nets)])
        signals.append(signals[-1] @ torch.from_numpy(w))
    seed = torch.from_numpy(rng.standard_normal(signals[-1].shape))
    gradients = [*torch.autograd.grad(signals[-1], signals[:-1], seed), seed]
    return tuple(np.array([float((s.detach() ** 2).mean()) for s in part]) for part in (signals, gradients))


def _by_rule(criterion: Criterion) -> Table:
    from folklore.stats.findings import Table

    widths, rows = _alternating(criterion), []
    a, b = widths[:2]
    for name in RULES:
        signal, gradient = _course(name, widths)
        rows.append((name, signal[1], gradient[-2], signal[2], gradient[-3], signal[-1], gradient[0]))
    return Table(
        f"Variance of signal and gradient after one layer of widths {a}-{b}-{a}-..., after two, and after "
        f"{len(widths) - 1}, counted from the end where each starts, by the variance of the weights.",
        ("Var(w)", "signal, 1", "gradient, 1", "signal, 2", "gradient, 2", f"signal, {len(widths) - 1}", f"gradient, {len(widths) - 1}"),
        tuple(rows),
    )  # fmt: skip


def _note(pair: float, criterion: Criterion) -> str:
    a, b, pairs = (int(criterion.settings[name]) for name in ("narrow", "wide", "pairs"))
    return (
        f"Over {a}-{b}-{a} Glorot's rule keeps {pair:.3f} of the variance in both directions, over {pairs} such "
        f"pairs {pair**pairs:.2g}. The geometric mean of the widths in the denominator would keep it, and so "
        "would the rule that serves the signal alone."
    )
