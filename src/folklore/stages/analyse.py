"""Analyse the six-factor study: `python -m folklore.stages.analyse --out results --profile laptop`.

Reads the study's confirmed runs; writes grid.json, tables/grid-*.csv and figures/grid-*.{svg,png,txt} below
`--out`. The same runs give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from folklore.errors import UsageError
from folklore.figures import grid as draw
from folklore.figures import style
from folklore.stages.design import GRAPH_FACTORS, read_factors
from folklore.stats.importance import GridResult, analyse

SEED = 6  # of the bootstrap
RESAMPLES = 2000
TABLES = ("shares", "factors", "levels", "pairs", "best")


def read_grid(out: Path, profile: str) -> pd.DataFrame:
    """Confirmed runs of the study's main variant, one row a run. Raises UsageError when there are none."""
    path = out / "frames" / "six-factor.parquet"
    if not path.is_file():
        raise UsageError(
            f"{path}: not there; train the six-factor study of profile {profile} first (snakemake)"
        )
    frame = pd.read_parquet(path)
    confirmed = frame[(frame["phase"] == "confirm") & (frame["variant"] == "main")]
    if confirmed.empty:
        raise UsageError(
            f"{path}: holds no confirmed run; train the six-factor study of profile {profile} first"
        )
    return confirmed.reset_index(drop=True)


def tables(result: GridResult) -> dict[str, pd.DataFrame]:
    """Name -> table; those of the analyses with a column that names the analysis."""
    found = {f"grid-{t}": _stacked({n: getattr(a, t) for n, a in result.analyses.items()}) for t in TABLES}
    models = [{"analysis": n, **_flat(a.model.__dict__)} for n, a in result.analyses.items()]
    return {
        **found,
        "grid-models": pd.DataFrame(models),
        "grid-rates": result.rates,
        "grid-rate-levels": result.rate_levels,
        "grid-cells": result.cells,
    }


def _stacked(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    parts = [frame.assign(analysis=name) for name, frame in frames.items() if len(frame)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"analysis": []})


def _flat(model: Mapping[str, Any]) -> dict[str, Any]:
    return {key: "; ".join(value) if isinstance(value, tuple) else value for key, value in model.items()}


def summary(result: GridResult) -> str:
    """What a person at the terminal wants to know: rank and variance inflation of every analysis."""
    lines = []
    for analysis in result.analyses.values():
        m = analysis.model
        fitted = (
            f"rank {m.rank} of {m.parameters}, max VIF {m.max_vif:.1f}" if m.estimable else "not estimable"
        )
        lines.append(f"{analysis.title}: {m.cells} cells, {fitted}{'; ' + m.reason if m.reason else ''}")
    return "\n".join(lines)


def write(result: GridResult, factors: Mapping[str, Sequence[Any]], out: Path, profile: str) -> None:
    for name, table in tables(result).items():
        text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        style.write_atomic(out / "tables" / f"{name}.csv", text.encode())
    style.apply()
    for name, (figure, alt) in draw.all_figures(result, factors).items():
        style.save(figure, out / "figures" / name, alt)
    # Last, because it is what says that the analysis is complete.
    style.write_atomic(out / "grid.json", result.to_json(schema=1, profile=profile).encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Analyse, write, and say what could be estimated; 2 when there is nothing to analyse."""
    parser = argparse.ArgumentParser(prog="folklore.stages.analyse", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the results")
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--factors", type=Path, default=Path("conf/factors.yaml"))
    options = parser.parse_args(arguments)
    try:
        factors = read_factors(options.factors)
        frame = read_grid(options.out, options.profile)
        result = analyse(frame, factors, GRAPH_FACTORS, rng=np.random.default_rng(SEED), resamples=RESAMPLES)
    except (UsageError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    write(result, factors, options.out, options.profile)
    print(summary(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
