"""Results on disk: immutable Parquet parts, named by the SHA-256 of their bytes, so that damage shows and nothing is written twice.

`runs/` holds one row a trained network, `timings/` its seconds. Parts are written to a temporary file and renamed: a reader sees a
whole part or none. Timings live apart because they alone differ between two machines that computed the same numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from folklore import datasets
from folklore.errors import UsageError
from folklore.files import atomic_write
from folklore.grid import LATER_FIELDS, Run

log = logging.getLogger(__name__)

_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_DEFAULTS = asdict(Run())
_CONFIGURATION = [(name, _TYPES[type(value)]) for name, value in _DEFAULTS.items()]
_RESULTS = [
    ("run_key", pa.string()),
    ("status", pa.string()),
    ("diverged_step", pa.int64()),
    ("train_loss", pa.float64()),
    ("val_accuracy", pa.float64()),
    ("val_loss", pa.float64()),
    ("test_accuracy", pa.float64()),
    ("test_loss", pa.float64()),
    ("recalibrated_accuracy", pa.float64()),
    ("loss_step", pa.list_(pa.int64())),
    ("loss_curve", pa.list_(pa.float32())),
    ("val_step", pa.list_(pa.int64())),
    ("val_curve", pa.list_(pa.float64())),
    ("grad_norms", pa.list_(pa.float64())),
    ("measures", pa.map_(pa.string(), pa.float64())),
    ("data_digest", pa.string()),
    ("code_hash", pa.string()),
]
SCHEMA = pa.schema(_RESULTS + _CONFIGURATION)
TIMINGS = pa.schema([("run_key", pa.string()), ("seconds", pa.float64())])
NAME_DIGITS = 24


class Store:
    """The results folder of all runs. Parts do not change, so each is looked through once in the life of this object, unless it did."""

    def __init__(self, root: Path) -> None:
        self.runs, self.timings, self.data = root / "runs", root / "timings", root / "data"
        self._seen: dict[tuple[Path, int, int], frozenset[str]] = {}
        self._told: set[str] = set()
        self._added: list[tuple[Path, pa.Schema]] = []

    def keys(self) -> set[str]:
        """Run keys of all sound parts. A damaged part is named in the log and set aside: its runs are trained again."""
        return set().union(*self._parts().values())

    def read(self, keys: Iterable[str] | None = None) -> pd.DataFrame:
        """One row a run, sorted by run key; UsageError when one of `keys` is not there."""
        if keys is None:
            return self.find()
        wanted = set(keys)
        frame = self.find(wanted)
        seen: list[Path] | None = None
        # jobs that ended meanwhile may have merged their parts
        while len(frame) < len(wanted) and seen != (seen := sorted(self.runs.glob("*.parquet"))):
            frame = self.find(wanted)
        missing = sorted(wanted - set(frame.index))
        if missing:
            raise UsageError(
                f"{self.runs}: {len(missing)} runs are missing, {missing[0]} first; remove tune, confirm and extend beside it and "
                "start the same command again, which trains only these"
            )
        return frame

    def find(self, keys: Iterable[str] | None = None) -> pd.DataFrame:
        """The rows of those of `keys` (of all runs by default) that are there and were trained on the data that are prepared now."""
        wanted = None if keys is None else set(keys)
        parts = [path for path, held in self._parts().items() if wanted is None or held & wanted]
        frame = _read(parts, SCHEMA).to_pandas(maps_as_pydicts="strict")
        if wanted is not None:
            frame = frame[frame["run_key"].isin(wanted)]
        frame = self._of_these_data(frame).drop_duplicates("run_key")
        frame = frame.set_index("run_key", drop=False).sort_index()
        frame.index.name = None
        return frame

    def _of_these_data(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Without runs of data that came out with other bytes than those of now, under whose digest they would stand; said once."""
        now = frame["data"].map({name: _digest(name, self.data) for name in frame["data"].unique()})
        other = now.notna() & (frame["data_digest"] != now)
        for name, runs in frame[other & ~frame["data"].isin(self._told)].groupby("data"):
            self._told.add(name)
            said = "%s: %d runs were trained on other %s than is prepared now: not used, trained again"
            log.warning(said, self.runs, len(runs), name)
        return frame[~other]

    def _parts(self) -> dict[Path, frozenset[str]]:
        """The run keys of each sound part, by its path."""
        there = {(path, *_stamp(path)): path for path in sorted(self.runs.glob("*.parquet"))}
        found = {stamp: self._seen.get(stamp) or _keys(path) for stamp, path in there.items()}
        self._seen = {stamp: keys for stamp, keys in found.items() if keys}
        return {there[stamp]: keys for stamp, keys in self._seen.items()}

    def add(self, rows: list[dict], seconds: dict[str, float]) -> None:
        """Add the results of a stack."""
        # Arrow takes a map as pairs, and gives it back as a dictionary
        pairs = [row | {"measures": list(row["measures"].items())} for row in rows]
        timed = [{"run_key": k, "seconds": s} for k, s in sorted(seconds.items())]
        for folder, kept, schema in ((self.runs, pairs, SCHEMA), (self.timings, timed, TIMINGS)):
            part = _write(folder, pa.Table.from_pylist(sorted(kept, key=lambda row: row["run_key"]), schema))
            self._added.append((part, schema))

    def merge(self) -> None:
        """Put the parts that this object has added into one, so that later readers open a file for a job and not one for a stack.

        For the end of a job. A reader that has listed a part that is removed here looks a second time: the merged one is there before.
        """
        for folder, schema in ((self.runs, SCHEMA), (self.timings, TIMINGS)):
            parts = sorted({path for path, its in self._added if its is schema})
            if len(parts) > 1:
                merged = _write(folder, _read(parts, schema).sort_by("run_key"))
                # what is merged of one part, where all the others were damaged, has its bytes and so its name
                for part in set(parts) - {merged}:
                    part.unlink(missing_ok=True)
        self._added.clear()

    def seconds(self) -> pd.Series:
        """Processor seconds by run key; of a run that was timed twice always the same one of the two, not the earlier."""
        frame = _read(sorted(self.timings.glob("*.parquet")), TIMINGS).to_pandas().drop_duplicates("run_key")
        return frame.set_index("run_key")["seconds"]


def row(run: Run, result: dict, data_digest: str) -> dict:
    """A store row from a run and what training returned."""
    return run.values() | result | {"run_key": run.key, "data_digest": data_digest, "code_hash": run.code}


def _write(folder: Path, table: pa.Table) -> Path:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    content = buffer.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{hashlib.sha256(content).hexdigest()[:NAME_DIGITS]}.parquet"
    if not target.exists():
        atomic_write(target, content)
    return target


def _read(paths: Iterable[Path], schema: pa.Schema) -> pa.Table:
    parts = [part for path in paths if (part := _sound(path, schema)) is not None]
    return pa.concat_tables(parts) if parts else schema.empty_table()


def _stamp(path: Path) -> tuple[int, int]:
    """What tells a file that was changed: its time and its size."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _keys(path: Path) -> frozenset[str]:
    part = _sound(path, SCHEMA)
    return frozenset(part.column("run_key").to_pylist() if part is not None else ())


def _sound(path: Path, schema: pa.Schema) -> pa.Table | None:
    """The part; None, and the part set aside, when its bytes or its layout are not what they should be."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:  # another job has just merged it, or set it aside
        return None
    whole = hashlib.sha256(content).hexdigest()[:NAME_DIGITS] == path.stem
    table = _completed(_table(content), schema) if whole else None
    if table is not None and table.schema.equals(schema):
        return table
    aside = path.with_suffix(".old" if table is not None else ".damaged")
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, aside)
    what = "of an older layout" if table is not None else "damaged"
    log.warning("%s is %s: set aside as %s, its runs are trained again", path, what, aside.name)
    return None


def _table(content: bytes) -> pa.Table | None:
    # In this thread alone, and not from a Python file: a thread of Arrow's that lets go of one while the interpreter ends
    # aborts a job whose work is done (apache/arrow#33975; one start in ten here).
    try:
        return pq.ParquetFile(pa.BufferReader(content), pre_buffer=False).read(use_threads=False)
    except (pa.ArrowException, OSError):
        return None


def _completed(table: pa.Table | None, schema: pa.Schema) -> pa.Table | None:
    """With the columns of fields that a run got later, at their defaults: so it was trained, and its key says so, see LATER_FIELDS."""
    lacking = [name for name in schema.names if table is not None and name not in table.column_names]
    if not lacking or not set(lacking) <= LATER_FIELDS:
        return table
    for name in lacking:
        values = pa.repeat(pa.scalar(_DEFAULTS[name], schema.field(name).type), len(table))
        table = table.append_column(schema.field(name), values)
    return table


def _digest(name: str, root: Path) -> str | None:
    """Of a data set as it is prepared; None where it is not, or is none."""
    try:
        return datasets.digest(name, root)
    except UsageError:
        return None
