"""The report, as PDF and on the terminal, set from invented verdicts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from pypdf import PdfReader
from rich.console import Console

from folklore.report.build import read_verdicts, render
from folklore.stages import render as render_stage
from folklore.stages import summary as summary_stage
from invented_report import (
    HARMFUL,
    LONG_WORD,
    MEASURED,
    flat,
    measured_claim,
    read_pages,
    rows_of,
    verdicts,
    write_grid,
    write_results,
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = write_results(tmp_path_factory.mktemp("report") / "results", verdicts())
    write_grid(out)
    return out


@pytest.fixture(scope="module")
def pdf(results: Path) -> Path:
    target = results.parent / "reports" / "folklore.pdf"
    render_stage.main(["--out", str(results), "--pdf", str(target)])
    return target


@pytest.fixture(scope="module")
def pages(pdf: Path) -> list[str]:
    return read_pages(pdf)


@pytest.fixture(scope="module")
def text(pages: list[str]) -> str:
    return "".join(pages)


def test_every_claim_is_there_with_id_title_and_verdict(text: str) -> None:
    for claim in verdicts()["claims"]:
        for expected in (claim["id"], claim["title"], claim["verdict"]):
            assert flat(expected) in text, expected


def test_harmful_characters_survive_as_themselves(text: str) -> None:
    assert text.count(flat(HARMFUL)) == 3  # title in the list and on its page, the reason of two claims


def test_long_words_are_broken_not_lost(text: str) -> None:
    assert flat(LONG_WORD) in text


def test_same_inputs_same_bytes(results: Path, pdf: Path) -> None:
    again = results.parent / "again.pdf"
    render(results, again)
    assert again.read_bytes() == pdf.read_bytes()


def test_pdf_is_tagged_titled_and_has_bookmarks(pdf: Path) -> None:
    reader = PdfReader(pdf)
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"] and "/StructTreeRoot" in root
    assert root["/Lang"].lower().startswith("en")
    assert reader.metadata.title.startswith("Folklore") and reader.metadata.author == "Folklore"
    assert any("How to read" in str(entry) for entry in walk(reader.outline))
    assert b"pdfuaid" in pdf.read_bytes()


def walk(outline: list) -> Iterator[object]:
    for entry in outline:
        if isinstance(entry, list):
            yield from walk(entry)
        else:
            yield entry.title


def test_report_without_grid_claims_or_calibration(tmp_path: Path) -> None:
    report = verdicts() | {
        "claims": [],
        "calibration": None,
        "data": {},
        "machine": {},
    }
    out = write_results(tmp_path / "results", report)
    render(out, tmp_path / "small.pdf")
    shown = "".join(read_pages(tmp_path / "small.pdf"))
    assert flat("without the six-factor grid") in shown


def test_claim_with_nulls_only(tmp_path: Path) -> None:
    bare = {name: None for name in measured_claim(rows_of(MEASURED)[0], 0)} | {
        "id": "bare",
        "title": "Bare",
        "verdict": "inconclusive",
    }
    out = write_results(tmp_path / "results", verdicts() | {"claims": [bare]})
    render(out, tmp_path / "bare.pdf")
    assert len(PdfReader(tmp_path / "bare.pdf").pages) > 3


def test_toy_profiles_say_so_on_every_page(pages: list[str], tmp_path: Path) -> None:
    assert all(flat("not evidence") in page for page in pages)
    out = write_results(tmp_path / "results", verdicts() | {"profile": "laptop", "claims": []})
    render(out, tmp_path / "real.pdf")
    assert flat("not evidence") not in "".join(read_pages(tmp_path / "real.pdf"))


def test_summary_names_every_claim_and_the_report(results: Path) -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    summary_stage.show(read_verdicts(results), Path("reports/folklore.pdf"), console)
    shown = console.export_text()
    assert all(claim["id"] in shown for claim in verdicts()["claims"])
    assert "reports/folklore.pdf" in shown and "make ui" in shown and "not evidence" in shown
