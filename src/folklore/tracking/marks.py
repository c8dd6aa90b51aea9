"""Marks: the files by which Snakemake knows what is imported. They count for the one database that they name.

Light: the Snakefile uses it while it is parsed.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from folklore.files import atomic_write
from folklore.tracking.address import VARIABLE, database_file


def identity(database: Path) -> str:
    """The number that a database got when it was made (0 in one of an earlier version); nothing where there is none.

    Immutable: without locks, which closing the file would take from a connection of the same process.
    """
    try:
        reader = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        with closing(reader):
            return str(*reader.execute("PRAGMA user_version").fetchone())
    except sqlite3.Error:
        return ""


def write_mark(target: Path, said: str, database: str) -> None:
    """Say that an import is complete, and into which database it went."""
    atomic_write(target, f"{said}\ndatabase {database}\n")


def heal_marks(results: Path = Path("results")) -> None:
    """Remove marks of another default database than the present one: Snakemake then misses and makes them.

    The last mark goes with any other, else Snakemake would not miss what that was made from.
    """
    if os.environ.get(VARIABLE):  # a change of address is seen by the rules' parameters
        return
    present = identity(database_file(results))
    stale = [mark for mark in (results / "tracking").glob("*.done") if not _counts(mark, present)]
    if stale:
        print(f"{results}/mlflow.db is not the database of the last import: imported again", file=sys.stderr)
        for mark in (*stale, results / "tracking" / "verdicts.done"):
            mark.unlink(missing_ok=True)


def _counts(mark: Path, present: str) -> bool:
    return bool(present) and mark.read_bytes().endswith(f"\ndatabase {present}\n".encode())
