"""The register of criteria, `conf/criteria.jsonl`: append-only, one line for each version of a claim's design and criterion.

A line holds the claim, the hash, the commit at which it was registered, the reason, and the criterion itself, so that a verdict can be
shown under each version. A typo in prose changes no hash.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path

from folklore.claims.base import Criterion, LoadedClaim
from folklore.errors import UsageError
from folklore.schema import CONF
from folklore.study_files import read_mapping
from folklore.validation import one_line

REGISTER, FAMILIES = CONF / "criteria.jsonl", CONF / "families.yaml"
_REMEDY = "allowed are lines that `make register` has appended; take the file back from git"


def read(path: Path = REGISTER) -> list[dict]:
    """All registered versions, oldest first. UsageError for a line that is no registration."""
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except ValueError as error:
        raise UsageError(f"{path}: no text ({error}); {_REMEDY}") from None
    return [_entry(line, f"{path}: line {number}") for number, line in enumerate(lines, 1) if line]


def _entry(line: str, place: str) -> dict:
    try:
        entry = json.loads(line)
        if not all(isinstance(entry[key], str) for key in ("claim", "hash", "commit", "reason")):
            raise TypeError("claim, hash, commit and reason are texts")
        criterion_of(entry)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{place}: {one_line(line, 80)}: {one_line(error)}; {_REMEDY}") from None
    return entry


def unregistered(claims: Iterable[LoadedClaim]) -> list[str]:
    """A line for each claim whose criterion is not on file as it stands."""
    entries = read()
    return [
        f"{claim.file}: its criterion is not registered; register it before its runs by: make register REASON=why"
        for claim in claims
        if current(claim, entries) is None
    ]


@cache
def families(path: Path = FAMILIES) -> dict[str, list[str]]:
    """The frozen families of claims. UsageError where they are no lists of ids, or hold one twice."""
    held = read_mapping(path, "lines of the form family: [claims]")
    members: list[object] = []
    for family, listed in held.items():
        if not isinstance(listed, list) or not all(isinstance(member, str) for member in listed):
            raise UsageError(f"{path}: {family}={one_line(listed)}: allowed is a list of claims")
        members += listed
    twice = sorted({member for member in members if members.count(member) > 1})
    if twice:
        raise UsageError(f"{path}: {twice[0]}: there twice; allowed is each claim in one family")
    return held


def family_size(claim: LoadedClaim) -> int:
    """Members of the frozen family, and this one if it is none of them: the level of the strictest step of Holm's correction."""
    return len({*families().get(claim.claim.family, []), claim.id})


def versions(claim: LoadedClaim, entries: Iterable[dict]) -> list[dict]:
    """The registered versions of one claim, oldest first."""
    return [entry for entry in entries if entry["claim"] == claim.id]


def current(claim: LoadedClaim, entries: Iterable[dict]) -> dict | None:
    """The registration of the claim as it stands; None when it was changed and not registered again."""
    identity = claim.criterion_hash
    return next((e for e in reversed(versions(claim, entries)) if e["hash"] == identity), None)


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
