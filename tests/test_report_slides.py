"""Slides: every figure at one size, with the rule, the verdict and its source; every table beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib import image
from pypdf import PdfReader

from folklore.errors import UsageError
from folklore.report.build import render, slides
from folklore.stages import slides as stage
from test_report import flat, verdicts, write_grid, write_results


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = write_results(tmp_path_factory.mktemp("slides") / "results", verdicts())
    write_grid(out)
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


def test_tables_lie_beside_the_slides(folder: Path) -> None:
    assert {path.name for path in (folder / "tables").iterdir()} == {
        path.name for path in (folder.parent / "results" / "tables").iterdir()
    }


def test_slides_need_a_report(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no report was rendered yet"):
        slides(tmp_path, tmp_path / "slides")
