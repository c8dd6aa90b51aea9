"""`python -m folklore.bench [--quick]`: what stacking gains on this machine, against what users would pick instead.

All contestants train the same nets on data of the same shape and take turns on one core: a plain PyTorch loop in its fastest
form, Lightning with a DataLoader, JAX stacked in the same way, and Folklore. Set-up, compiling and final scores are left out. Times
are microseconds of processor time for one update of one network: on a machine that is doing nothing else, what the clock on the
wall shows. Then two jobs at once against one alone, and whole pipelines, from configuration to MLflow, against Hydra's --multirun.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from folklore.bench import measure, shown
from folklore.bench.clocks import all_cores, one_core
from folklore.bench.pipelines import pipelines
from folklore.bench.side_by_side import side_by_side
from folklore.provenance import machine
from folklore.stages.command import command
from folklore.store import atomic_write


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m folklore.bench", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="a few steps of stacks of four: a check that it works"
    )
    parser.add_argument(
        "--steps-only", action="store_true", help="leave two jobs at once and the whole pipelines out"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results/bench.json"), help="the numbers, as JSON; a figure beside"
    )
    options = parser.parse_args(argv)
    outcome = benchmark(measure.QUICK if options.quick else measure.Effort(), whole=not options.steps_only)
    atomic_write(options.out, json.dumps(outcome, indent=1) + "\n")
    shown.draw(outcome, options.out.with_suffix(""))
    shown.show(outcome, Console(highlight=False))


def benchmark(effort: measure.Effort, *, whole: bool) -> dict:
    """Everything, as plain numbers; whole: with two jobs at once, and the pipelines from configuration to MLflow."""
    cores = all_cores()
    one_core()
    found = {
        "machine": machine(),
        "repetitions": effort.repetitions,
        "missing": measure.missing(),
        "rows": measure.steps(effort),
    }
    if whole:
        found["side_by_side"] = side_by_side(effort, cores)
        with tempfile.TemporaryDirectory() as folder:
            found["pipelines"] = pipelines(*effort.pipelines, Path(folder))
    return found


if __name__ == "__main__":
    sys.exit(command(main))
