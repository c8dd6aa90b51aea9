"""Judge the claims of a plan: findings, correction over families, verdicts, and `verdicts.json`, the documented interface."""

from __future__ import annotations

import gc
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from folklore import cost, criteria, datasets, provenance
from folklore.claim_calls import finding_of
from folklore.claims.base import LECTURES, LoadedClaim
from folklore.frames import Frames
from folklore.grid import FIELDS, Run
from folklore.judged_words import summary, trained
from folklore.looks import Look, charged, look_at
from folklore.plan import Plan
from folklore.stats.estimates import equivalence_power, power, replicates_for
from folklore.stats.findings import Finding, Robust
from folklore.stats.verdicts import ALPHA, Verdict, holm
from folklore.studies import wanted_claims

SCHEMA = 1
POWER = 0.8  # that a claim should have for its smallest effect of interest


def find_all(plan: Plan, frames: Frames) -> dict[str, Finding]:
    """What each claim's `judge` finds, by id."""
    return {
        claim.id: charged(finding_of(claim, _runs(frames, claim)), claim, _look(frames, claim))
        for claim in wanted_claims(plan.config.profile)
    }


def judge_all(plan: Plan, out: Path, frames: Frames, findings: Mapping[str, Finding]) -> dict:
    """Everything that `verdicts.json` holds."""
    claims, entries = wanted_claims(plan.config.profile), criteria.read()
    studies = {claim.id: _runs(frames, claim) for claim in claims}
    commit, dirty = provenance.commit()
    with _nothing_to_collect():
        corrected = corrected_p(claims, findings)
        judged = [
            _entry(
                plan,
                c,
                studies[c.id],
                _look(frames, c),
                findings[c.id],
                entries,
                _correction(claims, findings, corrected, c),
            )
            for c in claims
        ]
    return {
        "schema": SCHEMA,
        "profile": plan.config.profile.name,
        "toy": plan.config.profile.toy,
        "only": list(plan.config.profile.only),
        "commit": commit,
        "dirty": dirty,
        "machine": provenance.machine(),
        "data": {name: datasets.digest(name, out / "data") for name in plan.data},
        "runs": len(frames.results),
        "core_seconds": round(sum(map(cost.seconds, frames.runs())), 1),
        "calibration": read_calibration(out, plan.config.profile.name),
        "claims": judged,
    }


def _look(frames: Frames, claim: LoadedClaim) -> Look | None:
    return look_at(frames, claim.study) if claim.study else None


def _runs(frames: Frames, claim: LoadedClaim) -> pd.DataFrame | None:
    """Those of its study, if it has one."""
    return frames.study(claim.study) if claim.study else None


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """statsmodels collects garbage with every correction: .3 s each among the objects of all libraries and runs, which stay in any case."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def corrected_p(claims: Sequence[LoadedClaim], findings: Mapping[str, Finding]) -> dict[str, float]:
    """Holm-corrected p-values by claim, each family at its frozen size."""
    corrected: dict[str, float] = {}
    for family in sorted({c.claim.family for c in claims}):
        corrected |= _corrected_in(family, claims, findings)
    return corrected


def _corrected_in(
    family: str, claims: Sequence[LoadedClaim], findings: Mapping[str, Finding]
) -> dict[str, float]:
    """A user's own claim is corrected as one more member of its family, and changes nothing for the others."""
    frozen, own = criteria.families().get(family, []), [c.id for c in claims if c.claim.family == family]
    p = {name: found for name in own if (found := findings[name].p_charged) is not None}
    members = {name: found for name, found in p.items() if name in frozen}
    corrected = holm(members, frozen) if frozen else {}
    for name in p.keys() - members.keys():
        corrected[name] = holm(members | {name: p[name]}, [*frozen, name])[name]
    return corrected


class Corrected(NamedTuple):
    """p: of what decides; p_apart: of a difference, where the claim predicts none."""

    p: float | None
    p_apart: float | None = None


Correct = Callable[[Finding], Corrected]


def _correction(
    claims: Sequence[LoadedClaim],
    findings: Mapping[str, Finding],
    corrected: Mapping[str, float],
    claim: LoadedClaim,
) -> Correct:
    """From a finding of this claim, its own or that under another criterion, to the corrected p-values among those of the others."""
    family = claim.claim.family

    def correct(finding: Finding) -> Corrected:
        now = {**findings, claim.id: finding}
        # most versions differ from the finding itself in the design only
        p = (corrected if finding is findings[claim.id] else _corrected_in(family, claims, now)).get(claim.id)
        if not finding.equivalence:
            return Corrected(p)
        apart = {name: _of_a_difference(found) for name, found in now.items()}
        return Corrected(p, _corrected_in(family, claims, apart).get(claim.id))

    return correct


def _of_a_difference(finding: Finding) -> Finding:
    """With the p-value of a difference in the place of that of none."""
    if not (finding.equivalence and finding.estimate):
        return finding
    return replace(finding, p=finding.estimate.p, equivalence=False)


def read_calibration(out: Path, profile: str) -> dict | None:
    """What the pipeline's test on itself found, where it was run with this profile."""
    own = _summary(out / "calibration.json", profile)
    families = sorted((out / "calibration").glob("*.json"))
    found = {family.stem: summary for family in families if (summary := _summary(family, profile))}
    return own and own | {"families": found}


def _summary(path: Path, profile: str) -> dict | None:
    """None without the file, and for another profile's: an earlier command has left it."""
    held = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return held["summary"] if held.get("profile") == profile else None


def _entry(
    plan: Plan,
    claim: LoadedClaim,
    runs: pd.DataFrame | None,
    look: Look | None,
    finding: Finding,
    entries: list[dict],
    correct: Correct,
) -> dict:
    criterion, said, corrected = claim.criterion, claim.claim, correct(finding)
    verdict, found, p = finding.verdict(criterion.delta, *corrected), finding.estimate, corrected.p
    study = next((s for s in plan.studies if s.name == claim.study), None)
    grounds = [replace(r, verdict=_at_corrected_level(r, finding, correct)) for r in finding.robustness]
    keys = sorted(set(runs["run_key"])) if runs is not None else []
    level = ALPHA / criteria.family_size(claim)
    able = equivalence_power if finding.equivalence else verdict_power
    return _finite(
        {
            "id": claim.id,
            "title": claim.title,
            "kind": said.kind,
            "family": said.family,
            "lectures": list(said.lectures),
            "lecture_names": [LECTURES[i] for i in said.lectures],
            "paper": said.paper,
            "reported": said.reported,
            "rule": list(claim.rule),
            "formulas": [asdict(formula) for formula in said.formulas],
            "limits": said.limits,
            "trained": trained(study, runs),
            "verdict": verdict.verdict,
            "refuted_how": verdict.how,
            "fragile": any(flipped(verdict, row.verdict) for row in grounds),
            "registered": criteria.current(claim, entries) is not None,
            "summary": summary(claim, finding, verdict, p),
            "metric": criterion.metric,
            "unit": criterion.unit,
            "scale": criterion.scale,
            "effect": found and found.effect,
            "interval": found and list(found.interval),
            "interval90": found and list(found.interval90),
            "bca": found and list(found.bca),
            "delta": criterion.delta,
            "equivalence": finding.equivalence,
            "n": found and found.n,
            "n_planned": found and planned(found.n, look),
            "sd": found and found.sd,
            "diverged": finding.diverged,
            "p": finding.p,
            "p_t": found and found.p,
            "p_permutation": found and found.p_permutation,
            "p_corrected": p,
            "power": found and able(found.sd, planned(found.n, look), criterion.delta, level),
            "replicates_for_power": found and replicates_for(POWER, found.sd, criterion.delta, level, able),
            "rows": [asdict(row) for row in finding.rows],
            "robustness": [_robust(row, verdict) for row in grounds],
            "checks": [asdict(check) for check in finding.checks],
            "tables": [asdict(table) for table in finding.tables],
            "notes": list(finding.notes),
            "study": claim.study,
            "runs": len(keys),
            "run_query": f"tags.claims LIKE '%,{claim.id},%'" if keys else None,
            "run_keys_sha256": hashlib.sha256("\n".join(keys).encode()).hexdigest() if keys else None,
            "core_updates": int(runs.drop_duplicates("run_key")["updates"].sum()) if runs is not None else 0,
            "core_seconds": round(seconds(runs), 1) if runs is not None else 0.0,
            "criterion": _criterion(claim, runs, finding, entries, correct),
            "figure": f"results/figures/{claim.id}.svg",
        }
    )


def planned(n: int, look: Look | None) -> int:
    """Replicates of an effect with all that its study has planned, from those at the look that ended it."""
    return round(n * look.planned / look.first) if look and look.ended else n


def seconds(runs: pd.DataFrame) -> float:
    """Core-seconds of these runs by the cost model: measured ones would make two reports of the same numbers differ."""
    settings = runs.drop_duplicates("run_key")[list(FIELDS)].to_dict("records")
    return sum(cost.seconds(Run(**one)) for one in settings)


def verdict_power(sd: float, n: int, delta: float, alpha: float) -> float | None:
    """Chance of "supported" at a true effect of delta: one in twenty is found negligible first, however many replicates there are."""
    tested = power(sd, n, delta, alpha)
    return tested and min(tested, 1 - ALPHA)


def _at_corrected_level(row: Robust, finding: Finding, correct: Correct) -> Verdict:
    """The verdict of another ground; one that its p-value, corrected as that of the main ground, does not bear out is inconclusive."""
    verdict = row.verdict
    apart = verdict.how in ("reversed", "different")
    if not apart and (finding.equivalence or verdict.verdict != "supported"):
        return verdict
    # a further ground is looked at once
    p = correct(replace(finding, p=row.estimate.p, equivalence=False, charge=1.0)).p
    return verdict if p is None or p < ALPHA else Verdict("inconclusive")


def flipped(main: Verdict, other: Verdict) -> bool:
    """Whether another ground decides otherwise. A mere loss of power, decided to inconclusive, is no flip."""
    return "inconclusive" not in (main.verdict, other.verdict) and (main.verdict, main.how) != (
        other.verdict,
        other.how,
    )


def _robust(robust: Robust, main: Verdict) -> dict:
    e = robust.estimate
    return {
        "label": datasets.title(robust.label)
        if robust.label in datasets.names()
        else robust.label.replace("_", " "),
        "verdict": robust.verdict.verdict,
        "how": robust.verdict.how,
        "effect": e.effect,
        "interval": list(e.interval),
        "n": e.n,
        "flips": flipped(main, robust.verdict),
    }


def _criterion(
    claim: LoadedClaim,
    runs: pd.DataFrame | None,
    finding: Finding,
    entries: list[dict],
    correct: Correct,
) -> dict:
    """The criterion, its commit, and the verdict under every version that was registered."""
    registered, history = criteria.current(claim, entries), []
    for entry in criteria.versions(claim, entries):
        old = criteria.criterion_of(entry)
        # where only the design was another one there is nothing to judge again
        found = (
            finding
            if old == claim.criterion
            else replace(finding_of(claim, runs, old), charge=finding.charge)
        )
        verdict = found.verdict(old.delta, *correct(found))
        history.append({k: entry[k] for k in ("hash", "commit", "reason")} | {"verdict": verdict.verdict})
    return {
        "hash": claim.criterion_hash,
        "commit": registered and registered["commit"],
        "text": claim.criterion.text,
        "settings": dict(claim.criterion.settings),
        "pilot_sd": claim.criterion.pilot_sd,
        "history": history,
    }


def _finite(value: object) -> object:
    """JSON has neither NaN nor numpy's numbers: what does not exist becomes null."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
