"""`python -m folklore.stages.summary`: the verdicts on the terminal, and where to read more."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from folklore.report import words
from folklore.report.build import PAGE, read_verdicts
from folklore.report.claim import labels
from folklore.report.document import MARKS, banners, checked
from folklore.report.numbers import count
from folklore.stages.command import command

COLOURS = {
    "supported": "blue",
    "refuted": "red",
    "inconclusive": "bright_black",
    "holds": "green",
    "fails": "magenta",
}
NARROWEST = 110


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the results")
    parser.add_argument("--pdf", type=Path, default=Path("reports/folklore.pdf"), help="the report")
    options = parser.parse_args(argv)
    show(read_verdicts(options.out), options.pdf, _console())


def show(verdicts: Mapping[str, object], pdf: Path, console: Console) -> None:
    """Print the table, then the places."""
    console.print(_table(verdicts["claims"]))
    for banner in banners(verdicts):
        console.print(f"[bold red]{escape(banner)}[/]")
    console.print(
        f"Profile {escape(str(verdicts['profile']))}, {count(verdicts.get('runs'))} networks trained."
    )
    console.print(
        f"Report: [bold]{escape(str(pdf))}[/], to browse: [bold]{escape(str(pdf.with_name(PAGE)))}[/]"
    )
    console.print("Every run: [bold]make ui[/] serves MLflow on this machine.")


def _console() -> Console:
    """As wide as the terminal; in a log file, as wide as the table needs."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=NARROWEST)


def _table(claims: Sequence[Mapping[str, object]]) -> Table:
    table = Table(title="Verdicts", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in ("verdict", "claim", "effect [95 % interval]", "n", ""):
        table.add_column(escape(name), justify="right" if name == "n" else "left", overflow="fold")
    for claim in claims:
        table.add_row(*_row(claim))
    return table


def _row(claim: Mapping[str, object]) -> tuple[str, ...]:
    colour, mark = COLOURS[claim["verdict"]], MARKS[claim["verdict"]]
    return (
        f"[{colour}]{mark} {words.verdict_name(claim)}[/]",
        escape(str(claim["id"])),
        escape(words.amount(claim) or checked(claim)),
        count(claim["n"]) if claim.get("n") else "",
        ", ".join(labels(claim)),
    )


if __name__ == "__main__":
    sys.exit(command(main))
