"""Mirror finished runs into MLflow: `python -m folklore.stages.track runs --chunk 02 --out results --done FILE profile=laptop`.

At the end `verdicts` in the place of `runs`.

One importer runs at a time, beside the training; the report never waits for it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from folklore import provenance
from folklore.choices import read_choices, read_ended
from folklore.frames import job_runs
from folklore.grid import SIX_FACTOR
from folklore.plan import Plan, make_plan
from folklore.stages.command import command
from folklore.store import Store
from folklore.studies import wanted_claims
from folklore.tracking.marks import write_mark


def claims_of(plan: Plan) -> dict[str, list[str]]:
    """Claim ids by study."""
    served: dict[str, list[str]] = {study.name: [] for study in plan.studies}
    for claim in wanted_claims(plan.config.profile):
        if claim.study in served:
            served[claim.study].append(claim.id)
    return served


def frame(plan: Plan, out: Path, chunk: int) -> pd.DataFrame:
    """The runs of one chunk of jobs, one row each, with what the tracker tags them by; none where looks left nothing to train."""
    jobs = plan.chunks()[chunk]
    chosen = read_choices(plan, out, sorted({name for job in jobs for name in job.needs}))
    ended = read_ended(out, [job for job in jobs if job.phase == "extend"])
    served, labels = claims_of(plan), {}
    for cell, phase, _, run in (entry for job in jobs for entry in job_runs(plan, chosen, job, ended)):
        known = labels.setdefault(run.key, {"run_key": run.key, "studies": [], "claims": [], "phase": phase})
        if cell.study not in known["studies"]:
            known["studies"].append(cell.study)
            known["claims"] += served[cell.study]
    store = Store(out)
    rows = store.read(labels).reset_index(drop=True)
    rows["seconds"] = rows["run_key"].map(store.seconds())
    commit, dirty = provenance.commit()
    tags = pd.DataFrame(labels.values(), columns=["run_key", "studies", "claims", "phase"])
    return rows.merge(tags, on="run_key").assign(profile=plan.config.profile.name, commit=commit, dirty=dirty)


def cards(plan: Plan) -> dict:
    """What a person reads about each study in MLflow."""
    from folklore.tracking import StudyCard

    served, titles = claims_of(plan), {claim.id: claim.title for claim in wanted_claims(plan.config.profile)}
    return {
        s.name: StudyCard(
            name=s.name,
            title=s.title or titles.get(s.name, s.name),
            claims=tuple(served[s.name]),
            description="\n".join(f"- {name}: {titles[name]}" for name in served[s.name]) or s.title,
        )
        for s in plan.studies
    }


def import_chunk(plan: Plan, out: Path, chunk: int) -> tuple[str, str]:
    """The runs of one chunk; what was done, and the identity of the database."""
    from folklore.tracking import open_tracker

    tracker = open_tracker(None, out)
    counts = tracker.import_runs(frame(plan, out, chunk), cards(plan))
    return f"{counts.new} new, {counts.retagged} retagged, {counts.known} known", tracker.database


def attach_verdicts(plan: Plan, out: Path, pdf: Path) -> tuple[str, str]:
    """Verdicts, figures and the report, on the parent run of every study; what was done and where, as `import_chunk` says it."""
    from folklore.tracking import open_tracker

    tracker, served = open_tracker(None, out), claims_of(plan)
    verdicts = {v["id"]: v for v in json.loads((out / "verdicts.json").read_bytes())["claims"]}
    for study in plan.studies:
        drawn = [out / "figures" / f"{name}.png" for name in served[study.name]]
        if study.name == SIX_FACTOR:
            drawn = sorted((out / "figures").glob("grid-*.png"))
        tracker.attach(
            study.name, [verdicts[c] for c in served[study.name]], [*drawn, pdf, out / "verdicts.json"]
        )
    return f"{len(plan.studies)} studies", tracker.database


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """No positional may be left out before the overrides: Pythons differ in what they then take for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["runs", "verdicts"])
    parser.add_argument("--chunk", type=int, default=0, help="which part of the runs")
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--pdf", type=Path, default=Path("reports/folklore.pdf"))
    parser.add_argument(
        "--done", type=Path, required=True, help="file that says that this import is complete"
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as profile=smoke")
    return parser.parse_intermixed_args(argv)


def main(argv: Sequence[str]) -> None:
    options = arguments(argv)
    plan = make_plan(options.overrides)
    if options.what == "runs":
        said, database = import_chunk(plan, options.out, options.chunk)
    else:
        said, database = attach_verdicts(plan, options.out, options.pdf)
    write_mark(options.done, said, database)


if __name__ == "__main__":
    sys.exit(command(main))
