"""The importer's journal: what it has written to one tracker, so that it can be killed at any moment."""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from folklore.errors import UsageError


@dataclass(frozen=True)
class Entry:
    """An imported run: its id in MLflow, the study whose experiment holds it, its growing tags as written."""

    run_id: str
    study: str
    tags: dict[str, str]


@dataclass
class Journal:
    """Append-only JSON lines: what this importer has written to one tracker. State is valid while locked.

    It must never know more than the tracker: its lines are held back until `secure` has come back, which waits until
    the tracker's own disk holds what they vouch for. A line that is lost by a kill is looked up in the tracker.

    Records: {"journal": id}, {"reset": study}, {"settled": study}, {"intent": study, "keys": [...]},
    {"void": key}, {"done": key, "run": run_id, "study": study, "tags": {...}}; the last one of a key counts.
    """

    path: Path
    secure: Callable[[], None]
    id: str = ""
    runs: dict[str, Entry] = field(default_factory=dict)
    flying: dict[str, str] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)
    _file: IO[bytes] | None = None
    _read: int = 0
    _held: list[bytes] = field(default_factory=list)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the journal alone (the lock dies with its process) and know all that others have written."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as self._file:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._catch_up()
            try:
                yield
            finally:
                self._write()

    def append(self, record: Mapping[str, Any], *, durable: bool = False) -> None:
        """Write one record; `durable` waits until it would survive a power cut."""
        self._held.append(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        self._apply(record)
        if durable:
            self._write()
            os.fsync(self._file.fileno())

    def done(self, key: str, entry: Entry) -> None:
        self.append({"done": key, "run": entry.run_id, "study": entry.study, "tags": entry.tags})

    def _write(self) -> None:
        self.secure()
        lines = b"".join(self._held)
        self._file.write(lines)
        self._file.flush()
        self._read += len(lines)
        self._held.clear()

    def _catch_up(self) -> None:
        """Apply what other processes appended; cut off a last line that its writer did not live to finish."""
        self._file.seek(self._read)
        tail = self._file.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        if len(whole) < len(tail):
            self._file.truncate(self._read + len(whole))
        for line in whole.splitlines():
            self._apply(self._parsed(line))
        self._read += len(whole)
        if not self.id:
            self.append({"journal": uuid.uuid4().hex}, durable=True)

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            return json.loads(line)
        except ValueError as error:
            remedy = "delete it, and the next import rebuilds it from MLflow"
            raise UsageError(f"{self.path}: damaged journal; {remedy}") from error

    def _apply(self, record: Mapping[str, Any]) -> None:
        match record:
            case {"journal": name}:
                self.id = name
            case {"reset": study}:
                self.runs = {key: entry for key, entry in self.runs.items() if entry.study != study}
                self.flying = {key: home for key, home in self.flying.items() if home != study}
                self.unsettled.add(study)
            case {"settled": study}:
                self.unsettled.discard(study)
            case {"intent": study, "keys": keys}:
                self.flying |= dict.fromkeys(keys, study)
            case {"done": key, "run": run_id, "study": study, "tags": tags}:
                self.flying.pop(key, None)
                self.runs[key] = Entry(run_id, study, tags)
            case {"void": key}:
                self.flying.pop(key, None)
