"""Set the report, PDF and web page: `python -m folklore.stages.render --out results --pdf reports/folklore.pdf`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from folklore.report import build
from folklore.stages.command import command


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the results")
    parser.add_argument(
        "--pdf", type=Path, default=Path("reports/folklore.pdf"), help="file to write, index.html beside it"
    )
    parser.add_argument("--templates", type=Path, default=build.TEMPLATES, help="folder of the templates")
    options = parser.parse_args(argv)
    build.render(options.out, options.pdf, options.templates)


if __name__ == "__main__":
    sys.exit(command(main))
