"""Search the learning rate in log space

A learning rate acts by its factor: from .001 to .002 matters as much as from .1 to .2. Drawn evenly between
.000001 and 10, nine rates in ten would lie above 1; drawn evenly in the logarithm, every power of ten gets
its share. So the lecture says to try log space.

We trained one network for each of 24 rates, evenly spaced in the logarithm over that range, 184 times over.
A search of 12 trials draws rates at random and keeps the one with the best validation accuracy; every draw
counts as the nearest rate that was trained. The mean outcome over all possible draws can be computed
exactly, for draws even in the logarithm and for draws even in the rate. A rate that was kept is scored by a
fresh run of it, on test data, so that luck while searching does not count.

What decides is the range, and it was not ours to choose: it is the one that the notes of Stanford's course
cs231n, the source of the lecture, print as an example. Ng's course prints .0001 to 1, which happens to end
just above the best rates of this network, where a linear search spends most of its trials. That range
stands among the robustness rows, and a table shows others.

Supported means: over the printed range the search in log space ends with the better test accuracy, by an
amount not shown to be below 1 point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import with_interval
from folklore.claims._sweeps import Sweep, sweep
from folklore.claims.base import Claim, Criterion
from folklore.grid import Study

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Robust, Table

CLAIM = Claim(
    kind="S",
    family="procedure",
    lectures=(3,),
    paper="Bengio 2012, arXiv:1206.5533, section 3.3; Bergstra & Bengio 2012, JMLR 13; cs231n course notes",
    reported="a typical draw of the learning rate is ten to the power of a uniform number from -6 to 1 "
    "(cs231n); no comparison with a linear search is given.",
    limits="Plain SGD, whose best rate of .2 to .4 lies high: for momentum or Adam, whose best rates are about "
    "10 and 50 times lower, the linear search would do worse still. Twelve trials of one parameter. "
    "A choice is scored by the next replicate's net, so neighbouring replicates are not quite independent.",
    headline=False,
)
LOWEST, HIGHEST, COUNT = -6.0, 1.0, 24  # powers of ten, and rates in the middle of equal parts between them
RATES = tuple(float(f"{10 ** (LOWEST + (HIGHEST - LOWEST) * (k + 0.5) / COUNT):.3g}") for k in range(COUNT))
COARSE, DECAYS = RATES[12:22], (0.001, 0.01)
# Pilot (seeds 20000 to 20002): test accuracy .10 up to a rate of .00003, .61 at .25, .60 at .49, chance from
# 1.9 on; spread of log space minus linear .029. Shared with coarse-to-fine, which needs the arms with weight decay.
# In 32 replicates the spread was .037, hence 184, planned from that spread alone for a power of .8 at 1 point, corrected.
DESIGN = Study(
    name="fixed-rates",
    title="Many learning rates, none of them tuned",
    cells=(
        *({"lr": r, "label": f"rate {r:g}"} for r in RATES),
        *({"lr": r, "weight_decay": d, "label": f"rate {r:g}, decay {d:g}"} for d in DECAYS for r in COARSE),
    ),
    fixed={"optimizer": "sgd"},
    updates=1280,
    replicates=184,
    seconds=560,
)
CRITERION = Criterion(
    text="Mean test accuracy at the rate kept by a search of 12 random rates even in the logarithm minus "
    "that of one even in the rate, both between .000001 and 10, is above 0 (95 % interval) and not "
    "negligible (90 % interval not within 1 point).",
    metric="test accuracy",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.03,
    settings={"trials": 12, "lowest": 1e-6, "highest": 10.0},
)
LOG, LINEAR, ALL = "log space", "linear", "all rates tried"
RANGES = {
    "range .0001 to 1 (Ng)": (1e-4, 1.0),
    "range .001 to 1": (1e-3, 1.0),
    "range .01 to 1": (1e-2, 1.0),
    "range .001 to .1": (1e-3, 0.1),
}


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Log space minus linear over the printed range; Ng's range beside it, and others in a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    trials = int(criterion.settings["trials"])
    weights = {LOG: 1.0, LINEAR: -1.0}
    tried = sweep(_plain(runs))
    by_range = {n: searches(tried, limits, trials) for n, limits in _ranges(criterion).items()}
    (_, first), (ng, second), *_ = by_range.items()
    finding = contrast(first, weights, criterion.delta)
    diverged = int((_plain(runs)["status"] == "diverged").sum())
    return replace(
        finding,
        rows=tuple(replace(row, diverged=diverged) for row in finding.rows),
        robustness=(_robust(ng, second, criterion),),
        tables=(_table(by_range, trials),),
        diverged=diverged,
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """What each rate is worth and how often it is drawn, and the outcome by the number of trials."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.8, ncols=2, width_ratios=(1.15, 1))
    _worth_and_draws(left, runs)
    _by_trials(right, runs)
    claims.legend_above(right, 1)
    return fig, (
        "Left: test accuracy by learning rate, median and a band of 80 % of the runs, and the share of draws "
        "that each rate gets in log space and in linear space. Right: expected test accuracy by the number "
        f"of trials; with 12: {claims.rows_in_words(finding.rows)}."
    )


def searches(tried: Sweep, limits: tuple[float, float], trials: int) -> pd.DataFrame:
    """One row for each replicate and way to search: expected test accuracy of a fresh run at the rate that is kept."""
    import numpy as np
    import pandas as pd

    shares = {way: draws(tried.rates, limits, way) for way in (LOG, LINEAR)}
    even = np.full(len(tried.rates), 1 / len(tried.rates))
    rows = []
    for i, (replicate, dead) in enumerate(zip(tried.replicates, tried.dead, strict=True)):
        fresh = tried.test[(i + 1) % len(tried.test)]
        found = {way: kept(tried.val[i], fresh, share, trials) for way, share in shares.items()}
        found[ALL] = kept(tried.val[i], fresh, even, 10**9)
        status = "diverged" if dead else "ok"
        rows += [(way, replicate, v, status) for way, v in found.items()]
    frame = pd.DataFrame(rows, columns=["arm", "replicate", "test_accuracy", "status"])
    return frame.assign(lr=float("nan"), edge=tried.edge, variant="main", phase="confirm")


def draws(rates: np.ndarray, limits: tuple[float, float], way: str) -> np.ndarray:
    """Probability that a draw between the limits, even in the logarithm or in the rate, is nearest (in log) to each rate."""
    import numpy as np

    between = np.sqrt(rates[1:] * rates[:-1])
    edges = np.clip([limits[0], *between, limits[1]], *limits)
    edges[0], edges[-1] = limits
    scale = np.log(edges) if way == LOG else edges
    return np.diff(scale) / (scale[-1] - scale[0])


def kept(val: np.ndarray, fresh: np.ndarray, share: np.ndarray, trials: int) -> float:
    """Expected `fresh` of the rate with the best `val` among `trials` draws with probabilities `share`; ties by their shares."""
    import numpy as np

    levels, place = np.unique(val, return_inverse=True)
    mass = np.bincount(place, share)
    below = np.clip(np.cumsum(mass), 0.0, 1.0)
    best = np.diff(below**trials, prepend=0.0)
    means = np.bincount(place, share * fresh) / np.where(mass > 0, mass, 1.0)
    return float(best @ means / best.sum()) if len(levels) else float("nan")


def _plain(runs: pd.DataFrame) -> pd.DataFrame:
    """The confirmed runs without weight decay."""
    return runs[(runs["variant"] == "main") & (runs["phase"] == "confirm") & (runs["weight_decay"] == 0)]


def _printed_range(criterion: Criterion) -> tuple[float, float]:
    return criterion.settings["lowest"], criterion.settings["highest"]


def _ranges(criterion: Criterion) -> dict[str, tuple[float, float]]:
    """The printed range, Ng's, others."""
    return {"range .000001 to 10 (cs231n)": _printed_range(criterion), **RANGES}


def _robust(label: str, found: pd.DataFrame, criterion: Criterion) -> Robust:
    from folklore.stats.findings import Robust, contrast

    other = contrast(found, {LOG: 1.0, LINEAR: -1.0}, criterion.delta)
    return Robust(label, other.verdict(criterion.delta, None), other.estimate)


def _table(by_range: dict[str, pd.DataFrame], trials: int) -> Table:
    """Both searches by range, in points below the best of all rates."""
    from folklore.stats.findings import Table

    rows = []
    for name, found in by_range.items():
        wide = 100 * found.pivot(index="replicate", columns="arm", values="test_accuracy")
        d = (wide[LOG] - wide[LINEAR]).to_numpy()
        lost = (f"{(wide[ALL] - wide[way]).mean():.1f}" for way in (LOG, LINEAR))
        rows.append((name, *lost, with_interval(d)))
    return Table(
        f"Regret by range: points of test accuracy lost by a search of {trials} "
        "trials against trying all 24 rates.",
        ("range", LOG, LINEAR, "gain of log space (95 % interval)"),
        tuple(rows),
    )


def _worth_and_draws(ax: Axes, runs: pd.DataFrame) -> None:
    """Test accuracy by rate, and below it the draws that each rate gets."""
    import numpy as np

    from folklore.figures import claims, style

    worth = _plain(runs).groupby("lr")["test_accuracy"].quantile([0.1, 0.5, 0.9]).unstack() * 100
    rates = worth.index.to_numpy(dtype=float)
    ax.plot(rates, worth[0.5], color=style.INK, label="test accuracy")
    ax.fill_between(rates, worth[0.1], worth[0.9], color=style.INK, alpha=0.15, linewidth=0)
    colours = claims.arm_colours([LOG, LINEAR])
    for way, dash in ((LOG, "-"), (LINEAR, "--")):
        share = 100 * draws(rates, _printed_range(CRITERION), way)
        label = f"share of draws, {way}"
        ax.step(rates, share, where="mid", color=colours[way], linestyle=dash, label=label)
    claims.rate_axis(ax)
    ax.set_ylim(0, max(75.0, float(np.nanmax(worth.to_numpy()))))
    ax.set_xticks([1e-6, 1e-4, 1e-2, 1])
    ax.set_ylabel("test accuracy, share of draws (%)")
    claims.legend_above(ax, 1)


def _by_trials(ax: Axes, runs: pd.DataFrame) -> None:
    """Mean and 95 % interval of the outcome of both searches by their number of trials."""
    import numpy as np

    from folklore.figures import claims
    from folklore.stats.findings import arm_rows

    colours, trials = claims.arm_colours([LOG, LINEAR]), [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48]
    tried = sweep(_plain(runs))
    found = [searches(tried, _printed_range(CRITERION), n) for n in trials]
    by_arm: dict[str, list] = {LOG: [], LINEAR: []}
    for frame in found:
        for row in arm_rows(frame.assign(measure=100 * frame["test_accuracy"])):
            by_arm.get(row.arm, []).append((row.mean, row.lo, row.hi))
    for (way, values), dash in zip(by_arm.items(), ("-", "--"), strict=True):
        middle, low, high = np.array(values, dtype=float).T
        ax.plot(trials, middle, dash, color=colours[way], marker="os"[way == LINEAR], label=way)
        ax.fill_between(trials, low, high, color=colours[way], alpha=0.2, linewidth=0)
    ax.set_xscale("log", base=2)
    ax.set_xticks([1, 2, 4, 8, 12, 24, 48], ["1", "2", "4", "8", "12", "24", "48"])
    ax.minorticks_off()
    ax.set(xlabel="trials", ylabel="expected test accuracy (%)")
