"""Slides: every figure at one size, with the rule, the verdict and its source; every table beside them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from matplotlib import image
from pypdf import PdfReader

from folklore.errors import UsageError
from folklore.report.build import render, slides
from folklore.stages import slides as stage
from invented_report import flat, verdicts, write_grid, write_results

# of this report's claims; and what else may lie in their folder: of another report, of a claim that had more, sums, what was set aside
TABLES = {"verdicts.csv", "small-batch-best.csv", "bn-lr-ladder-1.csv", "bn-backward-checks.csv"}
STRANGE = ("another-claim.csv", "bn-lr-ladder-2.csv", ".sums/verdicts.csv", "verdicts.csv.damaged")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = write_results(tmp_path_factory.mktemp("slides") / "results", verdicts())
    write_grid(out)
    for name in TABLES:
        (out / "tables" / name).write_text("a\n1\n")
    for name in STRANGE:
        (out / "tables" / name).parent.mkdir(exist_ok=True)
        (out / "tables" / name).write_text("stale")
    render(out, out.parent / "reports" / "folklore.pdf")
    stage.main(["--out", str(out), "--to", str(out.parent / "slides")])
    return out.parent / "slides"


def test_every_figure_is_a_slide_of_1920_by_1080(folder: Path) -> None:
    shown = {c["id"] for c in verdicts()["claims"] if c["figure"]}
    pictures = {path.stem for path in folder.glob("*.png")}
    assert shown < pictures and len(pictures - shown) == 4  # those of the six factors
    assert pictures == {path.stem for path in folder.glob("*.svg")}
    assert {image.imread(path).shape[:2] for path in folder.glob("*.png")} == {(1080, 1920)}


def test_a_slide_says_the_rule_what_came_out_and_where_it_is_from(folder: Path) -> None:
    pages = [flat(page.extract_text()) for page in PdfReader(folder / "slides.pdf").pages]
    shown = [c for c in verdicts()["claims"] if c["figure"]]
    assert len(pages) == len(shown) + 4
    for claim, page in zip(shown, pages, strict=False):
        assert claim["verdict"] in page.lower()
        assert flat(claim["id"]) in page and "commit" in page and str(verdicts()["commit"])[:7] in page


def test_tables_of_this_report_lie_beside_the_slides(folder: Path) -> None:
    grid = {path.name for path in (folder.parent / "results" / "tables").glob("grid-*.csv")}
    assert len(grid) == 4
    assert {path.name for path in (folder / "tables").iterdir()} == grid | TABLES


def test_slides_need_verdicts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are no verdicts yet"):
        slides(tmp_path, tmp_path / "slides")


def test_slides_are_made_where_the_reports_folder_was_removed(folder: Path, tmp_path: Path) -> None:
    """Snakemake looks at the PDF alone, and would not fill the folder again."""
    out = tmp_path / "results"
    shutil.copytree(folder.parent / "results", out, ignore=shutil.ignore_patterns("report"))
    slides(out, tmp_path / "slides")
    made, known = (
        {path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()}
        for place in (tmp_path / "slides", folder)
    )
    assert made == known
