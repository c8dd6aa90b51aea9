"""How the arrays of a data set lie on disk: `NAME.npz` beside a note `NAME.json`.

Both are written under another name and renamed, the note last: a note vouches for the arrays beside it.
"""

from __future__ import annotations

import fcntl
import json
import lzma
import os
import shutil
import struct
import sys
import threading
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

PATIENCE_SECONDS = 5.0  # before a line tells whoever waits

# what archives, arrays and parsers throw at damaged or hostile bytes, as fuzzing found; each ends in one line with the remedy
_UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, OverflowError, NotImplementedError, RuntimeError,
    SyntaxError, struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip


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
        kinds = {
            "name": str,
            "digest": str,
            "classes": int,
            "code": str,
            "arrays": dict,
            "source": str,
            "licence": str,
        }
        if not all(isinstance(note[key], kind) for key, kind in kinds.items()):
            raise TypeError("a note of another kind")
        return {key: note[key] for key in kinds}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
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
        arrays = _arrays(dataset, contents, source)
        _write(arrays, _note(dataset, code, source, arrays), work, root)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _arrays(dataset: Dataset, contents: dict[str, bytes], source: str) -> dict[str, np.ndarray]:
    """The splits; UsageError where the files hold something else than the data set says of itself."""
    remedy = f"allowed are the files that src/folklore/datasets/{dataset.name}.py describes; these came from {source}"
    try:
        with np.errstate(all="ignore"):
            arrays = split(dataset, dataset.read(contents))
    except (*_UNREADABLE, ArithmeticError, LookupError) as error:
        said = " ".join(str(error).split())[:200]
        raise UsageError(f"data={dataset.name}: its files cannot be read ({said}); {remedy}") from error
    for part in ("pool", "val", "test"):
        x, y = arrays[f"{part}_x"], arrays[f"{part}_y"]
        fits = x.ndim == 2 and x.shape == (len(y), dataset.inputs) and y.ndim == 1 and len(y) > 0
        if not fits or not np.isfinite(x).all() or not 0 <= y.min() <= y.max() < dataset.classes:
            wanted = f"finite inputs ({dataset.inputs} a row) with labels from 0 to {dataset.classes - 1}"
            raise UsageError(f"data={dataset.name}: its {part} rows are not {wanted}; {remedy}")
    return arrays


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
    """Wait until no other process prepares this data set, saying so after a while; the lock ends with its process, however it ends."""
    words = f"{lock}: another process prepares this data set: waiting for it to end (Ctrl-C gives up)"
    with lock.open("w") as handle:
        said = threading.Timer(PATIENCE_SECONDS, lambda: print(words, file=sys.stderr, flush=True))
        said.start()
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        finally:
            said.cancel()
        yield
