"""The cheat sheet: each trick on a line, what it bought, where it failed, what it cost; and the recipe that the grid supports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from folklore.report.claim import family_name, is_measured, labels
from folklore.report.numbers import count, is_number
from folklore.report.words import Claim, amount, joined, tidy

_PLAIN = {"batch_size": "batch size", "norm": "batch norm", "init": "initialisation"}


def sheet(claims: Sequence[Claim], grid: Mapping[str, object]) -> dict[str, object]:
    """families: measured claims, the largest effects first; failing: exact statements that fail; recipe: (factor, words)."""
    measured = sorted(filter(is_measured, claims), key=family_name)
    return {
        "families": [
            {"family": family, "rows": [_row(claim) for claim in sorted(group, key=_size, reverse=True)]}
            for family, group in groupby(measured, key=family_name)
        ],
        "failing": [tidy(c["title"]) for c in claims if c["verdict"] == "fails"],
        "holding": [tidy(c["title"]) for c in claims if c["verdict"] == "holds"],
        "recipe": recipe(grid),
    }


def recipe(grid: Mapping[str, object]) -> list[list[str]]:
    """By factor the level that scores best on average over all others, and levels whose interval reaches its mean."""
    levels = [level for level in _levels(grid) if is_number(level.get("accuracy"))]
    found = []
    for factor, group in groupby(levels, key=lambda level: level["factor"]):
        ranked = sorted(group, key=lambda level: level["accuracy"], reverse=True)
        best, others = ranked[0], ranked[1:]
        equals = [str(level["level"]) for level in others if level["hi"] >= best["accuracy"]]
        words = f"{_plain(best['level'])} ({100 * best['accuracy']:.0f} %)"
        if equals:
            words += f"; as good within the noise: {joined([_plain(name) for name in equals])}"
        worst = ranked[-1]
        words += f"; worst: {_plain(worst['level'])} ({100 * worst['accuracy']:.0f} %)"
        found.append([_PLAIN.get(factor, str(factor)), words])
    return found


def _levels(grid: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    return ((grid.get("analyses") or {}).get("all") or {}).get("levels") or []


def _plain(level: object) -> str:
    return str(level).replace("_", " ")


def _size(claim: Claim) -> float:
    """The effect in units of the smallest that matters."""
    effect, delta = claim.get("effect"), claim.get("delta")
    return effect / delta if is_number(effect) and is_number(delta) and delta > 0 else 0.0


def _row(claim: Claim) -> dict[str, object]:
    failed = [tidy(row["label"]) for row in claim.get("robustness") or [] if row.get("flips")]
    cost = claim.get("core_seconds")
    return {
        "id": claim["id"],
        "title": tidy(claim["title"]),
        "verdict": claim["verdict"],
        "how": claim.get("refuted_how") or "",
        "equivalence": "equivalence" in labels(claim),
        "effect": amount(claim),
        "n": count(claim.get("n")) if claim.get("n") else "",
        "otherwise": joined(failed),
        "cost": f"{count(max(1, round(cost)))}\u00a0s" if is_number(cost) and cost else "",
    }
