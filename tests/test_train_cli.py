"""The command that trains one cell by hand, as a person meets it: what it prints, what it stores, what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from folklore.stages import train
from folklore.store import Store

QUICK = ["data=digits", "data.n_train=256", "budget.samples=0", "budget.updates=20", "model.width=16"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands of this file run; they share one results folder, as a person's would."""
    return tmp_path_factory.mktemp("by-hand")


@pytest.fixture
def command(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Runs the command in `folder`: (exit status, standard output, standard error)."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["folklore-train", *arguments])
        status = train.main()
        return status, *capsys.readouterr()

    return run


def mirrored(folder: Path) -> list:
    """Runs of the experiment by-hand, its parent left out."""
    client = MlflowClient(f"sqlite:///{folder / 'results' / 'mlflow.db'}")
    experiments = [e for e in client.search_experiments() if e.name == train.STUDY]
    return client.search_runs([e.experiment_id for e in experiments], "tags.run_key LIKE '%'")


def test_a_run_is_trained_scored_stored_and_mirrored_once(command, folder: Path) -> None:
    cell = ["activation=tanh", "init=glorot_normal", "optimizer=adam", "batch_size=32", *QUICK]
    status, out, said = command(*cell)
    assert status == 0
    for words in ("train loss", "validation accuracy", "test accuracy", "seconds", "trained", "make ui"):
        assert words in out
    assert "training" in said
    assert "20 updates" in said
    stored = Store(folder / "results").read()
    (row,) = stored.to_dict("records")
    assert (row["activation"], row["init"], row["optimizer"]) == ("tanh", "glorot_normal", "adam")
    assert row["score_test"]
    assert row["run_key"] in out
    (seen,) = mirrored(folder)
    assert seen.data.tags["run_key"] == row["run_key"]
    assert seen.data.params["activation"] == "tanh"
    assert seen.data.metrics["test_accuracy"] == pytest.approx(row["test_accuracy"])

    status, again, said = command(*cell)
    assert (status, again) == (0, out)
    assert "nothing to train" in said
    assert len(Store(folder / "results").read()) == len(mirrored(folder)) == 1


def test_lr_is_short_for_the_rate_of_the_optimizer(command, folder: Path) -> None:
    assert command("lr=0.125", "seed=5", *QUICK)[0] == 0
    stored = Store(folder / "results").read()
    assert 0.125 in set(stored["lr"])


def test_a_terminal_shows_a_bar(command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the stream for a terminal
    assert "100%" in command("seed=6", *QUICK)[2]
    monkeypatch.delenv("FORCE_COLOR")
    assert "%" not in command("seed=7", *QUICK)[2]


def test_divergence_is_told_not_raised(command) -> None:
    status, out, _ = command("lr=1e30", *QUICK)
    assert status == 0
    assert "diverged at update" in out
    assert "chance" in out


WRONG = [
    (["activation=rely"], "activation=rely"),
    (["lr=-1"], "optimizer.lr=-1.0"),
    (["lr=0"], "optimizer.lr=0"),
    (["lr=-1e-999"], "optimizer.lr=-0.0"),
    (["optimizer.lr=nan"], "optimizer.lr=nan"),
    (["colour=red"], "colour=red"),
    (["norm=batch", "batch_size=1"], "batch_size=1"),
    (["batch_size=512", "data.n_train=256"], "batch_size=512"),
    (["dropout=1"], "dropout=1.0"),
    (["seed=08"], "seed=08"),
    (["batch_size=8,16"], "batch_size=8,16"),
    (["--seed=3"], "--seed=3"),
    (["data=nowhere"], "data=nowhere"),
]


@pytest.mark.parametrize(("arguments", "named"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_wrong_input_costs_one_line_and_writes_nothing(
    arguments: list[str], named: str, command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, said = command(*arguments)
    assert (status, out) == (2, "")
    assert said.startswith(f"error: {named}")
    assert "allowed" in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_more_rows_than_the_data_set_has_is_one_line(command) -> None:
    status, _, said = command("data=digits", "data.n_train=5000")
    assert status == 2
    (line,) = [line for line in said.splitlines() if line.startswith("error")]
    assert "data.n_train=5000: allowed is at most 1200" in line


def test_help_lists_groups_and_levels(command, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        command("--help")
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for words in ("activation", "maxout", "he_normal", "rmsprop", "batch_size", "mnist1d"):
        assert words in said


def test_as_a_process(tmp_path: Path, repository: Path) -> None:
    """The exit status and the streams of a real process; in a folder that is not the project's."""
    known = {**os.environ, "PYTHONPATH": str(repository / "src")}
    done = subprocess.run(
        [sys.executable, "-m", "folklore.stages.train", "init=he"],
        cwd=tmp_path,
        env=known,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: init=he: no such level")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
