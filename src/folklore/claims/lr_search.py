"""One short run with a rising rate finds a good learning rate

Find a rate at which the loss falls, the lectures say, by a few simple experiments. Smith made it a single one, the
range test: start with a tiny learning rate, raise it after every update, and watch the training loss. It stands
still at first, then falls, and at some rate it turns and explodes. The rate to train with is read off that curve.

We let plain SGD run through five powers of ten in three epochs, smooth the loss, and take half the rate at which it
is lowest: Smith sets his cycle between a quarter or a third of the largest useful rate and that rate itself, and a
half is the middle. The rule was fixed beforehand. The rival is a full sweep, eight rates a factor of two apart, each
trained to the end, the best one chosen on validation data. Both choices are made from one seed and scored by a fresh
run on test data, so neither profits from luck.

Other rules are in use: the program library fast.ai prints a tenth of the rate with the lowest loss, and the rate
where the loss falls fastest. A table shows what each would have cost, and a robustness row repeats the comparison
with Adam. A sweep of eight rates costs 27 times as many updates as the test.

What counts is the regret, the test accuracy that the range test loses against the sweep. It may be one point; the
effect that is tested is that point minus the regret, and supported means that the test loses less than one point.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference
from folklore.claims._sweeps import Sweep, sweep
from folklore.claims.base import Claim, Criterion
from folklore.grid import Study, Variant

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="procedure",
    lectures=(0, 3),
    paper="Smith 2017, arXiv:1506.01186, section 3.3; fast.ai's learning rate finder",
    reported="A run of several epochs with a rising rate gives the bounds of a cycle; the best constant rate is said to lie "
    "within a factor of two of the largest one that converges. No regret is given.",
    limits="A constant rate, where Smith wanted the bounds of a cyclic one; ten epochs of a small net. The rule for "
    "reading the curve is part of what is tested, and longer trainings may favour lower rates. A choice is scored by the next "
    "replicate's net, so neighbouring replicates are not quite independent.",
    headline=False,
)
RANGE, SWEEP, ADAM = "range test", "full sweep", "Adam"
RATES = tuple(float(f"{10 ** (-6 + 7 * (k + 0.5) / 24):.3g}") for k in range(13, 21))  # those of fixed-rates
ADAMS = tuple(0.001 * 2.0**k for k in range(-2, 5))


def _cells(rates: tuple[float, ...], top: float) -> tuple[dict[str, object], ...]:
    """The sweep, and the range test up to a rate that breaks any run."""
    test = {"label": RANGE, "schedule": "range_test", "lr": top, "updates": 384, "loss_points": 96}
    return (*({"lr": r, "label": f"rate {r:g}"} for r in rates), test)


# Pilot (seeds 20010 to 20015): test accuracy .50, .55, .59, .61, .62, .34 at .03 to .95; smoothed loss of the range test lowest
# at .24 to .44; regret of its half .026, spread .036. Adam: .44, .50, .56, .61, .64, .64, .57 at .00025 to .016.
# 184 replicates of the sweep are runs of log-space-grid, and not counted in `seconds`.
# In 64 replicates the spread was .026, hence 344, planned from that spread alone for a power of .8 at half a point, corrected.
DESIGN = Study(
    name="lr-search",
    title="The range test against a sweep of rates",
    cells=_cells(RATES, 10.0),
    fixed={"optimizer": "sgd"},
    updates=1280,
    replicates=344,
    seconds=170,
    variants=(
        Variant(
            ADAM,
            fixed={"optimizer": "adam"},
            study={"cells": _cells(ADAMS, 1.0), "replicates": 16},
        ),
    ),
)
CRITERION = Criterion(
    text="One point minus the regret of the range test is above 0 (95 % interval); regret: test accuracy, in fresh runs, at "
    "the rate that a sweep of eight rates chooses on validation data minus that at half the rate where the range test's "
    "smoothed loss is lowest (the nearest rate of the sweep stands for it). Not told from 0 when within half a point "
    "(90 % interval).",
    metric="1 point minus the regret, test accuracy",
    unit="points",
    delta=0.005,
    scale=100,
    pilot_sd=0.035,
    settings={"share": 0.5, "windows": 5, "tolerated": 0.01},
)
RULES = {
    "half of the lowest": 0.5,
    "the lowest itself": 1.0,
    "a third of it": 1 / 3,
    "a tenth of it (fast.ai)": 0.1,
}
STEEPEST = "where the loss falls fastest (fast.ai)"


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The tolerated regret minus that of the rule, on both grounds; other rules as a table."""
    from dataclasses import replace

    from folklore.stats.findings import arm_rows, contrast

    share, windows = criterion.settings["share"], int(criterion.settings["windows"])
    found = grounds(runs, windows)
    frame = outcomes(found, share)
    lift = criterion.settings["tolerated"] * (frame["arm"] == RANGE)
    lifted = frame.assign(lifted=frame["test_accuracy"] + lift)
    finding = contrast(lifted, {RANGE: 1.0, SWEEP: -1.0}, criterion.delta, measure="lifted")
    mine = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm") & (runs["arm"] != RANGE)]
    diverged = int((mine["status"] == "diverged").sum())
    rows = arm_rows(frame.assign(measure=frame["test_accuracy"]))
    alike = "The rate made no difference to any run." if mine["test_accuracy"].nunique() == 1 else ""
    return replace(
        finding,
        rows=tuple(replace(row, diverged=diverged if row.variant == "main" else 0) for row in rows),
        tables=(_by_rule(found),),
        diverged=diverged,
        undecidable=finding.undecidable or alike,
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """The range test's curve over the sweep's accuracies, and what both choices are worth."""
    import numpy as np

    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.8, ncols=2, width_ratios=(1.3, 1))
    mine = runs[runs["variant"] == "main"]
    sweep = 100 * mine[mine["arm"] != RANGE].groupby("lr")["test_accuracy"].mean()
    left.plot(sweep.index, sweep.to_numpy(), "s-", color=style.INK, label="full runs: test accuracy (%)")
    windows = int(CRITERION.settings["windows"])
    curves = [curve(run, windows) for _, run in mine[mine["arm"] == RANGE].iterrows()]
    middle = np.median([loss for _, loss in curves], axis=0)
    shown = np.where(middle < 10, 10 * middle, np.nan)
    left.plot(curves[0][0], shown, "--", color=style.PALETTE[0], label="range test: training loss (x 10)")
    chosen = np.median([_lowest(*pair, CRITERION.settings["share"]) for pair in curves])
    left.axvline(chosen, color=style.MUTED, linestyle=":", label="its choice (median)")
    claims.rate_axis(left)
    left.set(ylabel="accuracy (%), loss (x 10)", ylim=(0, 75))
    claims.legend_above(left, 1)
    claims.arm_points(right, finding.rows, [SWEEP, RANGE])
    return fig, (
        "Left: training loss of the range test by its rising rate, median over the seeds, with the rate that it "
        "chooses, and test accuracy of full runs at fixed rates. Right: test accuracy of fresh runs at the rate "
        f"chosen: {claims.rows_in_words(finding.rows)}."
    )


@dataclass(frozen=True)
class Ground:
    """The runs of a variant: the sweep, and each replicate's range test."""

    variant: str
    tried: Sweep
    curves: list[tuple[np.ndarray, np.ndarray]]


def grounds(runs: pd.DataFrame, windows: int) -> list[Ground]:
    found = []
    for variant, mine in runs[runs["phase"] == "confirm"].groupby("variant", sort=False):
        tried, tests = sweep(mine[mine["arm"] != RANGE]), mine[mine["arm"] == RANGE].set_index("replicate")
        shown = tests.loc[tried.replicates, ["lr", "updates", "loss_step", "loss_curve"]]
        found.append(Ground(variant, tried, [curve(run, windows) for _, run in shown.iterrows()]))
    return found


def outcomes(found: list[Ground], share: float | None) -> pd.DataFrame:
    """One row for each ground, replicate and way to choose: test accuracy of a fresh run at the rate chosen. share None: steepest fall."""
    import numpy as np
    import pandas as pd

    frames = []
    for ground in found:
        tried = ground.tried
        rule = _steepest if share is None else partial(_lowest, share=share)
        read = np.array([rule(*shown) for shown in ground.curves])
        nearest = abs(np.log(tried.rates / read[:, None])).argmin(axis=1)
        # a choice is scored by the next replicate's net
        fresh = np.roll(tried.test, -1, axis=0)
        frames += [
            pd.DataFrame(
                {
                    "variant": ground.variant,
                    "replicate": tried.replicates,
                    "edge": tried.edge,
                    "arm": arm,
                    "test_accuracy": fresh[np.arange(len(fresh)), places],
                    "rate": tried.rates[places],
                    "status": np.where(tried.dead, "diverged", "ok"),
                }
            )
            for arm, places in ((SWEEP, tried.val.argmax(axis=1)), (RANGE, nearest))
        ]
    return pd.concat(frames, ignore_index=True).assign(lr=float("nan"), phase="confirm")


def curve(run: pd.Series, windows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rates (T,) of a range test and its training losses, a mean of so many neighbours; inf where one of them is not finite."""
    import numpy as np

    losses = np.asarray(run["loss_curve"], dtype=float)
    rates = _rates_by_step(float(run["lr"]), int(run["updates"]), tuple(run["loss_step"]))
    padded = np.pad(np.where(np.isfinite(losses), losses, np.inf), windows // 2, mode="edge")
    return rates, np.convolve(padded, np.full(windows, 1 / windows), "valid")


@cache
def _rates_by_step(top: float, last: int, steps: tuple[int, ...]) -> np.ndarray:
    """Rates (T,) of a range test up to the `top` one, the same for all replicates."""
    import numpy as np

    from folklore.core.schedules import range_test

    return np.array([top * range_test(int(t), last) for t in steps])


def _lowest(rates: np.ndarray, losses: np.ndarray, share: float) -> float:
    return float(rates[losses.argmin()] * share)


def _steepest(rates: np.ndarray, losses: np.ndarray) -> float:
    """Where the smoothed loss falls fastest by the logarithm of the rate, before it is lowest."""
    import numpy as np

    before = losses[: max(int(losses.argmin()) + 1, 2)]
    if not np.isfinite(before).all():
        return float(rates[0])
    return float(rates[np.gradient(before).argmin()])


def _by_rule(found: list[Ground]) -> Table:
    """Median choice and mean regret of every rule, by ground."""
    from folklore.stats.findings import Table

    rows = []
    for name, share in {**RULES, STEEPEST: None}.items():
        for variant, frame in outcomes(found, share).groupby("variant", sort=False):
            chosen = frame.groupby("arm")["rate"].median()
            ground = "SGD" if variant == "main" else variant
            points = frame.assign(measure=100 * frame["test_accuracy"])
            regret = difference(points, {SWEEP: 1.0, RANGE: -1.0})
            rows.append((name, ground, f"{chosen[RANGE]:.2g}", f"{chosen[SWEEP]:.2g}", regret))
    return Table(
        "Ways to read the curve: median rate chosen (the nearest of the sweep, whose ends stand for all beyond), that of "
        "the sweep, and regret in points of test accuracy with a 95 % interval.",
        ("rule", "ground", "chosen", "by the sweep", "regret"),
        tuple(rows),
    )
