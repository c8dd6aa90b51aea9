"""What a run costs when there are many, where `make growth` has been run: a table of the appendix."""

from __future__ import annotations

import json
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from folklore.errors import UsageError
from folklore.report.claim import table
from folklore.report.numbers import count

FILE = "growth.json"
_STEPS = {"plan": "planned", "store": "stored", "import": "imported into MLflow", "judge": "read and judged"}
_CAPTION = (
    "Made-up results sent the way of real ones, each step by a process of its own: seconds of the clock, and the most memory "
    "that the process held."
)


def growth(out: Path) -> dict[str, object] | None:
    """The table of `results/growth.json`; None without one. UsageError for a file that `make growth` has not written."""
    path = out / FILE
    if not path.is_file():
        return None
    try:
        measured = [
            (
                f"{count(row['runs'])} runs",
                [
                    _STEPS[row["step"]],
                    f"{row['seconds']:,.1f}",
                    f"{row['ms_a_run']:.2f}",
                    count(row["peak_mb"]),
                ],
            )
            for row in json.loads(path.read_bytes())
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path}: not as `make growth` writes it ({type(error).__name__}); remove it, or make it by: make growth"
        ) from None
    groups = [
        {"name": runs, "rows": [row for _, row in rows]}
        for runs, rows in groupby(measured, key=itemgetter(0))
    ]
    columns = ["step", "seconds", "milliseconds a run", "megabytes"]
    return table(_CAPTION, columns, [], groups=groups, numeric=[1, 2, 3]) if groups else None
