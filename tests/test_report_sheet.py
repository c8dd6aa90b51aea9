"""The cheat sheet: one page, however many claims, and a recipe read off the grid."""

from __future__ import annotations

from pathlib import Path

from pypdf import PdfReader

from folklore.report import sheet
from folklore.report.build import SHEET, render
from invented_report import flat, read_pages, verdicts, write_grid, write_results

LEVELS = [
    ("norm", "none", 0.50, 0.45, 0.55),
    ("norm", "batch", 0.60, 0.58, 0.62),
    ("optimizer", "sgd", 0.50, 0.40, 0.66),
    ("optimizer", "adam", 0.65, 0.60, 0.70),
    ("optimizer", "rms_prop", 0.64, 0.60, 0.66),
    ("optimizer", "adagrad", 0.30, 0.20, 0.40),
]


def test_the_recipe_is_the_best_level_of_each_factor_and_its_equals() -> None:
    levels = [dict(zip(("factor", "level", "accuracy", "lo", "hi"), row, strict=True)) for row in LEVELS]
    assert sheet.recipe({"analyses": {"all": {"levels": levels}}}) == [
        ["batch norm", "batch (60 %); worst: none (50 %)"],
        ["optimizer", "adam (65 %); as good within the noise: rms prop and sgd; worst: adagrad (30 %)"],
    ]
    assert sheet.recipe({}) == []


def test_every_measured_trick_has_a_line_with_what_speaks_against_it() -> None:
    claims = verdicts()["claims"]
    found = sheet.sheet(claims, {})
    rows = {row["id"]: row for part in found["families"] for row in part["rows"]}
    measured = {c["id"]: c for c in claims if c["verdict"] in ("supported", "refuted", "inconclusive")}
    assert rows.keys() == measured.keys()
    for name, claim in measured.items():
        flips = [row["label"] for row in claim["robustness"] if row["flips"]]
        assert all(label in rows[name]["otherwise"] for label in flips)
        assert bool(rows[name]["otherwise"]) == bool(flips)
    for part in found["families"]:
        effects = [measured[row["id"]]["effect"] / measured[row["id"]]["delta"] for row in part["rows"]]
        assert effects == sorted(effects, reverse=True)


def test_it_is_one_page_for_a_few_claims_and_for_all_that_there_will_be(tmp_path: Path) -> None:
    few = verdicts()
    many = few | {"claims": [c | {"id": f"{c['id']}-{k}"} for k in range(6) for c in few["claims"]]}
    for name, report in (("few", few), ("many", many)):
        out = write_results(tmp_path / name, report)
        write_grid(out)
        render(out, tmp_path / name / "folklore.pdf")
        printed = tmp_path / name / SHEET
        assert len(PdfReader(printed).pages) == 1
        text = "".join(read_pages(printed))
        for claim in report["claims"]:
            assert flat(claim["title"]) in text
        assert flat("not evidence") in text


def test_its_head_says_what_made_it(tmp_path: Path) -> None:
    render(write_results(tmp_path / "results", verdicts()), tmp_path / "folklore.pdf")
    told = read_pages(tmp_path / SHEET)[0]
    assert flat("profile smoke · 6,512 networks · commit 0123456789ab") in flat(told)
