"""Studies and factors written as files of `conf`: read, and refused in one line that names the file, the key and what is allowed."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from folklore.claims.base import FAMILIES
from folklore.errors import UsageError
from folklore.grid import FIELDS, SIX_FACTOR, Rates, Run, Study
from folklore.schema import CONF, ProfileConfig
from folklore.validation import check_run, one_line, suggest, wrong_tuning

# change the compute graph: cells of the six-factor study that differ in one of them cannot train together
GRAPH_FACTORS = ("activation", "norm", "batch_size", "optimizer")

Levels = dict[str, list[Any]]


@dataclass
class RatesFile:
    count: int = 7
    octaves: float = 1.0
    widen: int = 3
    center: float | None = None


@dataclass
class StudyFile:
    """See `folklore.grid.Study`; cells_from: a CSV of cells beside the file, factors_from: a file of factors to cross."""

    name: str = MISSING
    cells_from: str = MISSING
    factors_from: str = MISSING
    title: str = ""
    fixed: dict[str, Any] = field(default_factory=dict)
    rates: RatesFile = field(default_factory=RatesFile)
    tuning_seeds: int = 3
    replicates: int = 32
    half_replicates: int = 0
    samples: int = 0
    updates: int = 0
    tune_on: str = "val_accuracy"
    target: float | None = None
    seconds: float = 0.0


def read_study(path: Path, profile: ProfileConfig) -> Study:
    """The study, its factors crossed or, where the profile wants fewer cells, those of its table."""
    raw = _fitted(path)
    _check_names(raw, path)
    rates, table = Rates(**raw.pop("rates")), path.parent / raw.pop("cells_from")
    read = read_factors if raw["name"] == SIX_FACTOR else read_levels
    levels = read((path.parent / raw.pop("factors_from")).resolve())
    if profile.grid_cells == 0:
        return Study(**raw, rates=rates, factors={name: tuple(held) for name, held in levels.items()})
    cells = read_cells(table)
    _check_covers(cells, levels, table)
    return Study(**raw, rates=rates, cells=tuple(_fraction(cells, profile.grid_cells)))


def read_levels(path: Path) -> Levels:
    """Factor -> its levels, at least one each and none twice."""
    factors = read_mapping(path, "lines of the form factor: [levels]")
    for name, levels in factors.items():
        listed = isinstance(levels, list) and levels and all(isinstance(v, str | int | float) for v in levels)
        if not listed or len(set(map(str, levels))) < len(levels):
            raise UsageError(
                f"{path}: {name}={one_line(levels)}: allowed is a list of levels, none of them twice"
            )
    return factors


def read_factors(path: Path) -> Levels:
    """The factors of the six-factor study: what its analysis needs is asked for before anything is trained."""
    factors = read_levels(path)
    for name, levels in factors.items():
        if len(levels) < 2:
            raise UsageError(
                f"{path}: {name}={one_line(levels)}: allowed are two levels or more, none of them twice"
            )
    missing = [name for name in GRAPH_FACTORS if name not in factors]
    if missing or len(factors) == len(GRAPH_FACTORS):
        named = ", ".join(missing) or "a factor more"
        raise UsageError(
            f"{path}: {named}: missing; allowed are {', '.join(GRAPH_FACTORS)}, which make the graph cells, and others beside them, such as init"
        )
    return factors


def read_placebo(path: Path = CONF / "placebo.yaml") -> dict[str, dict[str, Any]]:
    """Family -> what its placebo cell changes of a run, which can be trained."""
    held = read_mapping(path, f"families, each with fields of a run: {', '.join(FIELDS)}")
    for family, changes in held.items():
        if family not in FAMILIES:
            hint = suggest(family, FAMILIES)
            raise UsageError(
                f"{path}: {one_line(family)}: no such family; {hint}allowed are {', '.join(FAMILIES)}"
            )
        if not isinstance(changes, dict) or not changes.keys() <= set(FIELDS):
            raise UsageError(
                f"{path}: {family}={one_line(changes)}: allowed are fields of a run: {', '.join(FIELDS)}"
            )
        try:
            check_run(replace(Run(), **changes))
        except UsageError as error:
            raise UsageError(f"{path}: {family}: {error}") from None
    return held


def read_mapping(path: Path, wanted: str) -> dict[str, Any]:
    """What a YAML file holds, which must be a mapping by names."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file; allowed is one with {wanted}")
    try:
        held = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OmegaConfBaseException, YAMLError, RecursionError, ValueError, TypeError, OSError) as error:
        raise UsageError(f"{path}: {one_line(error)}; allowed are {wanted}") from None
    if not isinstance(held, dict) or not held or not all(isinstance(key, str) for key in held):
        raise UsageError(f"{path}: {one_line(held)}: allowed are {wanted}")
    return held


def _check_names(raw: Mapping[str, Any], path: Path) -> None:
    """The study's name goes into paths and into MLflow's filters; what it is tuned for has to be measured."""
    if not re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", raw["name"]):
        raise UsageError(
            f"{path}: name={one_line(raw['name'])}: allowed are letters, digits and single dashes between them"
        )
    for said in wrong_tuning(raw["tune_on"], raw["target"]):
        raise UsageError(f"{path}: {said}")


def _fitted(path: Path) -> dict[str, Any]:
    """The keys of a study file, each of its type."""
    held = read_mapping(path, f"the keys {', '.join(StudyFile.__dataclass_fields__)}")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(StudyFile), held)
        found = OmegaConf.to_container(merged, throw_on_missing=True)
    except (OmegaConfBaseException, ValueError, OverflowError, TypeError) as error:
        said = [line.strip() for line in str(error).splitlines()]
        key = next((line.partition(":")[2].strip() for line in said if line.startswith("full_key")), "")
        value = OmegaConf.select(OmegaConf.create(held), key) if key in held else held.get(key.split(".")[0])
        raise UsageError(
            f"{path}: {key}={one_line(value)}: {one_line(said[0])}; allowed are the fields of a Study, see src/folklore/grid.py"
        ) from None
    return {str(key): value for key, value in found.items()}


def read_cells(path: Path) -> list[dict[str, Any]]:
    """The rows of a table of cells, each value of the type of its factor."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(
            f"{path}: {one_line(error)}; allowed is a table of cells, made by `make design`"
        ) from None
    return [_typed(row, f"{path}: line {number}") for number, row in enumerate(rows, 2)]


def _typed(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    found = {}
    for name, text in row.items():
        if name not in FIELDS:
            hint = suggest(str(name), FIELDS)
            raise UsageError(
                f"{place}: {one_line(name)}={one_line(text)}: no such factor; {hint}allowed are {', '.join(FIELDS)}"
            )
        kind = type(getattr(Run(), name))
        try:
            found[name] = kind(text) if text is not None else int("missing")
        except ValueError:
            raise UsageError(
                f"{place}: {name}={one_line(text)}: allowed is a value of kind {kind.__name__}"
            ) from None
    return found


def _check_covers(cells: list[dict], levels: Levels, path: Path) -> None:
    for factor, wanted in levels.items():
        missing = [level for level in wanted if level not in {cell.get(factor) for cell in cells}]
        if missing:
            raise UsageError(
                f"{factor}={one_line(missing[0])}: in conf/factors.yaml but not in {path.name}; `make design` adds cells for it"
            )
    for cell in cells:
        gone = [f for f, level in cell.items() if level not in levels.get(f, ())]
        if gone:
            raise UsageError(
                f"{gone[0]}={one_line(cell[gone[0]])}: in {path.name} but not in conf/factors.yaml; `make design` drops its cells"
            )


def _fraction(cells: list[dict], n: int) -> list[dict]:
    if n >= len(cells):
        return cells
    return [cells[i * len(cells) // n] for i in range(n)]
