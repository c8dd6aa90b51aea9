"""An editor's eye: faults are found where they are planted, and the report on the committed verdicts has none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from folklore.report.document import document
from folklore.report.prose import faults
from folklore.report.words import quoted, tidy

EXAMPLE = Path(__file__).resolve().parents[1] / "reports" / "example" / "verdicts.json"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("it is is wrong", "a word twice"),
        ("a pause , then", "a space before a mark"),
        ("two  spaces", "two spaces"),
        ("and so on..", "two marks"),
        ("a loss of nan", "a value of the code"),
        ("down by -3 points", "a hyphen for a minus"),
        ("a slope of 1 - f", "a hyphen for a minus"),
        ("the net's \u201cown\u201d", "a typewriter's quotation mark"),
        ('the "alive" unit', "a typewriter's quotation mark"),
        ("a rate of .5", "a decimal without its zero"),
        ("1 networks in all", "one of many"),
        ("an effect ()", "nothing in brackets"),
        ("the square x^2", "a power or a root as code"),
        ("a effect of an batch", "an article"),
        ("an (open bracket", "( without )"),
    ],
)
def test_a_planted_fault_is_named(text: str, what: str) -> None:
    (found, *_) = faults({"claims": [{"id": "one", "rule": text}]})
    assert found.startswith("claims one rule: ") and what in found


@pytest.mark.parametrize(
    "text",
    [
        "the printed a and b, x ≤ 1.5 … 2 (e.g. batch-2), \u22123 to 21 networks and 1 network",
        "dL/dx = dL/dz dz/dx; None of them is an hour long, an x-ray",
    ],
)
def test_good_prose_is_left_alone(text: str) -> None:
    assert faults({"claims": [{"id": "one", "rule": text, "typst": "x^2  y"}]}) == []


def test_the_committed_verdicts_read_well(tmp_path: Path) -> None:
    verdicts = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    assert len(verdicts["claims"]) > 100
    assert faults(document(verdicts, tmp_path, tmp_path)) == []


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ('He\'s weights, the nets\' own; "alive" (or "half\nso").', "He’s weights, the nets’ own; “alive” (or “half so”)."),
        ("1 - f^2, tanh(-h) = -tanh(h), x - 1, -3 to 5", "1 − f², tanh(−h) = −tanh(h), x − 1, −3 to 5"),
        ("batch-norm, f(x)-like, a-b (-i stays not)", "batch-norm, f(x)-like, a-b (-i stays not)"),
    ],
)  # fmt: skip
def test_what_is_typed_is_printed(typed: str, printed: str) -> None:
    assert tidy(typed) == printed


def test_a_title_keeps_its_dash() -> None:
    assert quoted("Early Stopping - But When?") == "Early Stopping – But When?"
