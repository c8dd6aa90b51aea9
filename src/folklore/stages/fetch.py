"""Fetch or generate a data set: `python -m folklore.stages.fetch NAME --root results/data`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from folklore import datasets
from folklore.stages.command import command


def main(argv: Sequence[str]) -> None:
    """Prepare one data set and say so on one line; UsageError when it cannot be had."""
    parser = argparse.ArgumentParser(prog="folklore.stages.fetch", description=__doc__)
    parser.add_argument("name", help=f"one of {', '.join(datasets.names())}")
    parser.add_argument(
        "--root", type=Path, default=Path("results/data"), help="folder of the prepared files"
    )
    options = parser.parse_args(argv)
    path = datasets.prepare(options.name, options.root)
    print(f"{options.name}: {path}, sha256 {datasets.digest(options.name, options.root)}")


if __name__ == "__main__":
    sys.exit(command(main))
