"""The importer: experiments, parents, runs and artifacts in MLflow, each written once."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException

from folklore.errors import UsageError
from folklore.tracking.address import DEFAULT, address, scope, sqlite_path
from folklore.tracking.database import explained, ready_database, secure
from folklore.tracking.journal import Entry, Journal
from folklore.tracking.marks import identity
from folklore.tracking.rows import (
    BATCH_RUNS,
    GROWING,
    batches_of,
    chunks_of,
    file_digest,
    growing_tags,
    is_finite,
    merged,
    run_metrics,
    run_name,
    run_parameters,
    run_tags,
    stale_verdicts,
    united,
    verdict_line,
    verdict_metrics,
)

PAGE = 1000

# The saved view of every experiment: its name and its columns.
VIEW = "Factors and scores"
VIEW_PARAMETERS = ("activation", "init", "norm", "dropout", "batch_size", "optimizer", "lr", "seed")
VIEW_METRICS = ("final_val_accuracy", "test_accuracy", "final_train_loss")


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
    found, name = address(uri, out), scope(uri, out)
    file = sqlite_path(found)
    with explained(found), ready_database(file):
        client = MlflowClient(tracking_uri=found)
        client.search_experiments(max_results=1)
    journal = Journal(out / "tracking" / f"{name}.jsonl", partial(secure, file))
    artifacts = None if urlsplit(found).scheme in ("http", "https") else out / "mlartifacts"
    return Tracker(client, found, journal, artifacts, identity(file) if name == DEFAULT else "")


class Tracker:
    """A write-only view of one MLflow tracker. Every method may be repeated, and killed at any moment."""

    def __init__(
        self, client: MlflowClient, uri: str, journal: Journal, artifacts: Path | None, database: str
    ) -> None:
        """`artifacts`: folder for artifacts, or None where the server keeps them. `database`: the default one's identity."""
        self.uri = uri
        self.database = database
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
        rows = merged(frame)
        if strangers := {row["studies"][0] for row in rows.values()} - studies.keys():
            raise UsageError(f"studies={sorted(strangers)}: no card for these; pass one for each home study")
        with explained(self.uri):
            places = self._prepared(studies)
            fresh = [row for key, row in rows.items() if key not in self._journal.runs]
            new = 0
            # The lock is held for a batch at a time: a second importer waits for seconds, not to the end.
            for batch in batches_of(fresh):
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
        digests = {Path(path): file_digest(Path(path)) for path in files}
        with explained(self.uri), self._journal.locked():
            experiment = self._experiment(StudyCard(study, study), self._experiments())
            parent = self._client.get_run(self._places({study: experiment})[study].parent)
            self._attach_verdicts(parent, verdicts)
            return sum(self._attach_file(parent, path, digest) for path, digest in digests.items())

    def counts(self) -> dict[str, int]:
        """Runs the journal holds as imported, runs in flight, experiments of studies in the tracker."""
        with explained(self.uri), self._journal.locked():
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
            places = self._places({name: self._experiment(card, known) for name, card in studies.items()})
            self._recover(places)
            self._describe(studies, places)
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
        for run in list(self._runs([number], "tags.run_key LIKE '%'")):
            self._take_or_delete(run, study)
        self._client.set_experiment_tag(number, "folklore.journal", self._journal.id)
        self._journal.append({"settled": study})

    def _places(self, experiments: Mapping[str, Experiment]) -> dict[str, _Place]:
        """Every study's experiment with its parent run, created when missing, restored or completed when need be."""
        numbers = [experiment.experiment_id for experiment in experiments.values()]
        parents: dict[str, Run] = {}
        for run in self._runs(numbers, "tags.`folklore.parent` LIKE '%'", ViewType.ALL):
            parents.setdefault(run.info.experiment_id, run)
        return {
            study: _Place(experiment, self._whole_parent(study, experiment, parents))
            for study, experiment in experiments.items()
        }

    def _whole_parent(self, study: str, experiment: Experiment, parents: Mapping[str, Run]) -> str:
        number = experiment.experiment_id
        run = parents.get(number) or self._create_parent(study, number)
        if run.info.lifecycle_stage != "active":
            self._client.restore_run(run.info.run_id)
        if run.info.status != "FINISHED":
            self._client.set_terminated(run.info.run_id)
        return run.info.run_id

    def _create_parent(self, study: str, experiment: str) -> Run:
        tags = {"folklore.parent": study, "mlflow.source.name": "folklore"}
        return self._client.create_run(experiment, tags=tags, run_name=f"{study} · verdicts and report")

    def _describe(self, studies: Mapping[str, StudyCard], places: Mapping[str, _Place]) -> None:
        """Name every study's experiment after its claims; describe it, with links to its runs that live elsewhere."""
        elsewhere: dict[str, Counter[str]] = defaultdict(Counter)
        for entry in self._journal.runs.values():
            for study in filter(None, entry.tags["studies"].split(",")):
                if study != entry.study:
                    elsewhere[study][entry.study] += 1
        for name in places:
            self._describe_one(studies[name], places, elsewhere[name])

    def _describe_one(
        self, card: StudyCard, places: Mapping[str, _Place], elsewhere: Mapping[str, int]
    ) -> None:
        experiment = places[card.name].experiment
        links = [_shared_note(card.name, places[home], n) for home, n in elsewhere.items() if home in places]
        claims = "Claims: " + ", ".join(f"`{claim}`" for claim in card.claims) if card.claims else ""
        table = f"All its runs: [{VIEW}]({_link(experiment)}&viewStateShareKey=folklore)."
        note = "\n\n".join(filter(None, [card.title, card.description, claims, table, *links]))
        if experiment.name != card.label:
            self._client.rename_experiment(experiment.experiment_id, card.label)
        tags = {"folklore.claims": ",".join(card.claims), "mlflow.note.content": note}
        self._tag_experiment(experiment, tags)

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
                self._journal.done(row["run_key"], Entry(run_id, study, growing_tags(row)))
        return len(missing)

    def _write_run(self, row: Mapping[str, Any], place: _Place) -> str:
        """One run in three calls; its status is RUNNING until the last one, which makes it whole."""
        seconds = row.get("seconds")
        now = int(time.time() * 1000)
        start = now - int(seconds * 1000) if is_finite(seconds) else now
        created = self._client.create_run(
            place.experiment.experiment_id,
            start_time=start,
            tags=run_tags(row) | {"mlflow.parentRunId": place.parent},
            run_name=run_name(row),
        )
        run_id = created.info.run_id
        self._client.log_batch(run_id, metrics=run_metrics(row, now), params=run_parameters(row))
        self._client.set_terminated(run_id, end_time=now)
        return run_id

    def _recover(self, places: Mapping[str, _Place]) -> None:
        """Settle what a dead importer left in flight. Only the holder of the lock may call this."""
        for key, study in list(self._journal.flying.items()):
            known = places[study].experiment if study in places else self._experiments().get(study)
            for run in self._runs([known.experiment_id], f"tags.run_key = '{key}'") if known else ():
                self._take_or_delete(run, study)
            if key in self._journal.flying:
                self._journal.append({"void": key})

    def _take_or_delete(self, run: Run, study: str) -> None:
        """Enter a complete run into the journal; delete a half-written one, or the second of one key."""
        tags = run.data.tags
        entry = Entry(run.info.run_id, study, {name: tags.get(name, "") for name in GROWING})
        known = self._journal.runs.get(tags["run_key"])
        if run.info.status == "FINISHED" and known is None:
            self._journal.done(tags["run_key"], entry)
        elif known is None or known.run_id != entry.run_id:
            self._client.delete_run(entry.run_id)

    def _runs(self, experiments: list[str], query: str, view: int = ViewType.ACTIVE_ONLY) -> Iterator[Run]:
        token = None
        while True:
            page = self._client.search_runs(experiments, query, view, PAGE, page_token=token)
            yield from page
            if not (token := page.token):
                return

    def _retag(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Grow the tags of known runs that serve further studies, claims, phases or profiles."""
        changed = [row for row in rows if self._grown(row)]
        for batch in chunks_of(changed, BATCH_RUNS):
            with self._journal.locked():
                for row in batch:
                    entry, tags = self._journal.runs[row["run_key"]], self._grown(row)
                    self._set_tags(entry.run_id, tags)
                    self._journal.done(row["run_key"], Entry(entry.run_id, entry.study, entry.tags | tags))
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
        joined = {name: united(name, old[name], value) for name, value in growing_tags(row).items()}
        return {name: value for name, value in joined.items() if value != old[name]}

    # What hangs on a study's parent run.

    def _attach_verdicts(self, parent: Run, verdicts: Sequence[Mapping[str, Any]]) -> None:
        run_id, tags = parent.info.run_id, parent.data.tags
        for verdict in verdicts:
            digest = hashlib.sha256(json.dumps(verdict, sort_keys=True).encode()).hexdigest()
            name = f"folklore.verdict.{verdict['id']}"
            if tags.get(name) != digest:
                new = {f"verdict.{verdict['id']}": str(verdict["verdict"]), name: digest}
                numbers = verdict_metrics(verdict, int(time.time() * 1000))
                self._client.log_batch(run_id, metrics=numbers, tags=[RunTag(*tag) for tag in new.items()])
        for stale in stale_verdicts(tags, {str(verdict["id"]) for verdict in verdicts}):
            self._client.delete_tag(run_id, stale)
        note = "\n".join(verdict_line(verdict) for verdict in verdicts)
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


def _shared_note(study: str, home: _Place, count: int) -> str:
    query = f"tags.studies LIKE '%,{study},%'"
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
