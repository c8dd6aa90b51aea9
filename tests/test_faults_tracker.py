"""A tracker that fails in the real pipeline: the report is made all the same, one line says why, and the same command finishes later."""

from __future__ import annotations

import re
import shutil
import sqlite3
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from pipelines import NANO, ROOT, digests, environment, finished, keys_of, parts, said, snakemake, tracked

pytestmark = pytest.mark.torture

NOWHERE = "http://127.0.0.1:9"  # port 9 (discard) of the loopback device: nothing listens there


def assert_report_without_tracker(folder: Path, done: Path, *words: str, **changes: str) -> None:
    refusal = snakemake(folder, *NANO, env=environment(ROOT) | changes)
    told = said(refusal)
    lines = [line for line in told.splitlines() if line.startswith("error: MLflow tracker")]
    assert refusal.returncode != 0
    assert len(lines) == 1, told[-3000:]
    assert "Traceback" not in told
    for word in (*words, "Training results are untouched"):
        assert word in lines[0]
    assert digests(folder) == digests(done)


def unimported(done: Path, folder: Path) -> Path:
    """A finished pipeline whose import is due again."""
    shutil.copytree(done, folder)
    for mark in (folder / "results/tracking").glob("*.done"):
        mark.unlink()
    return folder


def test_unreachable_while_the_report_is_made(done: Path, tmp_path: Path) -> None:
    folder = unimported(done, tmp_path / "copy")
    (folder / "reports/folklore.pdf").unlink()
    assert_report_without_tracker(folder, done, NOWHERE, MLFLOW_TRACKING_URI=NOWHERE)
    finished(folder)
    assert sorted(tracked(folder)) == keys_of(folder)
    assert parts(folder) == parts(done)


def test_its_database_is_locked(done: Path, tmp_path: Path) -> None:
    folder = unimported(done, tmp_path / "copy")
    holder = sqlite3.connect(folder / "results/mlflow.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert_report_without_tracker(folder, done, "locked", "Close the program")
    holder.close()
    finished(folder)
    assert sorted(tracked(folder)) == keys_of(folder)


def test_its_database_is_of_another_version(done: Path, tmp_path: Path) -> None:
    folder = unimported(done, tmp_path / "copy")
    database = folder / "results/mlflow.db"
    version = changed_version(database, "451aebb31d03")
    assert_report_without_tracker(folder, done, "mlflow db upgrade")
    changed_version(database, version)
    finished(folder)
    assert sorted(tracked(folder)) == keys_of(folder)


def test_its_database_was_deleted(done: Path, tmp_path: Path) -> None:
    """The same command imports all again, and makes nothing else."""
    folder = tmp_path / "copy"
    shutil.copytree(done, folder)
    for file in (folder / "results").glob("mlflow.db*"):
        file.unlink()
    assert made(finished(folder)) == {"track", "attach"}
    assert sorted(tracked(folder)) == keys_of(folder)
    assert digests(folder) == digests(done)
    assert made(finished(folder)) == set()


def test_another_tracker_is_named(done: Path, tmp_path: Path) -> None:
    """It gets everything, and the first one nothing twice, whichever is named next."""
    folder, other = tmp_path / "copy", tmp_path / "other"
    shutil.copytree(done, folder)
    (other / "results").mkdir(parents=True)
    named = environment(ROOT) | {"MLFLOW_TRACKING_URI": f"sqlite:///{other}/results/mlflow.db"}
    assert made(finished(folder, env=named)) == {"track", "attach"}
    assert sorted(tracked(other)) == keys_of(folder)
    assert made(finished(folder, env=named)) == set()
    assert made(finished(folder)) == {"track", "attach"}
    for place in (folder, other):
        assert sorted(tracked(place)) == keys_of(folder)


def made(workflow: CompletedProcess[str]) -> set[str]:
    """Rules whose jobs ran."""
    return set(re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", said(workflow))) - {"all"}


def changed_version(database: Path, version: str) -> str:
    """Write the version of the schema; returns the one before."""
    with sqlite3.connect(database) as connection:
        (before,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.close()
    return before
