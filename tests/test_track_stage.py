"""The importer's place in the workflow: its command line, what its marks count for, and when Snakemake calls it again."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from folklore import workflow
from folklore.stages import track, train
from folklore.tracking import address, marks

ROOT = Path(__file__).resolve().parents[1]
OVERRIDES = ["profile=laptop", "profile.only=[a,b]"]


# The command line.


def called(rule: str) -> list[str]:
    """The arguments with which the Snakefile calls the importer."""
    body = (ROOT / "Snakefile").read_text(encoding="utf-8").partition(f"\nrule {rule}:\n")[2]
    line = re.search(r"python -m folklore\.stages\.track ([^|]*) 2>&1", body)[1]
    given = {"wildcards.chunk": "03", "output": "x.done", "input.pdf": "x.pdf"}
    given["params.overrides"] = shlex.join(OVERRIDES)
    return shlex.split(re.sub(r"\{([^}]*)\}", lambda match: given[match[1]], line))


def test_the_snakefiles_calls_are_understood() -> None:
    options = track.arguments(called("track"))
    assert (options.what, options.chunk, options.overrides) == ("runs", 3, OVERRIDES)
    assert (options.out, options.done) == (Path("results"), Path("x.done"))
    options = track.arguments(called("attach"))
    assert (options.what, options.pdf, options.overrides) == ("verdicts", Path("x.pdf"), OVERRIDES)


@pytest.mark.parametrize("file", sorted((ROOT / "src/folklore").rglob("*.py")), ids=lambda file: file.stem)
def test_no_positional_can_be_left_out_before_others(file: Path) -> None:
    """Python 3.12.7 and 3.13.1 changed what `nargs="?"` takes when options come first: an override, by mistake."""
    calls = [node for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, ast.Call)]
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument":
            how = {word.arg: ast.unparse(word.value) for word in call.keywords}
            assert how.get("nargs") != "'?'" or ast.literal_eval(call.args[0]).startswith("-"), how


def test_verdicts_are_read_whatever_the_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "verdicts.json").write_bytes(json.dumps({"claims": []}, ensure_ascii=False).encode())
    monkeypatch.setattr("folklore.tracking.open_tracker", lambda *_: SimpleNamespace(database="7"))
    monkeypatch.setattr(Path, "read_text", lambda *_: pytest.fail("in the locale's encoding"))
    monkeypatch.setattr(track, "claims_of", lambda _: {})
    plan = SimpleNamespace(studies=[])
    assert track.attach_verdicts(plan, tmp_path, tmp_path / "x.pdf") == ("0 studies", "7")


def test_the_address_of_a_run_by_hand_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert train._where(Path("results")) == ""
    assignment, *rest = shlex.split(train._where(Path("/tmp/my results")) + "make ui")
    assert assignment == "MLFLOW_TRACKING_URI=sqlite:////tmp/my results/mlflow.db"
    assert rest == ["make", "ui"]
    shown = subprocess.run(
        ["sh", "-c", train._where(Path("/tmp/my results")) + "env"], capture_output=True, text=True
    )
    assert assignment in shown.stdout.splitlines()


# The address.


def test_a_scope_holds_no_secret_and_follows_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert address.scope(None, Path("results")) == "default"
    scopes = [
        address.scope(f"http://{who}host:{port}/{query}", Path("results"))
        for port in (1, 2)
        for who in ("", "me:secret@", "me:se@ret@")
        for query in ("", "?token=secret")
    ]
    assert len(set(scopes[:6])) == len(set(scopes[6:])) == 1
    assert scopes[0] != scopes[6]
    assert re.fullmatch("[0-9a-f]{12}", scopes[0])


def test_a_file_has_one_address_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole = f"sqlite:///{tmp_path}/a@b/x.db"
    assert address.absolute("sqlite:///a@b/x.db") == address.absolute(whole) == whole
    assert address.absolute("sqlite:///x.db?timeout=5") == f"sqlite:///{tmp_path}/x.db?timeout=5"
    assert address.without_credentials(whole) == whole


def test_the_snakefile_needs_no_mlflow() -> None:
    """It would take seconds at every parse."""
    code = "import sys, folklore.workflow, folklore.tracking.marks; sys.exit('mlflow' in sys.modules)"
    known = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    assert subprocess.run([sys.executable, "-c", code], env=known).returncode == 0


# Marks.


def database(path: Path, number: int) -> None:
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={number}")
    connection.execute("CREATE TABLE x (y)")
    connection.close()


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder whose imports are all in its database."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "my results?"
    folder.mkdir()
    database(folder / "mlflow.db", 5)
    for name in ("runs-00", "runs-01", "verdicts"):
        marks.write_mark(folder / f"tracking/{name}.done", "4 new", "5")
    return folder


def counting(results: Path) -> list[str]:
    marks.heal_marks(results)
    return sorted(mark.stem for mark in (results / "tracking").glob("*.done"))


def test_marks_count_while_their_database_is_there(results: Path, capsys: pytest.CaptureFixture) -> None:
    assert counting(results) == ["runs-00", "runs-01", "verdicts"]
    assert capsys.readouterr().err == ""
    (results / "mlflow.db").unlink()
    assert counting(results) == []
    assert "imported again" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"no database"])
def test_marks_do_not_count_for_another_database(results: Path, content: bytes | None) -> None:
    if content is None:
        database(results / "mlflow.db", 6)
    else:
        (results / "mlflow.db").write_bytes(content)
    assert counting(results) == []


def test_a_database_moved_away_between_two_parts_misses_the_first(results: Path) -> None:
    """And the verdicts' mark: while that is there, Snakemake does not miss what it was made from."""
    database(results / "mlflow.db", 6)
    for name in ("runs-01", "verdicts"):
        marks.write_mark(results / f"tracking/{name}.done", "4 new", "6")
    assert counting(results) == ["runs-01"]


def test_marks_of_another_tracker_are_judged_by_their_parameters(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (results / "mlflow.db").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host")
    assert counting(results) == ["runs-00", "runs-01", "verdicts"]


def test_marks_of_earlier_versions_and_of_servers_do_not_count_here(results: Path) -> None:
    (results / "tracking/runs-00.done").write_text("4 new\n")
    marks.write_mark(results / "tracking/runs-01.done", "4 new", "")
    assert counting(results) == []


# Parameters: what makes Snakemake import again.


def test_the_tracker_is_a_parameter_of_what_is_written_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    here = workflow.Flow({"profile": "nano"}).tracker
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host")
    there = workflow.Flow({"profile": "nano"}).tracker
    assert here != there
    assert "secret" not in there
    assert (ROOT / "Snakefile").read_text(encoding="utf-8").count("tracker=flow.tracker,") == 2


def test_an_address_that_cannot_be_read_ends_the_workflow_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:port")
    with pytest.raises(SystemExit) as ended:
        workflow.planned({"profile": "nano"})
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: MLFLOW_TRACKING_URI=http://host:port: ")
    assert said.count("\n") == 1
    assert "secret" not in said


def test_a_claim_that_joins_a_study_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its runs are there already, and the jobs that trained them do not change."""
    flow = workflow.Flow({"profile": "smoke"})
    before = [flow.chunk_claims(chunk) for chunk in flow.chunks()]
    claims = workflow.wanted_claims(flow.plan.config.profile)
    homes = [claim.study for claim in claims]
    joined = next(
        claim
        for claim in claims
        if homes.count(claim.study) > 1 and f"{claim.study}: {claim.id}" in before[0]
    )
    monkeypatch.setattr(workflow, "wanted_claims", lambda _: [c for c in claims if c.id != joined.id])
    alone = [flow.chunk_claims(chunk) for chunk in flow.chunks()]
    assert set(before[0]) - set(alone[0]) == {f"{joined.study}: {joined.id}"}
    assert "claims=lambda w: flow.chunk_claims(w.chunk)," in (ROOT / "Snakefile").read_text(encoding="utf-8")
