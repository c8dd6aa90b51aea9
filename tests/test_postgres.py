"""MLflow on a real PostgreSQL on this machine: ten thousand runs imported, killed on the way, and resumed; nothing lost, nothing twice.

`make test-postgres` runs them; they need PostgreSQL's own programs (Debian: `apt-get install postgresql`).
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from folklore.bench import growth
from folklore.store import Store

RUNS = int(os.environ.get("N", 10_000))
SERVED = 200  # runs through a server, which takes a request for each
BIN = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
INITDB = (BIN and shutil.which("initdb", path=str(BIN))) or shutil.which("initdb")
HERE = "127.0.0.1"

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(INITDB is None, reason="no PostgreSQL here: apt-get install postgresql"),
]


def free_port() -> int:
    with socket.socket() as found:
        found.bind((HERE, 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that lives as long as these tests. It refuses to run as root: then it runs as its own user."""
    root, port = tmp_path_factory.mktemp("postgres"), free_port()
    become, owner = [], os.geteuid()
    if owner == 0:
        owner = pwd.getpwnam("postgres").pw_uid
        become = ["setpriv", f"--reuid={owner}", "--clear-groups"]
        for folder in (root, *list(root.parents)[:2]):
            os.chmod(folder, 0o755)
    data = root / "data"
    data.mkdir()
    os.chown(data, owner, -1)
    subprocess.run(
        [*become, INITDB, "-D", str(data), "-U", "folklore", "--auth=trust"],
        check=True,
        capture_output=True,
        cwd="/",
    )
    options = ["-h", HERE, "-p", str(port), "-k", str(data)]
    log = (root / "log").open("w")
    server = subprocess.Popen(
        [*become, str(Path(INITDB).with_name("postgres")), "-D", str(data), *options],
        stdout=log,
        stderr=log,
        cwd="/",
        start_new_session=True,  # a Ctrl-C, or whatever ends the importers, is not meant for it
    )
    ready = [str(Path(INITDB).with_name("pg_isready")), "-h", HERE, "-p", str(port)]
    wait(lambda: subprocess.run(ready, capture_output=True).returncode == 0)
    create = [str(Path(INITDB).with_name("createdb")), "-h", HERE, "-p", str(port), "-U", "folklore"]
    for name in ("direct", "served"):
        subprocess.run([*create, name], check=True)
    yield f"postgresql+psycopg2://folklore@{HERE}:{port}"
    assert server.poll() is None, (root / "log").read_text()[-2000:]
    server.send_signal(signal.SIGINT)
    server.wait(30)


def wait(ready: object, seconds: float = 120) -> None:
    for _ in range(int(4 * seconds)):
        if ready():
            return
        time.sleep(0.25)
    raise TimeoutError("not ready in time")


def importing(folder: Path, uri: str, runs: int) -> subprocess.Popen[bytes]:
    """The store of this folder into the tracker, in a process that can be killed."""
    command = [sys.executable, "-m", "folklore.bench.growth", "--step", "import"]
    command += ["--runs", str(runs), "--folder", str(folder)]
    return subprocess.Popen(command, env=os.environ | {"MLFLOW_TRACKING_URI": uri}, stdout=subprocess.DEVNULL)


def tracked(uri: str) -> Counter[tuple[str, str]]:
    """(run key, status) of all runs but the studies' own, by MLflow's own API."""
    client, found = MlflowClient(uri), Counter()
    for experiment in client.search_experiments():
        token = None
        while True:
            page = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
            found.update((r.data.tags["run_key"], r.info.status) for r in page if "run_key" in r.data.tags)
            token = page.token
            if not token:
                break
    return found


def import_and_kill(folder: Path, uri: str, after: float) -> None:
    """Killed when its journal has so many lines."""
    child = importing(folder, uri, RUNS)
    wait(lambda: noted(folder) > after or child.poll() is not None, 1800)
    child.kill()
    assert child.wait() == -signal.SIGKILL, "it ended before it was killed"


def noted(folder: Path) -> int:
    """Lines of the importer's journal, of which a run takes one or two."""
    return sum(len(path.read_bytes().splitlines()) for path in (folder / "tracking").glob("*.jsonl"))


def assert_all_once(folder: Path, uri: str) -> None:
    assert tracked(uri) == Counter({(key, "FINISHED"): 1 for key in Store(folder).keys()})


def test_ten_thousand_runs_killed_and_resumed(database: str, tmp_path: Path) -> None:
    growth.measured("store", RUNS, tmp_path)
    uri, moments = f"{database}/direct", random.Random(5)
    for kill in range(3):
        import_and_kill(tmp_path, uri, after=RUNS * (kill + moments.random()) / 4)
        assert 0 < len(tracked(uri)) < RUNS
    start, before = time.perf_counter(), len(tracked(uri))
    assert importing(tmp_path, uri, RUNS).wait() == 0
    print(f"{1000 * (time.perf_counter() - start) / (RUNS - before):.0f} ms a run, start included")
    assert len(Store(tmp_path).keys()) == RUNS
    assert_all_once(tmp_path, uri)


def test_a_server_in_front_of_it_with_a_folder_for_artifacts(database: str, tmp_path: Path) -> None:
    """As the README starts it."""
    growth.measured("store", SERVED, tmp_path)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"{database}/served"]
    command += [
        "--artifacts-destination",
        str(tmp_path / "artifacts"),
        "--host",
        HERE,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    server = subprocess.Popen(
        command,
        env=os.environ | quiet,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait(lambda: socket.socket().connect_ex((HERE, port)) == 0)
        uri = f"http://{HERE}:{port}"
        assert importing(tmp_path, uri, SERVED).wait() == 0
        assert_all_once(tmp_path, uri)
        client = MlflowClient(uri)
        study = client.get_experiment_by_name("growth") or client.search_experiments()[0]
        run = client.search_runs([study.experiment_id], max_results=1)[0]
        (tmp_path / "note.txt").write_text("kept")
        client.log_artifact(run.info.run_id, str(tmp_path / "note.txt"))
        assert list((tmp_path / "artifacts").rglob("note.txt"))
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
