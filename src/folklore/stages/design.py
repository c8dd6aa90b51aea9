"""Write or extend the fraction of the six-factor crossing that the laptop profile trains.

`python -m folklore.stages.design` reads conf/factors.yaml. Cells that conf/study/six_factor.csv holds stay,
cells of new levels join them, cells of removed levels leave; `--fresh` starts anew (some minutes).
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from folklore import study_files
from folklore.errors import UsageError
from folklore.files import atomic_write
from folklore.schema import CONF
from folklore.stages.command import command
from folklore.stats.design import Cell, Factors, counts, diagnose, optimise
from folklore.study_files import GRAPH_FACTORS, read_factors

N_GRAPH, PER_GRAPH = 140, 3
BALANCE = 0.2  # one-way counts may be this far from balanced


def read_cells(path: Path, factors: Factors) -> list[Cell]:
    """Cells of a design file; those with a level that the factors no longer have are left out."""
    cells = study_files.read_cells(path)
    if cells and set(cells[0]) != set(factors):
        raise UsageError(
            f"{path}: columns {sorted(cells[0])}: allowed are the factors {sorted(factors)}; start anew with --fresh"
        )
    known = [cell for cell in cells if all(cell[f] in levels for f, levels in factors.items())]
    return [{f: cell[f] for f in factors} for cell in known]


def write_cells(path: Path, cells: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(cells[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(cells)
    atomic_write(path, text.getvalue())


def extend(factors: Factors, kept: Sequence[Cell], *, seed: int, starts: int) -> list[Cell]:
    """The design: `kept` itself when every level has cells in it already."""
    if kept and all(c > 0 for levels in counts(kept, factors).values() for c in levels.values()):
        return list(kept)
    starts = min(starts, 4) if kept else starts  # few cells are free: more searches find the same
    most = math.prod(len(factors[name]) for name in GRAPH_FACTORS)
    if most < N_GRAPH:
        raise UsageError(
            f"{', '.join(GRAPH_FACTORS)}: {most} combinations: allowed are levels enough for {N_GRAPH} graph cells"
        )
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


def main(argv: Sequence[str]) -> None:
    """Status 1 for a design that does not estimate everything."""
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
    factors = read_factors(args.factors)
    kept = [] if args.fresh or not args.cells.is_file() else read_cells(args.cells, factors)
    cells = extend(factors, kept, seed=args.seed, starts=args.starts)
    write_cells(args.cells, cells)
    diagnosis = diagnose(cells, factors)
    print(f"{args.cells}: {len(kept)} cells kept, {len(cells) - len(kept)} added\n{table(diagnosis)}")
    if diagnosis["rank"] != diagnosis["parameters"]:
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(command(main))
