"""What judging hands to drawing by a file comes back number by number, and what is no such file is one line."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from folklore.errors import UsageError
from folklore.finding_files import NAME, read_findings, write_findings
from folklore.stages import draw
from folklore.stats.estimates import Estimate
from folklore.stats.findings import Check, Finding, Robust, Row, Table
from folklore.stats.verdicts import Verdict

FOUND = Estimate(0.1 + 0.2, (1e-320, 1 / 3), (-0.0, 2**-40), (math.nan, math.inf), 5e-17, 0.25, 1.1, 32)
FINDINGS = {
    "all-of-it": Finding(
        FOUND,
        p=0.7071067811865476,
        equivalence=True,
        rows=(Row("he, “ü”", 0.3, None, None, 32, 1, 0.1, "low", "main"),),
        robustness=(Robust("fashion_mnist", Verdict("refuted", "reversed"), FOUND),),
        checks=(Check("the sum", -math.inf, 1e-9, False, "printed"), Check("its half", 0.0, 0.1, True)),
        tables=(Table("mixed", ("a", "b"), (("x", 1), (None, 2.5), (True, math.nan))),),
        notes=("one", ""),
        diverged=3,
        undecidable="None reached it.",
    ),
    "nothing": Finding(),
}


def test_findings_come_back_as_they_were(tmp_path: Path) -> None:
    write_findings(tmp_path, FINDINGS)
    # repr tells -0.0 from 0.0, 1 from 1.0 and True, a tuple from a list, and takes nan for itself
    assert repr(read_findings(tmp_path)) == repr(FINDINGS)


def test_numbers_of_numpy_come_back_as_pythons(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    row = Row("he", np.float64(0.25), np.float32(0.5), None, np.int64(32), np.int32(1), None, "", "main")
    cells = (np.int64(3), np.float32(0.5), np.bool_(True), np.str_("x"), np.float64(0.1))
    check = Check("the sum", np.float32(0.5), np.float64(0.1), np.bool_(False))
    given = Finding(rows=(row,), tables=(Table("", ("a",), (cells,)),), checks=(check,), p=np.float64(0.5))
    write_findings(tmp_path, {"numpy": given})
    back = read_findings(tmp_path)["numpy"]
    assert repr(back.rows) == repr((Row("he", 0.25, 0.5, None, 32, 1, None, "", "main"),))
    assert repr(back.tables[0].rows) == "((3, 0.5, True, 'x', 0.1),)"
    assert repr(back.checks) == repr((Check("the sum", 0.5, 0.1, False),))
    assert back.p == 0.5 and not recwarn.list


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda text: text[: len(text) // 2], "the file"),
        (lambda text: "[]", "the file"),
        (lambda text: text.replace('"diverged": 3', '"diverged": "a few"'), "all-of-it.diverged"),
        (lambda text: text.replace('"diverged": 3', '"diverged": 3, "later": 1'), "all-of-it.later"),
    ],
)
def test_what_is_no_such_file_is_named_with_its_place(change, named: str, tmp_path: Path) -> None:
    write_findings(tmp_path, FINDINGS)
    path = tmp_path / NAME
    path.write_text(change(path.read_text()))
    with pytest.raises(UsageError) as refused:
        read_findings(tmp_path)
    said = str(refused.value)
    assert said.startswith(f"{path}: {named}: ") and said.endswith(
        "remove it, snakemake --cores all makes it"
    )
    assert "\n" not in said


def test_nothing_is_drawn_that_was_not_judged(tmp_path: Path) -> None:
    arguments = ["--out", str(tmp_path), "--claims", "backprop-w1", "profile=nano"]
    with pytest.raises(UsageError, match="no such file; snakemake"):
        draw.main(arguments)
    write_findings(tmp_path, FINDINGS)
    with pytest.raises(UsageError, match="backprop-w1: not judged yet"):
        draw.main(arguments)
    assert not (tmp_path / "figures").exists()
