"""Sigmoid gradients die exponentially with depth and paralyse a deep net, unnoticed in a shallow one

Going backward, the gradient is multiplied in every layer by the derivative of the activation, and the
sigmoid's derivative is at most one quarter. So each sigmoid layer should shrink the gradient by a constant
factor: with two layers nobody notices, with twenty the first ones receive nothing and the net stands still.

We measured the gradient of the loss by each layer's weights at the start of training, in nets of 2 and 20
hidden layers, and took the logarithm of the ratio between the first and the last hidden layer, divided by
the number of steps between them: the decades lost in each layer. We also trained the nets, each at its own
tuned rate, with tanh beside the sigmoid: a deep net that tanh can train shows that it is not depth alone.

The derivative is only half of the factor; the other half is the scale of the weights. The study is
therefore repeated with smaller and with larger initial weights, and a table gives the loss that theory
predicts for very wide layers at any scale. Weights ten times as large as usual would keep the gradient
alive, in units that are saturated most of the time.

Supported means: at 20 layers the gradient loses more than nothing in each layer, by an amount not shown to
be below .05 decades (a factor of 1.12), and the net of 2 layers ends with a better test accuracy than that
of 20.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import with_interval
from folklore.claims._mean_field import decades_lost
from folklore.claims._starts import stalled
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="activations",
    lectures=(2,),
    paper="Glorot & Bengio 2010, sections 3.1 and 4.2",
    reported="sigmoid nets of depth 5 never left the plateau that they fell onto at the start; a theory of "
    "why deep nets of any activation need weights of the right scale",
    limits="The gradient is measured at initialisation only. Normalisation, skip connections, and very "
    "large weights are known ways around it and are not part of this study; a first layer differs from the "
    "others in its input.",
)
SHALLOW, DEEP, TANH_SHALLOW, TANH_DEEP = (
    "sigmoid, 2 layers",
    "sigmoid, 20 layers",
    "tanh, 2 layers",
    "tanh, 20 layers",
)
DEPTHS = {SHALLOW: 2, DEEP: 20, TANH_SHALLOW: 2, TANH_DEEP: 20}
# Pilot (seeds 20000 to 20011, 800 updates): decades lost a layer at depth 20, sigmoid .64 (Glorot), .85
# (1/sqrt n), .51 (He), spread .01; tanh .00. Validation accuracy: sigmoid .38 with 2 layers (best rate
# .32), chance with 20 at every rate from .005 to .64; tanh .53 (rate .04) and .42 (.005), but chance with
# 20 layers of U(+-1/sqrt n).
_FEWER = {"replicates": 16, "rates": Rates(count=5, center=0.04)}
_WEIGHTS = {"main": "Glorot", "uniform_fanin_weights": "U(±1/√n)", "he_normal_weights": "He"}
DESIGN = Study(
    name="sigmoid-vanishing-gradient",
    title="Gradients of shallow and deep sigmoid and tanh nets",
    cells=tuple(
        {"label": label, "activation": label.split(",")[0], "depth": depth} for label, depth in DEPTHS.items()
    ),
    fixed={"init": "glorot_uniform", "width": 64, "optimizer": "momentum", "batch_size": 32},
    updates=800,
    rates=Rates(center=0.04),
    variants=(
        Variant("uniform_fanin_weights", fixed={"init": "uniform_fanin"}, study=_FEWER),
        Variant("he_normal_weights", fixed={"init": "he_normal"}, study=_FEWER),
        Variant("fashion_mnist", fixed={"data": "fashion_mnist", "n_train": 8192}, study=_FEWER),
    ),
    half_replicates=8,
    seconds=130,
)
CRITERION = Criterion(
    text="At 20 hidden layers, log10 of the gradient norm of the last over that of the first hidden layer "
    "at initialisation, divided by 19, is above 0 (95 % interval) and not negligible (90 % interval not "
    "within .05); and the net of 2 layers has the better test accuracy (one-sided paired t-test at 5 %, "
    "both nets tuned).",
    metric="gradient lost a layer",
    unit="decades",
    delta=0.05,
    pilot_sd=0.009,
)
_SCALES = {"U(±1/√n)": 3**-0.5, "Glorot": 1.0, "He": 2**0.5, "4 x Glorot": 4.0, "10 x": 10.0, "20 x": 20.0}
_TINY, _HUGE = 1e-38, 1e38  # where float32 ends: a smaller gradient has been flushed to zero


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Decades lost a layer at depth 20, on condition that depth also costs accuracy."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    finding = contrast(runs, {DEEP: 1}, criterion.delta, measure=lost_a_layer, test=_paralysis)
    tables = (_gradients(runs), _accuracies(runs), _theory())
    return replace(finding, tables=tables, notes=(*finding.notes, *stalled(runs), *_noticed(runs)))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Gradient norms by layer, and what the nets learn at each rate."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.8, ncols=2, width_ratios=(1.1, 1))
    colours = claims.arm_colours(DEPTHS)
    _profile(left, runs, colours)
    claims.tuning_curves(right, runs, list(DEPTHS), colours=colours)
    claims.legend_on_top(left)
    lost = claims.rows_in_words(finding.rows, scale=1, unit="decades a layer", decimals=2)
    means = _by_weights(runs, "test_accuracy").get("Glorot", {})
    learnt = ", ".join(f"{arm} {100 * mean:.1f} %" for arm, mean in means.items())
    return fig, (
        "Left: gradient norm of each hidden layer at initialisation on a logarithmic axis; for 20 sigmoid "
        f"layers it falls in a straight line. Lost: {lost}. Right: validation accuracy by learning rate. "
        f"Test accuracy: {learnt}."
    )


def lost_a_layer(runs: pd.DataFrame) -> pd.Series:
    """log10 of the gradient norm of the last hidden layer over that of the first, a layer between them."""
    import numpy as np
    import pandas as pd

    def lost(norms: object, depth: int) -> float:
        ends = np.nan_to_num(np.asarray(norms, dtype=float)[[0, depth - 1]], posinf=_HUGE)
        first, last = np.clip(ends, _TINY, _HUGE)
        return float(np.log10(last / first)) / max(depth - 1, 1)

    values = [lost(n, d) for n, d in zip(runs["grad_norms"], runs["depth"], strict=True)]
    return pd.Series(values, index=runs.index, dtype=float)


def _paralysis(runs: pd.DataFrame) -> float:
    """One-sided p that the shallow sigmoid net is more accurate than the deep one."""
    import numpy as np
    from scipy import stats

    d = _paired(runs, {SHALLOW: 1, DEEP: -1})
    if len(d) < 2 or np.ptp(d) == 0:
        return float(len(d) < 2 or d[0] <= 0)
    return float(stats.ttest_1samp(d, 0, alternative="greater").pvalue)


def _paired(runs: pd.DataFrame, weights: dict[str, int]) -> np.ndarray:
    from folklore.stats.findings import differences

    return differences(runs.assign(measure=runs["test_accuracy"]), weights)


def _confirmed(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["phase"] == "confirm"]


def _by_weights(runs: pd.DataFrame, column: str) -> dict[str, dict[str, float]]:
    """Mean of a column of the confirmed runs, by weights and arm."""
    means = _confirmed(runs).groupby(["variant", "arm"])[column].mean()
    return {
        name: {arm: float(means[variant, arm]) for arm in DEPTHS}
        for variant, name in _WEIGHTS.items()
        if all((variant, arm) in means.index for arm in DEPTHS)
    }


def _gradients(runs: pd.DataFrame) -> Table:
    """Decades lost a layer by weights and arm, and in all by the deep sigmoid net."""
    from folklore.stats.findings import Table

    means = _by_weights(runs.assign(lost=lost_a_layer(runs)), "lost")
    rows = [
        (name, *(f"{by_arm[arm]:.2f}" for arm in DEPTHS), f"{19 * by_arm[DEEP]:.1f}")
        for name, by_arm in means.items()
    ]
    return Table(
        "Gradient lost between the last and the first hidden layer at initialisation: decades (powers of "
        "ten) a layer, and over all 20 sigmoid layers.",
        ("weights", *DEPTHS, "in all"),
        tuple(rows),
    )


def _accuracies(runs: pd.DataFrame) -> Table:
    """Test accuracy of all arms by weights, and how much more depth costs the sigmoid than tanh."""
    from folklore.stats.findings import Table

    confirmed, means = _confirmed(runs), _by_weights(runs, "test_accuracy")
    rows = [
        (
            name,
            *(f"{100 * means[name][arm]:.1f}" for arm in DEPTHS),
            with_interval(100 * _paired(confirmed[confirmed["variant"] == variant], _INTERACTION)),
        )
        for variant, name in _WEIGHTS.items()
        if name in means
    ]
    return Table(
        "Test accuracy in percent at the tuned rate; last, by how many points more depth costs the sigmoid "
        "than tanh.",
        ("weights", *DEPTHS, "sigmoid more than tanh, 95 % interval"),
        tuple(rows),
    )


_INTERACTION = {SHALLOW: 1, DEEP: -1, TANH_SHALLOW: -1, TANH_DEEP: 1}


def _theory() -> Table:
    """Decades that a very wide sigmoid layer loses, by the standard deviation of its weights times sqrt n."""
    import numpy as np

    from folklore.stats.findings import Table

    def lost(scale: float) -> float:
        return decades_lost(lambda h: 1 / (1 + np.exp(-h)), lambda f: f * (1 - f), scale, start=scale**2 / 4)

    rows = tuple((name, f"{scale:.2f}", f"{lost(scale):.2f}") for name, scale in _SCALES.items())
    return Table(
        "Decades lost a layer as predicted for very wide sigmoid layers, by the scale of their weights "
        "(negative: the gradient grows).",
        ("weights", "standard deviation x √n", "decades a layer"),
        rows,
    )


def _noticed(runs: pd.DataFrame) -> tuple[str, ...]:
    """What the shallow sigmoid net lacks, which decides nothing."""
    confirmed = _confirmed(runs)
    d = 100 * _paired(confirmed[confirmed["variant"] == "main"], {SHALLOW: 1, TANH_SHALLOW: -1})
    if len(d) < 2:
        return ()
    return (
        "That a shallow net does not notice it is no part of the verdict. With 2 layers and this budget the sigmoid net minus the "
        f"tanh net is {with_interval(d)} points of test accuracy.",
    )


def _profile(ax, runs: pd.DataFrame, colours: dict[str, object]) -> None:
    """Median gradient norm by layer of the confirmed main runs."""
    import numpy as np

    from folklore.figures.claims import arm_markers

    confirmed, markers = _confirmed(runs[runs["variant"] == "main"]), arm_markers(DEPTHS)
    for arm, depth in DEPTHS.items():
        norms = [
            np.asarray(n, dtype=float)[:depth] for n in confirmed.loc[confirmed["arm"] == arm, "grad_norms"]
        ]
        if norms:
            layers = np.arange(1, depth + 1)
            look = {"color": colours[arm], "marker": markers[arm], "markersize": 3.5}
            ax.plot(layers, np.median(norms, axis=0), label=arm, **look)
    if any(np.nanmax(line.get_ydata(), initial=0) > 0 for line in ax.lines):
        ax.set_yscale("log")
    ax.set_xticks([1, 5, 10, 15, 20])
    ax.set(xlabel="hidden layer (1: next to the input)", ylabel="gradient norm at initialisation")
