"""Trace a figure or a claim to its runs: `folklore-explain bn-accelerates`, or `folklore-explain results/figures/grid-levels.svg`.

(The same as `python -m folklore.stages.explain ...`.) Prints the verdict with its criterion, commit and data, and the runs behind it by
arm; `--keys` lists every run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from folklore.errors import UsageError
from folklore.frames import Frames
from folklore.plan import make_plan
from folklore.report import words
from folklore.report.build import read_verdicts
from folklore.report.document import figure_stems, read_grid
from folklore.report.provenance import provenance
from folklore.stages.command import command

WIDEST = 240  # columns of a line, where there is no terminal to fit
RUNS = ["variant", "arm", "phase"]


def explain(argv: Sequence[str]) -> None:
    """The whole command; UsageError when nothing goes by that name."""
    parser = argparse.ArgumentParser(prog="folklore-explain", description=__doc__)
    parser.add_argument("name", metavar="FIGURE", help="a claim's id, a figure's name, or its file")
    parser.add_argument("--keys", action="store_true", help="list every run")
    parser.add_argument(
        "--out", type=Path, default=Path("results"), help="results folder (default: %(default)s)"
    )
    options = parser.parse_args(argv)
    verdicts = read_verdicts(options.out)
    trace = found(verdicts, options.out, Path(options.name).stem)
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=WIDEST)
    for name, value in told(verdicts, trace).items():
        console.print(f"{name:<10} {value}", markup=False)
    if trace.get("study"):
        runs = frame(verdicts, options.out, str(trace["study"]))
        console.print(table(listed(runs) if options.keys else summed(runs)))


def found(verdicts: Mapping[str, object], out: Path, name: str) -> dict[str, object]:
    """The trace of a figure, with its name."""
    traces = provenance(verdicts, read_grid(out, verdicts), figure_stems(verdicts, out))["figures"]
    if name not in traces:
        raise UsageError(
            f"{name}: no such figure; allowed are {', '.join(sorted(traces)) or 'none: there are none yet'}"
        )
    return {"name": name} | traces[name]


def told(verdicts: Mapping[str, object], trace: Mapping[str, object]) -> dict[str, str]:
    """What is known, a line each."""
    claim = next((c for c in verdicts["claims"] if c["id"] == trace.get("claim")), None)
    lines = {"figure": f"{trace['name']}.svg, sha256 {trace['sha256']}"}
    if claim:
        criterion = trace["criterion"]
        lines["claim"] = words.paragraph(claim["title"])
        lines["verdict"] = " ".join(filter(None, [words.verdict_name(claim), words.amount(claim)]))
        lines["criterion"] = f"{criterion['hash']}, fixed at commit {criterion['commit'] or '(not on file)'}"
    lines["made at"] = (
        f"commit {verdicts['commit']}{' with uncommitted changes' if verdicts['dirty'] else ''}"
    )
    lines["data"] = (
        ", ".join(f"{name} {digest}" for name, digest in sorted(verdicts["data"].items())) or "none"
    )
    if trace.get("study"):
        lines["runs"] = (
            f"{trace['runs']:,} of study {trace['study']}, keys' digest {trace['run_keys_sha256']}"
        )
        lines["MLflow"] = str(trace["run_query"])
    else:
        lines["runs"] = str(trace.get("rests_on") or "none: it is computed")
    return lines


def frame(verdicts: Mapping[str, object], out: Path, study: str) -> pd.DataFrame:
    """The runs of a study, under the profile and the choice of claims that the verdicts were made with."""
    only = ",".join(verdicts.get("only") or [])
    plan = make_plan([f"profile={verdicts['profile']}", f"profile.only=[{only}]"])
    try:
        return Frames(plan, out, {study}).study(study)
    except FileNotFoundError as error:
        raise UsageError(
            f"{error.filename}: not there, so these results were not made by this version; make them again with "
            f"`snakemake --cores all --config profile={verdicts['profile']}`"
        ) from None


def summed(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each ground, arm and phase: how many runs, at which rates."""
    grouped = runs.groupby(RUNS, sort=False)
    rates = grouped["lr"].agg(
        lambda lr: f"{lr.min():.3g}" if lr.nunique() == 1 else f"{lr.min():.3g} to {lr.max():.3g}"
    )
    return pd.DataFrame({"runs": grouped["run_key"].nunique().astype(str), "rates": rates}).reset_index()


def listed(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each run."""
    return runs[[*RUNS, "lr", "seed", "status", "run_key"]].astype(str)


def table(rows: pd.DataFrame) -> Table:
    built = Table(box=None, pad_edge=False)
    for name in rows.columns:
        built.add_column(Text(name.replace("_", " ")), no_wrap=True)
    for row in rows.itertuples(index=False):
        built.add_row(*(Text(str(value)) for value in row))
    return built


def main() -> int:
    """Console script; the exit status."""
    return command(explain)


if __name__ == "__main__":
    sys.exit(main())
