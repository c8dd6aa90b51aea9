"""A neural network as the optimizer beats tuned SGD and momentum

Optimizers are written by hand: so much of the gradient, so much of the last step. Andrychowicz and colleagues let a
net write the step instead and trained it by how well the steps worked; the lecture passes this on as one more way to
optimise. What they did with a recurrent net is done here on the smallest scale: a net of six hidden units sees the gradient of
one variable and three moving averages of it, and returns that variable's step.

Its tasks are quadratic functions of ten variables with random curvature, and 64 steps. For each replicate a net is trained
anew, from random weights, on fresh functions, and then measured on 64 others. So the spread shows the luck of its
training, too. It has to beat what people write: SGD without and with momentum, whose rate and momentum are tuned as
carefully, the momentum chosen before the functions of the verdict are seen. The net's output has a tuned rate, too.

A learned rule may be good for what it was trained on and for nothing else. A ground of its own goes on for
four times the steps of its training.

Supported means: the functions fall further under the learned optimizer, by an amount not shown to be below a tenth of a power
of ten, which is a fifth of the value that is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Robust, Table

CLAIM = Claim(
    kind="S",
    family="optimisation",
    lectures=(4,),
    paper="Andrychowicz et al. 2016, arXiv:1606.04474, section 3.1",
    reported="on quadratic functions of ten variables a learned recurrent optimizer ends lower than SGD, RMSprop, Adam and "
    "Nesterov's accelerated gradient with tuned rates; a curve, no table",
    limits="Functions that a textbook solves in one step, and a net far smaller than the paper's. The fields of these runs that speak "
    "of data and layers play no part. The cost of training the optimizer, tens of thousands of descents, is not counted. A function that "
    "blows up counts as a rise by one power of ten, however far it went; over 256 steps the learned optimizer may do that to a few.",
    headline=False,
)
PLAIN, ADAM, LEARNED = "SGD", "Adam", "learned"
MOMENTA = {PLAIN: 0.0} | {f"momentum {mu:g}": mu for mu in (0.5, 0.7, 0.8, 0.9)}
LONGER = "four times the steps"
_HAND = tuple(
    {"label": label, "optimizer": "momentum" if mu else "sgd", "momentum": mu}
    for label, mu in MOMENTA.items()
)
# Pilot (seeds 20000 to 20003, five rates): decades in 64 steps 2.1 (SGD, rate .35), 2.8, 3.5, 3.6 and 2.8 (momentum .5, .7, .8 and .9, rate .7), 2.7
# (Adam, .7), 3.4 (learned, .25), spread of the difference about .25. In 256 steps 8.6 (momentum .8) and 5.8 (learned).
DESIGN = Study(
    name="learned-optimiser",
    title="A learned optimizer on quadratic functions",
    cells=(
        *_HAND,
        {"label": ADAM, "optimizer": "adam"},
        {"label": LEARNED, "optimizer": "sgd", "momentum": 0.0, "procedure": "learned_quadratics"},
    ),
    fixed={"procedure": "quadratics", "depth": 1, "width": 1},
    updates=64,
    rates=Rates(center=0.25),
    tune_on="decades",
    variants=(Variant(LONGER, study={"updates": 256, "replicates": 16}),),
    seconds=68,
)
CRITERION = Criterion(
    text="Powers of ten by which 64 fresh quadratic functions fall in 64 steps, learned optimizer minus the best of SGD and four momenta "
    "on the tuning runs, all rates tuned, is above 0 (95 % interval) and not negligible (90 % interval not within .1).",
    metric="fall of the function, learned minus hand-made",
    unit="powers of ten",
    delta=0.1,
    pilot_sd=0.25,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Learned minus the best momentum; SGD without momentum as a row, all arms as a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    best = {variant: _best(group) for variant, group in runs.groupby("variant", sort=False)}
    weights = {variant: {LEARNED: 1.0, arm: -1.0} for variant, arm in best.items()}
    finding = contrast(runs, weights, criterion.delta, measure=decades)
    note = f"Of SGD and its momenta, {best['main']} was chosen on the tuning runs."
    return replace(
        finding,
        robustness=(*finding.robustness, _against_plain(runs, criterion.delta)),
        tables=(_arms(finding),),
        notes=(note, *finding.notes),
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """The functions' values by step, and how far they fell."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(8.0, ncols=2)
    arms = claims.arms_of(runs)
    colours = claims.arm_colours(arms)
    shown = [PLAIN, _best(runs[runs["variant"] == "main"]), ADAM, LEARNED]
    claims.loss_curves(
        left, runs, list(dict.fromkeys(shown)), colours=colours, ylabel="mean value of the functions"
    )
    left.set_xlabel("steps")
    claims.legend_above(left, 2)
    claims.arm_points(
        right, finding.rows, arms, scale=1.0, colours=colours, xlabel="fall in powers of ten", decimals=2
    )
    said = claims.rows_in_words(finding.rows, scale=1.0, unit="", decimals=2)
    return fig, (
        "Left: mean value of the quadratic functions by step, median of the replicates with a band of 80 % of them. Right: powers "
        f"of ten by which the functions fell, with 95 % intervals: {said}."
    )


def decades(runs: pd.DataFrame) -> pd.Series:
    """Powers of ten by which a run's functions fell; a rise by one where that was not measured."""
    from folklore.stats.findings import measured

    return measured("decades")(runs).fillna(-1.0)


def _best(runs: pd.DataFrame) -> str:
    """The best of SGD and its momenta on the tuning runs of one ground."""
    mine = runs[runs["arm"].isin(MOMENTA)]
    tuned = mine[(mine["phase"] == "tune") & mine["chosen"]]
    seen = tuned if len(tuned) else mine
    return str(decades(seen).groupby(seen["arm"], sort=False).mean().idxmax())


def _against_plain(runs: pd.DataFrame, delta: float) -> Robust:
    from folklore.stats.findings import Robust, contrast

    main = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm")]
    found = contrast(main, {LEARNED: 1.0, PLAIN: -1.0}, delta, measure=decades)
    return Robust("against SGD without momentum", found.verdict(delta, None), found.estimate)


def _arms(finding: Finding) -> Table:
    """Rate and fall of every arm on both grounds."""
    from folklore.stats.findings import Table

    rows = {(row.variant, row.arm): row for row in finding.rows if row.mean is not None}
    variants = list(dict.fromkeys(variant for variant, _ in rows))
    cells = [
        (arm, *(_cell(rows.get((variant, arm))) for variant in variants))
        for arm in dict.fromkeys(arm for _, arm in rows)
    ]
    return Table(
        "Powers of ten by which the functions fell, mean of the replicates, and the tuned rate.",
        ("optimizer", *("64 steps" if variant == "main" else variant for variant in variants)),
        tuple(cells),
    )


def _cell(row) -> str:
    return "" if row is None or row.lr is None else f"{row.mean:.2f} (rate {row.lr:.3g})"
