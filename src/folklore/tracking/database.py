"""The tracker's database: the SQLite file is made once, probed and secured, and what goes wrong is said in one line."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from mlflow.exceptions import MlflowException
from sqlalchemy import Engine, TextClause, event
from sqlalchemy.engine import Result
from sqlalchemy.engine.result import null_result
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import ORMExecuteState, Session

from folklore.errors import REMEDIES, UsageError, refused
from folklore.tracking.address import VARIABLE, of_file, without_credentials

# what it throws is told in one line; it would log the whole traceback before
logging.getLogger("mlflow").setLevel(logging.CRITICAL)

LOCK_SECONDS = 5.0


# what MLflow says to SQLite in every session, seven times a run; a connection keeps it
SETTINGS = frozenset(
    {"PRAGMA foreign_keys = ON;", "PRAGMA busy_timeout = 20000;", "PRAGMA case_sensitive_like = true;"}
)


@event.listens_for(Engine, "connect")
def _set_up(connection: object, _: object) -> None:
    """Whatever holds for as long as a connection to SQLite lives.

    A run takes six commits; waiting for the disk at each made two fifths of an import's time. In the write-ahead log nothing is lost by
    not waiting when the process is killed. A power cut leaves the database sound, without its last commits: whoever vouches for them waits for
    `secure` first.
    """
    if isinstance(connection, sqlite3.Connection):
        for setting in ("PRAGMA synchronous=NORMAL", *SETTINGS):
            connection.execute(setting).close()


@event.listens_for(Session, "do_orm_execute")
def _set_up_already(state: ORMExecuteState) -> Result | None:
    """Nothing to be done for what `_set_up` did."""
    statement = state.statement
    if isinstance(statement, TextClause) and statement.text in SETTINGS:
        return null_result()
    return None


def secure(path: Path | None) -> None:
    """Wait until a power cut would not take what was committed to the SQLite file; other trackers (None) see to that themselves.

    What is not in its log is in the file itself: SQLite waits for that before it begins the log anew.
    """
    if path is None:
        return
    with suppress(FileNotFoundError), Path(f"{path}-wal").open("rb") as log:
        os.fsync(log.fileno())


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
            for leftover in (draft, *_companions(draft), *_companions(path)):
                leftover.unlink(missing_ok=True)
            _create_database(draft, lock)
            os.link(draft, path)
            draft.unlink()
        _probe_database(path)
        yield


def _companions(path: Path) -> list[Path]:
    """What SQLite keeps beside its file; a person's `mlflow.db-backup` is none of it."""
    return [Path(f"{path}-{kind}") for kind in ("wal", "shm", "journal")]


def _create_database(path: Path, lock: IO[str]) -> None:
    """Create a database by MLflow's own command, in a child that shares the lock.

    The child may outlive this process when that is killed; the lock is then held until the child is done.
    """
    command = [sys.executable, "-m", "mlflow", "db", "upgrade", of_file(path)]
    child = subprocess.run(command, capture_output=True, text=True, pass_fds=(lock.fileno(),), check=False)
    if child.returncode:
        said = child.stderr.strip().splitlines() or ["no message"]
        raise OSError(f"mlflow db upgrade failed: {said[-1]}")
    # Write-ahead log: readers (the UI) do not stop the importer, and a run costs a quarter less. It is a
    # property of the file and stays with it.
    connection = sqlite3.connect(path)
    # its identity, see `marks`; SQLite keeps the number for whoever made the file, and MLflow does not use it
    connection.execute(f"PRAGMA user_version={1 + secrets.randbelow(2**31 - 1)}")
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
        machine = refused(error) if isinstance(error, OSError) else None
        raise UsageError(_message(uri, str(error), machine)) from error
    except ImportError as error:
        raise UsageError(_without_driver(uri, error)) from error


def _message(uri: str, reason: str, machine: str | None = None) -> str:
    """`machine`: what the machine itself refused, with the remedy."""
    address = without_credentials(uri)
    first = next(iter(reason.strip().splitlines()), "no reason given").replace(uri, address)
    said = re.sub(r"//\S*@", "//", first)[:200]
    told = machine or f"{said}. {_remedy(reason, address)}"
    return f"MLflow tracker {address}: {told.rstrip('.')}. Training results are untouched."


def _without_driver(uri: str, error: ImportError) -> str:
    driver = "make postgres" if uri.startswith("postgres") else "pip install its driver"
    return (
        f"{VARIABLE}={without_credentials(uri)}: {error}; install what Python needs for it ({driver}), or name a tracker"
        " that is there (http://HOST:PORT, sqlite:///FILE), and run again. Training results are untouched."
    )


def _remedy(reason: str, address: str) -> str:
    remedies = {
        "out-of-date database schema": f"Back the database up and run `mlflow db upgrade {address}`, or set"
        " MLFLOW_TRACKING_URI to another one.",
        "revision identified by": "A newer MLflow wrote it: set MLFLOW_TRACKING_URI to another database.",
        "is locked": "Close the program that holds it and run again.",
        "disk is full": "Make room and run again.",
        "disk I/O error": "Make room, or look after the disk, and run again.",
        "readonly": "Make the file and its folder writable, or set MLFLOW_TRACKING_URI to another database.",
        "unable to open database file": "Make its folder readable and writable, and run again.",
        "not a database": "Move the file away; the next run creates it anew.",
        "no such table: alembic_version": "It is no MLflow database: move the file away and run again.",
        "unsupported URI": "MLFLOW_TRACKING_URI takes http://HOST:PORT, a database such as"
        " postgresql+psycopg2://USER@HOST/NAME, or sqlite:///FILE.",
        "filesystem tracking backend": "Set MLFLOW_TRACKING_URI to http://HOST:PORT or sqlite:///FILE.",
    }
    # what a child or a server was refused arrives as text
    remedies |= {os.strerror(code): f"{what.capitalize()}, and run again." for code, what in REMEDIES.items()}
    general = "Check that it is running and reachable, or change MLFLOW_TRACKING_URI, and run again."
    return next((remedy for sign, remedy in remedies.items() if sign in reason), general)
