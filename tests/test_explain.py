"""From a figure to its runs: the file beside the report and the command."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from folklore.errors import UsageError
from folklore.report.build import TRACES, render
from folklore.stages import explain
from invented_report import draw_curve, verdicts, write_grid, write_results


def report() -> dict:
    """Verdicts whose measured claims rest on a study each, and whose exact ones have a figure, too."""
    found = verdicts()
    claims = [
        c | {"study": c["id"] if c["runs"] else None, "figure": f"{c['id']}.svg"} for c in found["claims"]
    ]
    return found | {"claims": [c | {"alt": c.get("alt") or "A curve."} for c in claims]}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = write_results(tmp_path_factory.mktemp("explain") / "results", report())
    write_grid(out)
    draw_curve(out / "figures" / "claim-of-another-report", "A curve.")
    render(out, out.parent / "folklore.pdf")
    return out


@pytest.fixture(scope="module")
def traces(results: Path) -> dict:
    return json.loads((results.parent / TRACES).read_text())


def test_every_figure_has_a_trace_with_its_own_sum(results: Path, traces: dict) -> None:
    drawn = {path.stem: path for path in (results / "figures").glob("*.svg")}
    del drawn["claim-of-another-report"]
    assert traces["figures"].keys() == drawn.keys()
    for name, path in drawn.items():
        assert traces["figures"][name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert traces["commit"] == verdicts()["commit"]
    assert traces["data"] == verdicts()["data"]


def test_a_claims_figure_names_its_verdict_criterion_and_runs(traces: dict) -> None:
    for claim in report()["claims"]:
        trace = traces["figures"][claim["id"]]
        assert trace["claim"] == claim["id"]
        for field in ("verdict", "effect", "interval", "n"):
            assert trace[field] == claim.get(field)
        assert trace["criterion"] == {k: claim["criterion"][k] for k in ("hash", "commit")}
        assert trace["runs"] == (claim["runs"] or 0)
        assert trace.get("run_keys_sha256") == (claim["run_keys_sha256"] if claim["runs"] else None)


def test_figures_of_the_grid_name_the_grids_runs(traces: dict) -> None:
    assert traces["figures"]["grid-levels"]["runs"] == 3360
    assert traces["figures"]["grid-levels"]["study"] == "six-factor"
    assert "verdicts" in traces["figures"]["overview"]["rests_on"]


def test_a_computed_claim_is_explained(results: Path, capsys: pytest.CaptureFixture) -> None:
    exact = next(c for c in report()["claims"] if not c["runs"])
    explain.explain([f"{results}/figures/{exact['id']}.svg", "--out", str(results)])
    said = capsys.readouterr().out
    for expected in (exact["id"], exact["verdict"], exact["criterion"]["hash"], "none: it is computed"):
        assert expected in said


def test_an_unknown_figure_is_one_line(results: Path) -> None:
    with pytest.raises(UsageError, match="no-such-figure: no such figure; allowed are") as caught:
        explain.explain(["no-such-figure", "--out", str(results)])
    assert len(str(caught.value).splitlines()) == 1


def test_a_figure_of_another_report_is_none_of_this_one(results: Path) -> None:
    """It was traced as resting on the verdicts of all claims."""
    with pytest.raises(UsageError, match="claim-of-another-report: no such figure"):
        explain.explain(["claim-of-another-report", "--out", str(results)])


def test_the_grid_of_another_profile_is_not_traced(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "results")
    write_grid(tmp_path / "results", "laptop")
    with pytest.raises(UsageError, match="grid-levels: no such figure"):
        explain.explain(["grid-levels", "--out", str(tmp_path / "results")])


@pytest.mark.parametrize("text", ["rate [high]", "[/b]", "[bold]x[/]", "a\\", "[link=x]"])
def test_text_in_brackets_is_shown_as_it_is(text: str) -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(explain.table(pd.DataFrame({"arm": [text], "[b]": ["1"]})))
    assert text in console.file.getvalue() and "[b]" in console.file.getvalue()


def test_results_of_another_version_are_one_line(results: Path) -> None:
    name = next(c["id"] for c in report()["claims"] if c["id"] == "bn-accelerates")
    with pytest.raises(UsageError, match="make them again"):
        explain.explain([name, "--out", str(results)])
