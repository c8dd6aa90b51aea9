"""The six-factor analysis: every figure and table whose name begins with `grid-`, in a reader's order."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from folklore.report.claim import breakable, table
from folklore.report.numbers import number
from folklore.report.words import paragraph

LONGEST_TABLE = 14
WIDEST_TABLE = 9
_ORDER = ("grid-importance", "grid-main", "grid-levels", "grid-interaction", "grid-rates", "grid-best")


def figure_stems(figures: Path) -> list[Path]:
    """The analysis' figures without suffix: what matters first, then by name."""
    return sorted((path.with_suffix("") for path in figures.glob("grid-*.svg")), key=_rank)


def tables(folder: Path) -> list[dict[str, object]]:
    """The analysis' tables, each cut to what a page can hold; the caption says where the rest is."""
    shown = [
        _table(path)
        for path in sorted(folder.glob("grid-*.csv"), key=lambda path: _rank(path.with_suffix("")))
    ]
    return [one for one in shown if one]


def lead(grid: Mapping[str, object]) -> list[str]:
    """What the analysis wrote about itself: `lead`, `summary` or `text`, a paragraph or a list of them."""
    said = next((grid[key] for key in ("lead", "summary", "text") if grid.get(key)), [])
    return [paragraph(text) for text in ([said] if isinstance(said, str) else said) if isinstance(text, str)]


def _rank(stem: Path) -> tuple[int, str]:
    place = next((index for index, prefix in enumerate(_ORDER) if stem.name.startswith(prefix)), len(_ORDER))
    return place, stem.name


def _table(path: Path) -> dict[str, object] | None:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if len(rows) < 2:
        return None
    head, body = rows[0][:WIDEST_TABLE], [row[:WIDEST_TABLE] for row in rows[1 : LONGEST_TABLE + 1]]
    cells = [[_cell(value) for value in row] for row in body]
    return table(_caption(path, rows), [_plain(name) for name in head], cells)


def _cell(text: str) -> str:
    try:
        value = float(text)
    except ValueError:
        return breakable(text)
    return number(int(value) if value.is_integer() and "." not in text and "e" not in text.lower() else value)


def _caption(path: Path, rows: Sequence[Sequence[str]]) -> str:
    name = path.stem.removeprefix("grid-").replace("-", " ").replace("_", " ").capitalize()
    cut = len(rows) - 1 > LONGEST_TABLE or len(rows[0]) > WIDEST_TABLE
    rest = f"The first {LONGEST_TABLE} of {len(rows) - 1} rows; all of it is in" if cut else "Also in"
    return f"{name}. {rest} results/tables/{path.name}."


def _plain(name: str) -> str:
    return name.replace("_", " ")
