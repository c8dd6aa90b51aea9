"""How far the whole pipeline is, seen from any of its training jobs.

Every job writes a small heartbeat file; from all of them together each job can say, on one line, how many runs are done, what is
training, and how long it will take. Expected core-seconds weigh the runs; measured ones turn them into a time.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from folklore import cost
from folklore.files import atomic_write
from folklore.grid import Run
from folklore.plan import Job, Plan

EVERY = 10.0  # seconds between two lines
PARENT = "FOLKLORE_PARENT"  # process id of the workflow, or of the part of it that runs this job on a node; set by the Snakefile
SESSION = "FOLKLORE_SESSION"  # names the workflow; all its jobs share it, wherever they run
LOCK = "folklore.lock"  # in .snakemake: the session that began last


class Progress:
    """The heartbeat of one job; also a context that marks its end."""

    def __init__(self, out: Path, plan: Plan, job: Job) -> None:
        self.folder, self.plan, self.job = out / "progress", plan, job
        self.runs, self.done, self.trained, self.busy = 0, 0.0, 0.0, 0.0
        self.started = self.spoke = self.beat = time.monotonic()  # the clock may be set meanwhile
        self.began = time.time()

    def __enter__(self) -> Progress:
        self._write(0.0)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.done, self.runs = self.job.seconds, self.job.runs
            self._write(0.0)
            self._say("done")

    def finished(self, stack: Sequence[Run], *, trained: bool) -> None:
        """A stack has ended; `trained` is false when it was in the store already."""
        expected = sum(cost.seconds(run) for run in stack)
        self.done += expected
        self.runs += len(stack)
        if trained:
            self.trained += expected
            self.busy = time.monotonic() - self.started
            self._write(0.0)

    def training(self, stack: Sequence[Run], fraction: float) -> None:
        """A stack is under way; writes and speaks now and then only."""
        now = time.monotonic()
        if now - self.beat > 2:
            self.beat = now
            self._write(fraction * sum(cost.seconds(run) for run in stack))
        if now - self.spoke > EVERY:
            self.spoke = now
            self._say(f"{describe(stack)}, {fraction:.0%}")

    def _write(self, under_way: float) -> None:
        state = {
            "identity": self.job.identity,
            "session": session(),
            "runs": min(self.runs, self.job.runs),
            "done": min(self.done + under_way, self.job.seconds),
            "trained": self.trained,
            "busy": self.busy,
            "began": self.began,
            "time": time.time(),
        }
        atomic_write(self.folder / f"{self.job.phase}-{self.job.name}.json", json.dumps(state))

    def _say(self, what: str) -> None:
        print(
            line(self.folder.parent, self.plan, f"{self.job.phase} {self.job.name}: {what}"),
            file=sys.stderr,
            flush=True,
        )


def session() -> str:
    """Names the workflow that runs now, so that an earlier one's speed and pauses do not count."""
    return os.environ.get(SESSION, "alone")


def superseded(lock: Path = Path(".snakemake") / LOCK) -> bool:
    """Whether a later workflow has begun in this folder: it makes what this job of an earlier one would make."""
    try:
        last = lock.read_text()
    except OSError:
        return False
    return bool(last) and last != os.environ.get(SESSION, last)


def line(out: Path, plan: Plan, what: str) -> str:
    """`31 %  1,234 of 5,678 runs  about 12 min left  tune 003: ...`"""
    runs, done, total, left = totals(out, plan)
    share = done / total if total else 1.0
    return f"{share:4.0%}  {runs:,} of {plan.runs:,} runs  {_duration(left)}  {what}"


def totals(out: Path, plan: Plan) -> tuple[int, float, float, float | None]:
    """Runs done, expected seconds done and in all, and wall seconds left (None when nothing was measured yet)."""
    states = [_state(out, job) for job in plan.jobs]
    runs, done = sum(state["runs"] for state in states), sum(state["done"] for state in states)
    total, own = sum(job.seconds for job in plan.jobs), [s for s in states if s["session"] == session()]
    trained, busy = (sum(state[name] for state in own) for name in ("trained", "busy"))
    left = (total - done) * busy / trained / _side_by_side(own) if trained > 0 else None
    return runs, done, total, left


def _side_by_side(states: Sequence[dict]) -> float:
    """How many jobs were at work at a time, on average since the first of them began: how many are now changes with every start and end."""
    since = time.time() - min(state["began"] for state in states)
    return max(1.0, sum(state["time"] - state["began"] for state in states) / since) if since > 0 else 1.0


def _state(out: Path, job: Job) -> dict:
    """A job's heartbeat, also of an earlier session; one without any counts by its output."""
    nothing = {"session": "", "runs": 0, "done": 0.0, "trained": 0.0, "busy": 0.0, "began": 0.0, "time": 0.0}
    path, result = out / "progress" / f"{job.phase}-{job.name}.json", out / job.phase / f"{job.name}.json"
    state, outcome = (_made_for(job, candidate) for candidate in (path, result))
    if all(isinstance(state.get(key), type(value)) for key, value in nothing.items()):
        return state
    return nothing | ({"runs": job.runs, "done": job.seconds} if outcome else {})


def _made_for(job: Job, path: Path) -> dict:
    """What a file of this job holds; nothing where another job, another plan or another program wrote it."""
    try:
        held = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return held if isinstance(held, dict) and held.get("identity") == job.identity else {}


def describe(stack: Sequence[Run]) -> str:
    """What is training, in a few words."""
    one = stack[0]
    norm = f" {one.norm} norm" if one.norm != "none" else ""
    return f"{len(stack)} x {one.depth}x{one.width} {one.activation}{norm}, {one.data}, batch {one.batch_size}, {one.optimizer}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "time left not known yet"
    minutes = seconds / 60
    return f"about {minutes:.0f} min left" if minutes >= 1.5 else f"about {seconds:.0f} s left"
