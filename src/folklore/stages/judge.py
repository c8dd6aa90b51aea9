"""Judge every claim: `python -m folklore.stages.judge --out results profile=laptop` writes findings.json, verdicts.json, and the tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import pandas as pd

from folklore.files import write_result
from folklore.finding_files import write_findings
from folklore.frames import Frames
from folklore.judging import find_all, judge_all
from folklore.plan import make_plan
from folklore.report.claim import claim_tables
from folklore.stages.command import command, out_and_overrides


def main(argv: Sequence[str]) -> None:
    out, overrides = out_and_overrides(__doc__, argv)
    plan = make_plan(overrides)
    frames = Frames(plan, out)
    findings = find_all(plan, frames)
    verdicts = judge_all(plan, out, frames, findings)
    write_findings(out, findings)
    for name, one in (table for claim in verdicts["claims"] for table in claim_tables(claim)):
        frame = pd.DataFrame(one["rows"], columns=one.get("columns"))
        write_result(out / "tables" / f"{name}.csv", frame.to_csv(index=False))
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


if __name__ == "__main__":
    sys.exit(command(main))
