"""All measured claims in one picture: effects with intervals, in units of the smallest that would matter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from folklore.figures import style

ROW_CM, DENSE_CM, DENSE_PT = 0.52, 0.28, 6.5  # a line alone, and in two columns with their type
MOST_LINES = 44  # of one column
XLABEL = "effect, in units of the smallest that would matter (grey: within ±1)"
MEASURED = ("supported", "refuted", "inconclusive")
MOST_TICKS = 9  # beside each other in one of two columns
# as many as there is room for: the intervals of two replicates reach a thousand times as far as those of forty
_TICKS = ((0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000), (0, 1, 10, 100, 1000, 10_000), (0, 10, 1000), (0,))


def frame(claims: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """One row a claim with an effect: label, family, verdict, effect, lo, hi (all in units of its delta).

    Exact claims, and claims without an effect or a delta, have no place on this axis and are left out.
    Families come in order of first appearance, within a family the largest effect is first.
    """
    rows = [_row(claim) for claim in claims if _drawable(claim)]
    table = pd.DataFrame(rows, columns=["label", "family", "verdict", "effect", "lo", "hi"])
    order = {family: rank for rank, family in enumerate(dict.fromkeys(table["family"]))}
    ranked = table.assign(rank=table["family"].map(order))
    return ranked.sort_values(["rank", "effect", "label"], ascending=[True, False, True]).drop(columns="rank")


def draw(claims: Sequence[Mapping[str, object]]) -> Figure:
    """The forest plot of `frame(claims)`; of many claims in two columns on one scale, so that they stay legible on a page."""
    table = frame(claims)
    parts = columns(table)
    lines, row_cm = max(map(_lines, parts)), ROW_CM if len(parts) == 1 else DENSE_CM
    fig, axes = style.new(2.2 + row_cm * lines, ncols=len(parts))
    for ax, part in zip([axes] if len(parts) == 1 else axes, parts, strict=True):
        _panel(ax, part, table, lines, 6.0 if len(parts) == 1 else 4.5)
        if len(parts) > 1:
            ax.tick_params(labelsize=DENSE_PT)
            ax.set_xlabel("")
    if len(parts) > 1:
        fig.supxlabel(XLABEL, fontsize=DENSE_PT + 1)
    _legend(fig, table)
    return fig


def columns(table: pd.DataFrame) -> list[pd.DataFrame]:
    """The table whole, or cut between two families into parts of about equal length."""
    if _lines(table) <= MOST_LINES:
        return [table]
    cuts = [i for i, new in enumerate(_firsts(table)) if new and i > 0]
    best = min(cuts, key=lambda i: max(_lines(table.iloc[:i]), _lines(table.iloc[i:])), default=len(table))
    return [part for part in (table.iloc[:best], table.iloc[best:]) if len(part)]


def _lines(table: pd.DataFrame) -> int:
    """Rows and the names of families, with the room above them."""
    return len(table) + max(1, table["family"].nunique())


def _panel(ax: Axes, part: pd.DataFrame, table: pd.DataFrame, lines: int, size: float) -> None:
    """One column of the plot, on the scale of the whole table."""
    positions = _positions(part)
    ax.axvspan(-1, 1, color="#EFEFEF", zorder=0, linewidth=0)
    ax.axvline(0, color=style.MUTED, linewidth=0.8, zorder=1)
    for (_, row), y in zip(part.iterrows(), positions, strict=True):
        _bar(ax, row, y, size)
    _scale(ax, table)
    _axes(ax, part, positions, lines)


def alt_text(claims: Sequence[Mapping[str, object]]) -> str:
    """What the picture shows, in words."""
    table = frame(claims)
    parts = [
        f"{row.label}: {row.effect:.2g} ({row.lo:.2g} to {row.hi:.2g}), {row.verdict}"
        for row in table.itertuples()
    ]
    head = (
        "Forest plot of the effect of each measured claim with its 95 % interval, in units of the smallest"
        " effect of interest of that claim; positive values go the way the rule says."
    )
    return f"{head} {'; '.join(parts)}." if parts else f"{head} No claim has an effect yet."


def _drawable(claim: Mapping[str, object]) -> bool:
    interval = claim.get("interval") or ()
    values = (claim.get("effect"), claim.get("delta"), *interval)
    measured = claim["verdict"] in MEASURED
    return measured and len(values) == 4 and all(_finite(value) for value in values) and claim["delta"] > 0


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _row(claim: Mapping[str, object]) -> tuple[object, ...]:
    delta, (low, high) = claim["delta"], claim["interval"]
    label = f"{claim['id']} *" if claim.get("fragile") else claim["id"]
    return (
        label,
        _family(claim),
        claim["verdict"],
        claim["effect"] / delta,
        low / delta,
        high / delta,
    )


def _family(claim: Mapping[str, object]) -> str:
    return str(claim.get("family") or "other").replace("-", " ").replace("_", " ").capitalize()


def _positions(table: pd.DataFrame) -> list[float]:
    """Vertical places, downwards, with one free line above each family for its name."""
    places, line, family = [], 0.0, None
    for name in table["family"]:
        line += 2 if name != family else 1
        places.append(line)
        family = name
    return places


def _bar(ax: Axes, row: pd.Series, y: float, size: float) -> None:
    colour = style.VERDICT_COLOURS[row["verdict"]]
    face = "white" if row["verdict"] in style.VERDICT_HOLLOW else colour
    ax.plot([row["lo"], row["hi"]], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
    marker = style.VERDICT_MARKERS[row["verdict"]]
    marked = {"color": colour, "markerfacecolor": face, "markersize": size, "clip_on": False}
    ax.plot(row["effect"], y, marker, zorder=3, **marked)


def _axes(ax: Axes, table: pd.DataFrame, positions: Sequence[float], lines: int) -> None:
    heads = [
        (y - 1, name) for y, name, new in zip(positions, table["family"], _firsts(table), strict=True) if new
    ]
    ax.set_yticks(list(positions) + [y for y, _ in heads], list(table["label"]) + [name for _, name in heads])
    for tick in ax.get_yticklabels()[len(positions) :]:
        tick.set_fontweight("bold")
    ax.set_ylim(max(lines, 1) + 0.7, 0.3)
    ax.grid(axis="y", visible=False)
    ax.tick_params(left=False)
    ax.set_xlabel(XLABEL)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)


def _firsts(table: pd.DataFrame) -> list[bool]:
    return list(table["family"].ne(table["family"].shift()))


def _scale(ax: Axes, table: pd.DataFrame) -> None:
    """Linear between -1 and 1, logarithmic outside once effects reach far: both ends stay legible."""
    if table.empty:
        return
    low, high = min(table["lo"].min(), -1.4), max(table["hi"].max(), 1.4)
    if max(-low, high) > 6:
        ax.set_xscale("symlog", linthresh=1, linscale=0.7)
        inside = ([t for t in _both_ways(ticks) if low <= t <= high] for ticks in _TICKS)
        ticks = next(ticks for ticks in inside if len(ticks) <= MOST_TICKS)
        ax.set_xticks(ticks, [f"{tick:,}".replace("-", "\u2212") for tick in ticks])
        ax.set_xticks([], minor=True)
        ax.set_xlim(low * 1.15, high * 1.15)
    else:
        ax.set_xlim(low * 1.08, high * 1.08)


def _both_ways(ticks: Sequence[int]) -> list[int]:
    return sorted({sign * tick for tick in ticks for sign in (-1, 1)})


def _legend(fig: Figure, table: pd.DataFrame) -> None:
    names = [name for name in style.VERDICT_COLOURS if name in set(table["verdict"])]
    handles = [_handle(name) for name in names]
    if handles:
        fig.legend(handles=handles, loc="outside upper right", ncols=len(handles))


def _handle(name: str) -> Line2D:
    colour = style.VERDICT_COLOURS[name]
    face = "white" if name in style.VERDICT_HOLLOW else colour
    marker = style.VERDICT_MARKERS[name]
    return Line2D([], [], color=colour, marker=marker, markersize=6, markerfacecolor=face, label=name)
