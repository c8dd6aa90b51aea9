"""Mirror runs, verdicts and artifacts into MLflow: written once per run, never read back for results.

The result files are the truth. One importer writes the mirror; training jobs never talk to the tracker. A
journal under `<out>/tracking/` says which runs are there, so that an import can be killed at any moment: a
batch is announced (intent) before its runs are created and ticked off (done) once the disk holds them; what was
in flight when an importer died is looked up in MLflow by its tag `run_key`, adopted when complete, deleted and
written again when not. Two copies of the project may take turns at one server, but must not import at the same time.

This is the only package that imports mlflow, which costs about 3 s: its names are imported when they are used,
for the Snakefile needs the light modules `address` and `marks` alone.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

# Before mlflow is imported: its telemetry is on by default, with a server it prints two lines a run, and its
# seven retries, each after a longer pause, would hide an unreachable one for minutes (a user's values win).
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

if TYPE_CHECKING:
    from folklore.tracking.rows import CURVE_POINTS, run_name
    from folklore.tracking.tracker import Counts, StudyCard, Tracker, open_tracker

__all__ = ["CURVE_POINTS", "Counts", "StudyCard", "Tracker", "open_tracker", "run_name"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "rows" if name in ("CURVE_POINTS", "run_name") else "tracker"
    return getattr(import_module(f"{__name__}.{home}"), name)
