"""Write or extend the fraction of the six-factor crossing that the laptop profile trains.

`python -m folklore.stages.design` reads conf/factors.yaml. Cells that conf/study/six_factor.csv holds stay,
cells of new levels join them, cells of removed levels leave; `--fresh` starts anew (some minutes).
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from folklore.errors import UsageError
from folklore.schema import CONF
from folklore.stats.design import Cell, Factors, counts, diagnose, optimise
from folklore.study_files import read_levels

GRAPH_FACTORS = ("activation", "norm", "batch_size", "optimizer")
N_GRAPH, PER_GRAPH = 140, 3
BALANCE = 0.2  # one-way counts may be this far from balanced


def read_factors(path: Path) -> dict[str, list[Any]]:
    """Factor -> levels. Raises UsageError for what cannot be a list of factors."""
    factors = read_levels(path)
    for name, levels in factors.items():
        if len(levels) < 2:
            raise UsageError(f"{path}: {name}: {levels}: give at least two levels, none of them twice")
    missing = [name for name in GRAPH_FACTORS if name not in factors]
    if missing:
        raise UsageError(f"{path}: {', '.join(missing)}: missing; these factors make the graph cells")
    if len(factors) == len(GRAPH_FACTORS):
        raise UsageError(f"{path}: add a factor that is none of {', '.join(GRAPH_FACTORS)}, such as init")
    return factors


def read_cells(path: Path, factors: Factors) -> list[Cell]:
    """Cells of a design file; those with a level that the factors no longer have are left out."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows and set(rows[0]) != set(factors):
        raise UsageError(
            f"{path}: columns {sorted(rows[0])} are not the factors {sorted(factors)}; use --fresh"
        )
    typed = {f: {str(level): level for level in levels} for f, levels in factors.items()}
    known = [row for row in rows if all(row[f] in typed[f] for f in factors)]
    return [{f: typed[f][row[f]] for f in factors} for row in known]


def write_cells(path: Path, cells: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(cells[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(cells)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text.getvalue(), encoding="utf-8")
    temporary.replace(path)


def extend(factors: Factors, kept: Sequence[Cell], *, seed: int, starts: int) -> list[Cell]:
    """The design: `kept` itself when every level has cells in it already."""
    if kept and all(c > 0 for levels in counts(kept, factors).values() for c in levels.values()):
        return list(kept)
    starts = min(starts, 4) if kept else starts  # few cells are free: more searches find the same
    return optimise(factors, GRAPH_FACTORS, N_GRAPH, PER_GRAPH, seed=seed, starts=starts, fixed=kept)


def table(diagnosis: Mapping[str, Any]) -> str:
    """The diagnosis for a person: one line a property, one line a factor."""
    lines = [
        f"cells            {diagnosis['cells']}",
        f"rank             {diagnosis['rank']} of {diagnosis['parameters']} parameters",
        f"max VIF          {diagnosis['max_vif']:.1f}",
        f"D-efficiency     {diagnosis['d_efficiency']:.3f} (complete crossing: 1)",
        f"log det          {diagnosis['log_det']:.2f}",
        f"largest imbalance {diagnosis['imbalance']:.1%}",
    ]
    for factor, levels in diagnosis["counts"].items():
        lines.append(f"{factor:<16} " + "  ".join(f"{level} {n}" for level, n in levels.items()))
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--factors", type=Path, default=CONF / "factors.yaml")
    parser.add_argument("--cells", type=Path, default=CONF / "study" / "six_factor.csv")
    parser.add_argument("--fresh", action="store_true", help="forget the cells that exist")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument(
        "--starts", type=int, default=24, help="local searches to choose the best of, 8 s each"
    )
    args = parser.parse_args(argv)
    try:
        factors = read_factors(args.factors)
        kept = [] if args.fresh or not args.cells.is_file() else read_cells(args.cells, factors)
        cells = extend(factors, kept, seed=args.seed, starts=args.starts)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    write_cells(args.cells, cells)
    diagnosis = diagnose(cells, factors)
    print(f"{args.cells}: {len(kept)} cells kept, {len(cells) - len(kept)} added\n{table(diagnosis)}")
    return 0 if diagnosis["rank"] == diagnosis["parameters"] else 1


if __name__ == "__main__":
    sys.exit(main())
