"""Where MLflow's mirror is written, and what cannot be, told in one line."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from folklore.errors import UsageError
from folklore.tracking import Counts, database, open_tracker
from mirror import (
    CARDS,
    assert_mirrors,
    experiments,
    frame,
)

# Where it is written, and what cannot be.


def test_the_environment_variable_is_honoured_and_has_its_own_journal(
    out: Path, tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_tracker(None, out).import_runs(frame(), CARDS)
    other = tmp_path / "elsewhere"
    other.mkdir()
    shutil.copy(template, other / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other / 'mlflow.db'}")
    assert open_tracker(None, out).import_runs(frame(runs=2), CARDS) == Counts(2, 0, 0)
    assert_mirrors(other, frame(runs=2))
    assert_mirrors(out, frame())


def refusal(uri: str | None, out: Path) -> str:
    with pytest.raises(UsageError) as caught:
        open_tracker(uri, out)
    message = str(caught.value)
    assert "\n" not in message
    assert "MLFLOW_TRACKING_URI" in message or "again" in message or "away" in message
    return message


def test_an_unreachable_server_is_told_in_one_line_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    started = time.monotonic()
    # Port 9 (discard) of the loopback device: nothing listens there.
    message = refusal("http://somebody:secret@127.0.0.1:9", tmp_path)
    assert time.monotonic() - started < 15
    assert "http://127.0.0.1:9" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "uri, shown, remedy",
    [
        ("postgresql+absent://me:secret@host/runs", "postgresql+absent://host/runs", "MLFLOW_TRACKING_URI"),
        ("mysql://me:secret@host/runs", "mysql://host/runs", "pip install its driver"),
        ("mssql://me:sec@ret@host/runs", "mssql://host/runs", "pip install its driver"),
        ("http://me:secret@127.0.0.1:99999", "http://127.0.0.1:99999", "up to 65535"),
        ("http://me:secret@127.0.0.1:50O0", "http://127.0.0.1:50O0", "up to 65535"),
        ("mysql+pymysql://me:secret@host:port/runs", "mysql+pymysql://host:port/runs", "up to 65535"),
        ("http://[::1", "http://[::1", "http://HOST:PORT"),
        ("postgres://me:secret@host/runs", "postgres://host/runs", "sqlite:///FILE"),
        ("file:///tmp/runs", "file:///tmp/runs", "sqlite:///FILE"),
        ("sqlite:runs.db", "sqlite:runs.db", "sqlite:///FILE"),
    ],
)
def test_an_address_that_cannot_work_is_told(uri: str, shown: str, remedy: str, tmp_path: Path) -> None:
    message = refusal(uri, tmp_path)
    assert "MLFLOW_TRACKING_URI" in message
    assert shown in message
    assert remedy in message
    assert "sec" not in message and "ret@" not in message


def test_postgresql_without_its_driver_says_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)  # so that its import fails, installed or not
    assert "make postgres" in refusal("postgresql://me:secret@host/runs", tmp_path)


@pytest.mark.parametrize("code, remedy", [(errno.ENOSPC, "make room"), (errno.EACCES, "make it readable")])
def test_what_the_machine_refuses_is_told_as_such(
    code: int, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code), str(tmp_path / "mlflow.db"))

    monkeypatch.setattr(database, "_create_database", refuse)
    message = refusal(None, tmp_path)
    assert message.startswith("MLflow tracker sqlite:///")
    assert f"{tmp_path / 'mlflow.db'}: {os.strerror(code)}; {remedy}" in message
    assert "Training results are untouched." in message
    assert "reachable" not in message


@pytest.mark.parametrize(
    "said, remedy",
    [
        ("[Errno 28] No space left on device: 'x'", "Make room"),
        ("[Errno 13] Permission denied: 'x'", "Make it readable and writable"),
        ("(sqlite3.OperationalError) unable to open database file", "folder readable and writable"),
    ],
)
def test_what_a_child_or_a_server_was_refused_is_told_as_such(said: str, remedy: str) -> None:
    with pytest.raises(UsageError, match=remedy), database.explained("sqlite:///x.db"):
        raise OSError(said)


def test_a_folder_with_a_question_mark_keeps_its_database(
    tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLAlchemy takes what follows it for options."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    results = tmp_path / "why?" / "results"
    results.mkdir(parents=True)
    shutil.copy(template, results / "mlflow.db")
    monkeypatch.chdir(results.parent)
    assert open_tracker(None, Path("results")).import_runs(frame(), CARDS) == Counts(4, 0, 0)
    with sqlite3.connect("results/mlflow.db") as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (6,)
    connection.close()
    assert [path.name for path in tmp_path.iterdir()] == ["why?"]
    monkeypatch.chdir(tmp_path)
    assert "rename the folder" in refusal(None, results)


def test_a_locked_database_is_told(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.2)
    holder = sqlite3.connect(out / "mlflow.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert "Close the program" in refusal(None, out)
    holder.close()
    open_tracker(None, out)


def test_another_schema_version_is_told_and_left_alone(out: Path) -> None:
    database = out / "mlflow.db"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    connection.close()
    before = hashlib.sha256(database.read_bytes()).hexdigest()
    assert "mlflow db upgrade" in refusal(None, out)
    assert hashlib.sha256(database.read_bytes()).hexdigest() == before


@pytest.mark.parametrize("content", [b"", b"this is no database, and long enough to be told from one" * 20])
def test_a_file_that_is_no_mlflow_database_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.db").write_bytes(content)
    assert "away" in refusal(f"sqlite:///{tmp_path / 'x.db'}", tmp_path)
    assert (tmp_path / "x.db").read_bytes() == content


def test_a_database_in_memory_is_refused(tmp_path: Path) -> None:
    assert "memory" in refusal("sqlite://", tmp_path)


def test_a_study_without_a_card_is_named(out: Path) -> None:
    with pytest.raises(UsageError, match="batch-norm"):
        open_tracker(None, out).import_runs(frame(study="batch-norm"), {"batch-size": CARDS["batch-size"]})
    assert not experiments(out)


def test_a_damaged_journal_is_named_with_its_remedy(out: Path) -> None:
    open_tracker(None, out).import_runs(frame(), CARDS)
    journal = out / "tracking" / "default.jsonl"
    journal.write_text("{broken\n" + journal.read_text())
    with pytest.raises(UsageError, match="delete it"):
        open_tracker(None, out).import_runs(frame(), CARDS)
    journal.unlink()
    assert open_tracker(None, out).import_runs(frame(), CARDS) == Counts(0, 0, 4)
