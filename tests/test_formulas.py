"""A formula that Typst cannot set is told in one line. (tests/test_claims.py sets those of all claims.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from folklore.errors import UsageError
from folklore.report.build import render
from hostile import refused
from invented_report import exact_claim, rows_of, verdicts, write_results

EXACT = "backprop-w1 | optimisation | fails | The printed gradient is right"


def test_a_formula_that_cannot_be_set_is_named_with_its_file(tmp_path: Path) -> None:
    formulas = [{"form": "printed", "typst": typst, "words": "w"} for typst in ("x^2", "x^")]
    report = verdicts() | {"claims": [exact_claim(rows_of(EXACT)[0], 0) | {"formulas": formulas}]}
    with pytest.raises(UsageError) as caught:
        render(write_results(tmp_path / "results", report), tmp_path / "folklore.pdf")
    assert refused(caught.value, "typst=x^: expected expression").startswith(
        "src/folklore/claims/backprop_w1.py: "
    )
