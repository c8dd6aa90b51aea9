"""What all tests share: one thread, no display, no telemetry, and prepared data sets."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

SHARED_OUT = "test_claims_simulated.py"

# Before anything imports numpy, torch, matplotlib or mlflow.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


class ByFileOrClaim(LoadFileScheduling):
    """The tests of a file share fixtures and go to one worker, but for the simulated studies, which share nothing between claims and
    would keep one worker for a quarter of an hour."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return f"{file}[{nodeid.partition('[')[2]}" if file.endswith(SHARED_OUT) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFileOrClaim | None:
    return ByFileOrClaim(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder with the Snakefile."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with digits and mnist1d, which need no network; parallel test workers share it."""
    from folklore import datasets

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    for name in ("digits", "mnist1d"):
        datasets.prepare(name, shared / "data")
    return shared / "data"


@pytest.fixture
def _no_resampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bootstrap and permutation test decide nothing and take most of the time of hundreds of simulated studies."""
    from folklore.stats import estimates

    monkeypatch.setattr(estimates, "_bca", lambda d, seed: (float("nan"),) * 2)
    monkeypatch.setattr(estimates, "_permutation", lambda d, seed: float("nan"))


@pytest.fixture
def _exact_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact calculations inside a judge depend on no run: do them once."""
    from judged import CLAIMS, once

    for name, function in (
        ("zero-init-symmetry", "_differences_of_units"),
        ("sigmoid-vanishing-gradient", "_theory"),
        ("tanh-derivative", "lost_in_theory"),
        ("bn-population-statistics", "_checks"),
        ("maxout", "_exact_checks"),
    ):
        if name in CLAIMS:
            monkeypatch.setattr(CLAIMS[name].module, function, once(name, function))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, made by two processes that both find it missing, beside an orphaned log and a person's copy.

    Creating one takes seconds; the tests copy it.
    """
    from folklore.tracking import open_tracker
    from mirror import run_children

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


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated data set, made once."""
    from folklore import datasets

    root = tmp_path_factory.mktemp("data")
    datasets.prepare("mnist1d", root)
    return root


@pytest.fixture(scope="session")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished nano pipeline. Tests must not change it."""
    from pipelines import finished, new_folder

    folder = new_folder(data, tmp_path_factory.mktemp("done"))
    finished(folder)
    return folder


@pytest.fixture
def _no_folder_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOLKLORE_DATA", raising=False)
