"""Train one cell by hand: `folklore-train activation=relu init=he_normal optimizer=adam batch_size=32`.

(The same as `python -m folklore.stages.train ...`.) What the command line does not set comes from conf/config.yaml,
the rate of the optimizer from conf/optimizer, as it is there, not scaled with the batch. The run joins the results
store and MLflow, so the same command again trains nothing.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from folklore import config, datasets, levels, provenance
from folklore.datasets.views import seen
from folklore.errors import UsageError
from folklore.grid import Run
from folklore.progress import describe
from folklore.schema import keys
from folklore.stages.command import command
from folklore.stages.jobs import Trainer, check_rows, run_single_threaded
from folklore.store import Store
from folklore.tracking.address import VARIABLE, database_file, of_file
from folklore.validation import KEYS

STUDY = "by-hand"
RESULTS = Path("results")


class Shown:
    """The progress of one run, on standard error: what it is, and on a terminal a bar."""

    def __init__(self, run: Run, known: bool) -> None:
        """`known`: the store holds the run already, so there is no progress to come."""
        what = f"{describe([run])}, rate {run.lr:g}, seed {run.seed}, {run.updates:,} updates"
        said = f"nothing to train, stored already: {what}" if known else f"training {what}"
        print(said, file=sys.stderr, flush=True)
        console = Console(stderr=True)
        columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self.bar = Bar(*columns, console=console)
        self.bar.disable = known or not console.is_terminal
        self.task = self.bar.add_task("", total=1.0)

    def training(self, stack: Sequence[Run], fraction: float) -> None:
        self.bar.update(self.task, completed=fraction)

    def finished(self, stack: Sequence[Run], *, trained: bool) -> None:
        self.bar.update(self.task, completed=1.0)


def run_by_hand(overrides: Sequence[str]) -> tuple[Run, str]:
    """The run that the overrides describe, scored on the test split, and the name of its profile."""
    composed = config.compose([f"optimizer.{o}" if o.startswith("lr=") else o for o in overrides])
    run = replace(config.run_of(composed), score_test=True)
    if run.lr <= 0:
        raise UsageError(f"optimizer.lr={run.lr!r}: allowed is a finite number above 0")
    return run, composed.profile.name


def train_or_find(run: Run, out: Path) -> dict:
    """Results and seconds of the run: from the store when it is there, else trained and stored."""
    known = len(Store(out).find([run.key])) > 0
    arrays = {} if known else {run.data: load_data(run, out)}
    shown = Shown(run, known)
    trainer = Trainer(out, shown)
    trainer.arrays |= arrays
    with shown.bar:
        result = trainer([run])[run.key]
    return result | {"seconds": float(trainer.store.seconds().get(run.key, float("nan")))}


def load_data(run: Run, out: Path) -> datasets.Arrays:
    """The data set, made when it is missing."""
    root = out / "data"
    if not (root / f"{run.data}.npz").exists():
        print(f"preparing {run.data} (once)", file=sys.stderr, flush=True)
    datasets.prepare(run.data, root)
    arrays = datasets.load(run.data, root)
    check_rows(run, seen(arrays, run.view))
    return arrays


def mirror(run: Run, result: dict, profile: str, out: Path) -> str:
    """Put the run into MLflow; returns where to see it."""
    import pandas as pd

    from folklore.tracking import StudyCard, open_tracker, run_name

    commit, dirty = provenance.commit()
    labels = {"studies": [STUDY], "claims": [], "phase": STUDY, "profile": profile}
    row = result | labels | {"commit": commit, "dirty": dirty}
    said = "Single runs of `folklore-train`; no claim rests on them."
    card = StudyCard(STUDY, "Runs trained by hand", description=said)
    open_tracker(None, out).import_runs(pd.DataFrame([row]), {STUDY: card})
    return f'"{run_name(result)}" in experiment {STUDY}; see it by: {_where(out)}make ui'


def _where(out: Path) -> str:
    """What `make ui` must be told, as a shell takes it, when the run is not where that looks."""
    if out.resolve() == RESULTS.resolve() or os.environ.get(VARIABLE):
        return ""
    return f"{VARIABLE}={shlex.quote(of_file(database_file(out.resolve())))} "


def scores(run: Run, result: dict) -> str:
    """The final scores, one a line."""
    ended = "trained"
    if result["status"] == "diverged":
        ended = f"diverged at update {int(result['diverged_step']):,}, so it scores chance"
    lines = {
        "status": ended,
        "train loss": f"{result['train_loss']:.4f}",
        "validation accuracy": f"{100 * result['val_accuracy']:.2f} %",
        "test accuracy": f"{100 * result['test_accuracy']:.2f} %",
        "seconds": f"{result['seconds']:.1f}",
        "run key": run.key,
    }
    return "\n".join(f"{name:<20} {value}" for name, value in lines.items())


def train(argv: Sequence[str]) -> None:
    """The whole command; UsageError before anything is written when the overrides are wrong."""
    parser = argparse.ArgumentParser(
        prog="folklore-train",
        description=__doc__,
        epilog=_levels(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="results folder (default: %(default)s)")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as activation=tanh or lr=0.1")
    # what argparse does not know gets the configuration's one-line message
    options, rest = parser.parse_known_args(argv)
    run, profile = run_by_hand([*options.overrides, *rest])
    run_single_threaded()
    result = train_or_find(run, options.out)
    print(scores(run, result))
    print(f"{'MLflow':<20} {mirror(run, result, profile, options.out)}")


def _levels() -> str:
    """For `--help`: what each group offers, and the keys that take a value."""
    lines = {group: ", ".join(offered) for group, offered in config.choices().items() if group != "profile"}
    for factor in ("view", "order", "augmentation", "mask", "procedure", "probe"):
        lines[KEYS.get(factor, factor)] = ", ".join(
            f"{name}-NUMBER" if levels.takes_amount(factor, name) else name for name in levels.names(factor)
        )
    numbers = [
        "lr (optimizer.lr)",
        *(key for key in keys() if key not in lines and not key.startswith("profile")),
    ]
    named = "\n".join(f"  {name:<18} {wrapped(said)}" for name, said in lines.items())
    return f"what is chosen by name:\n{named}\nkeys that take a value:\n  {wrapped(', '.join(numbers), 2)}"


def wrapped(text: str, indent: int = 21) -> str:
    return textwrap.fill(text, 110 - indent, break_on_hyphens=False).replace("\n", "\n" + " " * indent)


def main() -> int:
    """Console script; the exit status."""
    return command(train)


if __name__ == "__main__":
    sys.exit(main())
