"""A run's row, and a verdict, as MLflow wants them: names, tags, parameters, metrics."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities import Metric, Param

from folklore.errors import UsageError

CURVE_POINTS = 20
BATCH_RUNS = 25

# Tags that grow when a run comes to serve further studies; each holds a comma-separated list. Of these two the list has commas around
# it, too: `dropout` is a part of other names, and LIKE '%,dropout,%' is the one filter by which MLflow finds it alone.
GROWING = ("studies", "claims", "phase", "profile")
ENCLOSED = ("studies", "claims")

# Row columns that are not parameters. Everything else in a row is a field of the run, so that a new field is
# mirrored without a change here.
CURVES = {"train_loss": ("loss_step", "loss_curve"), "val_accuracy": ("val_step", "val_curve")}
SCORES = {
    "final_train_loss": "train_loss",
    "final_val_accuracy": "val_accuracy",
    "final_val_loss": "val_loss",
    "test_accuracy": "test_accuracy",
    "test_loss": "test_loss",
    "recalibrated_accuracy": "recalibrated_accuracy",
    "seconds": "seconds",
}
NOT_PARAMETERS = frozenset(
    {
        "run_key",
        "status",
        "diverged_step",
        "grad_norms",
        "measures",
        "data_digest",
        "code_hash",
        "commit",
        "dirty",
    }
    | {"variant", "arm", "replicate", "cell", "chosen", "edge"}
    | {*GROWING, *SCORES.values()}
    | {column for pair in CURVES.values() for column in pair}
)


def run_name(row: Mapping[str, Any]) -> str:
    """What a person reads in the list: `relu he_normal batch-norm · B=32 · adam · lr 0.01 · seed 3`."""
    norm = row.get("norm") or "none"
    network = [row.get("activation"), row.get("init"), None if norm == "none" else f"{norm}-norm"]
    parts = [
        " ".join(str(part) for part in network if part),
        f"dropout {row['dropout']:g}" if row.get("dropout") else "",
        f"B={row['batch_size']}" if "batch_size" in row else "",
        str(row.get("optimizer") or ""),
        f"lr {row['lr']:.3g}" if "lr" in row else "",
        f"seed {row['seed']}" if "seed" in row else "",
        "diverged" if row.get("status") == "diverged" else "",
    ]
    return " · ".join(filter(None, parts))


def merged(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Rows by run key; rows of one run (one per study that shares it) become one with all their labels."""
    rows: dict[str, dict[str, Any]] = {}
    for row in frame.to_dict("records"):
        row |= {name: _labels(row.get(name)) for name in GROWING}
        if not row["studies"]:
            raise UsageError(f"run_key={row['run_key']}: studies is empty; name the study that the run is of")
        first = rows.setdefault(row["run_key"], row)
        for name in GROWING:
            first[name] = list(dict.fromkeys([*first[name], *row[name]]))
    return rows


def _labels(value: Any) -> list[str]:
    """A label or a list of them (Parquet gives arrays, a missing one is NaN) as a list."""
    if isinstance(value, str):
        return [value]
    return [str(label) for label in value] if isinstance(value, (list, tuple, np.ndarray)) else []


def growing_tags(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: _joined(name, row[name]) for name in GROWING}


def united(name: str, old: str, new: str) -> str:
    """The labels of both values of the tag `name`, once each."""
    return _joined(name, dict.fromkeys(filter(None, [*old.split(","), *new.split(",")])))


def _joined(name: str, labels: Iterable[str]) -> str:
    text = ",".join(labels)
    return f",{text}," if text and name in ENCLOSED else text


def run_tags(row: Mapping[str, Any]) -> dict[str, str]:
    tags = {
        "run_key": row["run_key"],
        "study": row["studies"][0],
        "status": row.get("status"),
        "git_commit": row.get("commit"),
        "git_dirty": _text(row.get("dirty")),
        "data_digest": row.get("data_digest"),
        "code_hash": row.get("code_hash"),
        "mlflow.source.git.commit": row.get("commit"),
        "mlflow.source.name": "folklore",
    }
    if row.get("status") == "diverged":
        tags["diverged_step"] = _text(row.get("diverged_step"))
    return growing_tags(row) | {name: str(value) for name, value in tags.items() if not _is_missing(value)}


def run_parameters(row: Mapping[str, Any]) -> list[Param]:
    fields = {name: value for name, value in row.items() if name not in NOT_PARAMETERS}
    return [Param(name, _text(value)) for name, value in fields.items() if not _is_missing(value)]


def run_metrics(row: Mapping[str, Any], timestamp: int) -> list[Metric]:
    """Curves of at most CURVE_POINTS points, final scores; whatever is not finite has no place in a chart."""
    points = [(name, 0, row.get(column)) for name, column in SCORES.items()]
    for name, (steps, values) in CURVES.items():
        points += [(name, step, value) for step, value in _thinned(_listed(row, steps), _listed(row, values))]
    points += [(name, 0, value) for name, value in _measures(row).items()]
    norms = _listed(row, "grad_norms")
    # The step of this one is the layer, from 1.
    layers = range(1, len(norms) + 1)
    points += [("grad_norm_by_layer", layer, norm) for layer, norm in _thinned(layers, norms)]
    finite = [(name, int(step), float(value)) for name, step, value in points if is_finite(value)]
    return [Metric(name, value, timestamp, step) for name, step, value in finite]


def _measures(row: Mapping[str, Any]) -> dict[str, float]:
    value = row.get("measures")
    return value if isinstance(value, dict) else {}


def _listed(row: Mapping[str, Any], column: str) -> Sequence[Any]:
    value = row.get(column)
    return value if isinstance(value, (list, tuple, np.ndarray)) else ()


def _thinned(steps: Sequence[Any], values: Sequence[Any]) -> list[tuple[Any, Any]]:
    """At most CURVE_POINTS pairs, evenly spread, with the first and the last."""
    points = list(zip(steps, values, strict=True))
    if len(points) <= CURVE_POINTS:
        return points
    return [points[round(i)] for i in np.linspace(0, len(points) - 1, CURVE_POINTS)]


def _text(value: Any) -> str | None:
    """A number as a person writes it: 4000 for 4000.0 (a column with gaps holds floats), 0.01 for 0.01."""
    if _is_missing(value):
        return None
    return f"{value:.12g}" if isinstance(value, (float, np.floating)) else str(value)


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, (float, np.floating)) and math.isnan(value))


def is_finite(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and math.isfinite(value)


def batches_of(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows in batches that belong to one home study each, in order."""
    homes: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        homes.setdefault(row["studies"][0], []).append(row)
    for members in homes.values():
        yield from chunks_of(members, BATCH_RUNS)


def chunks_of(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def verdict_metrics(verdict: Mapping[str, Any], timestamp: int) -> list[Metric]:
    low, high = verdict.get("interval") or (None, None)
    numbers = {"effect": verdict.get("effect"), "interval_low": low, "interval_high": high}
    numbers |= {name: verdict.get(name) for name in ("n", "diverged", "p", "p_corrected", "power")}
    found = {name: value for name, value in numbers.items() if is_finite(value)}
    return [Metric(f"{name}.{verdict['id']}", float(value), timestamp, 0) for name, value in found.items()]


def verdict_line(verdict: Mapping[str, Any]) -> str:
    return f"- `{verdict['id']}`: **{verdict['verdict']}**. {verdict.get('summary') or ''}".rstrip()


def stale_verdicts(tags: Mapping[str, str], claims: set[str]) -> list[str]:
    pattern = re.compile(r"(?:folklore\.)?verdict\.(.+)")
    return [name for name in tags if (match := pattern.fullmatch(name)) and match[1] not in claims]


def file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
