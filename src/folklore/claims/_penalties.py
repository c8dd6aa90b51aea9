"""What claims about penalties on the weights share: arms by strength, the choice of a strength, tables and figures of what was measured,
and exact descents on a penalised loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Measure, Table

Arm = dict[str, object]
# the first runs had the best strength of L2 at the lower end of .003 to .03, and beside silent inputs at the upper ends of both
L1, L2 = (3e-4, 1e-3, 3e-3), (1e-3, 3e-3, 1e-2)
L1_SILENT, L2_SILENT = (1e-3, 3e-3, 1e-2), (1e-2, 3e-2, 1e-1)


def l1_arm(strength: float, **fields: object) -> Arm:
    return {"label": f"L1 {short(strength)}", "l1": strength, **fields}


def l2_arm(strength: float, **fields: object) -> Arm:
    """The strength is what the weight is multiplied with in the gradient: twice the factor of the sum of squares."""
    return {"label": f"L2 {short(strength)}", "weight_decay": strength, **fields}


def short(number: float) -> str:
    """As in `.003`."""
    return f"{number:g}".removeprefix("0")


def labels(arms: Sequence[Mapping[str, object]]) -> list[str]:
    return [str(arm["label"]) for arm in arms]


def reading(name: str, otherwise: float) -> Measure:
    """What a probe measured under this name; `otherwise` for runs that diverged or have it not."""

    def measure(runs: pd.DataFrame) -> pd.Series:
        from folklore.stats.findings import measured

        found = measured(name)(runs)
        return found.where((found.abs() < float("inf")) & (runs["status"] != "diverged"), otherwise)

    return measure


def choices(chosen: Mapping[str, Sequence[str]], ranges: Mapping[str, Sequence[Sequence[str]]]) -> str:
    """By ground, the arms that validation chose, in words; at an end of a range of strengths the best may lie beyond it."""

    def told(ground: str) -> str:
        ends = {arms[i] for arms in ranges[ground] for i in (0, -1)}
        return "; ".join(arm + (", at an end of its range" if arm in ends else "") for arm in chosen[ground])

    others = [f' On the ground "{ground}": {told(ground)}.' for ground in chosen if ground != "main"]
    return f"Chosen on validation: {told('main')}.{''.join(others)}"


def difference_of(
    runs: pd.DataFrame, weights: Mapping[str, float], measure: Measure, scale: float = 1.0
) -> str:
    """A contrast of this measure over confirmed runs, with its 95 % interval, in words."""
    from folklore.stats.estimates import estimate
    from folklore.stats.findings import differences

    d = scale * differences(runs.assign(measure=measure(runs))[runs["phase"] == "confirm"], weights)
    if len(d) < 2:
        return "not trained"
    found = estimate(d, sensitivity=False)
    return f"{found.effect:+.3g} ({found.interval[0]:+.3g} to {found.interval[1]:+.3g})"


def by_arm(runs: pd.DataFrame, caption: str, columns: Mapping[str, tuple[Measure, float]]) -> Table:
    """Means over the confirmed runs of every arm and ground. columns: heading -> (measure, scale)."""
    from folklore.stats.findings import Table

    confirmed = runs[runs["phase"] == "confirm"]
    read = {name: scale * measure(confirmed) for name, (measure, scale) in columns.items()}
    rows = tuple(
        (
            "main study" if variant == "main" else variant,
            arm,
            f"{group['lr'].iloc[0]:.3g}",
            *(_mean(values[group.index]) for values in read.values()),
        )
        for (variant, arm), group in confirmed.groupby(["variant", "arm"], sort=False)
    )
    return Table(caption, ("ground", "arm", "learning rate", *columns), rows)


def _mean(values: pd.Series) -> str:
    return f"{values.mean():.3g}" if values.notna().any() else "not measured"


def test_accuracy(runs: pd.DataFrame) -> pd.Series:
    return runs["test_accuracy"].astype(float)


def measure_and_scores(
    runs: pd.DataFrame,
    finding: Finding,
    arms: Sequence[str],
    measure: str,
    *,
    scale: float = 1.0,
    decimals: int = 2,
    names: Mapping[str, str] | None = None,
) -> tuple[Figure, str]:
    """Left: what the verdict is about, by arm. Right: test accuracy of the same runs. With 95 % intervals."""
    from folklore.figures import claims, style
    from folklore.stats.findings import arm_rows

    style.apply()
    height = min(9.0, 3.2 + 0.62 * len(arms))
    fig, (left, right) = style.new(height, ncols=2, sharey=True)
    claims.arm_points(left, finding.rows, arms, scale=scale, decimals=decimals, names=names, xlabel=measure)
    scores = arm_rows(runs.assign(measure=test_accuracy))
    claims.arm_points(right, scores, arms, names=names)
    said = claims.rows_in_words(finding.rows, scale=scale, unit="", decimals=decimals, names=names)
    return fig, (
        f"Left: {measure}, with 95 % intervals: {said}. Right: test accuracy of the same runs: "
        f"{claims.rows_in_words(scores, names=names)}."
    )


# Softmax regression by full-batch steps of the core, in float64: its penalised minimum is known by the conditions that it meets.


def problem(rows: int, inputs: int, silent: int, twins: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (1, N, F) of three classes, and labels (1, N). The last `silent` inputs say nothing; or the last one is the first's twin."""
    import numpy as np
    import torch

    rng = np.random.default_rng([rows, inputs])
    y = rng.integers(0, 3, rows)
    x = rng.standard_normal((3, inputs))[y] + rng.standard_normal((rows, inputs))
    if silent:
        x[:, -silent:] = rng.standard_normal((rows, silent))
    if twins:
        x[:, -1] = x[:, 0]
    return torch.from_numpy(x)[None], torch.from_numpy(y)[None]


def descend(
    x: torch.Tensor,
    y: torch.Tensor,
    start: torch.Tensor,
    steps: int,
    *,
    lr: float,
    l1: float,
    decay: float | None = None,
    subgradient: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (1, F, 3) and biases (1, 1, 3) after these steps from `start`; `subgradient`: L1 by the sign of the weights instead."""
    import torch

    from folklore.core.networks import Layout, Parameters
    from folklore.core.steps import Rule, make_step, optimizer_state

    weights, bias = start.clone(), torch.zeros(1, 1, start.shape[2], dtype=start.dtype)
    net = Parameters([weights], [bias], [], [], [])
    numbers = {"lr": lr, "momentum": 0.0, "weight_decay": decay or 0.0, "l1": l1, "clip": 0.0}
    hyper = {name: torch.full((1, 1, 1), value, dtype=start.dtype) for name, value in numbers.items()}
    rule, state = (
        Rule("sgd", decays=decay is not None, shrinks=not subgradient),
        optimizer_state("sgd", net.trained()),
    )
    step = make_step(Layout(x.shape[2], start.shape[2], 0, 1, "relu", "none"), rule)
    for t in range(steps):
        pull = lr * l1 * weights.detach().sign() if subgradient else 0.0
        step(net, state, hyper, x, y, {}, float(t + 1))
        weights.detach().sub_(pull)
    return weights.detach(), bias.detach()


def violation(
    x: torch.Tensor, y: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor, decay: float, l1: float
) -> float:
    """How far a point is from the conditions of the minimum of loss + decay/2 * squares + l1 * absolute values, in units of l1."""
    import torch

    w = weights.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy((x @ w + bias).flatten(0, 1), y.flatten())
    (g,) = torch.autograd.grad(loss + decay / 2 * w.square().sum(), w)
    on = weights != 0
    off = torch.where(on, (g + l1 * weights.sign()).abs(), (g.abs() - l1).clamp(min=0.0))
    return float(off.max() / l1)
