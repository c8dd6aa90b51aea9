"""An exponential is expensive, a ReLU is cheap

A sigmoid or a hyperbolic tangent needs an exponential for every unit and row, a ReLU a comparison. The lecture counts the one
among the drawbacks of the sigmoid and the other among the advantages of the ReLU.

That is true of the function by itself, and a table says by how much. But nobody pays for the function by itself: a step of
training also multiplies matrices, forward and backward, and a layer of 100 units has a hundred products for every activation.
So the verdict is about a whole step, of the net that most studies here train: by how much longer it takes with sigmoids than
with ReLUs. Five per cent is the smallest difference of interest, since machines differ by more.

Times are processor seconds of one thread. Each activation takes turns with ReLU in the same process, and what is compared is the
ratio of the two; a round of five turns, of which the median counts, is a replicate. ReLU takes turns with itself, too, which shows
what the clock alone gives.

Supported means: a step takes longer with sigmoids, by an amount not shown to be below 5 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims.base import Claim, Criterion
from folklore.grid import Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Robust, Table

CLAIM = Claim(
    kind="S",
    family="activations",
    lectures=(2,),
    paper="Lecture on activations; a common remark without a measurement behind it",
    reported="the exponential is dear and the ReLU is quick; no figures",
    limits="One machine and its vector instructions, one thread, single precision, layers of 100 units, 32 nets side by side. Wider "
    "layers make the activation matter less, and so do convolutions; an accelerator that waits for memory pays the same for "
    "all of them. The faster the rest of an update is, the more an activation weighs: with slower products this was negligible once. A ReLU ends "
    "the matrix product before it, as compilers have it; every other activation is a pass of its own. "
    "Times are the only results here that come out a little different when they are measured again.",
    headline=False,
)
NAMES = {"relu": "ReLU", "leaky_relu": "leaky ReLU", "elu": "ELU", "tanh": "tanh", "sigmoid": "sigmoid"}

# Pilot (8 rounds, seeds 20000 to 20007, beside other work): the ratio of a step to ReLU's spread by 3 % a round for sigmoids and by 5 %
# for ReLU against itself. That was one turn a round; in the first runs of the laptop profile a single disturbed turn of 32 made
# the spread .46 octaves, so a round has five turns since. The nets train for a moment only, at a rate that is safe for all: nothing
# depends on what they learn.
# In 32 replicates the spread was .13, in 64 of five turns .014, in 32 beside other work .037, hence 12, planned from that spread alone for a
# power of .8 at 5 %, corrected.
DESIGN = Study(
    name="activation-compute-cost",
    title="Time of a training step, by activation",
    cells=tuple({"label": name, "activation": level, "lr": 0.01} for level, name in NAMES.items()),
    fixed={"optimizer": "sgd", "probe": "step_time"},
    updates=50,
    replicates=12,
    seconds=20,
    variants=(Variant("784 inputs", fixed={"data": "mnist"}, study={"replicates": 8}),),
)
CRITERION = Criterion(
    text="log2 of the processor time of a training step with sigmoids over that with ReLUs, clocked in turns, minus what ReLU against "
    "itself gives, is above 0 (95 % interval over rounds) and not negligible (90 % interval not within log2 of 1.05).",
    metric="time of a step, sigmoid against ReLU",
    unit="octaves",
    delta=0.0704,
    pilot_sd=0.08,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Time of a whole step, sigmoid against ReLU; the function by itself beside it."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    finding = contrast(runs, {"sigmoid": 1.0, "ReLU": -1.0}, criterion.delta, measure=octaves("step_us"))
    more = (
        _beside(runs, "tanh", "step_us", "a whole step, tanh", criterion.delta),
        _beside(runs, "sigmoid", "unit_ns", "the function alone, sigmoid", criterion.delta),
        _beside(runs, "tanh", "unit_ns", "the function alone, tanh", criterion.delta),
    )
    return replace(finding, robustness=(*finding.robustness, *more), tables=(_times(runs),))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """How much longer the function takes, and how much longer a step, than with a ReLU."""
    from folklore.figures import claims, style
    from folklore.stats.findings import arm_rows

    style.apply()
    fig, (left, right) = style.new(6.0, ncols=2)
    arms, main = list(NAMES.values()), runs[runs["variant"] == "main"]
    for ax, name, words in (
        (left, "unit_ns", "the function alone"),
        (right, "step_us", "a whole training step"),
    ):
        rows = arm_rows(main.assign(measure=_ratios(main, name)))
        unnamed = {} if ax is left else {"names": dict.fromkeys(arms, "")}
        claims.arm_points(ax, rows, arms, xlabel=f"{words} (times ReLU's)", scale=1.0, decimals=2, **unnamed)
    words = "; ".join(f"{row[0]} {row[3]} and {row[4]}" for row in finding.tables[0].rows)
    return fig, f"Time of the function alone and of a whole training step, in units of the ReLU's: {words}."


def octaves(name: str):
    """log2 of a time over ReLU's in the same round."""
    import numpy as np

    from folklore.stats.findings import measured

    return lambda runs: np.log2(measured(name)(runs) / measured(f"relu_{name}")(runs))


def _ratios(runs: pd.DataFrame, name: str) -> pd.Series:
    """A time over ReLU's in the same round, in units of what ReLU against itself gives in the median."""
    found = octaves(name)(runs)
    return 2 ** (found - found[(runs["arm"] == "ReLU") & (runs["phase"] == "confirm")].median())


def _beside(runs: pd.DataFrame, arm: str, time: str, label: str, delta: float) -> Robust:
    """The same question about another function or another time."""
    from folklore.stats.findings import Robust, contrast

    main = runs[runs["variant"] == "main"]
    found = contrast(main, {arm: 1.0, "ReLU": -1.0}, delta, measure=octaves(time))
    return Robust(label, found.verdict(delta, None), found.estimate)


def _times(runs: pd.DataFrame) -> Table:
    """Medians over the rounds: times, and what they are in units of the ReLU's."""
    from folklore.stats.findings import Table, measured

    main = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm")]
    times = {name: measured(name)(main) for name in ("unit_ns", "step_us")}
    ratios = {f"{name}_ratio": _ratios(main, name) for name in times}
    medians = main.assign(**times, **ratios).groupby("arm")[[*times, *ratios]].median()
    rows = [
        (name, f"{t.unit_ns:.2f}", f"{t.step_us:.1f}", f"{t.unit_ns_ratio:.2f}", f"{t.step_us_ratio:.2f}")
        for name in NAMES.values()
        for t in [medians.loc[name]]
    ]
    return Table(
        "Medians over the rounds: the function forward and backward in nanoseconds a unit and row, a step of a 3 x 100 net at "
        "batch 32 in microseconds a net, and both in units of the ReLU's in the same round, over what ReLU against itself gives.",
        ("activation", "function (ns)", "step (us)", "function / ReLU's", "step / ReLU's"),
        tuple(rows),
    )
