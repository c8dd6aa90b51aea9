"""What the tests of the MLflow mirror share: made-up runs, child processes, and what the mirror holds, through MLflow's own interface."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import ViewType

from folklore.tracking import StudyCard, open_tracker

# One interpreter imports mlflow and what mlflow imports late; a child is a fork of it and starts at once.
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["folklore.tracking.tracker", "mlflow.store.tracking.sqlalchemy_store"])

CARDS = {
    "batch-size": StudyCard(
        "batch-size", "Batch sizes, tuned", ("small-batch-best", "small-batch-lr-range"), "Six batch sizes."
    ),
    "batch-norm": StudyCard("batch-norm", "With and without batch norm", ("bn-accelerates",)),
}


def row(study: str, seed: int, **changes: object) -> dict[str, object]:
    """One run of a study, with curves longer than MLflow gets."""
    given = {
        "data": "mnist1d",
        "n_train": 4000,
        "model": "mlp",
        "depth": 3,
        "width": 100,
        "init": "he_normal",
        "activation": "relu",
        "norm": "batch",
        "dropout": 0.2,
        "batch_size": 32,
        "optimizer": "adam",
        "momentum": 0.9,
        "weight_decay": 0.0,
        "lr": 0.01,
        "schedule": "constant",
        "updates": 512,
        "seed": seed,
        "score_test": True,
        "loss_points": 100,
        "run_key": hashlib.sha256(f"{study} {seed}".encode()).hexdigest()[:24],
        "status": "ok",
        "diverged_step": None,
        "train_loss": 0.3,
        "val_accuracy": 0.8,
        "val_loss": 0.5,
        "test_accuracy": 0.79,
        "test_loss": 0.55,
        "loss_step": list(range(5, 505, 5)),
        "loss_curve": [1 / step for step in range(1, 101)],
        "val_step": list(range(51, 511, 51)),
        "val_curve": [0.1 * point for point in range(10)],
        "grad_norms": [0.1, 0.2, 0.4, 0.8],
        "measures": {"dead_share": 0.25},
        "data_digest": "d" * 64,
        "code_hash": "c" * 16,
        "studies": [study],
        "claims": list(CARDS[study].claims),
        "phase": "confirm",
        "profile": "laptop",
        "commit": "a" * 40,
        "dirty": True,
        "seconds": 1.5,
    }
    return given | changes


def frame(*, runs: int = 4, study: str = "batch-size", first: int = 0, **changes: object) -> pd.DataFrame:
    return pd.DataFrame([row(study, seed, **changes) for seed in range(first, first + runs)])


def run_children(target, *calls: tuple) -> list[int]:
    """Start one child a call, all at once; return their exit codes."""
    children = [CHILDREN.Process(target=target, args=call) for call in calls]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    return [child.exitcode for child in children]


def import_and_die(out: Path, rows: pd.DataFrame, calls: int) -> None:
    """Import, and be gone before the call number `calls` to MLflow."""
    left = calls

    def counted(method):
        def call(*arguments, **named):
            nonlocal left
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*arguments, **named)

        return call

    tracker = open_tracker(None, out)
    writing = ("create_experiment", "restore_experiment", "rename_experiment", "set_experiment_tag")
    writing += ("create_run", "log_batch", "set_terminated", "delete_run")
    for name in writing:
        setattr(tracker._client, name, counted(getattr(tracker._client, name)))
    tracker.import_runs(rows, CARDS)


def client(out: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{out / 'mlflow.db'}")


def experiments(out: Path) -> dict[str, object]:
    found = client(out).search_experiments(filter_string="tags.`folklore.study` LIKE '%'")
    return {experiment.tags["folklore.study"]: experiment for experiment in found}


def search(out: Path, query: str = "", view: int = ViewType.ACTIVE_ONLY) -> list:
    numbers = [experiment.experiment_id for experiment in experiments(out).values()]
    return list(client(out).search_runs(numbers, query, view, max_results=1000))


def children(out: Path) -> list:
    return search(out, "tags.run_key LIKE '%'")


def parent(out: Path, study: str):
    (run,) = search(out, f"tags.`folklore.parent` = '{study}'")
    return run


def assert_mirrors(out: Path, rows: pd.DataFrame) -> None:
    """Every run is there once and whole, under its study's one parent, and nothing half-written is left."""
    runs = children(out)
    assert sorted(run.data.tags["run_key"] for run in runs) == sorted(rows["run_key"])
    assert {run.info.status for run in search(out)} <= {"FINISHED"}
    assert {(len(run.data.params), len(run.data.metrics)) for run in runs} <= {(19, 10)}
    for run in runs:
        assert run.data.tags["mlflow.parentRunId"] == parent(out, run.data.tags["study"]).info.run_id
