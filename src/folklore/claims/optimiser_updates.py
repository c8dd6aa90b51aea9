"""Each optimiser does what its name promises

The lectures name six rules that turn gradients into steps: SGD, which they print, and momentum, Adagrad, Adadelta, RMSprop
and Adam, which they only list. A comparison of optimisers, ours included, is worth something only if the code behind each
name is the rule that goes by it.

The printed rule and the six rules that this project trains with ran for 200 steps on a noisy regression problem in
double precision beside those of the PyTorch library. As a second opinion every rule was written down without any
running state, as weighted sums over all past gradients: momentum is a sum whose weights together approach 1/(1 - mu), and
Adam divides a weighted mean of the gradients by the root of a weighted mean of their squares, which is what its bias
corrections amount to.

Names hide choices, and the tables show some. At its first step SGD moves by the rate times the gradient; Adagrad and Adam
move by the rate whatever the gradient; RMSprop, uncorrected, by ten times the rate. With the rate inside the velocity,
as in older texts, momentum is the same rule while the rate is constant, and another one once it changes. So one rate
means different things under different names, and every rule needs its own.

The rule holds if the printed update reproduces the library's SGD; all six must reproduce the library's, each to a relative
error below one in a million. The sums are checked against the library beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import check, relative_error
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

    Gradient = Callable[[torch.Tensor, int], torch.Tensor]  # of weights, at step t = 1, 2, ...

CLAIM = Claim(
    kind="E",
    family="optimisation",
    lectures=(3, 4),
    paper="Polyak 1964; Duchi et al. 2011; Zeiler 2012; Tieleman & Hinton 2012; Kingma & Ba 2015",
    reported="the update rules",
    limits="That a rule is right says nothing about whether it is good. Libraries differ in details (where the small "
    "constant goes, what the averages start from), and their defaults are not each other's.",
    formulas=(
        Formula(
            "printed",
            'x_(t+1) = x_t - "learning rate" dot d x',
            "the next x is x minus the learning rate times the derivative by x",
        ),
        Formula(
            "derived",
            "x_(t+1) = x_t - eta frac(overline(g_t), sqrt(overline(g_t^2)) + epsilon)",
            "Adam without running state: the next x is x minus the rate eta times the weighted mean of all gradients so far, "
            "over the root of the weighted mean of their squares plus epsilon",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="After every one of 200 steps on a noisy regression problem the printed SGD rule, and the project's six rules, "
    "have the weights that torch.optim has, to a relative error below 1e-6 in float64.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "steps": 200, "rate": 0.01, "momentum": 0.9},
)
LIBRARY = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "adagrad": ("Adagrad", {}),
    "adadelta": ("Adadelta", {}),
    "rmsprop": ("RMSprop", {}),
    "adam": ("Adam", {}),
}
NAMES = {
    "sgd": "SGD",
    **{level: level.capitalize() for level in LIBRARY if level not in ("sgd", "rmsprop")},
    "rmsprop": "RMSprop",
}
GRADIENTS = (1e-6, 1e-3, 1.0, 1e3)


def judge(runs: None, criterion: Criterion) -> Finding:
    """Paths of the printed rule, of the project's rules and of the sums, against the library's."""
    from folklore.stats.findings import Finding

    given, tolerance = criterion.settings, criterion.settings["tolerance"]
    steps, rate, mu = int(given["steps"]), given["rate"], given["momentum"]
    start, gradient = _problem()
    library = {level: _library(level, start, gradient, steps, rate) for level in LIBRARY}
    found = [
        (
            "SGD, as printed",
            relative_error(_as_printed(start, gradient, steps, rate), library["sgd"]),
            "printed",
        )
    ]
    for level, path in library.items():
        ours = _project(level, start, gradient, steps, rate, mu)
        sums = _sums(level, start, gradient, steps, rate)
        found.append((f"{NAMES[level]}, as trained here", relative_error(ours, path), "printed"))
        found.append((f"{NAMES[level]}, as sums over the past", relative_error(sums, path), "derived"))
    inside = _rate_inside(start, gradient, [rate] * steps, mu)
    found.append(
        ("rate inside the velocity, constant", relative_error(inside, library["momentum"]), "derived")
    )
    checks = tuple(check(name, error, tolerance, form) for name, error, form in found)
    return Finding(
        checks=checks, tables=(_first_steps(), _later_steps()), notes=_notes(start, gradient, steps, rate, mu)
    )


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Length of the steps under a gradient of 1, and paths in a narrow valley."""
    import torch

    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.0, ncols=2)
    fig.get_layout_engine().set(wspace=0.06)
    valley = torch.tensor([0.2, 4.0], dtype=torch.float64).view(1, 2, 1)
    start = torch.tensor([-2.0, 0.6], dtype=torch.float64).view(1, 2, 1)
    rates = {"sgd": 0.2, "momentum": 0.05, "adagrad": 0.5, "adadelta": 20.0, "rmsprop": 0.05, "adam": 0.2}
    dashes, lengths = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1))), {}
    for i, level in enumerate(LIBRARY):
        look = {"color": style.PALETTE[i], "linestyle": dashes[i], "label": NAMES[level]}
        lengths[level] = _lengths(level, 1.0, 300)
        left.plot(range(1, 301), lengths[level], **look)
        path = _project(level, start, lambda w, t: valley * w, 40, rates[level], 0.9)
        right.plot(
            *torch.cat([start, path[:, 0]]).squeeze(-1).T,
            marker=claims.MARKERS[i],
            markevery=4,
            markersize=3.5,
            **look,
        )
    left.set(xscale="log", yscale="log", xlabel="step", ylabel="step / rate, gradient 1")
    right.plot(0, 0, "*", color=style.INK, markersize=9)
    right.set(xlabel="flat direction", ylabel="steep direction")
    claims.legend_on_top(right, 6)
    said = ", ".join(f"{NAMES[n]} {v[0]:.2g} and {v[-1]:.2g}" for n, v in lengths.items())
    return fig, (
        "Left: length of the first 300 steps in units of the rate under a constant gradient of 1, first and last: "
        f"{said}. Right: 40 steps of each rule in a valley twenty times steeper across than along, each with a rate "
        "that suits it: SGD falls across first and then creeps along; momentum and Adam swing about the minimum; Adagrad, "
        "Adadelta and RMSprop come in on a slant."
    )


def _problem() -> tuple[torch.Tensor, Gradient]:
    """Initial weights (1, 5, 1), and the gradient of the squared error of 8 fresh rows at every step."""
    import numpy as np
    import torch

    scales = np.array([3.0, 1.0, 0.5, 0.2, 0.1])
    true = np.array([1.0, -2.0, 0.5, 3.0, -1.0])

    def gradient(w: torch.Tensor, t: int) -> torch.Tensor:
        rng = np.random.default_rng([7, t])
        x = rng.standard_normal((8, 5)) * scales
        y = x @ true + 0.3 * rng.standard_normal(8)
        rows, targets = torch.from_numpy(x), torch.from_numpy(y)
        return (rows.T @ (rows @ w.view(-1) - targets) / 8).view(w.shape)

    return torch.zeros(1, 5, 1, dtype=torch.float64), gradient


def _as_printed(start: torch.Tensor, gradient: Gradient, steps: int, rate: float) -> torch.Tensor:
    """x(t+1) = x(t) - rate dx; weights after each step, (T, 1, 5, 1), as all functions below return them."""
    import torch

    w, path = start, []
    for t in range(1, steps + 1):
        w = w - rate * gradient(w, t)
        path.append(w)
    return torch.stack(path)


def _library(level: str, start: torch.Tensor, gradient: Gradient, steps: int, rate: float) -> torch.Tensor:
    """The rule of torch.optim, its other settings left at their defaults."""
    import torch

    name, options = LIBRARY[level]
    w, path = torch.nn.Parameter(start.clone()), []
    optimizer = getattr(torch.optim, name)([w], lr=rate, **options)
    for t in range(1, steps + 1):
        w.grad = gradient(w.detach(), t)
        optimizer.step()
        path.append(w.detach().clone())
    return torch.stack(path)


def _project(
    level: str, start: torch.Tensor, gradient: Gradient, steps: int, rate: float, mu: float
) -> torch.Tensor:
    """The level that this project trains with."""
    import torch

    from folklore.core import optimizers
    from folklore.core.updates import slots

    rule, w, path = getattr(optimizers, level), start, []
    state = {name: torch.zeros_like(w) for name in slots(rule)}
    lr, momentum = (torch.full((1, 1, 1), v, dtype=torch.float64) for v in (rate, mu))
    for t in range(1, steps + 1):
        w, *later = rule(w, gradient(w, t), lr, momentum, float(t), **state)
        state = dict(zip(state, later, strict=True))
        path.append(w)
    return torch.stack(path)


def _sums(level: str, start: torch.Tensor, gradient: Gradient, steps: int, rate: float) -> torch.Tensor:
    """Every step from sums over all gradients so far; nothing is updated but the weights and Adadelta's own steps."""
    import torch

    w, path, past, moved = start, [], [], [torch.zeros_like(start)]
    for t in range(1, steps + 1):
        past.append(gradient(w, t))
        step = _step(level, torch.stack(past), torch.stack(moved))
        moved.append(step)
        w = w - rate * step
        path.append(w)
    return torch.stack(path)


def _step(level: str, g: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
    """The step before the rate, from all gradients (t, ...) and all earlier steps (t, ...)."""
    if level == "sgd":
        return g[-1]
    if level == "momentum":
        return _weighted(g, 0.9)
    if level == "adagrad":
        return g[-1] / ((g**2).sum(dim=0).sqrt() + 1e-10)
    if level == "rmsprop":
        return g[-1] / ((0.01 * _weighted(g**2, 0.99)).sqrt() + 1e-8)
    if level == "adadelta":
        ratio = (0.1 * _weighted(moved**2, 0.9) + 1e-6) / (0.1 * _weighted(g**2, 0.9) + 1e-6)
        return ratio.sqrt() * g[-1]
    return _mean(g, 0.9) / (_mean(g**2, 0.999).sqrt() + 1e-8)


def _weighted(values: torch.Tensor, decay: float) -> torch.Tensor:
    """Sum over the first axis with weights decay^age, the newest value at age 0."""
    import torch

    ages = torch.arange(len(values) - 1, -1, -1, dtype=values.dtype)
    return torch.tensordot(decay**ages, values, dims=1)


def _mean(values: torch.Tensor, decay: float) -> torch.Tensor:
    import torch

    return _weighted(values, decay) / _weighted(torch.ones_like(values), decay)


def _rate_inside(start: torch.Tensor, gradient: Gradient, rates: list[float], mu: float) -> torch.Tensor:
    """Momentum as in older texts: v <- mu v - rate g, w <- w + v."""
    import torch

    w, v, path = start, torch.zeros_like(start), []
    for t, rate in enumerate(rates, 1):
        v = mu * v - rate * gradient(w, t)
        w = w + v
        path.append(w)
    return torch.stack(path)


def _lengths(level: str, size: float, steps: int) -> list[float]:
    """Steps of a level, in units of the rate, under a constant gradient of this size."""
    import torch

    start = torch.zeros(1, 1, 1, dtype=torch.float64)
    path = _project(level, start, lambda w, t: torch.full_like(w, size), steps, 1.0, 0.9).view(-1)
    return [-float(v) for v in torch.diff(path, prepend=start.view(-1))]


def _first_steps() -> Table:
    from folklore.stats.findings import Table

    rows = tuple((NAMES[level], *(_lengths(level, size, 1)[0] for size in GRADIENTS)) for level in LIBRARY)
    columns = ("rule", *(f"gradient {size:g}" for size in GRADIENTS))
    return Table("First step in units of the rate, by the gradient.", columns, rows)


def _later_steps() -> Table:
    from folklore.stats.findings import Table

    rows = []
    for level in LIBRARY:
        lengths = _lengths(level, 1.0, 1000)
        rows.append((NAMES[level], *(lengths[t - 1] for t in (1, 10, 100, 1000))))
    return Table(
        "Length of a step in units of the rate under a constant gradient of 1, by the number of the step.",
        ("rule", "step 1", "step 10", "step 100", "step 1,000"),
        tuple(rows),
    )


def _notes(start: torch.Tensor, gradient: Gradient, steps: int, rate: float, mu: float) -> tuple[str, ...]:
    import torch

    half = steps // 2
    rates = [rate] * half + [rate / 10] * 5
    inside, w = _rate_inside(start, gradient, rates, mu), start
    outside, v = [], torch.zeros_like(start)
    for t, now in enumerate(rates, 1):
        v = mu * v + gradient(w, t)
        w = w - now * v
        outside.append(w)
    moved = [float((path[-1] - path[half - 1]).norm()) for path in (inside, outside)]
    uncorrected = (1 - 0.9) / (1 - 0.999) ** 0.5
    return (
        f"Without its bias corrections Adam would begin with a step of {uncorrected:.2f} times the rate.",
        f"When the rate falls to a tenth, the form with the rate inside the velocity still moves {moved[0] / moved[1]:.1f} times as "
        "far in the next five steps as PyTorch's form: the old velocity has the old rate in it.",
    )
