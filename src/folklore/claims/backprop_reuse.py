"""Backpropagation saves work because gradients share their factors

Two lectures present backpropagation as the chain rule plus one idea. Written out, the derivatives by the weights of
different layers begin with the same factors; computed once and handed down from layer to layer, these factors give
all derivatives together.

We took nets of 1 to 50 weight matrices, computed the derivatives of all matrices from the written-out products in three
ways, and counted the multiplications: each line by itself, each line by itself but with one forward pass for all, and
with everything reused. With ten matrices all three agree with automatic differentiation, and the count of the last way
is the one that the library itself reports. Line by line the work grows with the square of the depth, with reuse in
proportion to it: all gradients together cost less than three forward passes, however deep the net is and however many
weights it has.

The saving is not for nothing: every layer's output has to be kept until the way back reaches it. And there is
nothing to save with a single layer. The count includes matrix products only.

The rule holds if reuse gives the same gradients as the separate lines and the library, to a relative error below one
in a million, with no more operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from folklore.claims._exact import check, relative_error
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

    Products = list[tuple[str, int]]

CLAIM = Claim(
    kind="E",
    family="optimisation",
    lectures=(2, 4),
    paper="Rumelhart, Hinton & Williams 1986; Griewank & Walther 2008 (costs)",
    reported="the gradient of a scalar costs a small constant times the function itself",
    limits="Operations are counted, not seconds, and memory is not counted. The line by line way is what the printed formulas "
    "say when read as a program; nobody trains like that.",
    formulas=(
        Formula(
            "printed",
            "frac(partial L, partial x) = frac(partial L, partial z) frac(partial z, partial x)",
            "the derivative of L by x is the derivative of L by z times the derivative of z by x",
        ),
        Formula(
            "derived",
            'N_"reused" = 3 ell - 1, quad N_"alone" = frac(ell (3 ell + 1), 2)',
            "with l weight matrices of one size the gradients take three l minus one matrix products with reuse, and half of "
            "l times three l plus one when each line is computed alone",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="Gradients of all weight matrices with reuse agree with those of the separate lines and with automatic "
    "differentiation to a relative error below 1e-6 in float64, and need no more multiplications.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "rows": 4, "width": 10, "layers": 10},
)
DEPTHS = (1, 2, 3, 5, 10, 20, 50)
ALONE, SHARED, REUSED = "each line alone", "one forward pass", "all reused"


@dataclass
class Counted:
    """Matrix products, with a record (name, multiplications) of each."""

    products: Products

    def __call__(self, name: str, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        self.products.append((name, a.shape[0] * a.shape[1] * b.shape[1]))
        return a @ b

    @property
    def total(self) -> int:
        return sum(operations for _, operations in self.products)


def judge(runs: None, criterion: Criterion) -> Finding:
    """Gradients and operations of the three ways, and the chain rule as printed."""
    from folklore.stats.findings import Finding

    given, tolerance = criterion.settings, criterion.settings["tolerance"]
    rows, width, layers = (int(given[name]) for name in ("rows", "width", "layers"))
    truth, reported = _library(layers, rows, width)
    ways = {way: _way(way, layers, rows, width) for way in (ALONE, SHARED, REUSED)}
    alone, reused = ways[ALONE][1].total, ways[REUSED][1].total
    square = rows * width**2
    expected = square * layers * (3 * layers + 1) // 2
    found = [
        (f"gradients, {way}", max(map(relative_error, gradients, truth)), "printed")
        for way, (gradients, _) in ways.items()
    ]
    found += [
        ("dL/dx = dL/dz dz/dx, whole Jacobians", _chain_rule(rows, width), "printed"),
        ("reuse needs no more operations", max(0.0, reused / alone - 1), "printed"),
        ("operations with reuse: the library's own count", abs(reused / reported - 1), "derived"),
        (
            "operations with reuse: (3 L - 1) products",
            abs(reused / ((3 * layers - 1) * square) - 1),
            "derived",
        ),
        ("operations line by line: L (3 L + 1)/2 products", abs(alone / expected - 1), "derived"),
    ]
    checks = tuple(check(name, error, tolerance, form) for name, error, form in found)
    return Finding(
        checks=checks, tables=(_by_depth(rows, width),), notes=(_note(layers, alone, reused, rows, width),)
    )


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Every product of a net of six layers, and the work by depth."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.0, ncols=2, width_ratios=(1.25, 1))
    fig.get_layout_engine().set(wspace=0.06)
    repeated = _draw_products(left, 6)
    depth, alone, shared, reused, _ = zip(*finding.tables[0].rows, strict=True)
    for i, (name, cost) in enumerate(((ALONE, alone), (SHARED, shared), (REUSED, reused))):
        look = {"marker": claims.MARKERS[i], "linestyle": ("-", "--", "-.")[i], "color": style.PALETTE[i]}
        right.plot(depth, cost, label=name, **look)
    right.set(xscale="log", yscale="log", xlabel="weight matrices", ylabel="work, in forward passes")
    right.set_xticks(depth, [str(d) for d in depth])
    right.set_yticks((2, 5, 10, 20, 50), ("2", "5", "10", "20", "50"))
    right.minorticks_off()
    for ax in (left, right):
        claims.legend_above(ax, 1)
    return fig, (
        "Left: the matrix products behind the gradients of a net of six weight matrices, a row for each gradient; "
        f"{repeated[1]} of the {sum(repeated)} products repeat one that an earlier row has made. Right: work in units of a "
        f"forward pass, for {depth[0]} and {depth[-1]} weight matrices: {ALONE} {alone[0]:.1f} and {alone[-1]:.0f}, "
        f"{SHARED} {shared[0]:.1f} and {shared[-1]:.0f}, {REUSED} {reused[0]:.1f} and {reused[-1]:.1f}."
    )


@cache
def _net(layers: int, rows: int, width: int) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...]]:
    """X and y (n, d) and the weights (d, d) of each layer, float64."""
    import numpy as np
    import torch

    rng = np.random.default_rng(layers)
    x, y = (torch.from_numpy(rng.standard_normal((rows, width))) for _ in range(2))
    return (
        x,
        y,
        tuple(torch.from_numpy(rng.standard_normal((width, width)) / width**0.5) for _ in range(layers)),
    )


def _way(way: str, layers: int, rows: int, width: int) -> tuple[list[torch.Tensor], Counted]:
    """Gradients of all weights, and the products that were made for them."""
    x, y, weights = _net(layers, rows, width)
    times = Counted([])
    if way == REUSED:
        return _reused(times, x, y, weights), times
    kept = _forward(times, x, weights) if way == SHARED else None
    lines = range(layers)
    return [_line(times, x, y, weights, at, kept or _forward(times, x, weights)) for at in lines], times


def _forward(times: Counted, x: torch.Tensor, weights: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    """Outputs of all layers, the input first: tanh, the last one linear."""
    import torch

    outputs = [x]
    for i, w in enumerate(weights):
        h = times(f"forward {i}", outputs[-1], w)
        outputs.append(h if i == len(weights) - 1 else torch.tanh(h))
    return outputs


def _line(
    times: Counted,
    x: torch.Tensor,
    y: torch.Tensor,
    weights: tuple[torch.Tensor, ...],
    at: int,
    outputs: list[torch.Tensor],
) -> torch.Tensor:
    """The gradient by one layer's weights, its factors multiplied from the error on."""
    factor = outputs[-1] - y
    for i in range(len(weights) - 1, at, -1):
        factor = _back(times, factor, weights, outputs, i)
    return times(f"gradient {at}", outputs[at].T, factor)


def _back(
    times: Counted,
    factor: torch.Tensor,
    weights: tuple[torch.Tensor, ...],
    outputs: list[torch.Tensor],
    i: int,
) -> torch.Tensor:
    """The shared factor, handed down through layer i."""
    return times(f"back {i}", factor, weights[i].T) * (1 - outputs[i] ** 2)


def _reused(
    times: Counted, x: torch.Tensor, y: torch.Tensor, weights: tuple[torch.Tensor, ...]
) -> list[torch.Tensor]:
    """One way forward, one way back."""
    outputs = _forward(times, x, weights)
    factor, gradients = outputs[-1] - y, []
    for i in range(len(weights) - 1, -1, -1):
        gradients.insert(0, times(f"gradient {i}", outputs[i].T, factor))
        if i:
            factor = _back(times, factor, weights, outputs, i)
    return gradients


def _library(layers: int, rows: int, width: int) -> tuple[tuple[torch.Tensor, ...], int]:
    """Gradients by automatic differentiation of half the squared error, and the multiplications that it reports."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    x, y, weights = _net(layers, rows, width)
    leaves = [w.clone().requires_grad_() for w in weights]
    with FlopCounterMode(display=False) as counter:
        h = x
        for i, w in enumerate(leaves):
            h = h @ w if i == layers - 1 else torch.tanh(h @ w)
        gradients = torch.autograd.grad(0.5 * ((h - y) ** 2).sum(), leaves)
    return gradients, counter.get_total_flops() // 2  # it counts additions, too


def _chain_rule(rows: int, width: int) -> float:
    """Error of dL/dz times the whole Jacobian dz/dx, for z = tanh(x W1), L = half the squared error of z W2."""
    import torch

    x, y, (first, second) = _net(2, rows, width)

    def hidden(x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x @ first)

    def loss(z: torch.Tensor) -> torch.Tensor:
        return 0.5 * ((z @ second - y) ** 2).sum()

    jacobian = torch.func.jacfwd(hidden)(x)  # (n, h, n, d)
    by_z = torch.func.grad(loss)(hidden(x))
    return relative_error(
        (by_z[..., None, None] * jacobian).sum(dim=(0, 1)), torch.func.grad(lambda x: loss(hidden(x)))(x)
    )


def _by_depth(rows: int, width: int) -> Table:
    from folklore.stats.findings import Table

    found = []
    for layers in DEPTHS:
        costs = [_way(way, layers, rows, width)[1].total for way in (ALONE, SHARED, REUSED)]
        forward = layers * rows * width**2
        found.append((layers, *(cost / forward for cost in costs), layers * width**2 + 1))
    return Table(
        "Work for the gradients of all weights, in units of one forward pass, by the number of weight matrices; beside it one "
        f"forward pass for each weight of layers {width} wide, as one-sided finite differences would need.",
        ("weight matrices", ALONE, SHARED, REUSED, "finite differences"),
        tuple(found),
    )


def _draw_products(ax: Axes, layers: int) -> tuple[int, int]:
    """All products of the separate lines, filled where new and hollow where repeated; how many there are of both."""
    from folklore.figures import style

    x, y, weights = _net(layers, 1, 2)
    order = [f"forward {i}" for i in range(layers)] + [f"back {i}" for i in range(layers - 1, 0, -1)]
    first, again, seen = [], [], set()
    for row, at in enumerate(range(layers - 1, -1, -1)):
        times = Counted([])
        _line(times, x, y, weights, at, _forward(times, x, weights))
        for name, _ in times.products:
            place = (order.index(name) if name in order else len(order), row)
            (again if name in seen else first).append(place)
            seen.add(name)
    look = {"linestyle": "", "marker": "s", "markersize": 7}
    ax.plot(*zip(*first, strict=True), color=style.PALETTE[2], label="computed for the first time", **look)
    ax.plot(
        *zip(*again, strict=True),
        color=style.PALETTE[0],
        markerfacecolor="none",
        label="the same again",
        **look,
    )
    ax.set_yticks(range(layers), [f"by W{layers - row}" for row in range(layers)])
    ax.set_xticks(((layers - 1) / 2, layers + (layers - 2) / 2, len(order)), ("forward", "back", "last"))
    ax.set(xlabel="matrix product", ylabel="gradient", ylim=(layers - 0.4, -0.6))
    ax.grid(visible=False)
    return len(first), len(again)


def _note(layers: int, alone: int, reused: int, rows: int, width: int) -> str:
    forward = layers * rows * width**2
    two = [_way(way, 2, rows, width)[1].total for way in (ALONE, REUSED)]
    return (
        f"With {layers} weight matrices the separate lines need as much work as {alone / forward:.1f} forward passes, with reuse "
        f"as much as {reused / forward:.1f}: {alone / reused:.1f} times less. With two, the lecture's case, the factor is "
        f"{two[0] / two[1]:.1f}."
    )
