"""How the arrays of a data set lie on disk: `NAME.npz` beside a note `NAME.json`.

Both are written under another name and renamed, the note last: a note vouches for the arrays beside it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from folklore.datasets._fetch import gather
from folklore.datasets.base import ARRAY_NAMES, Arrays, Dataset, digest_of, split
from folklore.errors import UsageError
from folklore.files import sha256, vouch, write_result

_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def prepare(dataset: Dataset, code: str, root: Path) -> Path:
    """Make the two files unless they are there, intact and made by this `code`; returns the npz's path."""
    root.mkdir(parents=True, exist_ok=True)
    with _only_one(root / f".{dataset.name}.lock"):
        if not _is_good(dataset.name, code, root):
            _build(dataset, code, root)
    return root / f"{dataset.name}.npz"


def load(name: str, root: Path) -> Arrays:
    """Read the arrays; UsageError when they are missing, cut short or changed (the npz has checksums)."""
    note = read_note(name, root)
    try:
        arrays = _read_arrays(root / f"{name}.npz")
    except _UNREADABLE as error:
        reason = f"cannot be read ({type(error).__name__})"
        raise UsageError(f"{root / name}.npz {reason}; {_remedy(name, root)}") from error
    if digest_of(arrays) != note["digest"]:
        raise UsageError(f"{root / name}.npz does not match {name}.json; {_remedy(name, root)}")
    return Arrays(name=name, digest=note["digest"], classes=note["classes"], **arrays)


def read_note(name: str, root: Path) -> dict[str, Any]:
    """The note beside the arrays; UsageError when there is none or it is damaged."""
    try:
        note = json.loads((root / f"{name}.json").read_text(encoding="utf-8"))
        return {
            key: note[key] for key in ("name", "digest", "classes", "code", "arrays", "source", "licence")
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"data={name}: nothing usable in {root}; {_remedy(name, root)}") from error


def _remedy(name: str, root: Path) -> str:
    return f"make it by: python -m folklore.stages.fetch {name} --root {root}"


def _is_good(name: str, code: str, root: Path) -> bool:
    try:
        note = read_note(name, root)
        return note["code"] == code and note["digest"] == digest_of(_read_arrays(root / f"{name}.npz"))
    except (UsageError, *_UNREADABLE):
        return False


def _build(dataset: Dataset, code: str, root: Path) -> None:
    """Fetch or generate, split, write. What is unfinished lies in one folder, which a later call empties."""
    work = root / f".{dataset.name}.partial"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        contents, source = gather(dataset, work)
        arrays = split(dataset, dataset.read(contents))
        _write(arrays, _note(dataset, code, source, arrays), work, root)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _note(dataset: Dataset, code: str, source: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "digest": digest_of(arrays),
        "classes": dataset.classes,
        "code": code,
        "arrays": _shapes(arrays),
        "source": source,
        "licence": dataset.licence,
    }


def _shapes(arrays: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    return {name: [*array.shape, array.dtype.name] for name, array in arrays.items()}


def _write(arrays: dict[str, np.ndarray], note: dict[str, Any], work: Path, root: Path) -> None:
    name = note["name"]
    (root / f"{name}.json").unlink(missing_ok=True)
    np.savez(work / "arrays.npz", **arrays)
    vouch(root / f"{name}.npz", sha256(work / "arrays.npz"))
    os.replace(work / "arrays.npz", root / f"{name}.npz")
    write_result(root / f"{name}.json", json.dumps(note, indent=1) + "\n")


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
        return {name: stored[name] for name in ARRAY_NAMES}


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Wait until no other process prepares this data set; the lock ends with its process, however it ends."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
