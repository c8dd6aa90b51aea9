"""What the report says in words and numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from folklore.report import document, numbers, words
from invented_report import verdicts


def test_prose_of_other_parts_is_tidied() -> None:
    said = words.tidy("error 1.2e-13, effect -0.3 [-0.5, -0.1], 7 rates x 3 seeds, batch-2, 1e6, 2-3")
    assert said == "error 1.2×10⁻¹³, effect −0.3 [−0.5, −0.1], 7 rates × 3 seeds, batch-2, 10⁶, 2-3"
    said = words.tidy(
        "Var(w)^2 = s^-2 / sqrt(n), +-1/sqrt n, 3 x 100, 2^k, 6^-l, uv^T, sqrt(n + m), .5, m - 1 and a^2b"
    )
    assert said == "Var(w)² = s⁻² / √n, ±1/√n, 3 × 100, 2ᵏ, 6⁻ˡ, uvᵀ, √(n + m), 0.5, m − 1 and a^2b"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0"),
        (0.0, "0"),
        (1.23e-5, "1.2×10⁻⁵"),
        (-3.14159, "−3.14"),
        (6500, "6,500"),
        (0.05, "0.05"),
        (12345.678, "12,346"),
        (2.5e9, "2.5×10⁹"),
        (True, "yes"),
        (float("inf"), "∞"),
    ],
)
def test_numbers_are_decent(value: object, expected: str) -> None:
    assert numbers.number(value) == expected


def test_an_effect_has_the_digits_that_its_interval_can_carry() -> None:
    claim = {"effect": 0.01234, "interval": [0.00432, 0.02], "scale": 100, "unit": "points"}
    assert words.amount(claim) == "+1.2 points [0.4, 2.0]"
    assert words.amount({"effect": None}) == ""
    assert numbers.p_value(3e-9) == "< 0.0001" and numbers.p_value(0.0312) == "0.031"


def test_the_front_page_counts_the_verdicts() -> None:
    told = words.summary(verdicts())
    assert told.startswith(
        "17 rules from the lectures were put to the test: 14 by experiment and three by exact computation."
    )
    assert "seven are supported, four are refuted (two too small to matter, two the other way round)" in told
    assert "three remain inconclusive" in told and "one holds and two fail as printed" in told
    assert "fragile, for a robustness check contradicts" in told
    assert re.search(
        r"What held most clearly: “[^”]+” \([^)]+\), “[^”]+” \([^)]+\) and “[^”]+” \([^)]+\)\.", told
    )
    assert "What came out the other way round, most clearly: “" in told
    assert len(re.findall(r"\.(?= [A-Z]|$)", told)) == 5


def test_the_front_page_names_the_largest_effects_in_units_of_what_would_matter() -> None:
    claims = [
        {
            "verdict": "supported",
            "title": name,
            "effect": effect,
            "interval": [effect, effect],
            "delta": delta,
        }
        for name, effect, delta in (("a", 1.0, 1.0), ("b", 0.9, 0.1), ("c", -0.8, 0.2), ("d", 3.0, 1.0))
    ]
    told = words._furthest("Most", claims)
    assert re.findall("“(.)”", told) == ["b", "c", "d"]
    assert words._furthest("Most", []) == ""


def test_the_box_says_what_it_took(tmp_path: Path) -> None:
    box = dict(document._box(verdicts() | {"core_seconds": 9000.0}))
    assert box["networks trained"].startswith("6,512; of those that decided a claim, ")
    assert box["core-hours"].startswith("2.5 ")
    assert dict(document._box(verdicts() | {"core_seconds": None}))["core-hours"] == numbers.MISSING
