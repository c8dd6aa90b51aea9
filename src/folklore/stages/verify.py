"""`python -m folklore.stages.verify`: does this machine's run say what the committed example says? Status 1 where it does not."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from folklore import verification
from folklore.claims.base import discover
from folklore.grid import Study
from folklore.report import words
from folklore.report.build import TEMPLATES, read_verdicts, read_verdicts_file
from folklore.report.numbers import MISSING, fixed, is_number
from folklore.stages.command import command
from folklore.stages.summary import NARROWEST

TOLD = {
    verification.SAME: "the same numbers",
    verification.CLOSE: "the same verdict, numbers within the tolerance",
    verification.BORDER: "an effect within the tolerance on the other side of a border between verdicts",
    verification.TIMED: "times of the machine: not compared",
    verification.OTHER: "judged by another criterion: not compared",
    verification.DIFFERS: "differ beyond the tolerance",
}


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the results")
    parser.add_argument("--example", type=Path, default=TEMPLATES / "example" / "verdicts.json")
    options = parser.parse_args(argv)
    there = read_verdicts_file(options.example, f"take a committed one: git checkout {options.example}")
    here = read_verdicts(options.out)
    compared = verification.compare(there, here, timed())
    show(compared, verification.other_data(there, here), Console(highlight=False, width=NARROWEST))
    if not verification.agree(compared):
        sys.exit(1)


def timed() -> frozenset[str]:
    """Claims whose studies take times."""
    designs = {claim.id: claim.design for claim in discover() if isinstance(claim.design, Study)}
    return frozenset(name for name, design in designs.items() if design.fixed.get("probe") == "step_time")


def show(compared: Sequence[verification.Comparison], data: Sequence[str], console: Console) -> None:
    """What is not the same, one row a claim; then how many of each kind."""
    told = [one for one in compared if one.outcome not in (verification.SAME, verification.CLOSE)]
    if told:
        console.print(_table(told))
    for name in data:
        console.print(f"data set {escape(name)}: other bytes than the example's")
    for outcome, number in Counter(one.outcome for one in compared).most_common():
        console.print(f"{number:4} {TOLD[outcome]}")


def _table(compared: Sequence[verification.Comparison]) -> Table:
    table = Table(title="What differs", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in ("claim", "in the example", "here", "apart"):
        table.add_column(name, justify="right" if name == "apart" else "left", overflow="fold")
    for one in compared:
        apart = f"{fixed(one.apart, 1)} s.e." if is_number(one.apart) else MISSING
        table.add_row(escape(one.id), _words(one.there), _words(one.here), apart)
    return table


def _words(claim: Mapping[str, object] | None) -> str:
    if claim is None:
        return MISSING
    return escape(", ".join(filter(None, [words.verdict_name(claim), words.amount(claim)])))


if __name__ == "__main__":
    sys.exit(command(main))
