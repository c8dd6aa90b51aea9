"""Figures of the six-factor analysis: what `stats.importance` computed, drawn; no statistics here.

Every function returns the figure and its alternative text. What is not estimable is said in words, in a
figure of the same name, so that a report made of a small fraction has the same parts as one made of the
whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from folklore.stats.importance import Analysis, GridResult

CM = 1 / 2.54
WIDTH = 16 * CM
COLOURS = sns.color_palette("colorblind")
SEQUENTIAL = "cividis"
SMALL = 7.0
ACCURACY = "adjusted mean test accuracy (%), ± half of the 95 % interval"
GOLDEN = 0.6180339887498949  # fractional multiples spread evenly: jitter without random numbers
Drawn = tuple[Figure, str]


def variance_shares(analyses: Mapping[str, Analysis]) -> Drawn:
    """Shapley shares of the factors (left) and shares of the interactions (right), one bar an analysis."""
    usable = {name: a for name, a in analyses.items() if a.model.estimable}
    if not usable:
        return _only_words("Shares of variance", next(iter(analyses.values())).model.reason)
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 14 * CM), width_ratios=[1, 1])
    factors = {n: a.factors.rename(columns={"factor": "term"}) for n, a in usable.items()}
    others = {n: a.shares[~a.shares["term"].isin(factors[n]["term"])] for n, a in usable.items()}
    titles = {n: a.title for n, a in usable.items()}
    _bars(left, factors, titles)
    _bars(right, others, titles)
    left.set_title("Factors, each with half\nof its interactions")
    right.set_title("Interactions, rest\nand seeds")
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=1)
    return fig, _alt_shares(usable)


def _bars(ax: Axes, tables: Mapping[str, pd.DataFrame], titles: Mapping[str, str]) -> None:
    """Horizontal bars with intervals, in %; terms of any table, in the order of the first that has them."""
    order = list(dict.fromkeys(term for table in tables.values() for term in table["term"]))
    height = 0.8 / len(tables)
    for i, (name, table) in enumerate(tables.items()):
        at = np.array([order.index(term) for term in table["term"]]) + (i - (len(tables) - 1) / 2) * height
        share = 100 * table["share"].to_numpy()
        ends = [share - 100 * table["lo"].to_numpy(), 100 * table["hi"].to_numpy() - share]
        error = {"ecolor": "0.2", "elinewidth": 0.8}
        ax.barh(at, share, height * 0.9, xerr=ends, color=COLOURS[i], label=titles[name], error_kw=error)
    ax.set_yticks(range(len(order)), [_term_label(term) for term in order])
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.grid(False, axis="y")
    ax.set_xlim(left=0)
    ax.set_xlabel("share of the variance of one run (%)")


def _term_label(term: str) -> str:
    return {"rest": "rest: higher orders,\nchoice of the rate"}.get(
        term, term.replace("_", " ").replace(" x ", " × ")
    )


def _alt_shares(usable: Mapping[str, Analysis]) -> str:
    analysis = next(iter(usable.values()))
    ranked = analysis.factors.sort_values("share", ascending=False)
    parts = [f"{_name(r.factor)} {r.share:.0%} ({r.lo:.0%} to {r.hi:.0%})" for r in ranked.itertuples()]
    return (
        f"Bars with 95 % intervals: share of each factor in the variance of the logit of test accuracy, "
        f"{analysis.title}: {', '.join(parts)}. Beside them the interactions, the rest and the seeds."
    )


# ---------------------------------------------------------------------------------------------- interactions


def interactions(analysis: Analysis) -> Drawn:
    """Heat maps of adjusted mean accuracy in %, with half the width of the interval below each number."""
    if analysis.pairs.empty:
        return _only_words("Interactions", analysis.model.reason)
    pairs = list(dict.fromkeys(zip(analysis.pairs["a"], analysis.pairs["b"], strict=True)))
    tables = {p: analysis.pairs[(analysis.pairs["a"] == p[0]) & (analysis.pairs["b"] == p[1])] for p in pairs}
    scale = Normalize(100 * analysis.pairs["accuracy"].min(), 100 * analysis.pairs["accuracy"].max())
    wide, small = _by_height(tables)
    heights = [9.5] * len(wide) + [4.4] * math.ceil(len(small) / 2) + [0.3]
    fig = plt.figure(figsize=(WIDTH, (sum(heights) + 2) * CM))
    rows = fig.add_gridspec(len(heights), 1, height_ratios=heights)
    for i, table in enumerate(wide):
        _heat_map(fig.add_subplot(rows[i]), table, scale)
    for i in range(0, len(small), 2):
        two = small[i : i + 2]
        inner = rows[len(wide) + i // 2].subgridspec(
            1, len(two), width_ratios=[_shape(t)[1] + 1.5 for t in two]
        )
        for j, table in enumerate(two):
            _heat_map(fig.add_subplot(inner[j]), table, scale)
    mappable = plt.cm.ScalarMappable(scale, SEQUENTIAL)
    fig.colorbar(mappable, cax=fig.add_subplot(rows[-1]), orientation="horizontal", label=ACCURACY)
    return fig, _alt_interactions(analysis)


def _shape(table: pd.DataFrame) -> tuple[int, int]:
    """Rows and columns of a heat map; a factor of two levels lies down."""
    return table["level_a"].nunique(), table["level_b"].nunique()


def _by_height(tables: Mapping[Any, pd.DataFrame]) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    """Heat maps of many rows, and those of few, which go side by side."""
    turned = [t if _shape(t)[0] <= _shape(t)[1] or min(_shape(t)) > 3 else _turn(t) for t in tables.values()]
    return [t for t in turned if _shape(t)[0] > 3], [t for t in turned if _shape(t)[0] <= 3]


def _turn(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns={"a": "b", "b": "a", "level_a": "level_b", "level_b": "level_a"})


def _heat_map(ax: Axes, table: pd.DataFrame, scale: Normalize) -> None:
    rows, columns = (list(dict.fromkeys(table[c])) for c in ("level_a", "level_b"))
    at = [[rows.index(r), columns.index(c)] for r, c in zip(table["level_a"], table["level_b"], strict=True)]
    values = np.full((len(rows), len(columns)), np.nan)
    values[tuple(np.transpose(at))] = 100 * table["accuracy"]
    ax.imshow(values, cmap=SEQUENTIAL, norm=scale, aspect="auto")
    for (i, j), row in zip(at, table.itertuples(), strict=True):
        text = f"{100 * row.accuracy:.0f}\n±{50 * (row.hi - row.lo):.0f}"
        ax.text(
            j,
            i,
            text,
            ha="center",
            va="center",
            fontsize=SMALL,
            linespacing=0.95,
            color=_ink(scale(100 * row.accuracy)),
        )
    names = _name(table["a"].iloc[0]), _name(table["b"].iloc[0])
    _label_cells(ax, rows, columns, names)
    ax.set_title(f"{names[0]} × {names[1]}")


def _label_cells(ax: Axes, rows: Sequence[Any], columns: Sequence[Any], names: tuple[str, str]) -> None:
    ax.set_yticks(range(len(rows)), [str(r) for r in rows])
    slanted = max(len(str(c)) for c in columns) > 6
    ax.set_xticks(range(len(columns)), [str(c) for c in columns])
    if slanted:
        ax.tick_params(axis="x", labelrotation=25)
        for label in ax.get_xticklabels():
            label.set_ha("right")
            label.set_rotation_mode("anchor")
    ax.grid(False)
    ax.set_ylabel(names[0])
    ax.set_xlabel(names[1])


def _ink(position: float) -> str:
    """White on the dark half of the scale, black on the light half."""
    return "white" if position < 0.5 else "black"


def _alt_interactions(analysis: Analysis) -> str:
    best = analysis.pairs.sort_values("accuracy").groupby(["a", "b"], sort=False).tail(1)
    parts = [
        f"{_name(r.a)} × {_name(r.b)}: {r.level_a} with {r.level_b}, {r.accuracy:.0%}"
        for r in best.itertuples()
    ]
    return f"Heat maps of adjusted mean test accuracy of pairs of factors. The best: {'; '.join(parts)}."


# ---------------------------------------------------------------------------------------------- levels


def levels(cells: pd.DataFrame, analysis: Analysis, factors: Mapping[str, Sequence[Any]]) -> Drawn:
    """One panel a factor: every cell's accuracy as a dot, a box, and the adjusted mean with its interval."""
    fig, axes = plt.subplots(2, 3, figsize=(WIDTH, 16 * CM), sharex=True, height_ratios=[1.25, 1])
    for ax, (name, values) in zip(axes.flat, factors.items(), strict=False):
        _strip(ax, cells, name, [v for v in values if (cells[name] == v).any()])
        if not analysis.levels.empty:
            _adjusted(ax, analysis.levels[analysis.levels["factor"] == name])
        ax.set_title(_name(name))
    for ax in axes[-1]:
        ax.set_xlabel("test accuracy (%)")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    if handles:
        fig.legend(handles, labels, loc="outside lower center")
    return fig, _alt_levels(cells, analysis)


def _strip(ax: Axes, cells: pd.DataFrame, name: str, values: Sequence[Any]) -> None:
    groups = [100 * cells.loc[cells[name] == v, "accuracy"].to_numpy() for v in values]
    for i, accuracy in enumerate(groups):
        offset = 0.5 * ((np.arange(len(accuracy)) * GOLDEN) % 1 - 0.5)
        ax.scatter(accuracy, i + offset, s=4, color=COLOURS[0], alpha=0.35, linewidths=0)
    line = {"color": "0.35", "linewidth": 0.8}
    look = {"boxprops": line, "whiskerprops": line, "capprops": line, "medianprops": {"color": "0.1"}}
    where = {"positions": range(len(values)), "orientation": "horizontal", "widths": 0.6}
    ax.boxplot(groups, showfliers=False, **where, **look)
    ax.set_yticks(range(len(values)), [str(v) for v in values])
    ax.invert_yaxis()
    ax.grid(False, axis="y")


def _adjusted(ax: Axes, table: pd.DataFrame) -> None:
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    shown = table[[str(v) in labels for v in table["level"]]]
    mean = 100 * shown["accuracy"].to_numpy()
    ends = [mean - 100 * shown["lo"].to_numpy(), 100 * shown["hi"].to_numpy() - mean]
    at = [labels.index(str(v)) for v in shown["level"]]
    mark = {"fmt": "|", "markersize": 9, "markeredgewidth": 1.6, "elinewidth": 3, "color": COLOURS[3]}
    ax.errorbar(mean, at, xerr=ends, label="adjusted mean over the complete crossing, 95 % interval", **mark)


def _alt_levels(cells: pd.DataFrame, analysis: Analysis) -> str:
    start = f"Test accuracy of {len(cells)} cells by level of each factor, as dots and boxes."
    if analysis.levels.empty:
        return f"{start} No adjusted means: {analysis.model.reason}."
    best = analysis.levels.sort_values("accuracy").groupby("factor", sort=False).tail(1)
    parts = [
        f"{_name(r.factor)} {r.level} {r.accuracy:.0%} ({r.lo:.0%} to {r.hi:.0%})" for r in best.itertuples()
    ]
    return f"{start} Marks: adjusted means, 95 % intervals; highest of each factor: {', '.join(parts)}."


# ----------------------------------------------------------------------------------------- rates, best cells


def learning_rates(rates: pd.DataFrame) -> Drawn:
    """Median and quartiles of the chosen learning rates; a star where most sat at the end of their grid."""
    if rates.empty:
        return _only_words("Learning rates", "no learning rates in the frame")
    fig, ax = plt.subplots(figsize=(WIDTH, 9 * CM))
    rows, columns = (list(dict.fromkeys(rates[c])) for c in ("optimizer", "batch_size"))
    columns = sorted(columns)
    values = np.full((len(rows), len(columns)), np.nan)
    low, high = rates["median"].min(), rates["median"].max()
    scale = LogNorm(low, high if high > low else low * 10)
    for row in rates.itertuples():
        i, j = rows.index(row.optimizer), columns.index(row.batch_size)
        values[i, j] = row.median
        star = " *" if row.at_edge * 2 > row.cells else ""
        text = f"{_short(row.median)}{star}\n{_short(row.q1)} – {_short(row.q3)}"
        ax.text(j, i, text, ha="center", va="center", fontsize=SMALL, color=_ink(float(scale(row.median))))
    image = ax.imshow(values, cmap=SEQUENTIAL, norm=scale, aspect="auto")
    _label_cells(ax, rows, columns, ("optimizer", "batch size"))
    fig.colorbar(image, ax=ax, label="chosen learning rate")
    ax.set_title("Best learning rate: median and quartiles over cells")
    parts = [f"{r.optimizer} at batch size {r.batch_size}: {_short(r.median)}" for r in rates.itertuples()]
    return fig, f"Median of the learning rates that tuning chose. {'; '.join(parts)}."


def _short(rate: float) -> str:
    return f"{rate:.2g}" if rate >= 1e-4 else f"{rate:.0e}".replace("e-0", "e-")


def best_cells(analysis: Analysis) -> Drawn:
    """How much more often a level is among the best 5 % of cells than among all, with intervals."""
    table = analysis.best
    if table.empty:
        return _only_words("The best 5 % of cells", analysis.best_reason)
    fig, ax = plt.subplots(figsize=(WIDTH, (2.5 + 0.42 * len(table)) * CM))
    for i, row in enumerate(table.itertuples()):
        colour, sure = COLOURS[list(table["factor"].unique()).index(row.factor)], row.p_holm < 0.05
        ax.plot([row.lo, row.hi], [i, i], color=colour, linewidth=1.4)
        ax.plot(row.ratio, i, "o", color=colour, markerfacecolor=colour if sure else "white", markersize=4.5)
    ax.axvline(1, color="0.4", linewidth=0.8, linestyle="--")
    ax.set_yticks(range(len(table)), [f"{_name(r.factor)}: {r.level}" for r in table.itertuples()])
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    ax.set_xlim(left=-0.05)
    ax.set_xlabel("share among the best 5 % of cells over share among all (filled: p < 0.05 after Holm)")
    ax.set_title("What the best cells have in common")
    sure = table[table["p_holm"] < 0.05].sort_values("ratio", ascending=False)
    parts = [
        f"{_name(r.factor)} {r.level} {r.ratio:.1f} ({r.lo:.1f} to {r.hi:.1f})" for r in sure.itertuples()
    ]
    return (
        fig,
        f"How often levels are among the best cells, relative to all. Sure: {', '.join(parts) or 'none'}.",
    )


def _only_words(title: str, reason: str) -> Drawn:
    fig, ax = plt.subplots(figsize=(WIDTH, 4 * CM))
    ax.axis("off")
    ax.text(0.5, 0.5, f"Not estimable: {reason}", ha="center", va="center", wrap=True)
    ax.set_title(title)
    return fig, f"{title}: not estimable, {reason}."


def _name(factor: str) -> str:
    return factor.replace("_", " ")


def all_figures(result: GridResult, factors: Mapping[str, Sequence[Any]]) -> dict[str, Drawn]:
    """Name -> (figure, alternative text); the names do not depend on the result."""
    everything = next(iter(result.analyses.values()))
    return {
        "grid-shares": variance_shares(result.analyses),
        "grid-interactions": interactions(everything),
        "grid-levels": levels(result.cells, everything, factors),
        "grid-rates": learning_rates(result.rates),
        "grid-best": best_cells(everything),
    }
