"""Register the criteria of new or changed claims before their runs: `python -m folklore.stages.register --reason "..."`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from folklore import criteria, provenance
from folklore.claims.base import discover
from folklore.stages.command import command


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reason", required=True, help="why the criterion is new or changed")
    options = parser.parse_args(argv)
    added = criteria.register(discover(), provenance.commit()[0], options.reason)
    print(f"registered: {', '.join(added) if added else 'nothing, every criterion stands as registered'}")


if __name__ == "__main__":
    sys.exit(command(main))
