"""The loss curve shows whether the learning rate is low, good, high or far too high

Two of the lectures point to a sketch from Stanford's course cs231n: with a low rate the loss falls slowly,
with a high one it stays on a plateau, with a very high one it blows up, and only a good rate ends low.
Whoever sees one of these shapes is to change the rate accordingly.

We state four rates beforehand: a good one, a thirty-second of it, four times and thirty-two times as much.
The good one is the rate with the lowest training loss at the end of a pilot with other seeds; the factors
were not fitted to the shapes. Each is trained with the same ten seeds.

This is a claim about an order, not about an amount: each part of the sketch has to be found in at least
nine of the ten seeds. Losses are means over a tenth of the training: "at first" is the first tenth, "in the
end" the last one. A run blows up if its loss in the end is no number, or above that of guessing, the logarithm of the
number of classes. In the sketch the high rate is also the fastest at first; the lectures do not say so, and
a table counts it without deciding by it. The table also has the counts on Fashion-MNIST at the same rates,
where the room between good and too much is narrower.

It holds if every part of the sketch that the lectures describe does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims.base import Claim, Criterion
from folklore.grid import Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Check, Finding, Table

CLAIM = Claim(
    kind="Q",
    family="optimisation",
    lectures=(3, 4),
    paper="cs231n course notes, neural networks 3 (a sketch)",
    reported="higher rates lower the loss faster but get stuck at worse values; very high ones blow up; no "
    "figure is given.",
    limits="Plain SGD at a constant rate and four rates: between them the shapes pass into each other, and "
    "how a curve looks depends on its length.",
    headline=False,
)
LOW, GOOD, HIGH, VERY_HIGH = "low", "good", "high", "very high"
RATES = {LOW: 0.00625, GOOD: 0.2, HIGH: 0.8, VERY_HIGH: 6.4}
# Pilot (seeds 20000 to 20003): training loss in the end 1.4 at .00625, .58 at .05, .32 at .1, .25 at .2, .45 at .4,
# 1.2 at .8 and no number at 6.4; on Fashion-MNIST .8 blows up.
DESIGN = Study(
    name="lr-curve-shapes",
    title="Loss curves at four fixed learning rates",
    cells=tuple({"label": label, "lr": rate} for label, rate in RATES.items()),
    fixed={"optimizer": "sgd"},
    updates=2000,
    replicates=10,
    seconds=11,
    variants=(
        Variant("fashion_mnist", fixed={"data": "fashion_mnist", "n_train": 8192}, study={"updates": 600}),
    ),
)
GROUNDS = {"main": "MNIST-1D", "fashion_mnist": "Fashion-MNIST"}
FASTEST = "high: fastest at first (of the sketch alone)"  # counted, and not decided by
CRITERION = Criterion(
    text="In at least 9 of 10 seeds: the low rate's loss is above the good one's in the first and in the last "
    "tenth of the training; the high rate's is above the good one's in the last tenth, and falls by a smaller "
    "factor from the middle to the end; and the very high rate's ends as no number or above that of guessing.",
    metric="seeds that break the order",
    unit="seeds",
    delta=1.0,
    settings={"allowed": 0.1, "classes": 10},
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """A check for each part of the sketch: its error is the number of seeds that break it."""
    from folklore.stats.findings import Finding

    main = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm")]
    return Finding(
        checks=_checks(main, criterion),
        tables=(_losses(main), _counts(runs, criterion)),
        notes=tuple(
            _missing(runs, ground, criterion) for ground in runs["variant"].unique() if ground != "main"
        ),
        diverged=int((main["status"] == "diverged").sum()),
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """The loss curves of the four rates."""
    import numpy as np

    from folklore.figures import claims, style

    style.apply()
    fig, axes = style.new(7.8, ncols=2, squeeze=False)
    grounds = [v for v in GROUNDS if (runs["variant"] == v).any()]
    names = {label: f"{label} ({rate:g})" for label, rate in RATES.items()}
    for ax, variant in zip(axes[0], grounds, strict=False):
        claims.loss_curves(ax, runs, list(RATES), variant=variant, names=names)
        ax.set_ylim(0.1, 5)
        gone = [line.get_label() for line in ax.lines if np.isfinite(line.get_ydata()).mean() < 0.05]
        if gone:
            ax.text(
                0.97,
                0.9,
                f"no number at once: {', '.join(gone)}",
                transform=ax.transAxes,
                ha="right",
                fontsize=7,
            )
        ax.set_title(GROUNDS[variant])
    claims.legend_on_top(axes[0][0])
    said = "; ".join(f"{c.name}: broken in {c.error:g} seeds" for c in finding.checks)
    return fig, (
        "Training loss by update at four learning rates on a logarithmic axis, median and a band of 80 % of "
        f"the seeds, on MNIST-1D and on Fashion-MNIST. {said}."
    )


def parts(runs: pd.DataFrame, classes: float) -> pd.DataFrame:
    """One row a seed, a column for each part of the sketch: whether it is there."""
    import numpy as np
    import pandas as pd

    rows = []
    for _, seed in runs.groupby("replicate"):
        curves = {arm: _smooth(curve) for arm, curve in zip(seed["arm"], seed["loss_curve"], strict=True)}
        if set(curves) != set(RATES):
            continue
        first, middle, end = (
            {a: c[i] for a, c in curves.items()} for i in (0, len(curves[GOOD]) // 2 - 1, -1)
        )
        rows.append(
            {
                "low: above good at first": first[LOW] > first[GOOD],
                "low: above good in the end": end[LOW] > end[GOOD],
                "high: above good in the end": end[HIGH] > end[GOOD],
                "high: flatter than good": end[HIGH] * middle[GOOD] > middle[HIGH] * end[GOOD],
                "very high: blows up": not end[VERY_HIGH] <= np.log(classes),
                FASTEST: first[HIGH] < min(first[GOOD], first[LOW]),
            }
        )
    return pd.DataFrame(rows, dtype=bool)


def _smooth(curve: object) -> list[float]:
    """Means of the loss over tenths of the training; infinite where a loss was no number."""
    import numpy as np

    values = np.asarray(curve, dtype=float)
    values = np.where(np.isfinite(values), values, np.inf)
    return [float(part.mean()) for part in np.array_split(values, min(10, len(values)))]


def _checks(runs: pd.DataFrame, criterion: Criterion) -> tuple[Check, ...]:
    from folklore.stats.findings import Check

    found = parts(runs, criterion.settings["classes"])
    allowed = float(int(criterion.settings["allowed"] * len(found) + 1e-9))
    broken = {name: float((~found[name]).sum()) for name in found if name != FASTEST}
    return tuple(Check(name, n, allowed, n <= allowed, "printed") for name, n in broken.items())


def _missing(runs: pd.DataFrame, ground: str, criterion: Criterion) -> str:
    """The parts of the sketch that would fail on another ground, with the seeds that show them."""
    mine = runs[(runs["variant"] == ground) & (runs["phase"] == "confirm")]
    seeds, broken = mine["replicate"].nunique(), [c for c in _checks(mine, criterion) if not c.holds]
    named = ", ".join(f'"{c.name}" ({seeds - c.error:g} of {seeds} seeds)' for c in broken)
    words = f"the parts that fail are {named}" if named else "no part fails"
    return f"On the ground {GROUNDS.get(ground, ground)} {words}."


def _losses(runs: pd.DataFrame) -> Table:
    """Median loss of each rate in the first, fifth and last tenth."""
    import numpy as np

    from folklore.stats.findings import Table

    rows = []
    for arm, group in runs.groupby("arm", sort=False):
        smooth = np.array([_smooth(curve) for curve in group["loss_curve"]])
        middle = smooth.shape[1] // 2 - 1
        shown = (float(np.quantile(smooth[:, i], 0.5, method="nearest")) for i in (0, middle, -1))
        cells = (f"{v:.3g}" if np.isfinite(v) else "no number" for v in shown)
        rows.append((arm, f"{group['lr'].iloc[0]:g}", *cells))
    columns = ("rate", "learning rate", "first tenth", "fifth tenth", "last tenth")
    return Table("Training loss, median over the seeds, by tenths of the training.", columns, tuple(rows))


def _counts(runs: pd.DataFrame, criterion: Criterion) -> Table:
    """Seeds that show each part, on every ground."""
    from folklore.stats.findings import Table

    grounds = list(runs["variant"].unique())
    found = [parts(runs[runs["variant"] == v], criterion.settings["classes"]) for v in grounds]
    rows = tuple((name, *(f"{int(f[name].sum())} of {len(f)}" for f in found)) for name in found[0])
    titles = [GROUNDS.get(v, v) for v in grounds]
    return Table("Seeds that show each part of the sketch.", ("part", *titles), rows)
