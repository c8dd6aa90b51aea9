"""Analyse the six-factor study: `python -m folklore.stages.analyse --out results profile=laptop`.

Reads the study's confirmed runs; writes grid.json, tables/grid-*.csv and figures/grid-*.{svg,png,txt} below
`--out`. The same runs give the same bytes.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from folklore.figures import grid as draw
from folklore.figures import style
from folklore.files import write_result
from folklore.frames import Frames
from folklore.grid import SIX_FACTOR
from folklore.plan import Plan, make_plan
from folklore.schema import CONF
from folklore.stages.command import command, out_and_overrides
from folklore.stages.design import GRAPH_FACTORS, read_factors
from folklore.stats.importance import GridResult, analyse

SEED = 6  # of the bootstrap
RESAMPLES = 2000
TABLES = ("shares", "factors", "levels", "pairs", "best")


def read_grid(plan: Plan, out: Path) -> pd.DataFrame:
    """Confirmed runs of the six-factor study, one row a run."""
    frame = Frames(plan, out, {SIX_FACTOR}).study(SIX_FACTOR)
    return frame[frame["phase"] == "confirm"].reset_index(drop=True)


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


def write(
    result: GridResult, factors: Mapping[str, Sequence[Any]], out: Path, more: Mapping[str, Any]
) -> None:
    """Tables, figures, and grid.json with `more` in front."""
    for name, table in tables(result).items():
        text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        write_result(out / "tables" / f"{name}.csv", text)
    style.apply()
    for name, (figure, alt) in draw.all_figures(result, factors).items():
        style.save(figure, out / "figures" / name, alt)
    # Last, because it is what says that the analysis is complete.
    write_result(out / "grid.json", result.to_json(**more))


def lead(result: GridResult) -> list[str]:
    """What the grid says, in sentences made from its numbers."""
    main = result.analyses["all"]
    said = [summary(result).replace("\n", ". ") + "."]
    if len(main.factors):
        ranked = main.factors.sort_values("share", ascending=False)
        words = [f"{r.factor} {100 * r.share:.0f} %" for r in ranked.itertuples()]
        said.insert(
            0, f"Share of the variance of logit accuracy that goes with each factor: {', '.join(words)}."
        )
    return said


def provenance(frame: pd.DataFrame) -> dict[str, Any]:
    """Which runs stand behind the analysis."""
    keys = sorted(set(frame["run_key"]))
    return {
        "runs": len(keys),
        "run_keys_sha256": hashlib.sha256("\n".join(keys).encode()).hexdigest(),
        "run_query": f"tags.studies LIKE '%,{SIX_FACTOR},%'",
    }


def main(argv: Sequence[str]) -> None:
    out, overrides = out_and_overrides(__doc__, argv)
    plan = make_plan(overrides)
    frame, factors = read_grid(plan, out), read_factors(CONF / "factors.yaml")
    result = analyse(frame, factors, GRAPH_FACTORS, rng=np.random.default_rng(SEED), resamples=RESAMPLES)
    more = {"schema": 1, "profile": plan.config.profile.name, "lead": lead(result), **provenance(frame)}
    write(result, factors, out, more)
    print(summary(result))


if __name__ == "__main__":
    sys.exit(command(main))
