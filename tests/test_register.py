"""The register of criteria: what is entered, and what changes a hash."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from folklore import criteria
from folklore.claims.base import Criterion, discover
from judged import CLAIMS, TRAINED


def test_the_register_is_one_line_a_version() -> None:
    entries = criteria.read()
    assert entries
    for entry in entries:
        assert set(entry) == {"claim", "hash", "commit", "reason", "criterion"}
        assert entry["claim"] in CLAIMS
        assert isinstance(criteria.criterion_of(entry), Criterion)
    assert len({(e["claim"], e["hash"]) for e in entries}) == len(entries)


def test_registering_appends_what_changed_and_nothing_else(tmp_path: Path) -> None:
    register, claims = tmp_path / "criteria.jsonl", discover()
    assert criteria.register(claims, "c1", "first", register) == [c.id for c in claims]
    before = register.read_text()
    assert criteria.register(claims, "c2", "again", register) == []
    changed = replace(claims[0], criterion=replace(claims[0].criterion, delta=0.5))
    assert criteria.current(changed, criteria.read(register)) is None
    assert criteria.register([changed, *claims[1:]], "c3", "stricter", register) == [changed.id]
    assert register.read_text().startswith(before)
    versions = criteria.versions(changed, criteria.read(register))
    assert [v["reason"] for v in versions] == ["first", "stricter"]
    assert criteria.criterion_of(versions[1]).delta == 0.5
    assert json.loads(before.splitlines()[0])["commit"] == "c1"


def test_prose_changes_no_hash() -> None:
    claim = CLAIMS[TRAINED[0]]
    assert replace(claim, title="Other words", rule=("...",)).criterion_hash == claim.criterion_hash
    share = replace(claim.design, title="Other words", seconds=1e6)
    assert replace(claim, design=share).criterion_hash == claim.criterion_hash
    assert replace(claim, design=replace(share, updates=1)).criterion_hash != claim.criterion_hash
    assert (
        replace(claim, criterion=replace(claim.criterion, delta=1.0)).criterion_hash != claim.criterion_hash
    )
