"""The tracker's address: which one is meant, the file behind it, and what of it may be shown.

Light: the Snakefile uses it while it is parsed.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from folklore.errors import UsageError

VARIABLE = "MLFLOW_TRACKING_URI"
DEFAULT = "default"


def address(uri: str | None, out: Path) -> str:
    """`uri`, else MLFLOW_TRACKING_URI, else the SQLite file `<out>/mlflow.db`. UsageError when it is none."""
    given = uri or os.environ.get(VARIABLE)
    return absolute(given) if given else of_file(database_file(out))


def database_file(out: Path) -> Path:
    """The database of a results folder, used unless another tracker is named."""
    return Path(out).absolute() / "mlflow.db"


def scope(uri: str | None, out: Path) -> str:
    """A short name for the tracker, without secrets: of its journal, and in the parameters of Snakemake's rules.

    The default database moves with its folder; any other is known by its address.
    """
    if not (uri or os.environ.get(VARIABLE)):
        return DEFAULT
    return hashlib.sha256(without_credentials(address(uri, out)).encode()).hexdigest()[:12]


def absolute(uri: str) -> str:
    """The same SQLite file under one name, whatever the working directory. UsageError for what is no address."""
    try:
        _ = urlsplit(uri).port
    except ValueError as error:
        # its own words may quote a password
        raise UsageError(
            f"{VARIABLE}={without_credentials(uri)}: host or port cannot be read; write http://HOST:PORT, a port up"
            " to 65535, or sqlite:///FILE"
        ) from error
    path = sqlite_path(uri)
    if path is None:
        return uri
    query = uri.partition("?")[2]
    return of_file(path) + (f"?{query}" if query else "")


def sqlite_path(uri: str) -> Path | None:
    """The file behind a SQLite URI, None for other kinds of tracker."""
    if not uri.startswith("sqlite:"):
        return None
    if not uri.startswith("sqlite://"):
        raise UsageError(f"{VARIABLE}={uri}: three slashes are missing; write sqlite:///FILE")
    path = uri.removeprefix("sqlite://").partition("?")[0].removeprefix("/")
    if path in ("", ":memory:"):
        raise UsageError(f"{VARIABLE}={uri}: a database in memory is lost; name a file, sqlite:///FILE")
    return Path(path).absolute()


def of_file(path: Path) -> str:
    """The address of a SQLite file. It would end at a `?`: such a folder is named from the working directory, if that is in it."""
    named = os.path.relpath(path) if "?" in str(path) else path
    if "?" in str(named):
        raise UsageError(
            f"{path}: MLflow cannot name a path with a `?`; rename the folder or set {VARIABLE} to another database"
        )
    return f"sqlite:///{named}"


def without_credentials(uri: str) -> str:
    """The URI in one line, without user, password and query, any of which may hold a secret; of a file, the whole path."""
    shown = " ".join(uri.split()).partition("?")[0]
    return shown if shown.startswith("sqlite:") else re.sub(r"//.*@", "//", shown)
