"""Where numbers come from: commit, state of the tree, machine, data."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from folklore.schema import CONF

ROOT = CONF.parent


def commit() -> tuple[str, bool]:
    """(hash, whether tracked files differ from it); ("unknown", False) outside a checkout."""
    head = _git("rev-parse", "HEAD")
    return (head, bool(_git("status", "--porcelain", "--untracked-files=no"))) if head else ("unknown", False)


def machine() -> dict[str, object]:
    """What the numbers were computed on."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "torch": version("torch"),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
