"""Say what a profile costs before anything is trained: `python -m folklore.stages.estimate profile=full --cores 8`.

Runs and jobs come from the plan, processor time from the cost model times what this machine takes for some short trainings, which are made
now by as many processes at once as there are cores: side by side each is slower than alone. The rest are round figures from runs of the
`smoke` and `laptop` profiles.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

from folklore import cost
from folklore.errors import UsageError
from folklore.grid import Run
from folklore.plan import Plan, make_plan
from folklore.stages.command import command
from folklore.studies import wanted_claims

# processor seconds beside the training: the start of a job, the import of a run, the judging and drawing of a claim, all the rest
JOB, IMPORT, CLAIM, REST = 4.0, 0.025, 1.2, 60.0
# bytes of a run: in the store; in MLflow's file
STORED, TRACKED = 1.8e3, 19.8e3
TUNED_FURTHER = 1.08  # grids that move, rates that are measured again: runs over those that are planned
LEFT_OPEN = 0.51  # of the core-seconds planned after looks, what the looks of the example left open
CLOCKED = 8  # processes at most, each of which holds a third of a gigabyte
SAMPLES = (
    Run(lr=0.01, updates=400),
    Run(lr=0.01, updates=400, batch_size=2, norm="batch", optimizer="momentum"),
    Run(lr=0.01, updates=60, batch_size=128, data="mnist"),
    Run(lr=0.01, updates=60, activation="maxout", norm="batch"),
    Run(lr=0.01, updates=60, model="residual_cnn", width=16, depth=9, norm="batch", optimizer="momentum"),
    Run(lr=0.01, updates=60, norm="layer", activation="tanh"),
    Run(
        lr=0.01, updates=40, model="rnn", activation="tanh", width=32, depth=1, clip=1.0, optimizer="momentum"
    ),
)


@dataclass(frozen=True)
class Estimate:
    """pace: this machine's time over that of the cost model. training, beside: core-seconds; wall: seconds on `cores`;
    disk: bytes of the store and of MLflow's file.
    """

    runs: int
    jobs: int
    claims: int
    pace: float
    training: float
    beside: float
    cores: int
    disk: tuple[float, float]

    @property
    def wall(self) -> float:
        longest = self.training / self.jobs if self.jobs else 0.0
        return (self.training + self.beside) / self.cores + longest


def estimate(plan: Plan, cores: int, pace: float) -> Estimate:
    runs, claims = round(_likely(plan, "runs") * TUNED_FURTHER), len(wanted_claims(plan.config.profile))
    beside = JOB * len(plan.jobs) + IMPORT * runs + CLAIM * claims + REST
    training, disk = _likely(plan, "seconds"), (STORED * runs, TRACKED * runs)
    return Estimate(
        runs, len(plan.jobs), claims, pace, TUNED_FURTHER * pace * training, beside * pace, cores, disk
    )


def _likely(plan: Plan, what: str) -> float:
    """Of the plan's `runs` or `seconds`, what is likely to be trained."""
    return sum(getattr(job, what) * (LEFT_OPEN if job.phase == "extend" else 1.0) for job in plan.jobs)


def measured_pace(cores: int) -> float:
    """Processor seconds of some stacks over what the model foretells, the median over processes at work side by side, as jobs will be."""
    at_once = min(cores, os.cpu_count() or 1, CLOCKED)
    # a process that has not imported torch yet: forked ones would share its threads
    with ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool:
        return statistics.median(pool.map(_own_pace, range(at_once)))


def _own_pace(_: int) -> float:
    """Of this process."""
    from folklore.stages.jobs import run_single_threaded

    run_single_threaded()
    return statistics.median(map(_pace, SAMPLES))


def _pace(sample: Run) -> float:
    from folklore.bench.nets import synthetic
    from folklore.core.training import train

    stack = [replace(sample, seed=seed) for seed in range(cost.stack_width(sample))]
    data = synthetic(sample)
    train([replace(run, updates=5) for run in stack], data)
    start = time.process_time()
    train(stack, data)
    # hardly any rows to score here
    return (time.process_time() - start) / sum(cost.seconds(run) - cost.scoring(run) for run in stack)


def said(found: Estimate, profile: str) -> dict[str, str]:
    """What a person wants to know, a line each."""
    store, tracker = found.disk
    return {
        "profile": f"{profile}: {found.claims} claims",
        "networks": f"about {found.runs:,}, in {found.jobs:,} jobs",
        "training": f"{_hours(found.training)} on one core (this machine takes {found.pace:.2f} times the cost model's time)",
        "beside it": f"{_hours(found.beside)} on one core: starts of jobs, import, judging, figures",
        f"on {found.cores} cores": f"about {_hours(found.wall)}",
        "disk": f"{_bytes(store)} of results, {_bytes(tracker)} in MLflow, half a gigabyte of data",
        "MLflow": f"about {found.runs:,} runs",
    }


def _hours(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def _bytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cores", default="all", help="a number, or all (default)")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as profile=full")
    options = parser.parse_intermixed_args(argv)
    plan = make_plan(options.overrides)
    cores = _cores(options.cores)
    found = estimate(plan, cores, measured_pace(cores))
    for name, value in said(found, plan.config.profile.name).items():
        print(f"{name:<12} {value}")


def _cores(text: str) -> int:
    if text == "all":
        return os.cpu_count() or 1
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--cores={text}: allowed is a whole number of 1 or more, or all")
    return int(text)


if __name__ == "__main__":
    sys.exit(command(main))
