"""The MLflow mirror, checked through MLflow's own interface: complete and never twice, whatever is killed."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from folklore.errors import UsageError
from folklore.tracking import CURVE_POINTS, Counts, StudyCard, database, open_tracker, run_name, tracker
from folklore.tracking.marks import identity

# One interpreter imports mlflow and what mlflow imports late; a child is a fork of it and starts at once.
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["folklore.tracking.tracker", "mlflow.store.tracking.sqlalchemy_store"])

CARDS = {
    "batch-size": StudyCard(
        "batch-size", "Batch sizes, tuned", ("small-batch-best", "small-batch-lr-range"), "Six batch sizes."
    ),
    "batch-norm": StudyCard("batch-norm", "With and without batch norm", ("bn-accelerates",)),
}


def row(study: str, seed: int, **changes: object) -> dict[str, object]:
    """One run of a study, with curves longer than MLflow gets."""
    given = {
        "data": "mnist1d",
        "n_train": 4000,
        "model": "mlp",
        "depth": 3,
        "width": 100,
        "init": "he_normal",
        "activation": "relu",
        "norm": "batch",
        "dropout": 0.2,
        "batch_size": 32,
        "optimizer": "adam",
        "momentum": 0.9,
        "weight_decay": 0.0,
        "lr": 0.01,
        "schedule": "constant",
        "updates": 512,
        "seed": seed,
        "score_test": True,
        "loss_points": 100,
        "run_key": hashlib.sha256(f"{study} {seed}".encode()).hexdigest()[:24],
        "status": "ok",
        "diverged_step": None,
        "train_loss": 0.3,
        "val_accuracy": 0.8,
        "val_loss": 0.5,
        "test_accuracy": 0.79,
        "test_loss": 0.55,
        "loss_step": list(range(5, 505, 5)),
        "loss_curve": [1 / step for step in range(1, 101)],
        "val_step": list(range(51, 511, 51)),
        "val_curve": [0.1 * point for point in range(10)],
        "grad_norms": [0.1, 0.2, 0.4, 0.8],
        "measures": {"dead_share": 0.25},
        "data_digest": "d" * 64,
        "code_hash": "c" * 16,
        "studies": [study],
        "claims": list(CARDS[study].claims),
        "phase": "confirm",
        "profile": "laptop",
        "commit": "a" * 40,
        "dirty": True,
        "seconds": 1.5,
    }
    return given | changes


def frame(*, runs: int = 4, study: str = "batch-size", first: int = 0, **changes: object) -> pd.DataFrame:
    return pd.DataFrame([row(study, seed, **changes) for seed in range(first, first + runs)])


def run_children(target, *calls: tuple) -> list[int]:
    """Start one child a call, all at once; return their exit codes."""
    children = [CHILDREN.Process(target=target, args=call) for call in calls]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    return [child.exitcode for child in children]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, made by two processes that both find it missing, beside an orphaned log and a person's copy.

    Creating one takes seconds; the tests copy it.
    """
    folder = tmp_path_factory.mktemp("template")
    database = folder / "mlflow.db"
    (folder / "mlflow.db-wal").write_bytes(b"left by a database that a person deleted")
    (folder / "mlflow.db-backup").write_bytes(b"kept")
    assert run_children(open_tracker, *[(f"sqlite:///{database}", folder)] * 2) == [0, 0]
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return database


@pytest.fixture
def out(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder with an empty database; its name has a blank, as users' folders do."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "my results"
    folder.mkdir()
    shutil.copy(template, folder / "mlflow.db")
    return folder


def client(out: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{out / 'mlflow.db'}")


def experiments(out: Path) -> dict[str, object]:
    found = client(out).search_experiments(filter_string="tags.`folklore.study` LIKE '%'")
    return {experiment.tags["folklore.study"]: experiment for experiment in found}


def search(out: Path, query: str = "", view: int = ViewType.ACTIVE_ONLY) -> list:
    numbers = [experiment.experiment_id for experiment in experiments(out).values()]
    return list(client(out).search_runs(numbers, query, view, max_results=1000))


def children(out: Path) -> list:
    return search(out, "tags.run_key LIKE '%'")


def parent(out: Path, study: str):
    (run,) = search(out, f"tags.`folklore.parent` = '{study}'")
    return run


def assert_mirrors(out: Path, rows: pd.DataFrame) -> None:
    """Every run is there once and whole, under its study's one parent, and nothing half-written is left."""
    runs = children(out)
    assert sorted(run.data.tags["run_key"] for run in runs) == sorted(rows["run_key"])
    assert {run.info.status for run in search(out)} <= {"FINISHED"}
    assert {(len(run.data.params), len(run.data.metrics)) for run in runs} <= {(19, 10)}
    for run in runs:
        assert run.data.tags["mlflow.parentRunId"] == parent(out, run.data.tags["study"]).info.run_id


# What a run looks like.


def test_a_run_has_all_factors_scores_and_tags(out: Path) -> None:
    assert open_tracker(None, out).import_runs(frame(runs=1), CARDS) == Counts(1, 0, 0)
    (run,) = children(out)
    assert run.info.run_name == "relu he_normal batch-norm · dropout 0.2 · B=32 · adam · lr 0.01 · seed 0"
    assert run.data.params == {
        name: str(value) for name, value in row("batch-size", 0).items() if name in run.data.params
    } | {"weight_decay": "0"}
    assert len(run.data.params) == 19
    scores = {"final_train_loss": 0.3, "final_val_accuracy": 0.8, "final_val_loss": 0.5, "seconds": 1.5}
    scores |= {"test_accuracy": 0.79, "test_loss": 0.55}
    scores |= {"dead_share": 0.25}
    assert scores.items() <= run.data.metrics.items()
    tags = {
        "run_key": row("batch-size", 0)["run_key"],
        "study": "batch-size",
        "studies": ",batch-size,",
        "claims": ",small-batch-best,small-batch-lr-range,",
        "phase": "confirm",
        "profile": "laptop",
        "git_commit": "a" * 40,
        "mlflow.source.git.commit": "a" * 40,
        "git_dirty": "True",
        "data_digest": "d" * 64,
        "code_hash": "c" * 16,
        "status": "ok",
    }
    assert tags.items() <= run.data.tags.items()
    assert run.info.end_time - run.info.start_time == 1500


def test_curves_are_thinned_and_keep_both_ends(out: Path) -> None:
    open_tracker(None, out).import_runs(frame(runs=1), CARDS)
    (run,) = children(out)
    curve = client(out).get_metric_history(run.info.run_id, "train_loss")
    points = sorted((point.step, point.value) for point in curve)
    assert len(points) == CURVE_POINTS
    assert points[0] == (5, 1.0)
    assert points[-1] == (500, 0.01)
    gaps = [after[0] - before[0] for before, after in pairwise(points)]
    assert max(gaps) - min(gaps) <= 5
    short = client(out).get_metric_history(run.info.run_id, "val_accuracy")
    assert [point.step for point in sorted(short, key=lambda point: point.step)] == list(range(51, 511, 51))


def test_a_diverged_run_says_so_and_has_no_numbers_that_are_none(out: Path) -> None:
    nan, infinite = float("nan"), float("inf")
    lost = row("batch-size", 1, status="diverged", diverged_step=40, train_loss=nan, val_loss=infinite)
    lost |= {"test_loss": nan, "loss_curve": [2.0, nan] * 50, "val_accuracy": 0.1, "test_accuracy": 0.1}
    open_tracker(None, out).import_runs(pd.DataFrame([row("batch-size", 0), lost]), CARDS)
    (run,) = search(out, "tags.status = 'diverged'")
    assert run.data.tags["diverged_step"] == "40"
    assert run.info.run_name.endswith("diverged")
    assert run.info.status == "FINISHED"
    assert not {"final_train_loss", "final_val_loss", "test_loss"} & run.data.metrics.keys()
    assert all(math.isfinite(value) for value in run.data.metrics.values())
    (fine,) = search(out, "tags.status = 'ok'")
    assert "diverged_step" not in fine.data.tags


def test_a_tuning_run_without_test_scores_or_seconds(out: Path) -> None:
    rows = frame(runs=1, phase="tune", test_accuracy=None, test_loss=None, score_test=False)
    open_tracker(None, out).import_runs(rows.drop(columns="seconds"), CARDS)
    (run,) = children(out)
    assert not {"test_accuracy", "test_loss", "seconds"} & run.data.metrics.keys()
    assert run.data.params["score_test"] == "False"


def test_run_names_leave_out_what_is_off() -> None:
    plain = run_name(row("batch-size", 3, norm="none", dropout=0.0, lr=0.0009765625, optimizer="sgd"))
    assert plain == "relu he_normal · B=32 · sgd · lr 0.000977 · seed 3"


# Studies: found in two clicks.


def test_an_experiment_a_study_with_its_claims_in_the_name(out: Path) -> None:
    rows = pd.concat([frame(runs=2), frame(runs=3, study="batch-norm")])
    assert open_tracker(None, out).import_runs(rows, CARDS) == Counts(5, 0, 0)
    found = experiments(out)
    assert found["batch-size"].name == "batch-size (small-batch-best, small-batch-lr-range)"
    assert found["batch-norm"].name == "batch-norm (bn-accelerates)"
    assert "Six batch sizes." in found["batch-size"].tags["mlflow.note.content"]
    assert len(search(out, "tags.claims LIKE '%bn-accelerates%'")) == 3
    assert_mirrors(out, rows)


def test_an_experiment_has_a_view_with_factors_and_scores(out: Path) -> None:
    open_tracker(None, out).import_runs(frame(runs=1), CARDS)
    experiment = experiments(out)["batch-size"]
    view = json.loads(experiment.tags["mlflow.sharedViewState.folklore"])
    columns = json.loads(view["state"])["selectedColumns"]
    (run,) = children(out)
    held = {"params": run.data.params, "metrics": run.data.metrics, "tags": run.data.tags}
    for kind, name in (column.split(".", 1) for column in columns):
        assert name.strip("`") in held[kind]
    assert (
        f"[{view['name']}](#/experiments/{experiment.experiment_id}/"
        in experiment.tags["mlflow.note.content"]
    )


def test_a_claim_that_joins_later_renames_the_experiment_and_retags_the_runs(out: Path) -> None:
    tracker = open_tracker(None, out)
    tracker.import_runs(frame(), CARDS)
    number = experiments(out)["batch-size"].experiment_id
    joined = ("small-batch-best", "batch-equal-steps")
    card = StudyCard("batch-size", "Batch sizes, tuned", joined)
    rows = pd.concat([frame(runs=3, claims=list(joined)), frame(runs=1, first=3)])
    assert tracker.import_runs(rows, {"batch-size": card}) == Counts(0, 3, 1)
    experiment = experiments(out)["batch-size"]
    assert experiment.experiment_id == number
    assert experiment.name == "batch-size (small-batch-best, batch-equal-steps)"
    assert len(search(out, "tags.claims LIKE '%batch-equal-steps%'")) == 3
    assert len(search(out, "tags.claims LIKE '%small-batch-lr-range%'")) == 4
    assert tracker.import_runs(rows, {"batch-size": card}) == Counts(0, 0, 4)


def test_a_run_shared_by_two_studies_stays_at_home_and_is_linked(out: Path) -> None:
    tracker = open_tracker(None, out)
    tracker.import_runs(frame(), CARDS)
    shared = frame(runs=2, studies=["batch-norm"], claims=["bn-accelerates"], profile="full")
    assert tracker.import_runs(shared, CARDS) == Counts(0, 2, 0)
    found = search(out, "tags.studies LIKE '%batch-norm%' AND tags.profile LIKE '%full%'")
    assert {run.data.tags["study"] for run in found} == {"batch-size"}
    assert {run.data.tags["profile"] for run in found} == {"laptop,full"}
    note = experiments(out)["batch-norm"].tags["mlflow.note.content"]
    assert "2 more runs of this study" in note
    assert f"#/experiments/{experiments(out)['batch-size'].experiment_id}/" in note
    assert linked(note) == ["tags.studies LIKE '%,batch-norm,%'"]


def linked(note: str) -> list[str]:
    """The filters behind the links of an experiment's description."""
    return [unquote(part.partition(")")[0]) for part in note.split("searchFilter=")[1:]]


def test_a_study_whose_name_is_part_of_others_is_linked_to_its_own_runs(out: Path) -> None:
    cards = CARDS | {"norm": StudyCard("norm", "Any norm")}
    rows = [
        row("batch-size", 0, studies=["batch-size", "norm"]),
        row("batch-size", 1, studies=["batch-size"]),
    ]
    rows += [row("batch-size", 2, studies=["batch-size", "batch-norm"])]
    open_tracker(None, out).import_runs(pd.DataFrame(rows), cards)
    note = experiments(out)["norm"].tags["mlflow.note.content"]
    assert "1 more runs of this study" in note
    (query,) = linked(note)
    assert [run.data.tags["run_key"] for run in search(out, query)] == [rows[0]["run_key"]]
    # the plain form goes on finding them, with others
    assert len(search(out, "tags.studies LIKE '%norm%'")) == 2


def test_lists_without_commas_around_them_get_them(out: Path) -> None:
    """As an earlier version wrote them."""
    open_tracker(None, out).import_runs(frame(), CARDS)
    for run in children(out):
        client(out).set_tag(run.info.run_id, "studies", "batch-size,other")
    shutil.rmtree(out / "tracking")
    assert open_tracker(None, out).import_runs(frame(), CARDS) == Counts(0, 4, 0)
    assert {run.data.tags["studies"] for run in children(out)} == {",batch-size,other,"}
    assert open_tracker(None, out).import_runs(frame(), CARDS) == Counts(0, 0, 4)


def test_rows_of_one_run_become_one_run(out: Path) -> None:
    twice = pd.concat([frame(), frame(studies=["batch-norm"], claims=["bn-accelerates"])])
    assert open_tracker(None, out).import_runs(twice, CARDS) == Counts(4, 0, 0)
    assert {run.data.tags["studies"] for run in children(out)} == {",batch-size,batch-norm,"}


# Once, and only what is new.


def test_an_import_may_be_repeated_and_extended(out: Path) -> None:
    steps: list[tuple[int, int]] = []
    tracker = open_tracker(None, out)
    assert tracker.import_runs(frame(runs=30), CARDS, lambda *step: steps.append(step)) == Counts(30, 0, 0)
    assert steps == [(25, 30), (30, 30)]
    assert tracker.import_runs(frame(runs=30), CARDS) == Counts(0, 0, 30)
    assert open_tracker(None, out).import_runs(frame(runs=33), CARDS) == Counts(3, 0, 30)
    assert open_tracker(None, out).import_runs(frame(runs=0), CARDS) == Counts(0, 0, 0)
    assert tracker.counts() == {"runs": 33, "in_flight": 0, "studies": 2}
    assert_mirrors(out, frame(runs=33))


def test_a_lost_journal_is_rebuilt_from_the_tracker(out: Path) -> None:
    open_tracker(None, out).import_runs(frame(), CARDS)
    shutil.rmtree(out / "tracking")
    assert open_tracker(None, out).import_runs(frame(runs=5), CARDS) == Counts(1, 0, 4)
    assert_mirrors(out, frame(runs=5))


def test_a_journal_is_rebuilt_from_several_pages_with_half_written_runs(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_tracker(None, out).import_runs(frame(runs=9), CARDS)
    shutil.rmtree(out / "tracking")
    monkeypatch.setattr(tracker, "PAGE", 4)
    for _ in range(3):
        client(out).create_run(experiments(out)["batch-size"].experiment_id, tags={"run_key": "half"})
    assert open_tracker(None, out).import_runs(frame(runs=9), CARDS) == Counts(0, 0, 9)
    assert_mirrors(out, frame(runs=9))


def test_a_lost_database_is_filled_again(out: Path, tmp_path: Path, template: Path) -> None:
    open_tracker(None, out).import_runs(frame(), CARDS)
    # In another folder, since MLflow keeps its connections to the first file open.
    moved = tmp_path / "moved"
    shutil.copytree(out / "tracking", moved / "tracking")
    shutil.copy(template, moved / "mlflow.db")
    assert open_tracker(None, moved).import_runs(frame(), CARDS) == Counts(4, 0, 0)
    assert_mirrors(moved, frame())


def test_an_experiment_deleted_by_hand_comes_back_without_its_half_written_runs(out: Path) -> None:
    tracker = open_tracker(None, out)
    tracker.import_runs(frame(), CARDS)
    number = experiments(out)["batch-size"].experiment_id
    half = client(out).create_run(number, tags={"run_key": "half", "study": "batch-size"})
    client(out).delete_run(half.info.run_id)
    client(out).delete_experiment(number)
    # Gone after it restored the experiment, before it deleted the half-written run again.
    assert run_children(import_and_die, (out, frame(), 2)) == [-signal.SIGKILL]
    assert tracker.import_runs(frame(), CARDS) == Counts(0, 0, 4)
    assert_mirrors(out, frame())


def test_a_run_deleted_by_hand_stays_deleted(out: Path) -> None:
    tracker = open_tracker(None, out)
    tracker.import_runs(frame(), CARDS)
    client(out).delete_run(children(out)[0].info.run_id)
    assert tracker.import_runs(frame(profile="full"), CARDS) == Counts(0, 4, 0)
    assert len(children(out)) == 3


def test_another_copy_of_the_project_on_the_same_tracker_adds_nothing_twice(
    out: Path, tmp_path: Path
) -> None:
    uri = f"sqlite:///{out / 'mlflow.db'}"
    assert open_tracker(uri, tmp_path / "one").import_runs(frame(), CARDS) == Counts(4, 0, 0)
    assert open_tracker(uri, tmp_path / "two").import_runs(frame(runs=6), CARDS) == Counts(2, 0, 4)
    assert open_tracker(uri, tmp_path / "one").import_runs(frame(runs=7), CARDS) == Counts(1, 0, 6)
    assert_mirrors(out, frame(runs=7))


def test_the_same_tracker_under_another_name_gets_nothing_twice(out: Path) -> None:
    """The default database, now named: its journal is another one."""
    open_tracker(None, out).import_runs(frame(), CARDS)
    assert open_tracker(f"sqlite:///{out / 'mlflow.db'}", out).import_runs(frame(), CARDS) == Counts(0, 0, 4)
    assert len(list((out / "tracking").glob("*.jsonl"))) == 2
    assert_mirrors(out, frame())


# Killed at any moment.


def import_and_die(out: Path, rows: pd.DataFrame, calls: int) -> None:
    """Import, and be gone before the call number `calls` to MLflow."""
    left = calls

    def counted(method):
        def call(*arguments, **named):
            nonlocal left
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*arguments, **named)

        return call

    tracker = open_tracker(None, out)
    writing = ("create_experiment", "restore_experiment", "rename_experiment", "set_experiment_tag")
    writing += ("create_run", "log_batch", "set_terminated", "delete_run")
    for name in writing:
        setattr(tracker._client, name, counted(getattr(tracker._client, name)))
    tracker.import_runs(rows, CARDS)


def import_when_told(out: Path, rows: pd.DataFrame, told: object) -> None:
    tracker = open_tracker(None, out)
    told.set()
    tracker.import_runs(rows, CARDS)


def test_killed_between_two_calls_to_mlflow(out: Path) -> None:
    rows = pd.concat([frame(runs=15), frame(runs=15, study="batch-norm")])
    # The first twelve calls create the studies; after that every run takes three.
    moments = random.Random(7)
    for calls in [1, 2, 3, 5, 8, *(moments.randint(9, 30) for _ in range(3)), 1, 2, 3]:
        assert run_children(import_and_die, (out, rows, calls)) == [-signal.SIGKILL]
    counts = open_tracker(None, out).import_runs(rows, CARDS)
    assert 0 < counts.new < 30
    assert_mirrors(out, rows)
    assert open_tracker(None, out).import_runs(rows, CARDS) == Counts(0, 0, 30)


def test_killed_at_random_times(out: Path) -> None:
    rows = pd.concat([frame(runs=40), frame(runs=40, study="batch-norm")])
    moments = random.Random(11)
    for _ in range(5):
        told = CHILDREN.Event()
        child = CHILDREN.Process(target=import_when_told, args=(out, rows, told))
        child.start()
        assert told.wait(30)
        time.sleep(moments.uniform(0, 0.5))
        child.kill()
        child.join(30)
    open_tracker(None, out).import_runs(rows, CARDS)
    assert_mirrors(out, rows)


def test_a_torn_last_line_of_the_journal_is_cut_off(out: Path) -> None:
    open_tracker(None, out).import_runs(frame(), CARDS)
    journal = out / "tracking" / "default.jsonl"
    whole = journal.read_bytes()
    # As if killed while the last run was ticked off.
    journal.write_bytes(whole[:-20])
    assert open_tracker(None, out).import_runs(frame(), CARDS) == Counts(0, 0, 4)
    assert_mirrors(out, frame())
    assert journal.read_bytes() == whole


def test_the_journal_vouches_for_nothing_that_a_power_cut_would_take(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk surely holds what was in the database and its log when that was last waited for."""
    disk = tmp_path / "disk"
    disk.mkdir()
    wait = os.fsync

    def waited(number: int) -> None:
        log = out / "mlflow.db-wal"
        if log.exists() and os.fstat(number).st_ino == log.stat().st_ino:
            # in another process: to close the file in this one would drop SQLite's locks
            subprocess.run(["cp", out / "mlflow.db", log, disk], check=True)
        wait(number)

    monkeypatch.setattr(os, "fsync", waited)

    def check(*_: int) -> None:
        assert ticked_off(out) <= whole_in(disk / "mlflow.db")

    importer = open_tracker(None, out)
    importer.import_runs(frame(runs=30), CARDS, check)
    check()
    assert len(ticked_off(out)) == 30
    journal = out / "tracking" / "default.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])  # its last run is found in the tracker, and waited for
    importer = open_tracker(None, out)
    (disk / "mlflow.db").unlink()
    importer.import_runs(frame(runs=30), CARDS)
    check()


def ticked_off(out: Path) -> set[str]:
    records = map(json.loads, (out / "tracking" / "default.jsonl").read_text().splitlines())
    return {record["done"] for record in records if "done" in record}


def whole_in(file: Path) -> set[str]:
    """Keys of the complete runs in this copy of a database."""
    query = "SELECT value FROM tags JOIN runs USING (run_uuid) WHERE key = 'run_key' AND status = 'FINISHED'"
    connection = sqlite3.connect(file)
    found = {key for (key,) in connection.execute(query)}
    connection.close()
    return found


def import_all(out: Path, rows: pd.DataFrame) -> None:
    open_tracker(None, out).import_runs(rows, CARDS)


def test_two_importers_at_the_same_time(out: Path) -> None:
    rows = pd.concat([frame(runs=40), frame(runs=10, study="batch-norm")])
    assert run_children(import_all, (out, rows[:40]), (out, rows[20:])) == [0, 0]
    assert_mirrors(out, rows)


def test_a_database_is_made_once(template: Path) -> None:
    left = {path.name for path in template.parent.iterdir()}
    assert left == {"mlflow.db", "mlflow.db.lock", "mlflow.db-backup"}, (
        "SQLite's own are gone, a person's file is not"
    )
    assert int(identity(template)) > 0
    numbers = MlflowClient(tracking_uri=f"sqlite:///{template}").search_experiments()
    assert [experiment.name for experiment in numbers] == ["Default"]
    assert sqlite3.connect(template).execute("PRAGMA journal_mode").fetchone() == ("wal",)


# Verdicts and files.


VERDICTS = [
    {
        "id": "small-batch-best",
        "verdict": "supported",
        "summary": "Batch 8 beats 512 by 1.2 points.",
        "effect": 0.012,
        "interval": [0.004, 0.02],
        "n": 32,
        "diverged": 0,
        "p": 0.001,
        "p_corrected": 0.01,
        "power": None,
    },
    {"id": "small-batch-lr-range", "verdict": "inconclusive", "effect": None, "interval": None, "n": 32},
]


def artifacts(out: Path, study: str) -> set[str]:
    run_id = parent(out, study).info.run_id
    top = client(out).list_artifacts(run_id)
    return {
        file.path
        for folder in top
        if folder.is_dir
        for file in client(out).list_artifacts(run_id, folder.path)
    } | {file.path for file in top if not file.is_dir}


def test_verdicts_and_files_hang_on_the_parent_run(out: Path, tmp_path: Path) -> None:
    files = [tmp_path / "small-batch-best.svg", tmp_path / "folklore.pdf", tmp_path / "verdicts.json"]
    for file in files:
        file.write_text(f"first {file.name}")
    tracker = open_tracker(None, out)
    tracker.import_runs(frame(), CARDS)
    assert tracker.attach("batch-size", VERDICTS, files) == 3
    run = parent(out, "batch-size")
    assert run.data.tags["verdict.small-batch-best"] == "supported"
    assert run.data.tags["verdict.small-batch-lr-range"] == "inconclusive"
    assert "Batch 8 beats 512" in run.data.tags["mlflow.note.content"]
    assert run.data.metrics["effect.small-batch-best"] == 0.012
    assert run.data.metrics["interval_high.small-batch-best"] == 0.02
    assert "effect.small-batch-lr-range" not in run.data.metrics
    assert artifacts(out, "batch-size") == {"figures/small-batch-best.svg", "folklore.pdf", "verdicts.json"}
    assert experiments(out)["batch-size"].name.startswith("batch-size (small-batch-best")


def test_attaching_again_writes_what_changed_only(out: Path, tmp_path: Path) -> None:
    figure, report = tmp_path / "a.svg", tmp_path / "folklore.pdf"
    figure.write_text("old")
    report.write_text("same")
    tracker = open_tracker(None, out)
    tracker.import_runs(frame(), CARDS)
    tracker.attach("batch-size", VERDICTS, [figure, report])
    assert tracker.attach("batch-size", VERDICTS, [figure, report]) == 0
    run_id = parent(out, "batch-size").info.run_id
    assert len(client(out).get_metric_history(run_id, "effect.small-batch-best")) == 1
    figure.write_text("new")
    changed = VERDICTS[0] | {"verdict": "refuted", "effect": -0.012}
    assert tracker.attach("batch-size", [changed], [figure, report]) == 1
    run = parent(out, "batch-size")
    assert Path(client(out).download_artifacts(run_id, "figures/a.svg")).read_text() == "new"
    assert run.data.tags["verdict.small-batch-best"] == "refuted"
    assert run.data.metrics["effect.small-batch-best"] == -0.012
    assert "verdict.small-batch-lr-range" not in run.data.tags


def test_a_study_without_runs_can_carry_a_verdict(out: Path) -> None:
    tracker = open_tracker(None, out)
    tracker.attach("bn-backward", [{"id": "bn-backward", "verdict": "holds", "summary": "Exact."}], [])
    assert parent(out, "bn-backward").data.tags["verdict.bn-backward"] == "holds"
    tracker.import_runs(frame(), CARDS)
    tracker.attach("bn-backward", [{"id": "bn-backward", "verdict": "holds", "summary": "Exact."}], [])
    assert len(search(out, "tags.`folklore.parent` = 'bn-backward'")) == 1


# Where it is written, and what cannot be.


def test_the_environment_variable_is_honoured_and_has_its_own_journal(
    out: Path, tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_tracker(None, out).import_runs(frame(), CARDS)
    other = tmp_path / "elsewhere"
    other.mkdir()
    shutil.copy(template, other / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other / 'mlflow.db'}")
    assert open_tracker(None, out).import_runs(frame(runs=2), CARDS) == Counts(2, 0, 0)
    assert_mirrors(other, frame(runs=2))
    assert_mirrors(out, frame())


def refusal(uri: str | None, out: Path) -> str:
    with pytest.raises(UsageError) as caught:
        open_tracker(uri, out)
    message = str(caught.value)
    assert "\n" not in message
    assert "MLFLOW_TRACKING_URI" in message or "again" in message or "away" in message
    return message


def test_an_unreachable_server_is_told_in_one_line_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    started = time.monotonic()
    # Port 9 (discard) of the loopback device: nothing listens there.
    message = refusal("http://somebody:secret@127.0.0.1:9", tmp_path)
    assert time.monotonic() - started < 15
    assert "http://127.0.0.1:9" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "uri, shown, remedy",
    [
        ("postgresql+absent://me:secret@host/runs", "postgresql+absent://host/runs", "MLFLOW_TRACKING_URI"),
        ("mysql://me:secret@host/runs", "mysql://host/runs", "pip install its driver"),
        ("mssql://me:sec@ret@host/runs", "mssql://host/runs", "pip install its driver"),
        ("http://me:secret@127.0.0.1:99999", "http://127.0.0.1:99999", "up to 65535"),
        ("http://me:secret@127.0.0.1:50O0", "http://127.0.0.1:50O0", "up to 65535"),
        ("mysql+pymysql://me:secret@host:port/runs", "mysql+pymysql://host:port/runs", "up to 65535"),
        ("http://[::1", "http://[::1", "http://HOST:PORT"),
        ("postgres://me:secret@host/runs", "postgres://host/runs", "sqlite:///FILE"),
        ("file:///tmp/runs", "file:///tmp/runs", "sqlite:///FILE"),
        ("sqlite:runs.db", "sqlite:runs.db", "sqlite:///FILE"),
    ],
)
def test_an_address_that_cannot_work_is_told(uri: str, shown: str, remedy: str, tmp_path: Path) -> None:
    message = refusal(uri, tmp_path)
    assert "MLFLOW_TRACKING_URI" in message
    assert shown in message
    assert remedy in message
    assert "sec" not in message and "ret@" not in message


def test_postgresql_without_its_driver_says_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)  # so that its import fails, installed or not
    assert "make postgres" in refusal("postgresql://me:secret@host/runs", tmp_path)


@pytest.mark.parametrize("code, remedy", [(errno.ENOSPC, "make room"), (errno.EACCES, "make it readable")])
def test_what_the_machine_refuses_is_told_as_such(
    code: int, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code), str(tmp_path / "mlflow.db"))

    monkeypatch.setattr(database, "_create_database", refuse)
    message = refusal(None, tmp_path)
    assert message.startswith("MLflow tracker sqlite:///")
    assert f"{tmp_path / 'mlflow.db'}: {os.strerror(code)}; {remedy}" in message
    assert "Training results are untouched." in message
    assert "reachable" not in message


@pytest.mark.parametrize(
    "said, remedy",
    [
        ("[Errno 28] No space left on device: 'x'", "Make room"),
        ("[Errno 13] Permission denied: 'x'", "Make it readable and writable"),
        ("(sqlite3.OperationalError) unable to open database file", "folder readable and writable"),
    ],
)
def test_what_a_child_or_a_server_was_refused_is_told_as_such(said: str, remedy: str) -> None:
    with pytest.raises(UsageError, match=remedy), database.explained("sqlite:///x.db"):
        raise OSError(said)


def test_a_folder_with_a_question_mark_keeps_its_database(
    tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLAlchemy takes what follows it for options."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    results = tmp_path / "why?" / "results"
    results.mkdir(parents=True)
    shutil.copy(template, results / "mlflow.db")
    monkeypatch.chdir(results.parent)
    assert open_tracker(None, Path("results")).import_runs(frame(), CARDS) == Counts(4, 0, 0)
    with sqlite3.connect("results/mlflow.db") as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (6,)
    connection.close()
    assert [path.name for path in tmp_path.iterdir()] == ["why?"]
    monkeypatch.chdir(tmp_path)
    assert "rename the folder" in refusal(None, results)


def test_a_locked_database_is_told(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.2)
    holder = sqlite3.connect(out / "mlflow.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert "Close the program" in refusal(None, out)
    holder.close()
    open_tracker(None, out)


def test_another_schema_version_is_told_and_left_alone(out: Path) -> None:
    database = out / "mlflow.db"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    connection.close()
    before = hashlib.sha256(database.read_bytes()).hexdigest()
    assert "mlflow db upgrade" in refusal(None, out)
    assert hashlib.sha256(database.read_bytes()).hexdigest() == before


@pytest.mark.parametrize("content", [b"", b"this is no database, and long enough to be told from one" * 20])
def test_a_file_that_is_no_mlflow_database_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.db").write_bytes(content)
    assert "away" in refusal(f"sqlite:///{tmp_path / 'x.db'}", tmp_path)
    assert (tmp_path / "x.db").read_bytes() == content


def test_a_database_in_memory_is_refused(tmp_path: Path) -> None:
    assert "memory" in refusal("sqlite://", tmp_path)


def test_a_study_without_a_card_is_named(out: Path) -> None:
    with pytest.raises(UsageError, match="batch-norm"):
        open_tracker(None, out).import_runs(frame(study="batch-norm"), {"batch-size": CARDS["batch-size"]})
    assert not experiments(out)


def test_a_damaged_journal_is_named_with_its_remedy(out: Path) -> None:
    open_tracker(None, out).import_runs(frame(), CARDS)
    journal = out / "tracking" / "default.jsonl"
    journal.write_text("{broken\n" + journal.read_text())
    with pytest.raises(UsageError, match="delete it"):
        open_tracker(None, out).import_runs(frame(), CARDS)
    journal.unlink()
    assert open_tracker(None, out).import_runs(frame(), CARDS) == Counts(0, 0, 4)
