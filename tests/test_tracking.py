"""The MLflow mirror, checked through MLflow's own interface: what it holds, once, however often it is imported."""

from __future__ import annotations

import json
import math
import shutil
import signal
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from sqlalchemy import Engine, create_engine, event

from folklore.tracking import CURVE_POINTS, Counts, StudyCard, open_tracker, run_name, tracker
from mirror import (
    CARDS,
    assert_mirrors,
    children,
    client,
    experiments,
    frame,
    import_and_die,
    parent,
    row,
    run_children,
    search,
)

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


def test_sqlite_is_set_up_once_a_connection_and_not_in_every_session(out: Path) -> None:
    said: list[str] = []

    def listen(*given: object) -> None:
        said.append(str(given[2]))

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        open_tracker(None, out).import_runs(frame(runs=2), CARDS)
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
    assert len(said) > 20
    # alembic asks once what its table holds
    assert not [each for each in said if each.startswith("PRAGMA") and "table_info" not in each]
    with create_engine(f"sqlite:///{out / 'mlflow.db'}").connect() as connection:
        asked = ("PRAGMA foreign_keys", "PRAGMA busy_timeout", "SELECT 'a' LIKE 'A'")
        assert [connection.exec_driver_sql(question).scalar() for question in asked] == [1, 20_000, 0]


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
