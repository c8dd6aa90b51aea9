"""Tables and parts of the report that may be there or not: the six factors, the growth."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from folklore.errors import UsageError
from folklore.report import document, factors
from folklore.report.claim import breakable, table, view
from folklore.report.growth import growth
from invented_report import LONG_WORD, verdicts, write_grid, write_results


def test_growth_is_shown_where_it_was_measured(tmp_path: Path) -> None:
    assert growth(tmp_path) is None
    row = {"runs": 10_000, "step": "import", "seconds": 143.21, "ms_a_run": 14.321, "peak_mb": 334}
    (tmp_path / "growth.json").write_text(json.dumps([row]))
    (group,) = growth(tmp_path)["groups"]
    assert group == {"name": "10,000 runs", "rows": [["imported into MLflow", "143.2", "14.32", "334"]]}


@pytest.mark.parametrize("content", ["", "[1]", "{}x", '[{"runs": 1}]', '[{"runs": 1, "step": "x"}]'])
def test_another_file_in_its_place_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "growth.json").write_text(content)
    with pytest.raises(UsageError, match=r"growth\.json: not as .* make it by: make growth$"):
        growth(tmp_path)


@pytest.mark.parametrize(
    ("name", "columns", "cells"),
    [
        (
            "shares",
            ["factors", "share (%)", "95 % interval"],
            [["norm × optimizer", "20.0", "10.0 to 30.0"], ["init × norm", "1.0", "0.0 to 2.0"]],
        ),
        (
            "factors",
            None,
            [
                ["batch size", "30.0", "20.0 to 40.0", "38.0", "30.0 to 41.0"],
                ["init", "6.5", "4.8 to 8.3", "9.5", "7.1 to 11.8"],
            ],
        ),
        ("levels", None, [["batch", "60.0", "58.0 to 62.0", "7"], ["none", "50.0", "45.0 to 55.0", "8"]]),
        ("rates", None, [["2", "0.014", "0.006 to 0.038", "15", "4"]]),
    ],
)
def test_tables_of_the_grid_hold_all_cells_in_order(
    name: str, columns: list[str] | None, cells: list[list[str]], tmp_path: Path
) -> None:
    """By hand from GRID: largest first, percent, and no rows of the analyses that leave cells out."""
    write_grid(tmp_path)
    tables = zip(("factors", "shares", "levels", "rates"), factors.tables(tmp_path / "tables"), strict=True)
    shown = dict(tables)[name]
    assert [row for group in shown["groups"] for row in group["rows"]] == cells
    assert columns in (None, shown["columns"])


LEVEL = {"factor": "norm", "level": "batch", "accuracy": 0.6, "hi": 0.7}


@pytest.mark.parametrize(
    ("profile", "only", "shown"),
    [
        ("smoke", [], True),
        ("smoke", ["six-factor", "bn-mnist"], True),
        ("smoke", ["bn-mnist"], False),
        ("laptop", [], False),
    ],
)
def test_the_grid_of_another_run_is_not_shown(
    profile: str, only: list[str], shown: bool, tmp_path: Path
) -> None:
    """Its files stay in the results folder when the next command has another profile, or another choice of claims."""
    report = verdicts() | {"only": only, "claims": []}
    out, folder = write_results(tmp_path / "results", report), tmp_path / "folder"
    write_grid(out, profile)
    held = json.loads((out / "grid.json").read_text()) | {"analyses": {"all": {"levels": [LEVEL]}}}
    (out / "grid.json").write_text(json.dumps(held))
    folder.mkdir()
    data = document.document(report, out, folder)
    assert [bool(data["factors"][part]) for part in ("lead", "figures", "tables")] == [shown] * 3
    assert bool(data["sheet"]["recipe"]) == bool(data["provenance"]) == shown
    assert sorted(path.name for path in folder.glob("grid-*")) == sorted(
        path.name for path in (out / "figures").glob("grid-*.svg") if shown
    )


def test_tables_align_numbers_and_break_words() -> None:
    one = table("c", ["name", "value"], [["a", 1.0], ["b", None]])
    assert one["numeric"] == [1]
    assert max(len(piece) for piece in re.split(r"[\u200b ]", breakable(LONG_WORD))) <= 22


@pytest.mark.parametrize(
    ("unit", "head"), [("points", "mean (%)"), ("octaves", "mean (octaves)"), ("above .5", "mean")]
)
def test_the_unit_of_a_mean_is_not_that_of_a_difference(unit: str, head: str) -> None:
    claim = next(claim for claim in verdicts()["claims"] if claim.get("rows"))
    arms, *_ = view(claim | {"unit": unit})["tables"]
    assert arms["columns"][1] == head
