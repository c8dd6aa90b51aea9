"""Judge every claim: `python -m folklore.stages.judge --out results profile=laptop` writes verdicts.json and the tables of each claim."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from folklore.files import write_result
from folklore.judging import judge_all
from folklore.plan import make_plan
from folklore.stages.command import command, out_and_overrides


def main(argv: Sequence[str]) -> None:
    out, overrides = out_and_overrides(__doc__, argv)
    verdicts = judge_all(make_plan(overrides), out)
    for claim in verdicts["claims"]:
        _tables(out, claim)
    columns = [
        "id",
        "family",
        "kind",
        "verdict",
        "refuted_how",
        "fragile",
        "effect",
        "unit",
        "scale",
        "n",
        "p",
        "p_corrected",
    ]
    table = pd.DataFrame(verdicts["claims"], columns=columns)
    write_result(out / "tables" / "verdicts.csv", table.to_csv(index=False))
    write_result(
        out / "verdicts.json",
        json.dumps(verdicts, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n",
    )


def _tables(out: Path, claim: dict) -> None:
    """What the claim's page shows in tables: arms, exact checks, robustness, and its own."""
    parts = {"": claim["rows"], "-checks": claim["checks"], "-robustness": claim["robustness"]}
    frames = {suffix: pd.DataFrame(rows) for suffix, rows in parts.items() if rows}
    for i, one in enumerate(claim["tables"], start=1):
        frames[f"-{i}"] = pd.DataFrame(one["rows"], columns=one["columns"])
    for suffix, table in frames.items():
        write_result(out / "tables" / f"{claim['id']}{suffix}.csv", table.to_csv(index=False))


if __name__ == "__main__":
    sys.exit(command(main))
