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
from folklore.grid import FIELDS, Run, Study
from folklore.plan import Plan
from folklore.stats.estimates import equivalence_power, power, replicates_for
from folklore.stats.findings import Check, Finding, Robust
from folklore.stats.verdicts import ALPHA, Verdict, holm
from folklore.studies import wanted_claims

SCHEMA = 1
POWER = 0.8  # that a claim should have for its smallest effect of interest


def find_all(plan: Plan, frames: Frames) -> dict[str, Finding]:
    """What each claim's `judge` finds, by id."""
    return {claim.id: finding_of(claim, _runs(frames, claim)) for claim in wanted_claims(plan.config.profile)}


def judge_all(plan: Plan, out: Path, frames: Frames, findings: Mapping[str, Finding]) -> dict:
    """Everything that `verdicts.json` holds."""
    claims, entries = wanted_claims(plan.config.profile), criteria.read()
    studies = {claim.id: _runs(frames, claim) for claim in claims}
    commit, dirty = provenance.commit()
    with _nothing_to_collect():
        corrected = corrected_p(claims, findings)
        judged = [
            _entry(
                plan, c, studies[c.id], findings[c.id], entries, _correction(claims, findings, corrected, c)
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
    p = {name: found for name in own if (found := findings[name].p) is not None}
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
    return replace(finding, p=finding.estimate.p) if finding.equivalence and finding.estimate else finding


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
    finding: Finding,
    entries: list[dict],
    correct: Correct,
) -> dict:
    criterion, said, corrected = claim.criterion, claim.claim, correct(finding)
    verdict, found, p = finding.verdict(criterion.delta, *corrected), finding.estimate, corrected.p
    study = next((s for s in plan.studies if s.name == claim.study), None)
    grounds = [replace(r, verdict=_at_corrected_level(r, finding, correct)) for r in finding.robustness]
    keys = sorted(set(runs["run_key"])) if runs is not None else []
    level, able = ALPHA / family_size(claim), equivalence_power if finding.equivalence else verdict_power
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
            "sd": found and found.sd,
            "diverged": finding.diverged,
            "p": finding.p,
            "p_t": found and found.p,
            "p_permutation": found and found.p_permutation,
            "p_corrected": p,
            "power": found and able(found.sd, found.n, criterion.delta, level),
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


def seconds(runs: pd.DataFrame) -> float:
    """Core-seconds of these runs by the cost model: measured ones would make two reports of the same numbers differ."""
    settings = runs.drop_duplicates("run_key")[list(FIELDS)].to_dict("records")
    return sum(cost.seconds(Run(**one)) for one in settings)


def family_size(claim: LoadedClaim) -> int:
    """Members of the frozen family, and this one if it is none of them: the level of the strictest step of Holm's correction."""
    return len({*criteria.families().get(claim.claim.family, []), claim.id})


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
    p = correct(replace(finding, p=row.estimate.p, equivalence=False)).p
    return verdict if p is None or p < ALPHA else Verdict("inconclusive")


def flipped(main: Verdict, other: Verdict) -> bool:
    """Whether another ground decides otherwise. A mere loss of power, decided to inconclusive, is no flip."""
    return "inconclusive" not in (main.verdict, other.verdict) and (main.verdict, main.how) != (
        other.verdict,
        other.how,
    )


def trained(study: Study | None, runs: pd.DataFrame | None) -> str:
    """What was trained, in words made from the runs, and from the design of each ground."""
    if study is None or runs is None:
        return "Nothing is trained: the formula itself is checked in double precision."
    designs = dict(study.versions())
    parts = [
        f"{_task(group[group['phase'] == 'confirm'])}, {_ground(designs.get(variant, study), group)}"
        for variant, group in runs.groupby("variant", sort=False)
    ]
    return "; as a check: ".join(parts) + f". {runs['run_key'].nunique():,} networks in all."


def _ground(design: Study, runs: pd.DataFrame) -> str:
    """Updates, arms and replicates, and over how many rates those arms were tuned that have no fixed or borrowed rate."""
    confirmed, tuned = runs[runs["phase"] == "confirm"], runs[runs["phase"] == "tune"]
    arms, replicates = confirmed["arm"].nunique(), confirmed.groupby("arm").size().max()
    words = f"{_range(confirmed['updates'])} updates; {arms} arm{'s' * (arms != 1)}"
    if len(tuned):
        own, tried = tuned["arm"].nunique(), int(tuned.groupby("arm")["lr"].nunique().max())
        seeds = f"{design.tuning_seeds} seed{'s' * (design.tuning_seeds != 1)}"
        moved = f" (up to {tried} where the grid moved)" if tried > design.rates.count else ""
        whose = "" if own == arms else f"{own} of them "
        words += f", {whose}tuned over {design.rates.count} rates{moved} x {seeds}"
    return f"{words}; {replicates} fresh replicates{' of each' * (arms != 1)}"


def _task(runs: pd.DataFrame) -> str:
    """Nets on a data set; or functions to minimise, where a procedure puts them into the place of both."""
    procedures = _others(runs["procedure"], "once")
    some = "some " if (runs["procedure"] == "once").any() else ""
    if procedures and all(name.endswith("quadratics") for name in procedures):
        return "random quadratic functions"
    views, data = _others(runs["view"], "plain"), "/".join(map(datasets.title, sorted(set(runs["data"]))))
    seen = f" ({', '.join(views)})" if views else ""
    how = f", {some}trained by {'/'.join(procedures)}" if procedures else ""
    return f"{_net(runs)} on {data}{seen}, {_range(runs['n_train'])} training rows{how}"


def _others(levels: pd.Series, usual: str) -> list[str]:
    """The levels in words, without the usual one."""
    return [level.replace("_", " ") for level in dict.fromkeys(levels) if level != usual]


def _net(runs: pd.DataFrame) -> str:
    depths = "/".join(str(d) for d in sorted(set(runs["depth"])))
    widths = "/".join(str(w) for w in sorted(set(runs["width"])))
    kinds = "/".join(
        "MLP" if model == "mlp" else model.replace("_", " ") for model in dict.fromkeys(runs["model"])
    )
    return f"{kinds} of {depths} x {widths}, {'/'.join(dict.fromkeys(runs['activation']))}, {'/'.join(dict.fromkeys(runs['optimizer']))}"


def _range(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def summary(claim: LoadedClaim, finding: Finding, verdict: Verdict, p: float | None) -> str:
    """The outcome in one sentence, every number from the finding."""
    if claim.claim.kind == "Q":
        return _order(finding, verdict)
    if finding.estimate is None:
        return _exactly(finding, verdict)
    if finding.undecidable:
        return f"Undecided: {finding.undecidable[0].lower()}{finding.undecidable[1:]}"
    e, c = finding.estimate, claim.criterion
    effect, low, high = (v * c.scale for v in (e.effect, *e.interval))
    shown = f"{effect:+.2f} {c.unit} (95 % interval {low:+.2f} to {high:+.2f}, n = {e.n}"
    of_what = " of equivalence" if finding.equivalence else ""
    shown += f", corrected p{of_what} = {p:.2g})" if p is not None else ")"
    goal = f"smallest effect of interest {c.delta * c.scale:.2g}"
    words = {
        "supported": "The effect is",
        "inconclusive": "Undecided: the effect is",
        "refuted": {
            "negligible": "Negligible: the effect is",
            "reversed": "The opposite holds: the effect is",
        }.get(verdict.how, "Refuted: the effect is"),
    }
    if finding.equivalence and verdict.verdict == "supported":
        words["supported"] = "No difference of interest: it is"
    return f"{words[verdict.verdict]} {shown}; {goal}."


def _exactly(finding: Finding, verdict: Verdict) -> str:
    """How many checks hold, or fail as printed, and how well those do that hold."""
    if verdict.verdict == "holds":
        return f"All {len(finding.checks)} checks hold; the largest error is {_worst(finding.checks)}."
    said = [c for c in finding.checks if c.form == "printed"] or finding.checks
    failed = sum(not c.holds for c in said)
    if not failed:
        return f"What is printed holds; a corrected form fails, with an error of {_worst(finding.checks)}."
    wrong = f"{failed} of {len(said)} formulas {'fails' if failed == 1 else 'fail'} as printed"
    right = [c for c in finding.checks if c.form == "right"]
    rest = right or [c for c in finding.checks if c.holds]
    named = "the corrected form holds" if right else "the others hold"
    return f"{wrong}; {named} with an error of at most {_worst(rest)}."


def _worst(checks: Sequence[Check]) -> str:
    return f"{max((c.error for c in checks), default=math.nan):.1e}"


def _order(finding: Finding, verdict: Verdict) -> str:
    """The outcome of a claim about an order, whose checks count the seeds that break it."""
    worst = max(finding.checks, key=lambda check: check.error, default=None)
    if worst is None:
        return "No seed is complete, so no order can be counted."
    allowed = f"{worst.error:g} {'seed' if worst.error == 1 else 'seeds'} ({worst.tolerance:g} allowed)"
    if verdict.verdict == "holds":
        return (
            f"All {len(finding.checks)} parts of the order are there; none is broken by more than {allowed}."
        )
    failed = sum(not check.holds for check in finding.checks)
    return f"{failed} of {len(finding.checks)} parts of the order fail; worst, “{worst.name}”, is broken by {allowed}."


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
        found = finding if old == claim.criterion else finding_of(claim, runs, old)
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
