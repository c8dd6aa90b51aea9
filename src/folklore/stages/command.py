"""How every entry point ends: 0, or one line on stderr and status 2 for what a user can mend."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from folklore.errors import UsageError, refused
from folklore.progress import PARENT, superseded


def command(main: Callable[[Sequence[str]], None]) -> int:
    """Run `main` with the command line's arguments and turn bad input into one line."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    end_with_parent()
    try:
        main(sys.argv[1:])
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if not (said := refused(error)):
            raise
        print(f"error: {said}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command carries on from here", file=sys.stderr)
        return 130
    return 0


def out_and_overrides(description: str | None, argv: Sequence[str]) -> tuple[Path, list[str]]:
    """The options that most stages share: the results folder, and Hydra overrides that name the profile."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as profile=smoke")
    options = parser.parse_intermixed_args(argv)
    return options.out, options.overrides


def end_with_parent() -> None:
    """Stop when the workflow that started this job is gone: after `kill -9` of it, its jobs would live on as orphans.

    On a cluster they do live on, and what they finish counts, until the next workflow begins and starts them anew.
    """
    parent = os.environ.get(PARENT)
    if parent:
        threading.Thread(target=_watch, args=(int(parent),), daemon=True).start()


def _watch(parent: int) -> None:
    while _alive(parent) and not superseded():
        time.sleep(0.5)
    if not _alive(parent):
        os._exit(3)
    print("a later workflow has begun and makes this: ended", file=sys.stderr, flush=True)
    os._exit(0)  # as a failed job it would take the later one's result away


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
