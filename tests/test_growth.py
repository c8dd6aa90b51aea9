"""The measurement of growth: every step does its work on as many runs as it was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from folklore.bench import growth
from folklore.config import compose
from folklore.plan import packed
from folklore.store import Store
from folklore.studies import cells


@pytest.mark.parametrize("runs", [1_000, 20_000])
def test_the_study_has_as_many_runs_and_the_plan_holds_them_all(runs: int) -> None:
    found = cells(growth.study(runs), compose(["profile=laptop"]))
    assert runs <= growth.EACH * len(found) < runs + growth.EACH * len(growth.INITS)
    assert sum(job.runs for job in packed(found, 120)) == growth.EACH * len(found)
    keys = [run.key for run in growth.all_runs(found, 500)]
    assert len(set(keys)) == len(keys) == 500


def test_every_step_is_done_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "JOB", 64)
    for step in growth.STEPS:
        found = growth.measured(step, 120, tmp_path)
        assert found["seconds"] >= 0 and found["peak_mb"] > 10, step
    assert len(Store(tmp_path).keys()) == 120
    assert len(list((tmp_path / "runs").glob("*.parquet"))) == 2
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    imported = [
        r
        for e in client.search_experiments()
        for r in client.search_runs([e.experiment_id])
        if "run_key" in r.data.tags
    ]
    assert len(imported) == 120


def test_the_command_writes_a_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    growth.main(["--runs", "60", "--import-at-most", "0", "--out", str(tmp_path / "growth.json")])
    rows = json.loads((tmp_path / "growth.json").read_text())
    assert [row["step"] for row in rows] == ["plan", "store", "judge"]
    assert "most memory" in capsys.readouterr().out
