"""Train one job of the plan: `python -m folklore.stages.jobs tune 003 --out results profile=laptop`.

Runs that the store already holds are not trained again, so a job that was interrupted carries on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path

from folklore import cost, datasets, device
from folklore.choices import confirming, read_choices
from folklore.datasets.views import seen
from folklore.errors import UsageError
from folklore.files import write_result
from folklore.grid import Run
from folklore.plan import CONFIRMING, Job, Plan, make_plan
from folklore.progress import Progress, describe
from folklore.stages.command import command
from folklore.store import Store, row


class Trainer:
    """Trains what is missing, in stacks, and returns results by run key."""

    def __init__(self, out: Path, progress: Progress) -> None:
        self.store, self.data_root, self.progress = Store(out), out / "data", progress
        self.known = {}
        self.arrays: dict[str, datasets.Arrays] = {}
        self.views: dict[tuple[str, str], datasets.Arrays] = {}

    def load(self, keys: Sequence[str]) -> None:
        """Read what the store holds of these keys."""
        held = set(keys) & self.store.keys()
        if held:
            self.known |= self.store.find(held).to_dict("index")

    def __call__(self, runs: Sequence[Run]) -> dict[str, dict]:
        unique = {run.key: run for run in runs}
        self.load([key for key in unique if key not in self.known])
        stacks: dict[tuple, list[Run]] = defaultdict(list)
        for key, run in unique.items():
            if key in self.known:
                self.progress.finished([run], trained=False)
            else:
                stacks[run.graph].append(run)
        for group in stacks.values():
            self._train_all(group)
        return {key: self.known[key] for key in unique}

    def _train_all(self, group: Sequence[Run]) -> None:
        """In stacks; halves of them, which give the same numbers, from where the memory does not hold one."""
        waiting = _even(group, cost.stack_width(group[0]))
        while waiting:
            first, *rest = waiting
            missing = self._missing(first)
            if not missing or self._fits(missing):
                waiting = rest
            else:
                width = _half(missing)
                waiting = [part for stack in (missing, *rest) for part in _even(stack, width)]

    def _missing(self, stack: Sequence[Run]) -> list[Run]:
        """Those that no other job has trained meanwhile: jobs share runs, and the store was asked before the first stack."""
        self.load([run.key for run in stack])
        known = [run for run in stack if run.key in self.known]
        if known:
            self.progress.finished(known, trained=False)
        return [run for run in stack if run.key not in self.known]

    def _fits(self, stack: Sequence[Run]) -> bool:
        """Train it, or say that the memory does not hold it."""
        try:
            self._train(stack)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            return False
        return True

    def _train(self, stack: Sequence[Run]) -> None:
        from folklore.core.training import train

        data, start = self._data(stack[0]), time.process_time()
        results = train(
            stack, data, device=device.ready(), tick=lambda done: self.progress.training(stack, done)
        )
        each = (time.process_time() - start) / len(stack)
        rows = [row(run, result, data.digest) for run, result in zip(stack, results, strict=True)]
        self.store.add(rows, {r["run_key"]: each for r in rows})
        self.known |= {r["run_key"]: r for r in rows}
        self.progress.finished(stack, trained=True)

    def _data(self, run: Run) -> datasets.Arrays:
        """The run's view of its data set."""
        if run.data not in self.arrays:
            self.arrays[run.data] = datasets.load(run.data, self.data_root)
        if (run.data, run.view) not in self.views:
            self.views[run.data, run.view] = seen(self.arrays[run.data], run.view)
        check_rows(run, self.views[run.data, run.view])
        return self.views[run.data, run.view]


def check_rows(run: Run, arrays: datasets.Arrays) -> None:
    """UsageError where the run asks for more training rows than its view of the data set has."""
    pool = len(arrays.pool_y)
    if run.n_train > pool:
        seen_by = "" if run.view == "plain" else f" as data.view={run.view} shows it"
        raise UsageError(
            f"data.n_train={run.n_train}: allowed is at most {pool}, the training rows of {run.data}{seen_by}"
        )


def trained(job: Job, plan: Plan, out: Path, train: Trainer) -> dict:
    """What the job decides and trains, as it is written."""
    if job.phase == "tune":
        return tune_job(job, train)
    return (extend_job if job.phase == "extend" else confirm_job)(job, plan, out, train)


def tune_job(job: Job, train: Trainer) -> dict:
    from folklore.tuning import tune

    cells = [cell for unit in job.units for cell in unit.cells]
    return {"identity": job.identity, "choices": tune(cells, train)}


def confirm_job(job: Job, plan: Plan, out: Path, train: Trainer) -> dict:
    chosen = read_choices(plan, out, job.needs)
    return {"identity": job.identity, "run_keys": _confirmed(job, plan, chosen, train)}


def extend_job(job: Job, plan: Plan, out: Path, train: Trainer) -> dict:
    """Later replicates of the studies that a look leaves open."""
    from folklore.looks import ends

    ended = [study for study in job.studies if ends(plan, out, study)]
    for study in ended:
        print(
            f"{study}: answered by the replicates so far, the others are not trained",
            file=sys.stderr,
            flush=True,
        )
    chosen = read_choices(plan, out, job.needs)
    return {"identity": job.identity, "ended": ended, "run_keys": _confirmed(job, plan, chosen, train, ended)}


def _confirmed(
    job: Job, plan: Plan, chosen: dict[str, dict], train: Trainer, without: Collection[str] = ()
) -> list[str]:
    """Keys of the job's replicates, trained, `without` those of these studies."""
    of_cells = ((c, unit.replicates) for unit in job.units if unit.study not in without for c in unit.cells)
    return sorted(train([run for cell, some in of_cells for run in confirming(cell, chosen, plan, some)]))


def _is_out_of_memory(error: Exception) -> bool:
    """NumPy's and Python's own, or what torch raises on a GPU and on a processor."""
    import torch

    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or "can't allocate memory" in str(error)


def _half(stack: Sequence[Run]) -> int:
    """The width to try next, said on a line; UsageError where a run alone is too large."""
    if len(stack) == 1:
        raise UsageError(
            f"model.width={stack[0].width}, batch_size={stack[0].batch_size}: one network alone does not fit into the "
            "memory; allowed is what fits: lower one of them, or free memory and start the same command again"
        )
    width = len(stack) // 2
    print(
        f"out of memory with {describe(stack)}: going on with {width} at once, the numbers stay the same",
        file=sys.stderr,
        flush=True,
    )
    return width


def _even(runs: Sequence[Run], most: int) -> list[Sequence[Run]]:
    """Stacks of equal length, none longer than `most`."""
    count = -(-len(runs) // most)
    cuts = [round(len(runs) * i / count) for i in range(count + 1)]
    return [runs[a:b] for a, b in pairwise(cuts)]


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("phase", choices=["tune", *CONFIRMING])
    parser.add_argument("job")
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument(
        "--identity", help="what the workflow planned; the job refuses to train anything else"
    )
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args(argv)
    plan = make_plan(options.overrides)
    job = plan.job(options.phase, options.job)
    if options.identity not in (None, job.identity):
        raise UsageError(
            f"{job.phase} {job.name}: configuration or code changed while the workflow ran; start the same command again"
        )
    progress = Progress(options.out, plan, job)
    train = Trainer(options.out, progress)
    run_single_threaded()
    with progress:
        result = trained(job, plan, options.out, train)
    train.store.merge()
    write_result(
        options.out / job.phase / f"{job.name}.json", json.dumps(result, indent=1, sort_keys=True) + "\n"
    )


def run_single_threaded() -> None:
    """One thread a process: the workflow runs as many jobs as there are cores, and unpinned threads would fight for them."""
    import torch

    torch.set_num_threads(1)


if __name__ == "__main__":
    sys.exit(command(main))
