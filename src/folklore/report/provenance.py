"""From every figure and verdict of the report to what it rests on, for machines: `provenance.json` beside the report."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from folklore.grid import SIX_FACTOR
from folklore.report.pictures import drawn

SCHEMA = 1


def provenance(
    verdicts: Mapping[str, object], grid: Mapping[str, object], stems: Sequence[Path]
) -> dict[str, object]:
    """schema, profile, commit, dirty, machine, data (name -> digest), figures (name -> its trace) of the files at `stems`.

    A trace holds the figure's own sum, the runs behind it (their number, the digest of their sorted keys, a filter for MLflow),
    and for a claim's figure the verdict with its criterion's hash and commit.
    """
    claims = {claim["id"]: claim for claim in verdicts["claims"]}
    shared = {name: verdicts.get(name) for name in ("profile", "commit", "dirty", "machine", "data", "runs")}
    traced = {
        stem.name: _trace(stem.name, claims.get(stem.name), grid) | {"sha256": _sum(drawn(stem))}
        for stem in sorted(stems)
    }
    return {"schema": SCHEMA} | shared | {"figures": traced}


def _trace(name: str, claim: Mapping[str, object] | None, grid: Mapping[str, object]) -> dict[str, object]:
    if claim is None:
        return (
            _runs(grid, SIX_FACTOR)
            if name.startswith("grid-")
            else {"rests_on": "the verdicts of all claims"}
        )
    criterion = claim.get("criterion") or {}
    said = {
        field: claim.get(field) for field in ("verdict", "refuted_how", "effect", "interval", "n", "unit")
    }
    return (
        {"claim": claim["id"]}
        | said
        | {"criterion": {field: criterion.get(field) for field in ("hash", "commit")}}
        | _runs(claim, claim.get("study"))
    )


def _runs(source: Mapping[str, object], study: object) -> dict[str, object]:
    named = ("runs", "run_keys_sha256", "run_query")
    return (
        {"study": study} | {field: source.get(field) for field in named}
        if source.get("runs")
        else {"runs": 0}
    )


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
