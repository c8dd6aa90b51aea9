"""Figures for slides: `python -m folklore.stages.slides --out results --to reports/slides`, after the claims were judged.

Every figure on a page of 16 to 9 with the rule, the verdict, its caption and its source, as NAME.svg and NAME.png (1920 x 1080),
all of them in slides.pdf; and every table as CSV.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from folklore.report.build import slides
from folklore.stages.command import command


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the results")
    parser.add_argument("--to", type=Path, default=Path("reports/slides"), help="folder to write")
    options = parser.parse_args(argv)
    slides(options.out, options.to)


if __name__ == "__main__":
    sys.exit(command(main))
