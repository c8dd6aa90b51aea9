"""The tracker's address: the SQLite file is made once and probed, and what goes wrong is said in one line."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException
from sqlalchemy import Engine, event
from sqlalchemy.exc import SQLAlchemyError

from folklore.errors import UsageError

LOCK_SECONDS = 5.0


@event.listens_for(Engine, "connect")
def _commit_without_waiting(connection: object, _: object) -> None:
    """A run takes six commits; waiting for the disk at each made two fifths of an import's time.

    In the write-ahead log nothing is lost by that when the process is killed, and a power cut leaves the database sound.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=NORMAL").close()


def absolute(uri: str) -> str:
    """The same SQLite file under one name, whatever the working directory."""
    path = sqlite_path(uri)
    if path is None:
        return uri
    query = urlsplit(uri).query
    return f"sqlite:///{path}" + (f"?{query}" if query else "")


def sqlite_path(uri: str) -> Path | None:
    """The file behind a SQLite URI, None for other kinds of tracker."""
    if not uri.startswith("sqlite:"):
        return None
    path = uri.removeprefix("sqlite://").partition("?")[0].removeprefix("/")
    if path in ("", ":memory:"):
        raise UsageError(
            f"MLFLOW_TRACKING_URI={uri}: a database in memory is lost; name a file, sqlite:///FILE"
        )
    return Path(path).absolute()


@contextmanager
def ready_database(path: Path | None) -> Iterator[None]:
    """Make the SQLite file at `path` ready; keep others from opening it for the first time meanwhile.

    Two processes that set up one new database break it for good. So whoever comes first does it alone, on
    another file, which then gets the name; `link` never overwrites. Nothing to do for other trackers (None).
    """
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            draft = path.with_name(path.name + ".new")
            # A killed draft, and the log of a deleted database, which SQLite would write into the new one.
            for leftover in [*path.parent.glob(draft.name + "*"), *path.parent.glob(path.name + "-*")]:
                leftover.unlink()
            _create_database(draft, lock)
            os.link(draft, path)
            draft.unlink()
        _probe_database(path)
        yield


def _create_database(path: Path, lock: IO[str]) -> None:
    """Create a database by MLflow's own command, in a child that shares the lock.

    The child may outlive this process when that is killed; the lock is then held until the child is done.
    """
    command = [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{path}"]
    child = subprocess.run(command, capture_output=True, text=True, pass_fds=(lock.fileno(),), check=False)
    if child.returncode:
        said = child.stderr.strip().splitlines() or ["no message"]
        raise OSError(f"mlflow db upgrade failed: {said[-1]}")
    # Write-ahead log: readers (the UI) do not stop the importer, and a run costs a quarter less. It is a
    # property of the file and stays with it.
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def _probe_database(path: Path) -> None:
    """Raise at once what MLflow says after a minute of retries: locked, read-only, not a database."""
    address = f"{path.as_uri()}?mode=rw"
    connection = sqlite3.connect(address, uri=True, timeout=LOCK_SECONDS, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SELECT version_num FROM alembic_version")
        connection.execute("ROLLBACK")
    finally:
        connection.close()


# Errors: one line with the address and what to do.


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn whatever the tracker throws into one UsageError; none of it concerns the results on disk."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise UsageError(_message(uri, str(error))) from error


def _message(uri: str, reason: str) -> str:
    address = without_credentials(uri)
    first = next(iter(reason.strip().splitlines()), "no reason given").replace(uri, address)
    said = re.sub(r"//[^/@\s]+@", "//", first)[:200]
    return f"MLflow tracker {address}: {said}. {_remedy(reason, address)} Training results are untouched."


def _remedy(reason: str, address: str) -> str:
    remedies = {
        "out-of-date database schema": f"Back the database up and run `mlflow db upgrade {address}`, or set"
        " MLFLOW_TRACKING_URI to another one.",
        "revision identified by": "A newer MLflow wrote it: set MLFLOW_TRACKING_URI to another database.",
        "is locked": "Close the program that holds it and run again.",
        "disk is full": "Make room and run again.",
        "disk I/O error": "Make room, or look after the disk, and run again.",
        "readonly": "Make the file and its folder writable, or set MLFLOW_TRACKING_URI to another database.",
        "not a database": "Move the file away; the next run creates it anew.",
        "no such table: alembic_version": "It is no MLflow database: move the file away and run again.",
    }
    general = "Check that it is running and reachable, or change MLFLOW_TRACKING_URI, and run again."
    return next((remedy for sign, remedy in remedies.items() if sign in reason), general)


def without_credentials(uri: str) -> str:
    """The URI without user, password and query, any of which may hold a secret."""
    return re.sub(r"//[^/@]+@", "//", uri).partition("?")[0]
