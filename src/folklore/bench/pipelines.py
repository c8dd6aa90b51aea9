"""Runs a minute from configuration to tracker: a grid of one-epoch runs as Hydra's templates do it, and as Folklore does it.

Hydra's `--multirun` is timed at a small and a larger number of runs, and the difference extrapolated to as many as Folklore trains.
Both write to an SQLite file of MLflow of their own: parameters, loss curve, final scores. Wall-clock seconds on one core.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from folklore.bench import nets
from folklore.grid import Run
from folklore.stages.jobs import Trainer

RUN = Run(lr=0.05, updates=nets.ROWS // 32, score_test=True)  # one epoch at batch 32
STUDY = "bench"


class Silent:
    """Nobody watches."""

    def training(self, stack: Sequence[Run], fraction: float) -> None:
        pass

    def finished(self, stack: Sequence[Run], *, trained: bool) -> None:
        pass


def pipelines(short: int, long: int, ours: int, folder: Path) -> dict:
    """Seconds and runs a minute of both; their files stay in the folder."""
    hydra = {count: hydra_seconds(count, folder / f"hydra-{count}") for count in (short, long)}
    stacked = stacked_seconds(ours, folder / "stacked")
    each = (hydra[long] - hydra[short]) / (long - short)
    extrapolated = hydra[long] + (ours - long) * each
    return {
        "runs": ours,
        "hydra_seconds": {str(count): round(seconds, 2) for count, seconds in hydra.items()},
        "hydra_extrapolated_seconds": round(extrapolated, 1),
        "stacked_seconds": round(stacked, 2),
        "hydra_runs_a_minute": round(60 * ours / extrapolated, 1),
        "stacked_runs_a_minute": round(60 * ours / stacked, 1),
        "gain": round(extrapolated / stacked, 1),
    }


def hydra_seconds(runs: int, folder: Path) -> float:
    """A sweep over seeds, start of the process included."""
    folder.mkdir(parents=True)
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    command = [sys.executable, "-m", "folklore.bench.hydra_sweep", "--multirun"]
    command += [f"seed=range({runs})" if runs > 1 else "seed=0", f"hydra.sweep.dir={folder}"]
    return seconds_of(command, cwd=folder, env=environment)


def stacked_seconds(runs: int, folder: Path) -> float:
    """The same runs in stacks, through the store, into MLflow."""
    code = f"from folklore.bench import pipelines; pipelines.stacked({runs}, {str(folder)!r})"
    return seconds_of([sys.executable, "-c", code])


def seconds_of(command: Sequence[str], **how: Any) -> float:
    """Wall-clock seconds of a process; what it says is shown only where it fails."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, **how)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
    return time.perf_counter() - start


def stacked(runs: int, folder: str) -> None:
    """In a process of its own, whose start counts."""
    from folklore.bench.clocks import one_core
    from folklore.tracking import StudyCard, open_tracker

    one_core()
    out, data = Path(folder), nets.synthetic(RUN)
    data.digest, data.source = "synthetic", None
    trainer = Trainer(out, Silent())
    trainer.arrays[RUN.data] = data
    results = trainer([replace(RUN, seed=seed) for seed in range(runs)])
    labels = {"claims": [], "phase": "confirm", "profile": STUDY, "commit": "", "dirty": False}
    frame = pd.DataFrame(results.values()).assign(seconds=trainer.store.seconds().mean())
    frame = frame.assign(studies=[[STUDY]] * len(frame), **{k: [v] * len(frame) for k, v in labels.items()})
    open_tracker(f"sqlite:///{out / 'mlflow.db'}", out).import_runs(frame, {STUDY: StudyCard(STUDY, STUDY)})
