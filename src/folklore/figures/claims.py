"""Plots that claims share: tuning curves, arms with intervals, loss curves, effects, exact checks.

Every function draws on the axes that it is given, and takes `names` (arm -> what the reader sees) and
`colours` (arm -> colour; see `arm_colours`), so that one arm looks the same in all panels of a figure.
Intervals come from the finding's rows, never from here; means over tuning seeds and quantiles over
replicates only describe what is drawn. Nothing here fails on toy sizes: an empty frame leaves empty axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from folklore.figures import style
from folklore.stats.findings import Check, Finding, Row

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_ERROR_FLOOR = 1e-17  # an error of exactly 0 has no place on a logarithmic axis
_FORM_WORDS = {"printed": "as printed", "right": "put right", "derived": "derived"}
_ROW_GAP = 0.18
_DODGE = 0.015

Score = str | Callable[[pd.DataFrame], pd.Series]
Names = Mapping[str, str]
Colours = Mapping[str, object]


def arms_of(runs: pd.DataFrame, variant: str = "main") -> list[str]:
    """Arms of a variant in the order of the frame."""
    return list(dict.fromkeys(runs.loc[runs["variant"] == variant, "arm"]))


def arm_colours(arms: Iterable[str]) -> dict[str, object]:
    """A colour for each arm from the colour-blind palette, by its place."""
    return {arm: style.PALETTE[i % len(style.PALETTE)] for i, arm in enumerate(dict.fromkeys(arms))}


def arm_markers(arms: Iterable[str]) -> dict[str, str]:
    """A marker for each arm, so that colour is never the only difference."""
    return {arm: MARKERS[i % len(MARKERS)] for i, arm in enumerate(dict.fromkeys(arms))}


def tuning_curves(
    ax: Axes,
    runs: pd.DataFrame,
    arms: Sequence[str] | None = None,
    *,
    score: Score = "val_accuracy",
    scale: float = 100.0,
    variant: str = "main",
    names: Names | None = None,
    colours: Colours | None = None,
    ylabel: str = "validation accuracy (%)",
) -> None:
    """Score against learning rate, an arm a line: seeds as faint marks, means joined, the chosen rate ringed.

    score: a column of `runs`, or a function of the frame (for steps, with scale 1:
    `lambda f: 2 ** steps_measure(target)(f)`).
    """
    arms = arms_of(runs, variant) if arms is None else list(arms)
    names, colours, markers = names or {}, colours or arm_colours(arms), arm_markers(arms)
    mine = runs[(runs["variant"] == variant) & runs["arm"].isin(arms)]
    tuned = mine[mine["phase"] == "tune"]
    tuned = tuned.assign(
        score=scale * (tuned[score] if isinstance(score, str) else score(tuned)).astype(float)
    )
    for arm in arms:
        seeds = tuned[tuned["arm"] == arm]
        if seeds.empty:
            continue
        means, look = seeds.groupby("lr")["score"].mean(), {"color": colours[arm], "marker": markers[arm]}
        ax.plot(seeds["lr"], seeds["score"], linestyle="", markersize=2.5, alpha=0.45, **look)
        ax.plot(means.index, means.to_numpy(), label=names.get(arm, arm), **look)
        chosen = mine.loc[(mine["arm"] == arm) & (mine["phase"] == "confirm"), "lr"].head(1)
        ax.plot(
            chosen,
            np.interp(np.log(chosen), np.log(means.index), means),  # it may lie between two rates
            "o",
            markersize=10,
            markerfacecolor="none",
            color=style.INK,
            linewidth=0,
        )
    rate_axis(ax)
    ax.set_ylabel(ylabel)


def rate_axis(ax: Axes) -> None:
    """The x axis as learning rates, logarithmic, marked at powers of ten and three times those."""
    ax.set_xscale("log", base=10)
    low, high = ax.get_xlim()
    marks = (
        (1.0, 3.0) if high / low < 200 else (1.0,)
    )  # more would run into each other in half a page's width
    ax.xaxis.set_major_locator(LogLocator(base=10, subs=marks, numticks=8))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("learning rate")


def arm_points(
    ax: Axes,
    rows: Iterable[Row],
    arms: Sequence[str] | None = None,
    *,
    scale: float = 100.0,
    variant: str = "main",
    names: Names | None = None,
    colours: Colours | None = None,
    xlabel: str = "test accuracy (%)",
    decimals: int = 1,
) -> None:
    """Mean of each arm with its 95 % interval, downwards in the order of `arms`, its value above it."""
    found = {row.arm: row for row in rows if row.variant == variant and row.mean is not None}
    arms = list(found) if arms is None else list(arms)
    names, colours, markers = names or {}, colours or arm_colours(arms), arm_markers(arms)
    for y, arm in enumerate(arms):
        if arm in found:
            _interval(ax, found[arm], y, scale, decimals, color=colours[arm], marker=markers[arm])
    ax.set_yticks(range(len(arms)), [names.get(arm, arm) for arm in arms])
    ax.set_ylim(len(arms) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.margins(x=0.12)
    ax.set_xlabel(xlabel)


def _interval(ax: Axes, row: Row, y: float, scale: float, decimals: int, **look: object) -> None:
    if row.lo is not None:
        ax.plot(
            [scale * row.lo, scale * row.hi],
            [y, y],
            color=look["color"],
            linewidth=1.8,
            solid_capstyle="butt",
        )
    ax.plot(scale * row.mean, y, linestyle="", markersize=5.5, **look)
    ax.text(
        scale * row.mean,
        y - _ROW_GAP,
        f"{scale * row.mean:.{decimals}f}",
        ha="center",
        va="bottom",
        fontsize=7.5,
    )


def level_lines(
    ax: Axes,
    rows: Iterable[Row],
    series: Mapping[str, Mapping[float, str]],
    *,
    scale: float = 100.0,
    variant: str = "main",
    xlabel: str = "",
    ylabel: str = "test accuracy (%)",
) -> None:
    """Means with 95 % intervals against a numeric factor.

    series: lines by name, with the arm at each value of the factor: {"He": {10: "He, 10 layers", ...}, ...}.
    """
    found = {row.arm: row for row in rows if row.variant == variant and row.mean is not None}
    colours, markers = arm_colours(series), arm_markers(series)
    levels = sorted({x for places in series.values() for x in places})
    apart = _DODGE * (levels[-1] - levels[0])  # so that intervals at one level do not hide each other
    for i, (name, places) in enumerate(series.items()):
        there = [
            (x + apart * (i - (len(series) - 1) / 2), found[arm]) for x, arm in places.items() if arm in found
        ]
        look = {"color": colours[name], "marker": markers[name]}
        ax.plot([x for x, _ in there], [scale * row.mean for _, row in there], label=name, **look)
        for x, row in there:
            if row.lo is not None:
                ax.plot([x, x], [scale * row.lo, scale * row.hi], color=colours[name], linewidth=1.8)
    ax.set_xticks(levels)
    ax.margins(x=0.12)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)


def loss_curves(
    ax: Axes,
    runs: pd.DataFrame,
    arms: Sequence[str] | None = None,
    *,
    target: float | None = None,
    variant: str = "main",
    names: Names | None = None,
    colours: Colours | None = None,
    band: tuple[float, float] = (0.1, 0.9),
    steps: str = "loss_step",
    values: str = "loss_curve",
    scale: float = 1.0,
    log: bool = True,
    ylabel: str = "training loss",
) -> None:
    """Curves of confirmed runs by update: the median of the replicates, and a band between two quantiles.

    A value that is not finite (a diverged run) counts as worse than all others, lest divergence make a curve
    look good. `steps`, `values` name other list columns of the store, e.g. val_step and val_curve (then with
    scale=100, log=False).
    """
    arms = arms_of(runs, variant) if arms is None else list(arms)
    names, colours = names or {}, colours or arm_colours(arms)
    confirmed = runs[(runs["variant"] == variant) & (runs["phase"] == "confirm")]
    worst = np.inf if values.startswith("loss") else -np.inf
    dashes = ("-", "--", "-.", ":")
    for i, arm in enumerate(arms):
        mine = confirmed[confirmed["arm"] == arm]
        if mine.empty:
            continue
        x = np.asarray(mine[steps].iloc[0], dtype=float)
        curves = np.stack([np.asarray(curve, dtype=float) for curve in mine[values]]) * scale
        low, middle, high = _quantiles(curves, worst, band)
        ax.plot(x, middle, color=colours[arm], linestyle=dashes[i % 4], label=names.get(arm, arm))
        ax.fill_between(x, low, high, color=colours[arm], alpha=0.18, linewidth=0)
    if target is not None:
        ax.axhline(target, color=style.MUTED, linestyle=(0, (2, 2)), linewidth=1)
        place = {"xycoords": ("axes fraction", "data"), "xytext": (-2, 2), "textcoords": "offset points"}
        ax.annotate(f"target {target:g}", (1, target), ha="right", fontsize=7.5, color=style.MUTED, **place)
    if log and any(
        np.nanmax(line.get_ydata(), initial=0) > 0 for line in ax.lines
    ):  # else there is nothing to scale
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0), numticks=12))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("updates")
    ax.set_ylabel(ylabel)


def _quantiles(curves: np.ndarray, worst: float, band: tuple[float, float]) -> list[np.ndarray]:
    """Low, median and high (T,) of curves (n, T); "nearest" keeps an infinite value from turning into NaN."""
    filled = np.where(np.isfinite(curves), curves, worst)
    shown = [np.quantile(filled, q, axis=0, method="nearest") for q in (band[0], 0.5, band[1])]
    return [np.where(np.isfinite(line), line, np.nan) for line in shown]


def effects(
    ax: Axes, finding: Finding, delta: float, *, scale: float = 100.0, xlabel: str = "effect (points)"
) -> None:
    """The effect with its 95 % interval, on the main ground and on every other one; grey: within delta."""
    shown = [
        ("main study", finding.estimate),
        *((r.label.replace("_", " "), r.estimate) for r in finding.robustness),
    ]
    ax.axvspan(-scale * delta, scale * delta, color="#EFEFEF", zorder=0, linewidth=0)
    ax.axvline(0, color=style.MUTED, linewidth=0.8, zorder=1)
    for y, (_, found) in enumerate(shown):
        colour = style.INK if y == 0 else style.MUTED
        ax.plot(
            [scale * v for v in found.interval], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt"
        )
        ax.plot(scale * found.effect, y, "o", color=colour)
    ax.set_yticks(range(len(shown)), [label for label, _ in shown])
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(xlabel)


def check_errors(
    ax: Axes, checks: Sequence[Check], *, names: Names | None = None, xlabel: str = "relative error"
) -> None:
    """Errors of exact checks on a logarithmic axis, marked by outcome, beside their tolerance (a bar)."""
    names, seen = names or {}, set()
    for y, check in enumerate(checks):
        key = "holds" if check.holds else "fails"
        size = max(abs(check.error), _ERROR_FLOOR) if np.isfinite(check.error) else np.nan
        label = None if key in seen else key
        seen.add(key)
        ax.plot(
            size,
            y,
            style.VERDICT_MARKERS[key],
            color=style.VERDICT_COLOURS[key],
            markersize=6,
            linestyle="",
            label=label,
        )
        ax.plot([check.tolerance] * 2, [y - 0.35, y + 0.35], color=style.MUTED, linewidth=1.2)
    forms = [f"{names.get(c.name, c.name)} ({_FORM_WORDS.get(c.form, c.form)})" for c in checks]
    ax.set_yticks(range(len(checks)), forms)
    ax.set_ylim(len(checks) - 0.4, -0.6)
    ax.set_xscale("log")
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(xlabel)


def legend_above(ax: Axes, columns: int = 3) -> None:
    """The legend over its axes, where no curve can run into it; it must not be wider than they are."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=columns,
            borderaxespad=0.2,
            handlelength=2.2,
            columnspacing=1.2,
        )


def legend_on_top(ax: Axes, columns: int = 4) -> None:
    """One legend for the whole figure, from one of its axes: it takes no width from any panel."""
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        look = {"handlelength": 2.2, "columnspacing": 1.2}
        ax.figure.legend(handles, labels, loc="outside upper left", ncols=columns, **look)


def rows_in_words(
    rows: Iterable[Row],
    *,
    scale: float = 100.0,
    unit: str = "%",
    variant: str = "main",
    names: Names | None = None,
    decimals: int = 1,
) -> str:
    """For alternative texts: "He 81.2 % (80.9 to 81.5), Glorot ..."."""
    names = names or {}
    return ", ".join(
        f"{names.get(row.arm, row.arm)} {_words(row, scale, unit, decimals)}"
        for row in rows
        if row.variant == variant and row.mean is not None
    )


def _words(row: Row, scale: float, unit: str, decimals: int) -> str:
    mean = f"{scale * row.mean:.{decimals}f} {unit}".strip()
    return (
        mean if row.lo is None else f"{mean} ({scale * row.lo:.{decimals}f} to {scale * row.hi:.{decimals}f})"
    )
