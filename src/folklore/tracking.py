"""Mirror runs, verdicts and artifacts into MLflow: written once per run, never read back for results.

The result files are the truth. One importer writes the mirror; training jobs never talk to the tracker. A
journal under `<out>/tracking/` says which runs are there, so that an import can be killed at any moment: a
batch is announced (intent) before its runs are created and ticked off (done) run by run; what was in flight
when an importer died is looked up in MLflow by its tag `run_key`, adopted when complete, deleted and written
again when not. Two copies of the project may take turns at one server, but must not import at the same time.

This is the only module that imports mlflow, and importing it costs about 3 s: import it late.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import re
import sqlite3
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

import numpy as np
import pandas as pd

from folklore.errors import UsageError

# Before mlflow is imported: its telemetry is on by default, with a server it prints two lines a run, and its
# seven retries, each after a longer pause, would hide an unreachable one for minutes (a user's values win).
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

CURVE_POINTS = 20
BATCH_RUNS = 25
LOCK_SECONDS = 5.0
PAGE = 1000

# Tags that grow when a run comes to serve further studies; each holds a comma-separated list.
GROWING = ("studies", "claims", "phase", "profile")

# The saved view of every experiment: its name and its columns.
VIEW = "Factors and scores"
VIEW_PARAMETERS = ("activation", "init", "norm", "dropout", "batch_size", "optimizer", "lr", "seed")
VIEW_METRICS = ("final_val_accuracy", "test_accuracy", "final_train_loss")

# Row columns that are not parameters. Everything else in a row is a field of the run, so that a new field is
# mirrored without a change here.
CURVES = {"train_loss": ("loss_step", "loss_curve"), "val_accuracy": ("val_step", "val_curve")}
SCORES = {
    "final_train_loss": "train_loss",
    "final_val_accuracy": "val_accuracy",
    "final_val_loss": "val_loss",
    "test_accuracy": "test_accuracy",
    "test_loss": "test_loss",
    "recalibrated_accuracy": "recalibrated_accuracy",
    "seconds": "seconds",
}
NOT_PARAMETERS = frozenset(
    {"run_key", "status", "diverged_step", "grad_norms", "data_digest", "code_hash", "commit", "dirty"}
    | {"variant", "arm", "replicate", "cell", "chosen", "edge"}
    | {*GROWING, *SCORES.values()}
    | {column for pair in CURVES.values() for column in pair}
)


@dataclass(frozen=True)
class StudyCard:
    """What a person reads about a study in MLflow."""

    name: str
    title: str
    claims: tuple[str, ...] = ()
    description: str = ""

    @property
    def label(self) -> str:
        """The experiment's name: the study, then its claims, so that a claim is found by reading the list."""
        label = f"{self.name} ({', '.join(self.claims)})" if self.claims else self.name
        return label if len(label) <= 500 else label[:499] + "…"


@dataclass(frozen=True)
class Counts:
    """What one import did: runs written, runs whose tags grew, runs that were there already and unchanged."""

    new: int
    retagged: int
    known: int


def open_tracker(uri: str | None, out: Path) -> Tracker:
    """Open the tracker at `uri`, else at MLFLOW_TRACKING_URI, else the SQLite file `<out>/mlflow.db`.

    A missing SQLite file is created. Raises UsageError when the tracker cannot be written to.
    """
    out = Path(out).absolute()
    given = uri or os.environ.get("MLFLOW_TRACKING_URI")
    address = _absolute(given) if given else f"sqlite:///{out / 'mlflow.db'}"
    # The default database moves with its folder; any other is known by its address.
    scope = hashlib.sha256(_without_credentials(address).encode()).hexdigest()[:12] if given else "default"
    with _explained(address), _database(_sqlite_path(address)):
        client = MlflowClient(tracking_uri=address)
        client.search_experiments(max_results=1)
    journal = _Journal(out / "tracking" / f"{scope}.jsonl")
    served = urlsplit(address).scheme in ("http", "https")
    return Tracker(client, address, journal, artifacts=None if served else out / "mlartifacts")


class Tracker:
    """A write-only view of one MLflow tracker. Every method may be repeated, and killed at any moment."""

    def __init__(self, client: MlflowClient, uri: str, journal: _Journal, artifacts: Path | None) -> None:
        """`artifacts`: folder for artifacts, or None where the server keeps them."""
        self.uri = uri
        self._client = client
        self._journal = journal
        self._artifacts = artifacts

    def import_runs(
        self,
        frame: pd.DataFrame,
        studies: Mapping[str, StudyCard],
        progress: Callable[[int, int], None] | None = None,
    ) -> Counts:
        """Bring the tracker up to `frame`.

        Args:
            frame: one row per run: a store row and the columns studies (list, the first is the run's home),
                claims (list), phase, profile, commit, dirty. Rows with one run_key are taken together.
            studies: a card for every home in the frame; each gets an experiment, with or without runs.
            progress: called with (runs written, runs to write) after every batch.

        Raises UsageError when the tracker fails; what was written stays, and the next call carries on.
        """
        rows = _merged(frame)
        if strangers := {row["studies"][0] for row in rows.values()} - studies.keys():
            raise UsageError(f"studies={sorted(strangers)}: no card for these; pass one for each home study")
        with _explained(self.uri):
            places = self._prepared(studies)
            fresh = [row for key, row in rows.items() if key not in self._journal.runs]
            new = 0
            # The lock is held for a batch at a time: a second importer waits for seconds, not to the end.
            for batch in _batches(fresh):
                new += self._import_batch(batch, places)
                if progress is not None:
                    progress(new, len(fresh))
            retagged = self._retag(rows.values())
            self._prepared(studies)
        return Counts(new, retagged, len(rows) - new - retagged)

    def attach(self, study: str, verdicts: Sequence[Mapping[str, Any]], files: Iterable[Path]) -> int:
        """Put verdicts (entries of verdicts.json) and files on the study's parent run.

        A file whose sha256 is tagged already is skipped; one of the same name with other bytes is replaced. A
        verdict that is not among `verdicts` any more loses its tag. Returns the number of files written.

        Raises UsageError when the tracker fails, FileNotFoundError when a file is missing.
        """
        digests = {Path(path): _sha256(Path(path)) for path in files}
        with _explained(self.uri), self._journal.locked():
            place = self._place(self._experiment(StudyCard(study, study), self._experiments()))
            parent = self._client.get_run(place.parent)
            self._attach_verdicts(parent, verdicts)
            return sum(self._attach_file(parent, path, digest) for path, digest in digests.items())

    def counts(self) -> dict[str, int]:
        """Runs the journal holds as imported, runs in flight, experiments of studies in the tracker."""
        with _explained(self.uri), self._journal.locked():
            runs, flying = len(self._journal.runs), len(self._journal.flying)
            return {"runs": runs, "in_flight": flying, "studies": len(self._experiments())}

    # Studies: one experiment with one parent run each.

    def _experiments(self) -> dict[str, Experiment]:
        """All experiments of studies, deleted ones too, by study."""
        found: dict[str, Experiment] = {}
        token = None
        while True:
            page = self._client.search_experiments(
                view_type=ViewType.ALL,
                max_results=PAGE,
                filter_string="tags.`folklore.study` LIKE '%'",
                order_by=["experiment_id ASC"],
                page_token=token,
            )
            found |= {experiment.tags["folklore.study"]: experiment for experiment in page}
            if not (token := page.token):
                return found

    def _prepared(self, studies: Mapping[str, StudyCard]) -> dict[str, _Place]:
        """Make every study's experiment and parent run exist, named and described as its card says."""
        with self._journal.locked():
            known = self._experiments()
            places = {name: self._place(self._experiment(card, known)) for name, card in studies.items()}
            self._recover(places)
            for name, place in places.items():
                self._describe(studies[name], place, places)
        return places

    def _experiment(self, card: StudyCard, known: Mapping[str, Experiment]) -> Experiment:
        """The study's experiment: created if missing, restored if deleted, and known to the journal."""
        experiment = known.get(card.name) or self._create_experiment(card)
        deleted = experiment.lifecycle_stage != "active"
        ours = experiment.tags.get("folklore.journal") == self._journal.id
        if deleted or not ours or card.name in self._journal.unsettled:
            self._adopt(card.name, experiment)
        return experiment

    def _create_experiment(self, card: StudyCard) -> Experiment:
        folder = None if self._artifacts is None else (self._artifacts / card.name).as_uri()
        # The kind says that these are training runs, not traces of a language model.
        tags = {"folklore.study": card.name, "mlflow.experimentKind": "custom_model_development"}
        tags["mlflow.sharedViewState.folklore"] = _saved_view()
        number = self._client.create_experiment(card.label, artifact_location=folder, tags=tags)
        return self._client.get_experiment(number)

    def _adopt(self, study: str, experiment: Experiment) -> None:
        """Rebuild the journal of an experiment that is new, was deleted, or was written by another journal.

        A rebuild that is killed is begun again, since it is declared at the start and settled at the end.
        """
        number = experiment.experiment_id
        self._journal.append({"reset": study}, durable=True)
        if experiment.lifecycle_stage != "active":
            # This brings back all its runs, the half-written ones, too.
            self._client.restore_experiment(number)
        # All pages before the first deletion, which would shift the next page.
        for run in list(self._runs(number, "tags.run_key LIKE '%'")):
            self._take_or_delete(run, study)
        self._client.set_experiment_tag(number, "folklore.journal", self._journal.id)
        self._journal.append({"settled": study})

    def _place(self, experiment: Experiment) -> _Place:
        """The experiment with its parent run, created when missing, restored or completed when need be."""
        study, number = experiment.tags["folklore.study"], experiment.experiment_id
        runs = list(self._runs(number, f"tags.`folklore.parent` = '{study}'", ViewType.ALL))
        run = runs[0] if runs else self._create_parent(study, number)
        if run.info.lifecycle_stage != "active":
            self._client.restore_run(run.info.run_id)
        if run.info.status != "FINISHED":
            self._client.set_terminated(run.info.run_id)
        return _Place(experiment, run.info.run_id)

    def _create_parent(self, study: str, experiment: str) -> Run:
        tags = {"folklore.parent": study, "mlflow.source.name": "folklore"}
        return self._client.create_run(experiment, tags=tags, run_name=f"{study} · verdicts and report")

    def _describe(self, card: StudyCard, place: _Place, places: Mapping[str, _Place]) -> None:
        """Name the experiment after its claims; describe it, with links to its runs that live elsewhere."""
        elsewhere = Counter(
            entry.study
            for entry in self._journal.runs.values()
            if entry.study != card.name and card.name in entry.tags["studies"].split(",")
        )
        links = [_shared_note(card.name, places[home], n) for home, n in elsewhere.items() if home in places]
        claims = "Claims: " + ", ".join(f"`{claim}`" for claim in card.claims) if card.claims else ""
        table = f"All its runs: [{VIEW}]({_link(place.experiment)}&viewStateShareKey=folklore)."
        note = "\n\n".join(filter(None, [card.title, card.description, claims, table, *links]))
        if place.experiment.name != card.label:
            self._client.rename_experiment(place.experiment.experiment_id, card.label)
        tags = {"folklore.claims": ",".join(card.claims), "mlflow.note.content": note}
        self._tag_experiment(place.experiment, tags)

    def _tag_experiment(self, experiment: Experiment, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            if experiment.tags.get(name) != value:
                self._client.set_experiment_tag(experiment.experiment_id, name, value)

    # Runs.

    def _import_batch(self, batch: list[dict[str, Any]], places: Mapping[str, _Place]) -> int:
        """Write the runs of one study's batch that are still missing; return their number."""
        study = batch[0]["studies"][0]
        with self._journal.locked():
            self._recover(places)
            missing = [row for row in batch if row["run_key"] not in self._journal.runs]
            keys = [row["run_key"] for row in missing]
            self._journal.append({"intent": study, "keys": keys}, durable=True)
            for row in missing:
                run_id = self._write_run(row, places[study])
                self._journal.done(row["run_key"], _Entry(run_id, study, _growing_tags(row)))
        return len(missing)

    def _write_run(self, row: Mapping[str, Any], place: _Place) -> str:
        """One run in three calls; its status is RUNNING until the last one, which makes it whole."""
        seconds = row.get("seconds")
        now = int(time.time() * 1000)
        start = now - int(seconds * 1000) if _is_finite(seconds) else now
        created = self._client.create_run(
            place.experiment.experiment_id,
            start_time=start,
            tags=_run_tags(row) | {"mlflow.parentRunId": place.parent},
            run_name=run_name(row),
        )
        run_id = created.info.run_id
        self._client.log_batch(run_id, metrics=_metrics(row, now), params=_parameters(row))
        self._client.set_terminated(run_id, end_time=now)
        return run_id

    def _recover(self, places: Mapping[str, _Place]) -> None:
        """Settle what a dead importer left in flight. Only the holder of the lock may call this."""
        for key, study in list(self._journal.flying.items()):
            known = places[study].experiment if study in places else self._experiments().get(study)
            for run in self._runs(known.experiment_id, f"tags.run_key = '{key}'") if known else ():
                self._take_or_delete(run, study)
            if key in self._journal.flying:
                self._journal.append({"void": key})

    def _take_or_delete(self, run: Run, study: str) -> None:
        """Enter a complete run into the journal; delete a half-written one, or the second of one key."""
        tags = run.data.tags
        entry = _Entry(run.info.run_id, study, {name: tags.get(name, "") for name in GROWING})
        known = self._journal.runs.get(tags["run_key"])
        if run.info.status == "FINISHED" and known is None:
            self._journal.done(tags["run_key"], entry)
        elif known is None or known.run_id != entry.run_id:
            self._client.delete_run(entry.run_id)

    def _runs(self, experiment: str, query: str, view: int = ViewType.ACTIVE_ONLY) -> Iterator[Run]:
        token = None
        while True:
            page = self._client.search_runs([experiment], query, view, PAGE, page_token=token)
            yield from page
            if not (token := page.token):
                return

    def _retag(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Grow the tags of known runs that serve further studies, claims, phases or profiles."""
        changed = [row for row in rows if self._grown(row)]
        for batch in _chunks(changed, BATCH_RUNS):
            with self._journal.locked():
                for row in batch:
                    entry, tags = self._journal.runs[row["run_key"]], self._grown(row)
                    self._set_tags(entry.run_id, tags)
                    self._journal.done(row["run_key"], _Entry(entry.run_id, entry.study, entry.tags | tags))
        return len(changed)

    def _set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags, except on a run that a person deleted: that is left as it is."""
        try:
            self._client.log_batch(run_id, tags=[RunTag(*tag) for tag in tags.items()])
        except MlflowException:
            if not self._is_deleted(run_id):
                raise

    def _is_deleted(self, run_id: str) -> bool:
        try:
            return self._client.get_run(run_id).info.lifecycle_stage != "active"
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return True
            raise

    def _grown(self, row: Mapping[str, Any]) -> dict[str, str]:
        """The tags of a known run that this row adds to, with their new values."""
        old = self._journal.runs[row["run_key"]].tags
        joined = {name: _union(old[name], value) for name, value in _growing_tags(row).items()}
        return {name: value for name, value in joined.items() if value != old[name]}

    # What hangs on a study's parent run.

    def _attach_verdicts(self, parent: Run, verdicts: Sequence[Mapping[str, Any]]) -> None:
        run_id, tags = parent.info.run_id, parent.data.tags
        for verdict in verdicts:
            digest = hashlib.sha256(json.dumps(verdict, sort_keys=True).encode()).hexdigest()
            name = f"folklore.verdict.{verdict['id']}"
            if tags.get(name) != digest:
                new = {f"verdict.{verdict['id']}": str(verdict["verdict"]), name: digest}
                numbers = _verdict_metrics(verdict, int(time.time() * 1000))
                self._client.log_batch(run_id, metrics=numbers, tags=[RunTag(*tag) for tag in new.items()])
        for stale in _stale_verdicts(tags, {str(verdict["id"]) for verdict in verdicts}):
            self._client.delete_tag(run_id, stale)
        note = "\n".join(_verdict_line(verdict) for verdict in verdicts)
        if note and tags.get("mlflow.note.content") != note:
            self._client.set_tag(run_id, "mlflow.note.content", note)

    def _attach_file(self, parent: Run, path: Path, digest: str) -> bool:
        """Upload, then tag: a kill in between uploads the same bytes to the same name again."""
        folder = {".svg": "figures", ".png": "figures", ".csv": "tables"}.get(path.suffix)
        tag = f"artifact.{folder}/{path.name}" if folder else f"artifact.{path.name}"
        if parent.data.tags.get(tag) == digest:
            return False
        self._client.log_artifact(parent.info.run_id, str(path), folder)
        self._client.set_tag(parent.info.run_id, tag, digest)
        return True


@dataclass(frozen=True)
class _Place:
    """Where a study's runs go: its experiment, and the id of the parent run in it."""

    experiment: Experiment
    parent: str


@dataclass(frozen=True)
class _Entry:
    """An imported run: its id in MLflow, the study whose experiment holds it, its growing tags as written."""

    run_id: str
    study: str
    tags: dict[str, str]


@dataclass
class _Journal:
    """Append-only JSON lines: what this importer has written to one tracker. State is valid while locked.

    Records: {"journal": id}, {"reset": study}, {"settled": study}, {"intent": study, "keys": [...]},
    {"void": key}, {"done": key, "run": run_id, "study": study, "tags": {...}}; the last one of a key counts.
    """

    path: Path
    id: str = ""
    runs: dict[str, _Entry] = field(default_factory=dict)
    flying: dict[str, str] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)
    _file: IO[bytes] | None = None
    _read: int = 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the journal alone (the lock dies with its process) and know all that others have written."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as self._file:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._catch_up()
            yield

    def append(self, record: Mapping[str, Any], *, durable: bool = False) -> None:
        """Write one record; `durable` waits until it would survive a power cut."""
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        self._file.write(line)
        self._file.flush()
        if durable:
            os.fsync(self._file.fileno())
        self._read += len(line)
        self._apply(record)

    def done(self, key: str, entry: _Entry) -> None:
        self.append({"done": key, "run": entry.run_id, "study": entry.study, "tags": entry.tags})

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
                self.runs[key] = _Entry(run_id, study, tags)
            case {"void": key}:
                self.flying.pop(key, None)


# A row of the frame, as MLflow wants it.


def run_name(row: Mapping[str, Any]) -> str:
    """What a person reads in the list: `relu he_normal batch-norm · B=32 · adam · lr 0.01 · seed 3`."""
    norm = row.get("norm") or "none"
    network = [row.get("activation"), row.get("init"), None if norm == "none" else f"{norm}-norm"]
    parts = [
        " ".join(str(part) for part in network if part),
        f"dropout {row['dropout']:g}" if row.get("dropout") else "",
        f"B={row['batch_size']}" if "batch_size" in row else "",
        str(row.get("optimizer") or ""),
        f"lr {row['lr']:.3g}" if "lr" in row else "",
        f"seed {row['seed']}" if "seed" in row else "",
        "diverged" if row.get("status") == "diverged" else "",
    ]
    return " · ".join(filter(None, parts))


def _merged(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Rows by run key; rows of one run (one per study that shares it) become one with all their labels."""
    rows: dict[str, dict[str, Any]] = {}
    for row in frame.to_dict("records"):
        row |= {name: _labels(row.get(name)) for name in GROWING}
        if not row["studies"]:
            raise UsageError(f"run_key={row['run_key']}: studies is empty; name the study that the run is of")
        first = rows.setdefault(row["run_key"], row)
        for name in GROWING:
            first[name] = list(dict.fromkeys([*first[name], *row[name]]))
    return rows


def _labels(value: Any) -> list[str]:
    """A label or a list of them (Parquet gives arrays, a missing one is NaN) as a list."""
    if isinstance(value, str):
        return [value]
    return [str(label) for label in value] if isinstance(value, (list, tuple, np.ndarray)) else []


def _growing_tags(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: ",".join(row[name]) for name in GROWING}


def _union(old: str, new: str) -> str:
    return ",".join(dict.fromkeys(filter(None, [*old.split(","), *new.split(",")])))


def _run_tags(row: Mapping[str, Any]) -> dict[str, str]:
    tags = {
        "run_key": row["run_key"],
        "study": row["studies"][0],
        "status": row.get("status"),
        "git_commit": row.get("commit"),
        "git_dirty": _text(row.get("dirty")),
        "data_digest": row.get("data_digest"),
        "code_hash": row.get("code_hash"),
        "mlflow.source.git.commit": row.get("commit"),
        "mlflow.source.name": "folklore",
    }
    if row.get("status") == "diverged":
        tags["diverged_step"] = _text(row.get("diverged_step"))
    return _growing_tags(row) | {name: str(value) for name, value in tags.items() if not _is_missing(value)}


def _parameters(row: Mapping[str, Any]) -> list[Param]:
    fields = {name: value for name, value in row.items() if name not in NOT_PARAMETERS}
    return [Param(name, _text(value)) for name, value in fields.items() if not _is_missing(value)]


def _metrics(row: Mapping[str, Any], timestamp: int) -> list[Metric]:
    """Curves of at most CURVE_POINTS points, final scores; whatever is not finite has no place in a chart."""
    points = [(name, 0, row.get(column)) for name, column in SCORES.items()]
    for name, (steps, values) in CURVES.items():
        points += [(name, step, value) for step, value in _thinned(_listed(row, steps), _listed(row, values))]
    norms = _listed(row, "grad_norms")
    # The step of this one is the layer, from 1.
    layers = range(1, len(norms) + 1)
    points += [("grad_norm_by_layer", layer, norm) for layer, norm in _thinned(layers, norms)]
    finite = [(name, int(step), float(value)) for name, step, value in points if _is_finite(value)]
    return [Metric(name, value, timestamp, step) for name, step, value in finite]


def _listed(row: Mapping[str, Any], column: str) -> Sequence[Any]:
    value = row.get(column)
    return value if isinstance(value, (list, tuple, np.ndarray)) else ()


def _thinned(steps: Sequence[Any], values: Sequence[Any]) -> list[tuple[Any, Any]]:
    """At most CURVE_POINTS pairs, evenly spread, with the first and the last."""
    points = list(zip(steps, values, strict=True))
    if len(points) <= CURVE_POINTS:
        return points
    return [points[round(i)] for i in np.linspace(0, len(points) - 1, CURVE_POINTS)]


def _text(value: Any) -> str | None:
    """A number as a person writes it: 4000 for 4000.0 (a column with gaps holds floats), 0.01 for 0.01."""
    if _is_missing(value):
        return None
    return f"{value:.12g}" if isinstance(value, (float, np.floating)) else str(value)


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, (float, np.floating)) and math.isnan(value))


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and math.isfinite(value)


def _batches(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows in batches that belong to one home study each, in order."""
    homes: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        homes.setdefault(row["studies"][0], []).append(row)
    for members in homes.values():
        yield from _chunks(members, BATCH_RUNS)


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _shared_note(study: str, home: _Place, count: int) -> str:
    query = f"tags.studies LIKE '%{study}%'"
    link = f"{_link(home.experiment)}&searchFilter={quote(query)}"
    return f"{count} more runs of this study live in [{home.experiment.tags['folklore.study']}]({link})."


def _link(experiment: Experiment) -> str:
    """The experiment's table of runs; without the workflow the UI may open a page about language models."""
    return f"#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"


def _saved_view() -> str:
    """A table for the UI's menu of views, as the UI saves one; unasked, it shows no factor and no score."""
    parts = {"params": VIEW_PARAMETERS, "metrics": VIEW_METRICS, "tags": ("status", "phase")}
    columns = [f"{kind}.`{name}`" for kind, names in parts.items() for name in names]
    state = {"selectedColumns": columns, "orderByKey": "metrics.`final_val_accuracy`", "orderByAsc": False}
    return json.dumps({"name": VIEW, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})


# A verdict, as MLflow wants it.


def _verdict_metrics(verdict: Mapping[str, Any], timestamp: int) -> list[Metric]:
    low, high = verdict.get("interval") or (None, None)
    numbers = {"effect": verdict.get("effect"), "interval_low": low, "interval_high": high}
    numbers |= {name: verdict.get(name) for name in ("n", "diverged", "p", "p_corrected", "power")}
    found = {name: value for name, value in numbers.items() if _is_finite(value)}
    return [Metric(f"{name}.{verdict['id']}", float(value), timestamp, 0) for name, value in found.items()]


def _verdict_line(verdict: Mapping[str, Any]) -> str:
    return f"- `{verdict['id']}`: **{verdict['verdict']}**. {verdict.get('summary') or ''}".rstrip()


def _stale_verdicts(tags: Mapping[str, str], claims: set[str]) -> list[str]:
    pattern = re.compile(r"(?:folklore\.)?verdict\.(.+)")
    return [name for name in tags if (match := pattern.fullmatch(name)) and match[1] not in claims]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# The tracker's address and its database.


def _absolute(uri: str) -> str:
    """The same SQLite file under one name, whatever the working directory."""
    path = _sqlite_path(uri)
    if path is None:
        return uri
    query = urlsplit(uri).query
    return f"sqlite:///{path}" + (f"?{query}" if query else "")


def _sqlite_path(uri: str) -> Path | None:
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
def _database(path: Path | None) -> Iterator[None]:
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
def _explained(uri: str) -> Iterator[None]:
    """Turn whatever the tracker throws into one UsageError; none of it concerns the results on disk."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise UsageError(_message(uri, str(error))) from error


def _message(uri: str, reason: str) -> str:
    address = _without_credentials(uri)
    first = next(iter(reason.strip().splitlines()), "no reason given").replace(uri, address)
    said = re.sub(r"//[^/@\s]+@", "//", first)[:200]
    return f"MLflow tracker {address}: {said}. {_remedy(reason, address)} Training results are untouched."


def _remedy(reason: str, address: str) -> str:
    remedies = {
        "out-of-date database schema": f"Back the database up and run `mlflow db upgrade {address}`, or set"
        " MLFLOW_TRACKING_URI to another one.",
        "revision identified by": "A newer MLflow wrote it: set MLFLOW_TRACKING_URI to another database.",
        "is locked": "Close the program that holds it and run again.",
        "readonly": "Make the file and its folder writable, or set MLFLOW_TRACKING_URI to another database.",
        "not a database": "Move the file away; the next run creates it anew.",
        "no such table: alembic_version": "It is no MLflow database: move the file away and run again.",
    }
    general = "Check that it is running and reachable, or change MLFLOW_TRACKING_URI, and run again."
    return next((remedy for sign, remedy in remedies.items() if sign in reason), general)


def _without_credentials(uri: str) -> str:
    """The URI without user, password and query, any of which may hold a secret."""
    return re.sub(r"//[^/@]+@", "//", uri).partition("?")[0]
