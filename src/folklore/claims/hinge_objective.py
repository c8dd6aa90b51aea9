"""Data loss and penalty add up: the objective of the multiclass support vector machine

A lecture writes the objective of a linear classifier as the mean over rows of a multiclass hinge loss, in which each wrong
class pays for coming closer than 1 to the right one, plus lambda times a penalty R(W): squared entries, absolute
entries, or both (elastic net). The sum is what gradient descent sees, so its gradient must be the sum of two gradients.

We wrote the objective down with loops, as it is printed, and compared it with the library's margin loss, and its
gradient, worked out by hand, with automatic differentiation and with finite differences. Everything agrees, at points
where the objective has a gradient.

It has none at its kinks, where a wrong class is exactly 1 away from the right one or a weight is exactly 0. Finite
differences then return the mean of the slopes on both sides, and automatic differentiation one of several answers,
depending on how the maximum was written. Two more facts are worth knowing. At W = 0 the loss is the number of classes minus
one, a number to compare the first printed loss with. And the 1 in the loss is no free choice: another margin is the same
objective with W and lambda rescaled.

The rule holds if the printed objective and its gradient agree with the references to a relative error below one in a
million.
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

    Problem = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # x (N, D), labels y (N,), weights w (D, C)

CLAIM = Claim(
    kind="E",
    family="regularisation",
    lectures=(4,),
    paper="Weston & Watkins 1999; cs231n, Linear classification",
    reported="the sum over wrong classes of hinges with margin 1, averaged over rows, plus the penalty",
    limits="It is about one formula, not about whether a hinge is a better loss than cross-entropy. PyTorch's loss "
    "divides by the number of classes, the printed one does not; lambda then means something else.",
    formulas=(
        Formula(
            "printed",
            "L = 1/N sum_(i=1)^N sum_(j != y_i) max(0, f(x_i; W)_j - f(x_i; W)_(y_i) + 1) + lambda R(W)",
            "L is the mean over N rows of the sum over all wrong classes j of the larger of zero and the score of class j "
            "minus the score of the right class plus one, and to that lambda times R of W is added",
        ),
        Formula(
            "printed",
            "R(W) = beta norm(W)_2^2 + norm(W)_1",
            "R of W is beta times the sum of squared weights plus the sum of absolute weights; other slides have one of the "
            "two alone",
        ),
        Formula(
            "derived",
            "W = 0 quad arrow.r.double quad L = C - 1",
            "with all weights zero, L is the number of classes minus one",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="Printed objective and gradient agree with the library's loss, with automatic differentiation and with central "
    "differences, for each penalty, to a relative error below 1e-6 in float64.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "rows": 12, "inputs": 6, "classes": 5, "penalty": 0.1, "beta": 0.7},
)
PENALTIES = ("L2", "L1", "elastic net")


def judge(runs: None, criterion: Criterion) -> Finding:
    """Value and gradient for each penalty, then what follows."""
    import torch
    from torch.nn.functional import multi_margin_loss

    from folklore.stats.findings import Finding

    given, tolerance = criterion.settings, criterion.settings["tolerance"]
    classes, penalty, beta = int(given["classes"]), given["penalty"], given["beta"]
    x, y, w = problem = _problem(int(given["rows"]), int(given["inputs"]), classes)
    squares, sizes = torch.linalg.vector_norm(w) ** 2, torch.linalg.vector_norm(w, 1)
    penalties = dict(zip(PENALTIES, (squares, sizes, beta * squares + sizes), strict=True))
    found = []
    for name in PENALTIES:
        library = classes * multi_margin_loss(x @ w, y) + penalty * penalties[name]
        value = _printed(problem, penalty, name, beta)
        found.append((f"value with {name}, against the library", value, library, "printed"))
        by_hand = _gradient(problem, penalty, name, beta)
        auto = torch.func.grad(lambda v, name=name: _objective((x, y, v), penalty, name, beta))(w)
        differences = slope(lambda name=name: _printed(problem, penalty, name, beta), w)
        found.append((f"gradient with {name}, autograd", by_hand, auto, "printed"))
        found.append((f"gradient with {name}, differences", by_hand, differences, "printed"))
    zero = _printed((x, y, torch.zeros_like(w)), penalty, "L2", beta)
    rescaled = 3 * _printed((x, y, w / 3), 3 * penalty, "L2", beta)
    found.append(("W = 0: the loss is classes - 1", zero, torch.tensor(classes - 1.0), "derived"))
    found.append(
        ("margin 3 is margin 1, rescaled", _objective(problem, penalty, "L2", beta, 3.0), rescaled, "derived")
    )
    checks = tuple(check(name, relative_error(a, b), tolerance, form) for name, a, b, form in found)
    return Finding(checks=checks, tables=(_at_a_kink(),), notes=_notes(problem, criterion))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """The loss of one row by its lead, and the objective's slope along one weight."""
    import numpy as np
    import torch

    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.0, ncols=2)
    fig.get_layout_engine().set(wspace=0.06)
    lead = np.linspace(-2, 3, 200)
    left.plot(lead, np.maximum(0, 1 - lead), color=style.PALETTE[0], label="hinge")
    left.plot(lead, np.log1p(np.exp(-lead)), "--", color=style.PALETTE[1], label="cross-entropy")
    left.set(xlabel="score of the right class minus the wrong", ylabel="loss, two classes")
    given = CRITERION.settings
    x, y, w = _problem(int(given["rows"]), int(given["inputs"]), int(given["classes"]))
    along, by_hand, differences = torch.linspace(-1.5, 1.5, 401, dtype=w.dtype), [], []
    for value in along:
        w[0, 0] = value
        by_hand.append(float(_gradient((x, y, w), given["penalty"], "L2", given["beta"])[0, 0]))
    for value in along[::10]:
        one = value.clone().view(1)
        differences.append(float(slope(lambda one=one: _with((x, y, w), one, given), one)[0]))
    right.plot(along, by_hand, color=style.PALETTE[0], label="gradient by hand")
    right.plot(
        along[::10], differences, "o", color=style.INK, markerfacecolor="none", label="finite differences"
    )
    right.set(xlabel="one weight", ylabel="slope of the objective")
    for ax in (left, right):
        claims.legend_above(ax, 1)
    worst = max(check.error for check in finding.checks)
    return fig, (
        "Left: hinge and cross-entropy by the lead of the right class: the hinge is 0 from a lead of 1 on, cross-entropy "
        "never. Right: slope of the objective along one weight, by hand and by finite differences: equal, rising gently "
        f"with the penalty and jumping at each kink. The largest relative error of all checks is {worst:.1g}."
    )


def _problem(rows: int, inputs: int, classes: int) -> Problem:
    import numpy as np
    import torch

    rng = np.random.default_rng(classes)
    x, w = rng.standard_normal((rows, inputs)), 0.6 * rng.standard_normal((inputs, classes))
    return torch.from_numpy(x), torch.from_numpy(rng.integers(classes, size=rows)), torch.from_numpy(w)


def _printed(problem: Problem, penalty: float, name: str, beta: float) -> torch.Tensor:
    """The objective as printed, sum by sum."""
    x, y, w = problem
    total = 0.0
    for row, label in zip(x, y, strict=True):
        scores = row @ w
        total += sum(max(0.0, float(s - scores[label] + 1)) for j, s in enumerate(scores) if j != label)
    return total / len(x) + penalty * _regulariser(w, name, beta)


def _regulariser(w: torch.Tensor, name: str, beta: float) -> torch.Tensor:
    """R(W): squared entries, absolute entries, or beta times the first plus the second."""
    squares, sizes = (w**2).sum(), w.abs().sum()
    return {"L2": squares, "L1": sizes, "elastic net": beta * squares + sizes}[name]


def _objective(problem: Problem, penalty: float, name: str, beta: float, margin: float = 1.0) -> torch.Tensor:
    """The same by matrices, for automatic differentiation and for other margins."""
    import torch

    x, y, w = problem
    scores = x @ w
    gaps = scores - scores.gather(1, y[:, None]) + margin
    wrong = 1 - torch.nn.functional.one_hot(y, scores.shape[1])
    return (wrong * torch.relu(gaps)).sum() / len(x) + penalty * _regulariser(w, name, beta)


def _gradient(problem: Problem, penalty: float, name: str, beta: float) -> torch.Tensor:
    """By hand: each active hinge pulls x towards its column, all of a row's hinges push x from the right one's."""
    import torch

    x, y, w = problem
    scores = x @ w
    active = (scores - scores.gather(1, y[:, None]) + 1 > 0).to(w.dtype)
    active.scatter_(1, y[:, None], 0.0)
    active.scatter_(1, y[:, None], -active.sum(dim=1, keepdim=True))
    by_penalty = {"L2": 2 * w, "L1": torch.sign(w), "elastic net": 2 * beta * w + torch.sign(w)}[name]
    return x.T @ active / len(x) + penalty * by_penalty


def _with(problem: Problem, value: torch.Tensor, given: dict[str, float]) -> torch.Tensor:
    """The objective with one weight replaced."""
    x, y, w = problem
    w[0, 0] = value[0]
    return _printed((x, y, w), given["penalty"], "L2", given["beta"])


def _at_a_kink() -> Table:
    """What is returned for the slope of max(0, s) at s = 0."""
    import torch

    from folklore.stats.findings import Table

    zero, step = torch.zeros((), dtype=torch.float64), 1e-5
    ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "relu(s)": torch.relu,
        "clamp(s, min=0)": lambda s: s.clamp(min=0),
        "maximum(s, 0)": lambda s: torch.maximum(s, torch.zeros_like(s)),
    }
    rows = [(f"autograd, {name}", float(torch.func.grad(hinge)(zero))) for name, hinge in ways.items()]
    sides = {"from the left": (-step, 0.0), "from the right": (0.0, step), "on both sides": (-step, step)}
    rows += [(f"difference {n}", (max(0.0, b) - max(0.0, a)) / (b - a)) for n, (a, b) in sides.items()]
    return Table(
        "Slope of max(0, s) at the kink, s = 0, by the way of asking.", ("way", "slope"), tuple(rows)
    )


def _notes(problem: Problem, criterion: Criterion) -> tuple[str, ...]:
    x, y, w = problem
    gaps = (x @ w) - (x @ w).gather(1, y[:, None]) + 1
    gaps.scatter_(1, y[:, None], float("inf"))
    near, active = float(gaps.abs().min()), int((gaps[gaps.isfinite()] > 0).sum())
    return (
        f"Of {gaps.isfinite().sum()} hinges {active} are active at the point of the checks, and the nearest kink is {near:.2g} of "
        "a score away, far more than the step of the differences.",
    )
