"""What the Snakefile needs to know, kept out of it: options, targets and identities of code.

Light: neither torch nor mlflow nor pandas is imported here.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from folklore import criteria, datasets, device, recovery
from folklore.errors import UsageError, refused
from folklore.grid import SIX_FACTOR, digest
from folklore.plan import Job, Plan, make_plan
from folklore.progress import PARENT
from folklore.schema import CONF
from folklore.studies import placebo, wanted_claims
from folklore.study_files import read_placebo
from folklore.tracking import address, marks
from folklore.validation import one_line, suggest

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# glibc would hand large temporaries back to the system at once and fault every page in again: drawing dropout masks took twice as long
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(1 << 25), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
DRAWN_TOGETHER = 55
MADE = {"example", "slides"}  # folders beside the templates that hold what was made of them
_PACKAGE = "src/folklore"
_DRAWING = [
    f"{_PACKAGE}/{place}"
    for place in ("claims", "claim_calls.py", "stats", "figures", "frames.py", "choices.py")
]
BEHIND = {
    "calibrate": [
        f"{_PACKAGE}/{place}" for place in ("calibration.py", "stages/calibrate.py", "stats", "core")
    ]
    + ["conf/placebo.yaml"],
    "judge": [
        *(
            f"{_PACKAGE}/{place}"
            for place in ("claims", "claim_calls.py", "stats", "judging.py", "looks.py", "stages/judge.py")
        ),
        *(f"{_PACKAGE}/{place}" for place in ("frames.py", "choices.py", "criteria.py", "cost.py")),
        *(
            f"{_PACKAGE}/{place}"
            for place in ("core", "finding_files.py", "judged_words.py", "report/claim.py")
        ),
        "conf/criteria.jsonl",
        "conf/families.yaml",
    ],
    "draw": [
        *_DRAWING,
        *(f"{_PACKAGE}/{place}" for place in ("core", "finding_files.py", "stages/draw.py")),
    ],
    "analyse": [
        *_DRAWING,
        *(f"{_PACKAGE}/{place}" for place in ("stages/analyse.py", "stages/design.py", "study_files.py")),
        "conf/factors.yaml",
    ],
    "render": [*(f"{_PACKAGE}/{place}" for place in ("report", "figures", "stages/render.py")), "reports"],
}


def overrides_of(config: Mapping[str, object]) -> list[str]:
    """Hydra overrides from Snakemake's `--config profile=smoke only=a,b`."""
    for key, value in config.items():
        if key not in ("profile", "only"):
            raise UsageError(
                f"{one_line(key)}={one_line(value)}: no such key; {suggest(key, ('profile', 'only'))}"
                "allowed are profile=NAME and only=CLAIM,CLAIM"
            )
    profile, only = (config.get(key) for key in ("profile", "only"))
    if profile in (None, ""):
        profile = os.environ.get("PROFILE") or "laptop"
    overrides = [f"profile={profile}"]
    return overrides if only in (None, "") else [*overrides, f"profile.only=[{','.join(_names(only))}]"]


def _names(only: object) -> list[str]:
    """The names in `a,b`, `a b` or `[a, b]`."""
    listed = only if isinstance(only, list) else re.split(r"[,\s]+", str(only))
    names = [name for name in map(str, listed) if name]
    if not names or not all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name) for name in names):
        raise UsageError(
            f"only={one_line(only)}: allowed are names of claims, such as only=small-batch-best,six-factor"
        )
    return names


def prepare_environment() -> None:
    """One thread a job, this interpreter, memory that is kept, nothing sent anywhere, and jobs that end with their workflow."""
    for name in THREAD_VARIABLES:
        os.environ[name] = "1"
    for name, value in ALLOCATOR.items():
        os.environ.setdefault(name, value)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ[PARENT] = str(os.getpid())


@cache
def code(rule: str) -> str:
    """Identity of the source that a rule's result depends on, so that an edit makes it again, and only it."""
    root = CONF.parent
    paths = [root / place for place in BEHIND[rule]]
    sources = sorted(
        f for path in paths for f in ([path] if path.is_file() else path.rglob("*")) if _is_source(f, root)
    )
    return hashlib.sha256(b"".join(f.name.encode() + f.read_bytes() for f in sources)).hexdigest()[:16]


def _is_source(path: Path, root: Path) -> bool:
    return (
        path.is_file()
        and path.suffix in {".py", ".typ", ".j2", ".yaml", ".csv", ".jsonl", ".bib"}
        and not MADE & set(path.relative_to(root).parts)
    )


def result_of(job: Job) -> str:
    """The file that a job writes."""
    return f"results/{job.phase}/{job.name}.json"


def planned(config: Mapping[str, object]) -> Flow:
    """The plan; bad input ends the workflow with one line, as it ends every command, and status 2."""
    try:
        flow = Flow(config)
        warnings = criteria.unregistered(wanted_claims(flow.plan.config.profile))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(*(f"warning: {line}" for line in warnings), sep="\n", end="\n" * bool(warnings), file=sys.stderr)
    return flow


def mend(dry_run: bool) -> None:
    """Set right what an earlier workflow left half done, unless this one makes nothing; what the machine refuses ends it with one line."""
    try:
        # only a workflow of its own waits for another one at work
        if not recovery.only_looks(dry_run) and recovery.heal():
            recovery.heal_results()
            marks.heal_marks()
    except (UsageError, OSError) as error:
        said = refused(error) if isinstance(error, OSError) else str(error)
        if said is None:
            raise
        print(f"error: {said}", file=sys.stderr)
        sys.exit(2)


class Flow:
    """The plan of this workflow, as the rules ask for it."""

    def __init__(self, config: Mapping[str, object]) -> None:
        self.overrides = overrides_of(config)
        self.plan: Plan = make_plan(self.overrides)
        self.arguments = " ".join(f"'{override}'" for override in self.overrides)
        self.claims = [claim.id for claim in wanted_claims(self.plan.config.profile)]
        # the figures in jobs of a quarter of a minute
        self.drawn = [self.claims[i : i + DRAWN_TOGETHER] for i in range(0, len(self.claims), DRAWN_TOGETHER)]
        self.placebo_families = list(read_placebo())  # families with a placebo cell of their own
        self.has_grid = any(study.name == SIX_FACTOR for study in self.plan.studies)
        # another tracker gets all that the one before has
        self.tracker = address.scope(None, Path("results"))
        # Snakemake's priorities. Jobs that train have 1 to their number, see `turn`; what is ready beside them is short, or waited for.
        self._turns = {(job.phase, job.name): i for i, job in enumerate(reversed(self.plan.jobs), start=1)}
        trained = len(self._turns)
        self.priorities = {"track": trained + 1, "report": trained + 2, "fetch": trained + 3}

    def job(self, phase: str, name: str) -> Job:
        return self.plan.job(phase, name)

    def turn(self, phase: str, name: str) -> int:
        """A training job's priority: they start in the plan's order. Left to Snakemake, which takes the largest inputs first, the longest job was the
        last of forty-nine minutes, alone on one of two cores, and with it the first part of the import, which waits for that job.
        """
        return self._turns[phase, name]

    def names(self, phase: str) -> list[str]:
        return [job.name for job in self.plan.phase(phase)]

    def data_of(self, phase: str, name: str) -> list[str]:
        """Data files that a job reads."""
        return [
            f"results/data/{d}.npz"
            for d in sorted({c.run.data for u in self.job(phase, name).units for c in u.cells})
        ]

    @property
    def gpu_slots(self) -> int:
        """Of the places on GPUs that a profile offers, those that a training job takes."""
        return 0 if device.chosen() == "cpu" else 1

    def placebo_data(self) -> str:
        """The data file that the calibration reads."""
        return f"results/data/{self.plan.config.profile.data or self.plan.config.data.name}.npz"

    def placebo_identity(self, family: str | None = None) -> str:
        """What decides which networks the calibration trains, and how many."""
        cell, profile = placebo(self.plan.config, family), self.plan.config.profile
        key = replace(cell.run, lr=cell.center).key
        return digest([cell.values(), key, profile.placebo_seeds, profile.toy], 16)

    def results(self) -> list[str]:
        """Everything that judging reads."""
        return [result_of(job) for job in self.plan.jobs]

    def family_calibrations(self, results: Path = Path("results")) -> str:
        """Identity of the families' calibrations that were made: judging shows them, and asks for none."""
        made = sorted((results / "calibration").glob("*.json"))
        return hashlib.sha256(b"".join(file.read_bytes() for file in made)).hexdigest()[:16]

    def growth(self, results: Path = Path("results")) -> str:
        """Identity of what `make growth` measured, if it did: the report shows it, and asks for none."""
        file = results / "growth.json"
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else ""

    def chunk_inputs(self, chunk: str) -> list[str]:
        """What one import into the tracker waits for."""
        jobs = self.plan.chunks()[int(chunk)]
        needs = sorted({name for job in jobs for name in job.needs})
        return [result_of(job) for job in jobs] + [f"results/tune/{name}.json" for name in needs]

    def extend_inputs(self, name: str) -> list[str]:
        """What a look at the studies of an extending job waits for."""
        job = self.job("extend", name)
        before = (("tune", job.needs), ("confirm", job.after))
        return [result_of(self.job(phase, each)) for phase, names in before for each in names]

    def chunk_claims(self, chunk: str) -> list[str]:
        """Studies and claims by which one import tags its runs: a claim may join them long after they were trained."""
        held = {study for job in self.plan.chunks()[int(chunk)] for study in job.studies}
        claims = wanted_claims(self.plan.config.profile)
        return [f"{claim.study}: {claim.id}" for claim in claims if claim.study in held]

    def chunks(self) -> list[str]:
        return [f"{i:02d}" for i in range(len(self.plan.chunks()))]

    def dataset_priority(self, name: str) -> int:
        """Most jobs wait for them, and longest for what is generated: MNIST-1D keeps a core busy for half a minute."""
        return self.priorities["fetch"] + (0 if datasets.get(name).sources else 1)

    def dataset_code(self, name: str) -> str:
        return datasets.code_digest(name)
