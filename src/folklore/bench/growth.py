"""`python -m folklore.bench.growth [--runs 1000 10000 100000]`: does the cost of a run stay flat when there are many?

Runs with made-up results go the way of real ones: planned as cells of a study, stored in stacks and merged job by job, imported into
MLflow chunk by chunk, read back and judged, a contrast for each two arms. Each step is a process of its own, so that its peak memory
is its own: beside the seconds stand the megabytes that it holds at most, start of the interpreter included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from folklore.config import compose
from folklore.files import atomic_write
from folklore.grid import Cell, Rates, Run, Study
from folklore.stages.command import command
from folklore.studies import cells

RUNS = (1_000, 10_000, 100_000)
STEPS = ("plan", "store", "import", "judge")
REPLICATES, RATES, SEEDS = 32, 7, 3
EACH = REPLICATES + RATES * SEEDS  # runs of a cell
WIDTH, JOB, CHUNK = 32, 1_000, 1_500  # runs of a stack, of a job's part of the store, of an import
INITS = ("glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "orthogonal")


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m folklore.bench.growth", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--runs", type=int, nargs="+", default=list(RUNS))
    parser.add_argument("--import-at-most", type=int, default=10_000, help="runs: 100,000 take half an hour")
    parser.add_argument("--out", type=Path, default=Path("results/growth.json"))
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.step:
        print(json.dumps(measured(options.step, options.runs[0], options.folder)))
        return
    rows = [row for runs in options.runs for row in grown(runs, options.import_at_most)]
    atomic_write(options.out, json.dumps(rows, indent=1) + "\n")
    Console(highlight=False).print(table(rows))


def grown(runs: int, import_at_most: int) -> Iterator[dict]:
    """A row for each step with so many runs; an import that would take too long is left out."""
    with tempfile.TemporaryDirectory() as folder:
        for step in STEPS:
            if step != "import" or runs <= import_at_most:
                command = [sys.executable, "-m", "folklore.bench.growth", "--step", step]
                command += ["--runs", str(runs), "--folder", folder]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    raise RuntimeError(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
                yield {"runs": runs, "step": step} | json.loads(done.stdout.splitlines()[-1])


def measured(step: str, runs: int, folder: Path) -> dict:
    """Seconds of the step, without the imports before it, and the most memory that this process held."""
    prepare = {"plan": planned, "store": stored, "import": imported, "judge": judged}[step]
    work = prepare(runs, folder)
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    return {
        "seconds": round(seconds, 3),
        "ms_a_run": round(1000 * seconds / runs, 4),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def planned(runs: int, folder: Path):
    """From the design to packed jobs with their identities, and the key of every arm."""
    from folklore.plan import packed

    base = compose(["profile=laptop"])

    def work() -> None:
        found = cells(study(runs), base)
        for job in packed(found, base.profile.job_seconds):
            assert job.identity

    return work


def stored(runs: int, folder: Path):
    """Rows to Parquet in stacks, and the parts of each job merged into one."""
    from folklore.store import Store, row

    base, rng = compose(["profile=laptop"]), np.random.default_rng(0)
    waiting = all_runs(cells(study(runs), base), runs)

    def work() -> None:
        for _ in range(-(-runs // JOB)):
            store, left = Store(folder), islice(waiting, JOB)
            while stack := list(islice(left, WIDTH)):
                rows = [row(run, made_up(rng), "digest") for run in stack]
                store.add(rows, {one["run_key"]: 1.0 for one in rows})
            store.merge()

    return work


def imported(runs: int, folder: Path):
    """The store into MLflow (MLFLOW_TRACKING_URI, or an SQLite file), a chunk at a time."""
    from folklore.store import Store
    from folklore.tracking import StudyCard, open_tracker

    store = Store(folder)
    keys = sorted(store.keys())
    labels = {"claims": [], "phase": "confirm", "profile": "growth", "commit": "", "dirty": False}

    def work() -> None:
        tracker = open_tracker(None, folder)
        for first in range(0, runs, CHUNK):
            rows = store.read(keys[first : first + CHUNK]).reset_index(drop=True).assign(seconds=1.0)
            rows = rows.assign(
                studies=[["growth"]] * len(rows), **{k: [v] * len(rows) for k, v in labels.items()}
            )
            tracker.import_runs(rows, {"growth": StudyCard("growth", "Growth")})

    return work


def judged(runs: int, folder: Path):
    """All results read, and the contrast of each two arms that follow each other estimated as a claim's is."""
    from folklore.stats.estimates import estimate
    from folklore.store import Store

    base = compose(["profile=laptop"])
    found = cells(study(runs), base)

    def work() -> None:
        scores = Store(folder).read()["test_accuracy"]
        arms = [[run.key for run in confirming(cell)] for cell in found]
        whole = [keys for keys in arms if all(key in scores.index for key in keys)]
        for one, other in zip(whole[::2], whole[1::2], strict=False):
            estimate(scores[one].to_numpy() - scores[other].to_numpy(), sensitivity=True)

    return work


def study(runs: int) -> Study:
    """A crossing with about as many runs: initial values by dropout rates, which share a compute graph."""
    levels = -(-runs // (EACH * len(INITS)))
    dropout = tuple(i / (2 * levels) for i in range(levels))
    return Study(
        "growth", factors={"init": INITS, "dropout": dropout}, rates=Rates(count=RATES), samples=65_536
    )


def all_runs(found: Sequence[Cell], runs: int) -> Iterator[Run]:
    """The first so many runs of these cells."""
    return islice((run for cell in found for run in [*confirming(cell), *tuning(cell)]), runs)


def confirming(cell: Cell) -> list[Run]:
    return cell.confirming_runs(cell.center, range(REPLICATES))


def tuning(cell: Cell) -> list[Run]:
    rates = (cell.rates.at(cell.center, i - RATES // 2) for i in range(RATES))
    return [replace(run, lr=rate) for rate in rates for run in cell.tuning_runs(rate, range(SEEDS))]


def made_up(rng: np.random.Generator) -> dict:
    """What training returns, of the usual size: 40 points of curves."""
    accuracy = float(rng.uniform(0.4, 0.6))
    scores = {name: accuracy for name in ("val_accuracy", "test_accuracy", "recalibrated_accuracy")}
    losses = {name: 1 - accuracy for name in ("train_loss", "val_loss", "test_loss")}
    curves = {"loss_step": list(range(100)), "loss_curve": rng.random(100).tolist()}
    curves |= {"val_step": list(range(20)), "val_curve": rng.random(20).tolist(), "grad_norms": [1.0] * 4}
    return {"status": "ok", "diverged_step": None, "measures": {}} | scores | losses | curves


def table(rows: Sequence[dict]) -> Table:
    """As the README shows it."""
    shown = Table(
        title="Growth: what a run costs when there are many", title_justify="left", box=None, pad_edge=False
    )
    for name in ("runs", "step", "seconds", "ms a run", "most memory, MB"):
        shown.add_column(name, justify="left" if name == "step" else "right")
    for row in rows:
        shown.add_row(
            f"{row['runs']:,}",
            row["step"],
            f"{row['seconds']:,.1f}",
            f"{row['ms_a_run']:.2f}",
            f"{row['peak_mb']:,}",
        )
    return shown


if __name__ == "__main__":
    sys.exit(command(main))
