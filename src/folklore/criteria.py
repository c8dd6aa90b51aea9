"""The register of criteria, `conf/criteria.jsonl`: append-only, one line for each version of a claim's design and criterion.

A line holds the claim, the hash, the commit at which it was registered, the reason, and the criterion itself, so that a verdict can be
shown under each version. A typo in prose changes no hash.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from folklore.claims.base import Criterion, LoadedClaim
from folklore.schema import CONF

REGISTER = CONF / "criteria.jsonl"


def read(path: Path = REGISTER) -> list[dict]:
    """All registered versions, oldest first."""
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []


def versions(claim: LoadedClaim, entries: Iterable[dict]) -> list[dict]:
    """The registered versions of one claim, oldest first."""
    return [entry for entry in entries if entry["claim"] == claim.id]


def current(claim: LoadedClaim, entries: Iterable[dict]) -> dict | None:
    """The registration of the claim as it stands; None when it was changed and not registered again."""
    return next(
        (e for e in reversed(list(entries)) if (e["claim"], e["hash"]) == (claim.id, claim.criterion_hash)),
        None,
    )


def register(claims: Iterable[LoadedClaim], commit: str, reason: str, path: Path = REGISTER) -> list[str]:
    """Append every claim whose current version is not registered; returns their ids."""
    entries = read(path)
    new = [claim for claim in claims if current(claim, entries) is None]
    with path.open("a") as file:
        for claim in new:
            entry = {
                "claim": claim.id,
                "hash": claim.criterion_hash,
                "commit": commit,
                "reason": reason,
                "criterion": asdict(claim.criterion),
            }
            file.write(json.dumps(entry, sort_keys=True) + "\n")
    return [claim.id for claim in new]


def criterion_of(entry: dict) -> Criterion:
    """The criterion as it was registered."""
    return Criterion(**entry["criterion"])
