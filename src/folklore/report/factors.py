"""The six-factor analysis: every figure whose name begins with `grid-`, in a reader's order, and the tables that stand behind them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from folklore.report.claim import breakable, table
from folklore.report.numbers import count, number
from folklore.report.words import tidy

PAIRS = 12
_ORDER = ("grid-shares", "grid-levels", "grid-interaction", "grid-rates", "grid-best")
Rows = Sequence[Mapping[str, str]]


def figure_stems(figures: Path) -> list[Path]:
    """The analysis' figures without suffix: what matters first, then by name."""
    return sorted((path.with_suffix("") for path in figures.glob("grid-*.svg")), key=_rank)


def _rank(stem: Path) -> tuple[int, str]:
    place = next((index for index, prefix in enumerate(_ORDER) if stem.name.startswith(prefix)), len(_ORDER))
    return place, stem.name


def lead(grid: Mapping[str, object]) -> list[str]:
    """What the analysis wrote about itself: `lead`, `summary` or `text`, a paragraph or a list of them."""
    said = next((grid[key] for key in ("lead", "summary", "text") if grid.get(key)), [])
    return [tidy(text) for text in ([said] if isinstance(said, str) else said) if isinstance(text, str)]


def tables(folder: Path) -> list[dict[str, object]]:
    """What a reader looks up: shares of the factors and of their pairs, levels, rates. All of it lies in `folder` as CSV."""
    found = ((name, _read(folder / f"grid-{name}.csv")) for name in _TABLES)
    return [_TABLES[name](rows) for name, rows in found if rows]


def _read(path: Path) -> Rows:
    """Rows of the analysis of all cells; nothing where there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row.get("analysis", "all") == "all"]


def _factors(rows: Rows) -> dict[str, object]:
    ranked = sorted(rows, key=lambda row: float(row["share"]), reverse=True)
    cells = [
        [
            _plain(r["factor"]),
            _percent(r["main"]),
            _between(r, "main_lo", "main_hi"),
            _percent(r["share"]),
            _between(r),
        ]
        for r in ranked
    ]
    columns = ["factor", "alone (%)", "95 % interval", "with its pairs (%)", "95 % interval"]
    caption = (
        "Share of the variance of logit accuracy that goes with each factor: by itself, and with half of every pair that it belongs "
        "to. Also in results/tables/grid-factors.csv."
    )
    return table(caption, columns, cells, numeric=[1, 2, 3, 4])


def _shares(rows: Rows) -> dict[str, object]:
    pairs = sorted((r for r in rows if " x " in r["term"]), key=lambda row: float(row["share"]), reverse=True)
    cells = [
        [_plain(r["term"]).replace(" x ", " × "), _percent(r["share"]), _between(r)] for r in pairs[:PAIRS]
    ]
    caption = (
        f"The {min(PAIRS, len(pairs))} largest of {len(pairs)} interactions of two factors, by their share of the variance of logit "
        "accuracy. All are in results/tables/grid-shares.csv."
    )
    return table(caption, ["factors", "share (%)", "95 % interval"], cells, numeric=[1, 2])


def _levels(rows: Rows) -> dict[str, object]:
    groups = [
        {
            "name": _plain(factor),
            "rows": [
                [_plain(r["level"]), _percent(r["accuracy"]), _between(r), count(int(r["cells"]))]
                for r in sorted(group, key=lambda row: float(row["accuracy"]), reverse=True)
            ],
        }
        for factor, group in groupby(rows, key=lambda row: row["factor"])
    ]
    caption = (
        "Mean test accuracy of each level over all cells that have it, best first, after equally many samples, each cell at its own "
        "tuned rate. Also in results/tables/grid-levels.csv."
    )
    columns = ["level", "test accuracy (%)", "95 % interval", "cells"]
    return table(caption, columns, [], groups=groups, numeric=[1, 2, 3])


def _rates(rows: Rows) -> dict[str, object]:
    groups = [
        {
            "name": _plain(optimizer),
            "rows": [
                [
                    r["batch_size"],
                    _number(r["median"]),
                    f"{_number(r['q1'])} to {_number(r['q3'])}",
                    r["cells"],
                    r["at_edge"],
                ]
                for r in group
            ],
        }
        for optimizer, group in groupby(rows, key=lambda row: row["optimizer"])
    ]
    caption = (
        "Tuned learning rates by optimizer and batch size: median and middle half over the cells, and how many sit at an end of their "
        "grid. Also in results/tables/grid-rates.csv."
    )
    columns = ["batch size", "median rate", "middle half", "cells", "at an end"]
    return table(caption, columns, [], groups=groups, numeric=[0, 1, 2, 3, 4])


_TABLES: Mapping[str, Callable[[Rows], dict[str, object]]] = {
    "factors": _factors,
    "shares": _shares,
    "levels": _levels,
    "rates": _rates,
}


def _plain(name: str) -> str:
    return breakable(name.replace("_", " "))


def _number(text: str) -> str:
    return number(float(text))


def _percent(text: str) -> str:
    return f"{100 * float(text):.1f}"


def _between(row: Mapping[str, str], low: str = "lo", high: str = "hi") -> str:
    return f"{_percent(row[low])} to {_percent(row[high])}"
