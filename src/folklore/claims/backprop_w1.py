"""The printed gradients of a net with two layers of weights are right

The lecture recalls backpropagation on the smallest net that shows the idea: inputs X are multiplied by W1,
bent by a function f, and multiplied by W2; the loss is half the squared error. It prints the derivative by
W2 and by W1 and points out that both begin with the same factor, which is the whole secret of
backpropagation: compute it once.

We compared both lines with automatic differentiation and with finite differences in double precision. The
line for W2 is right once the factors are put in the order, and the transposes supplied, that matrices need.
The line for W1 ends in W1 where it must have X, and no order and no transposes that we tried mend that.
With single numbers and with square matrices the value is wrong. With unequal widths we multiplied the four
factors in every order, each of them as it is and transposed: the few products that have the shape of W1
are wrong, too.

What the line does give, transposes supplied, is the derivative by the data X: the last factor is the one
that belongs to the other half of the product X W1. The right line puts X transposed in front.

The rule holds if both printed lines agree with the true gradient to a relative error below one in a
million, read as generously as the shapes allow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import check, relative_error, slope
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Check, Finding, Table

    Net = dict[str, torch.Tensor]

CLAIM = Claim(
    kind="E",
    family="optimisation",
    lectures=(2,),
    paper="the chain rule; Rumelhart, Hinton & Williams 1986",
    reported="the error of a layer times its input is the gradient by its weights",
    limits="It is a slip of one letter on one slide: no library computes it, and the lesson of the slide, "
    "that the two derivatives share a factor, stands.",
    formulas=(
        Formula(
            "printed",
            "frac(partial L, partial W_2) = -(y - f(X dot W_1) dot W_2) dot f(X dot W_1)",
            "the derivative of L by W two is minus the difference of y and f of X W one times W two, times f of X W one",
        ),
        Formula(
            "printed",
            "frac(partial L, partial W_1) = -(y - f(X dot W_1) dot W_2) dot W_2 f'(X dot W_1) dot W_1",
            "the derivative of L by W one is minus the difference of y and f of X W one times W two, times W two, times the "
            "derivative of f at X W one, times W one",
        ),
        Formula(
            "right",
            "frac(partial L, partial W_1) = -X^top [(y - f(X W_1) W_2) W_2^top dot.o f'(X W_1)]",
            "the derivative of L by W one is minus X transposed times the following: the difference of y and f of X W one "
            "times W two, times W two transposed, multiplied entry by entry by the derivative of f at X W one",
        ),
        Formula(
            "derived",
            "frac(partial L, partial X) = -[(y - f(X W_1) W_2) W_2^top dot.o f'(X W_1)] W_1^top",
            "what ends in W one is the derivative of L by X: minus the difference of y and f of X W one times W two, times W "
            "two transposed, multiplied entry by entry by the derivative of f at X W one, and all of it times W one "
            "transposed",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="Both printed derivatives, read with whatever transposes and order make the shapes fit, have a "
    "relative error below 1e-6 in float64 against automatic differentiation, which itself agrees with "
    "central finite differences.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "rows": 7, "inputs": 5, "hidden": 4, "outputs": 3, "square": 5},
)


def judge(runs: None, criterion: Criterion) -> Finding:
    """Both lines, in the readings that the shapes permit."""
    from folklore.stats.findings import Finding

    given, tolerance = criterion.settings, criterion.settings["tolerance"]
    usual = _net(*(int(given[name]) for name in ("rows", "inputs", "hidden", "outputs")))
    square, numbers = _net(*[int(given["square"])] * 4), _net(1, 1, 1, 1)
    found = [
        ("W2, transposes supplied", usual, "W2", lambda n: n["H"].T @ n["error"], "printed"),
        ("W1, all factors single numbers", numbers, "W1", _literal, "printed"),
        ("W1, square matrices, word for word", square, "W1", _literal, "printed"),
        (
            "W1, square matrices, transposes supplied",
            square,
            "W1",
            lambda n: n["W1"].T @ n["back"],
            "printed",
        ),
        ("W1, X transposed in front", usual, "W1", lambda n: n["X"].T @ n["back"], "right"),
        ("the line printed for W1 is that for X", usual, "X", lambda n: n["back"] @ n["W1"].T, "derived"),
    ]
    checks = [
        check(name, relative_error(line(_values(net)), _autograd(net)[by]), tolerance, form)
        for name, net, by, line, form in found
    ]
    checks += [
        check(f"W1 as {name}", relative_error(value, _autograd(usual)["W1"]), tolerance, "printed")
        for name, value in _fitting(usual).items()
    ]
    checks.append(_finite_differences(usual, tolerance))
    return Finding(checks=tuple(checks), tables=(_shapes(usual),), notes=(_note(checks),))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Errors of all readings."""
    from folklore.figures import claims, style

    style.apply()
    fig, ax = style.new(7.0)
    claims.check_errors(ax, finding.checks, xlabel="relative error (bar: what is tolerated)")
    claims.legend_above(ax, 2)
    said = "; ".join(f"{c.name}: {c.error:.1g}, {'holds' if c.holds else 'fails'}" for c in finding.checks)
    return fig, f"Relative error of each reading of the two printed gradients, against autograd. {said}."


def _net(rows: int, inputs: int, hidden: int, outputs: int) -> Net:
    """X (n, d), W1 (d, h), W2 (h, k) and y (n, k), float64, always the same for the same shapes."""
    import numpy as np
    import torch

    rng = np.random.default_rng([rows, inputs, hidden, outputs])
    shapes = {"X": (rows, inputs), "W1": (inputs, hidden), "W2": (hidden, outputs), "y": (rows, outputs)}
    return {name: torch.from_numpy(rng.standard_normal(shape)) for name, shape in shapes.items()}


def _loss(net: Net) -> torch.Tensor:
    """Half the squared error of y against f(X W1) W2, with f = tanh."""
    import torch

    return 0.5 * ((net["y"] - torch.tanh(net["X"] @ net["W1"]) @ net["W2"]) ** 2).sum()


def _values(net: Net) -> Net:
    """The net with H = f(X W1), its slope f'(X W1), the error -(y - H W2), and that error sent back to H."""
    import torch

    h = torch.tanh(net["X"] @ net["W1"])
    error, slope = -(net["y"] - h @ net["W2"]), 1 - h**2
    return {**net, "H": h, "slope": slope, "error": error, "back": (error @ net["W2"].T) * slope}


def _literal(n: Net) -> torch.Tensor:
    """The line for W1 word for word: its two dots as matrix products, W2 f' element by element."""
    return n["error"] @ (n["W2"] * n["slope"]) @ n["W1"]


def _fitting(net: Net) -> Net:
    """Every matrix product of the printed factors, in whatever order and with whatever transposes, that has the shape of W1."""
    from itertools import pairwise, permutations, product

    import torch

    n = _values(net)
    factors = [
        {name: matrix, f"{name}.T": matrix.T}
        for name, matrix in (("error", n["error"]), ("W2", n["W2"]), ("f'", n["slope"]), ("W1", n["W1"]))
    ]
    found = {}
    for order in permutations(factors):
        for names in product(*order):
            parts = [both[name] for both, name in zip(order, names, strict=True)]
            defined = all(a.shape[1] == b.shape[0] for a, b in pairwise(parts))
            if defined and (len(parts[0]), parts[-1].shape[1]) == n["W1"].shape:
                found[" ".join(names)] = torch.linalg.multi_dot(parts)
    return found


def _autograd(net: Net) -> Net:
    """The true gradients by X, W1 and W2."""
    import torch

    names = ("X", "W1", "W2")
    leaves = {name: net[name].clone().requires_grad_() for name in names}
    return dict(zip(names, torch.autograd.grad(_loss({**net, **leaves}), list(leaves.values())), strict=True))


def _finite_differences(net: Net, tolerance: float) -> Check:
    """Automatic differentiation against central differences, the worst of the three gradients."""
    truth = _autograd(net)
    slopes = {name: slope(lambda: _loss(net), net[name]) for name in truth}
    error = max(relative_error(slopes[name], truth[name]) for name in truth)
    return check("finite differences agree with autograd", error, tolerance, "derived")


def _shapes(net: Net) -> Table:
    """What the last product of the line for W1 comes to with the usual shapes, by reading."""
    from folklore.stats.findings import Table

    n = _values(net)
    readings = {
        "printed: ... W1": (n["back"], n["W1"]),
        "printed: W1 in front": (n["W1"], n["back"]),
        "printed: ... W1 transposed": (n["back"], n["W1"].T),
        "printed: W1 transposed in front": (n["W1"].T, n["back"]),
        "right: X transposed in front": (n["X"].T, n["back"]),
    }
    needed = _size(n["W1"].shape)
    rows = tuple(
        (name, _size(a.shape), _size(b.shape), _product(a, b), needed) for name, (a, b) in readings.items()
    )
    caption = (
        "Shapes of the line for W1 with 7 rows, 5 inputs, 4 hidden units and 3 outputs, f' multiplied entry by entry, by "
        "where the last factor is put."
    )
    return Table(caption, ("reading", "left factor", "right factor", "product", "needed"), rows)


def _product(left: torch.Tensor, right: torch.Tensor) -> str:
    return _size((left.shape[0], right.shape[1])) if left.shape[1] == right.shape[0] else "none"


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(length) for length in shape)


def _note(checks: list[Check]) -> str:
    wrong = [f"{check.error:.2g}" for check in checks if check.form == "printed" and not check.holds]
    return (
        f"As printed, the line for W1 is off by {', '.join(wrong)} times the largest true entry in the {len(wrong)} readings "
        "whose shapes fit."
    )
