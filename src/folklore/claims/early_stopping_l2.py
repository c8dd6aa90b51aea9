"""For linear models, stopping early is the same as an L2 penalty

Gradient descent that starts at zero reaches the strongly curved directions of the loss first and the flat ones last.
An L2 penalty likewise leaves strong directions nearly alone and holds the flat ones near zero. A textbook makes an
equivalence of it, and the lecture repeats that: for a linear model with squared error, stopping after tau steps at
rate alpha does the same as a penalty of strength about 1/(tau alpha).

Both estimates can be written down. Along a direction with curvature h, descent has gone the share 1 - (1 - alpha
h)^tau of the way; with the penalty the share is h/(h + lambda). One lambda can make these equal for one curvature; for
two different ones it cannot as long as alpha h < 1, that is, while no step overshoots. So, read as an equality, the
rule then fails for every data set whose least-squares weights have parts in directions of different curvature, and we
show by how much: the nearest ridge estimate to each point of the path.

What holds exactly is a weaker statement. Stopping early equals a quadratic penalty that has its own strength in each
direction; where descent has hardly begun that strength is 1/(tau alpha), and it fades to nothing where descent is
nearly done. So early stopping spares the strong directions more than ridge does. The mean of stochastic gradient
descent over all drawings of rows with replacement is plain gradient descent. A single run is not, and neither is the
mean over all orders of the rows, the way an epoch takes them.

The rule holds if the ridge estimates of the best lambda and of 1/(tau alpha) equal that of gradient descent to a
relative error below one in a million.
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
    lectures=(2,),
    paper="Goodfellow, Bengio & Courville 2016, section 7.8",
    reported="equivalent for a quadratic loss and a small step, with a strength of about 1/(tau alpha); derived for "
    "curvatures that are small beside that strength",
    limits="Equal or not, both shrink the same directions in the same order, and tuned on validation data they may "
    "predict equally well; that is another question. Nothing here is about nets with hidden layers.",
    formulas=(
        Formula(
            "printed",
            "1 - (1 - alpha h)^tau = frac(h, h + lambda), quad lambda = frac(1, tau alpha)",
            "the lecture's words as the textbook has them: along every direction, with curvature h, descent of tau steps at "
            "rate alpha goes as far as ridge does with lambda equal to one over tau alpha",
        ),
        Formula(
            "right",
            "lambda_h = frac(h (1 - alpha h)^tau, 1 - (1 - alpha h)^tau)",
            "each direction has a lambda of its own, h times what tau steps have left of the way, over what they have gone "
            "of it",
        ),
        Formula(
            "derived",
            "lambda_h arrow.r frac(1, tau alpha) quad (tau alpha h arrow.r 0)",
            "where descent has hardly begun that lambda approaches one over tau alpha",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="On a regression problem with unequal curvatures, the ridge estimate of the best lambda, and that of lambda = "
    "1 / (steps x rate), agree with gradient descent from zero, stopped after 50 steps, to a relative error below 1e-6 in float64.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "rate": 0.4, "steps": 50, "rows": 60, "condition": 100.0},
)
CONDITIONS = (1.0, 2.0, 5.0, 10.0, 100.0, 1000.0)
PROGRESS = (0.001, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)


def judge(runs: None, criterion: Criterion) -> Finding:
    """The best ridge estimate against the stopped one, and what is exactly true instead."""
    from folklore.stats.findings import Finding

    given, tolerance = criterion.settings, criterion.settings["tolerance"]
    rate, steps, rows = given["rate"], int(given["steps"]), int(given["rows"])
    x, y = _data(rows, 5, given["condition"])
    alike, target = _data(rows, 5, 1.0)
    stopped = _descend(x, y, rate, steps)
    found = [
        ("ridge with the best single lambda", _nearest(x, y, stopped), "printed"),
        (
            "ridge with the textbook's lambda = 1/(tau alpha)",
            _distance(x, y, stopped, 1 / (steps * rate)),
            "printed",
        ),
        ("all curvatures equal: ridge, lambda by formula", _alike(alike, target, rate, steps), "right"),
        ("a strength for each direction", relative_error(_tikhonov(x, y, rate, steps), stopped), "right"),
        ("hardly begun: that strength is 1/(tau alpha)", _beginning(rate, steps), "derived"),
        ("mean of SGD over all drawings with replacement", _all_drawings(rate), "derived"),
    ]
    checks = tuple(check(name, error, tolerance, form) for name, error, form in found)
    tables = (_by_progress(rate, steps), _by_condition(rows, rate))
    return Finding(checks=checks, tables=tables, notes=_notes(found, tables, given))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Share of the way by progress, and both paths in a plane of two weights."""
    import numpy as np

    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(6.8, ncols=2)
    fig.get_layout_engine().set(wspace=0.06)
    s = np.geomspace(0.03, 30, 100)
    blue, orange = style.PALETTE[0], style.PALETTE[1]
    left.plot(s, 1 - np.exp(-s), color=blue, label="stopped descent")
    left.plot(s, s / (1 + s), "--", color=orange, label="ridge, λ = 1/(τα)")
    left.set(xscale="log", xlabel="τα × curvature", ylabel="share of the way")
    w, curvatures = np.ones(2), np.array([1.0, 0.05])
    times = np.geomspace(0.05, 200, 60)[:, None]
    descent, ridge = w * (1 - np.exp(-curvatures * times)), w * curvatures / (curvatures + 1 / times)
    right.plot(*descent.T, color=blue, label="stopped descent, by τ")
    right.plot(*ridge.T, "--", color=orange, label="ridge, by λ")
    right.plot(*w, "*", color=style.INK, markersize=9)
    right.annotate("no penalty", w, xytext=(-8, -2), textcoords="offset points", ha="right", va="center")
    right.set(
        xlabel="weight with curvature 1", ylabel="weight, curvature 1/20", xlim=(0, 1.05), ylim=(0, 1.08)
    )
    for ax in (left, right):
        claims.legend_above(ax, 1)
    gap = (1 - np.exp(-s)) - s / (1 + s)
    return fig, (
        "Left: share of the way to the unpenalised weight against tau alpha times curvature; stopped descent lies above "
        f"ridge with lambda = 1/(tau alpha), by at most {gap.max():.2f}, near {s[gap.argmax()]:.1f}. Right: the two paths "
        "from zero to the unpenalised weights in a plane whose directions differ twentyfold in curvature: same ends, "
        "descent goes along the steep weight first and bends more sharply."
    )


def _data(rows: int, inputs: int, condition: float) -> tuple[torch.Tensor, torch.Tensor]:
    """X (n, d) with curvatures X'X/n spread evenly in logarithm from 1 to 1/condition, and y (n,), float64."""
    import numpy as np
    import torch

    rng = np.random.default_rng([rows, inputs])
    left, _ = np.linalg.qr(rng.standard_normal((rows, inputs)))
    right, _ = np.linalg.qr(rng.standard_normal((inputs, inputs)))
    x = np.sqrt(rows) * left * condition ** -np.linspace(0, 0.5, inputs) @ right.T
    return torch.from_numpy(x), torch.from_numpy(x @ rng.standard_normal(inputs) + rng.standard_normal(rows))


def _descend(x: torch.Tensor, y: torch.Tensor, rate: float, steps: int) -> torch.Tensor:
    """Weights after gradient steps on half the mean squared error, from zero."""
    import torch

    w = torch.zeros(x.shape[1], dtype=x.dtype)
    for _ in range(steps):
        w = w - rate * x.T @ (x @ w - y) / len(x)
    return w


def _ridge(x: torch.Tensor, y: torch.Tensor, penalty: torch.Tensor) -> torch.Tensor:
    """Minimiser of half the mean squared error plus half w' P w."""
    import torch

    return torch.linalg.solve(x.T @ x / len(x) + penalty, x.T @ y / len(x))


def _distance(x: torch.Tensor, y: torch.Tensor, stopped: torch.Tensor, strength: float) -> float:
    import torch

    return relative_error(_ridge(x, y, strength * torch.eye(x.shape[1], dtype=x.dtype)), stopped)


def _nearest(x: torch.Tensor, y: torch.Tensor, stopped: torch.Tensor) -> float:
    """Smallest relative error over all lambda, by a search in log lambda around the best of a grid."""
    import numpy as np
    from scipy.optimize import minimize_scalar

    grid = np.linspace(-25, 4, 117)
    best = grid[int(np.argmin([_distance(x, y, stopped, 10**u) for u in grid]))]
    around = (best - 0.25, best + 0.25)
    found = minimize_scalar(
        lambda u: _distance(x, y, stopped, 10**u), bounds=around, method="bounded", options={"xatol": 1e-9}
    )
    return float(found.fun)


def _alike(x: torch.Tensor, y: torch.Tensor, rate: float, steps: int) -> float:
    left = (1 - rate) ** steps  # all curvatures are 1
    return _distance(x, y, _descend(x, y, rate, steps), left / (1 - left))


def _strength(curvature: torch.Tensor, rate: float, steps: int) -> torch.Tensor:
    """The penalty under which a direction of this curvature goes as far as descent does."""
    import torch

    logarithm = steps * torch.log1p(-rate * curvature)
    return -curvature * torch.exp(logarithm) / torch.expm1(logarithm)


def _tikhonov(x: torch.Tensor, y: torch.Tensor, rate: float, steps: int) -> torch.Tensor:
    import torch

    curvatures, directions = torch.linalg.eigh(x.T @ x / len(x))
    return _ridge(x, y, directions * _strength(curvatures, rate, steps) @ directions.T)


def _beginning(rate: float, steps: int) -> float:
    """Relative error of 1/(tau alpha) for a direction that has gone 1e-7 of its way."""
    import torch

    curvature = torch.tensor(1e-7 / (rate * steps), dtype=torch.float64)
    return abs(float(_strength(curvature, rate, steps)) * steps * rate - 1)


def _all_drawings(rate: float, rows: int = 4, steps: int = 5) -> float:
    """Mean weights of SGD with batches of one over all rows^steps drawings, against gradient descent."""
    from itertools import product

    import torch

    x, y = _data(rows, 3, 10.0)
    order = torch.tensor(list(product(range(rows), repeat=steps)))
    w = torch.zeros(len(order), 3, dtype=x.dtype)
    for t in range(steps):
        a, b = x[order[:, t]], y[order[:, t]]
        w = w - rate * ((a * w).sum(dim=1) - b)[:, None] * a
    return relative_error(w.mean(dim=0), _descend(x, y, rate, steps))


def _by_progress(rate: float, steps: int) -> Table:
    import torch

    from folklore.stats.findings import Table

    rows = []
    for s in PROGRESS:
        h = torch.tensor(s / (rate * steps), dtype=torch.float64)
        gone = float(1 - (1 - rate * h) ** steps)
        rows.append((s, gone, s / (1 + s), float(_strength(h, rate, steps)) * rate * steps))
    caption = (
        f"A direction by tau alpha times its curvature: share of the way after {steps} steps at rate {rate:g}, share "
        "with lambda = 1/(tau alpha), and the lambda that it would need instead, in units of 1/(tau alpha)."
    )
    return Table(caption, ("tau alpha curvature", "stopped", "ridge", "lambda needed"), tuple(rows))


def _by_condition(rows: int, rate: float) -> Table:
    from folklore.stats.findings import Table

    found = []
    for condition in CONDITIONS:
        x, y = _data(rows, 5, condition)
        errors = {tau: _nearest(x, y, _descend(x, y, rate, tau)) for tau in (3, 10, 30, 100)}
        found.append((condition, *errors.values()))
    caption = (
        "Relative error of the nearest ridge estimate, by the ratio of the largest to the smallest curvature and by the "
        "step at which descent stops."
    )
    return Table(caption, ("ratio", "3 steps", "10 steps", "30 steps", "100 steps"), tuple(found))


def _notes(found: list, tables: tuple[Table, ...], given: dict[str, float]) -> tuple[str, ...]:
    best, approximate = found[0][1], found[1][1]
    worst = max(max(row[1:]) for row in tables[1].rows)
    return (
        f"With curvatures spread over a factor of {given['condition']:g}, the nearest ridge estimate is off by {best:.2g} of "
        f"the largest weight after {int(given['steps'])} steps, the one at 1/(tau alpha) by {approximate:.2g}; over all cases "
        f"of the second table the nearest one is off by at most {worst:.2g}. With equal curvatures it is exact.",
        "The lambda here stands before half the squared norm, beside half the mean squared error. In the notation of the "
        "lecture, lambda times the sum of squares, it is half as large.",
    )
