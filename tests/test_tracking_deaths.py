"""The MLflow mirror is complete and never twice, whatever is killed, cut off or done at the same time."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from folklore.tracking import Counts, open_tracker
from folklore.tracking.marks import identity
from mirror import (
    CARDS,
    CHILDREN,
    assert_mirrors,
    frame,
    import_and_die,
    run_children,
)

# Killed at any moment.


def import_when_told(out: Path, rows: pd.DataFrame, told: object) -> None:
    tracker = open_tracker(None, out)
    told.set()
    tracker.import_runs(rows, CARDS)


def test_killed_between_two_calls_to_mlflow(out: Path) -> None:
    rows = pd.concat([frame(runs=15), frame(runs=15, study="batch-norm")])
    # The first twelve calls create the studies; after that every run takes three.
    moments = random.Random(7)
    for calls in [1, 2, 3, 5, 8, *(moments.randint(9, 30) for _ in range(3)), 1, 2, 3]:
        assert run_children(import_and_die, (out, rows, calls)) == [-signal.SIGKILL]
    counts = open_tracker(None, out).import_runs(rows, CARDS)
    assert 0 < counts.new < 30
    assert_mirrors(out, rows)
    assert open_tracker(None, out).import_runs(rows, CARDS) == Counts(0, 0, 30)


def test_killed_at_random_times(out: Path) -> None:
    rows = pd.concat([frame(runs=40), frame(runs=40, study="batch-norm")])
    moments = random.Random(11)
    for _ in range(5):
        told = CHILDREN.Event()
        child = CHILDREN.Process(target=import_when_told, args=(out, rows, told))
        child.start()
        assert told.wait(30)
        time.sleep(moments.uniform(0, 0.5))
        child.kill()
        child.join(30)
    open_tracker(None, out).import_runs(rows, CARDS)
    assert_mirrors(out, rows)


def test_a_torn_last_line_of_the_journal_is_cut_off(out: Path) -> None:
    open_tracker(None, out).import_runs(frame(), CARDS)
    journal = out / "tracking" / "default.jsonl"
    whole = journal.read_bytes()
    # As if killed while the last run was ticked off.
    journal.write_bytes(whole[:-20])
    assert open_tracker(None, out).import_runs(frame(), CARDS) == Counts(0, 0, 4)
    assert_mirrors(out, frame())
    assert journal.read_bytes() == whole


def test_the_journal_vouches_for_nothing_that_a_power_cut_would_take(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk surely holds what was in the database and its log when that was last waited for."""
    disk = tmp_path / "disk"
    disk.mkdir()
    wait = os.fsync

    def waited(number: int) -> None:
        log = out / "mlflow.db-wal"
        if log.exists() and os.fstat(number).st_ino == log.stat().st_ino:
            # in another process: to close the file in this one would drop SQLite's locks
            subprocess.run(["cp", out / "mlflow.db", log, disk], check=True)
        wait(number)

    monkeypatch.setattr(os, "fsync", waited)

    def check(*_: int) -> None:
        assert ticked_off(out) <= whole_in(disk / "mlflow.db")

    importer = open_tracker(None, out)
    importer.import_runs(frame(runs=30), CARDS, check)
    check()
    assert len(ticked_off(out)) == 30
    journal = out / "tracking" / "default.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])  # its last run is found in the tracker, and waited for
    importer = open_tracker(None, out)
    (disk / "mlflow.db").unlink()
    importer.import_runs(frame(runs=30), CARDS)
    check()


def ticked_off(out: Path) -> set[str]:
    records = map(json.loads, (out / "tracking" / "default.jsonl").read_text().splitlines())
    return {record["done"] for record in records if "done" in record}


def whole_in(file: Path) -> set[str]:
    """Keys of the complete runs in this copy of a database."""
    query = "SELECT value FROM tags JOIN runs USING (run_uuid) WHERE key = 'run_key' AND status = 'FINISHED'"
    connection = sqlite3.connect(file)
    found = {key for (key,) in connection.execute(query)}
    connection.close()
    return found


def import_all(out: Path, rows: pd.DataFrame) -> None:
    open_tracker(None, out).import_runs(rows, CARDS)


def test_two_importers_at_the_same_time(out: Path) -> None:
    rows = pd.concat([frame(runs=40), frame(runs=10, study="batch-norm")])
    assert run_children(import_all, (out, rows[:40]), (out, rows[20:])) == [0, 0]
    assert_mirrors(out, rows)


def test_a_database_is_made_once(template: Path) -> None:
    left = {path.name for path in template.parent.iterdir()}
    assert left == {"mlflow.db", "mlflow.db.lock", "mlflow.db-backup"}, (
        "SQLite's own are gone, a person's file is not"
    )
    assert int(identity(template)) > 0
    numbers = MlflowClient(tracking_uri=f"sqlite:///{template}").search_experiments()
    assert [experiment.name for experiment in numbers] == ["Default"]
    assert sqlite3.connect(template).execute("PRAGMA journal_mode").fetchone() == ("wal",)
