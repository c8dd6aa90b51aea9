"""Hydra's side of the project: the structured schema, composition from `conf/`, and validation in one line.

`compose` turns overrides into a `Config`; `run_of` turns that into the flat `Run` that the rest of the project speaks of.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, is_dataclass
from functools import cache
from pathlib import Path
from typing import get_type_hints

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from folklore import datasets, levels
from folklore.errors import UsageError
from folklore.grid import Run

# factors that are groups of the configuration; the others of `levels` are keys that take a level's name
GROUPS = ("init", "activation", "norm", "optimizer", "schedule")
CONF = Path(__file__).resolve().parents[2] / "conf"


@dataclass
class LevelConfig:
    """A factor whose level is a function of the core."""

    name: str = MISSING


@dataclass
class DataConfig:
    """name: data set; n_train: training rows that each run draws from the pool; view: a file of `datasets/views`; order and
    augmentation of the training rows: functions of `core/orders.py` and `core/augmentations.py`."""

    name: str = MISSING
    n_train: int = 4096
    view: str = "plain"
    order: str = "reshuffled"
    augmentation: str = "none"


@dataclass
class ModelConfig:
    """name: a file of `core/models`; depth: hidden layers; width: units of each; bias: initial bias of hidden units."""

    name: str = MISSING
    depth: int = 3
    width: int = 100
    bias: float = 0.0


@dataclass
class OptimizerConfig:
    """weight_decay, l1: strength of the penalties on the weight matrices that `penalised` names (all, first, last). clip: largest norm of
    a run's gradient, 0 for none. lr: a sound rate at batch size 32 without normalisation, the centre of tuning grids, there scaled by
    (batch / 32) ** batch_exponent, and by norm_factor under batch normalisation."""

    name: str = MISSING
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    l1: float = 0.0
    penalised: str = "all"
    clip: float = 0.0
    batch_exponent: float = 0.5
    norm_factor: float = 1.0


@dataclass
class BudgetConfig:
    """A run makes max(samples // batch_size, updates) updates."""

    samples: int = 65_536
    updates: int = 0


@dataclass
class ProfileConfig:
    """How much of the design is trained. None: as designed.

    replicates, half_replicates, tuning_seeds, rates: caps. budget: factor on the updates of every run, at least `least_updates`.
    grid_cells: cells of the six-factor design (0: the full crossing). full_data: all images, not 8,192. further_grounds: every claim
    also at twice the width and twice the budget. data: one set for all runs in the place of their own, with n_train rows at most. toy:
    the report warns that verdicts mean nothing.
    """

    name: str = MISSING
    replicates: int | None = None
    half_replicates: int | None = None
    tuning_seeds: int | None = None
    rates: int | None = None
    widen: int | None = None
    budget: float = 1.0
    least_updates: int = 16
    grid_cells: int = 420
    placebo_seeds: int = 96
    job_seconds: float = 75.0
    full_data: bool = False
    data: str | None = None
    n_train: int | None = None
    further_grounds: bool = False
    toy: bool = False
    only: list[str] = field(default_factory=list)


@dataclass
class Config:
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    init: LevelConfig = field(default_factory=LevelConfig)
    activation: LevelConfig = field(default_factory=LevelConfig)
    norm: LevelConfig = field(default_factory=LevelConfig)
    dropout: float = 0.0
    mask: str = "units"
    batch_size: int = 32
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: LevelConfig = field(default_factory=LevelConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    profile: ProfileConfig = field(default_factory=ProfileConfig)
    seed: int = 0
    loss_points: int = 100
    procedure: str = "once"
    probe: str = "none"


@cache
def _register() -> None:
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for group, node in {"data": DataConfig, "model": ModelConfig, "optimizer": OptimizerConfig}.items():
        store.store(group=group, name="schema", node=node)
    store.store(group="profile", name="schema", node=ProfileConfig)
    for factor in GROUPS:
        node = OptimizerConfig if factor == "optimizer" else LevelConfig
        for level in levels.names(factor):
            _offer(store, factor, level, node)
    for name in datasets.names():
        _offer(store, "data", name, DataConfig)
    for name in levels.names("model"):
        _offer(store, "model", name, ModelConfig)


def _offer(store: ConfigStore, group: str, name: str, node: type) -> None:
    """A choice that needs no file of its own: a level or a data set is one function or module."""
    if not (CONF / group / f"{name}.yaml").exists():
        store.store(group=group, name=name, node=node(name=name))


def compose(overrides: Sequence[str] = (), conf: Path = CONF) -> Config:
    """The configuration of `conf/config.yaml` with overrides. UsageError in one line for whatever is wrong with them."""
    _register()
    for override in overrides:
        _check_override(override)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf), version_base="1.3"):
            plain = [part for override in overrides for part in _without_number(override)]
            config = OmegaConf.to_object(hydra_compose("config", plain))
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(_one_line(error, overrides)) from None
    validate(config)
    return config


def choices() -> dict[str, list[str]]:
    """The levels that each group offers, numbers left out."""
    _register()
    return {group: _choices(group) for group in _groups()}


def run_of(config: Config) -> Run:
    """The flat run that a configuration describes, its budget resolved."""
    updates = max(config.budget.samples // config.batch_size, config.budget.updates)
    run = Run(
        data=config.data.name,
        n_train=config.data.n_train,
        model=config.model.name,
        depth=config.model.depth,
        width=config.model.width,
        init=config.init.name,
        activation=config.activation.name,
        norm=config.norm.name,
        dropout=config.dropout,
        batch_size=config.batch_size,
        optimizer=config.optimizer.name,
        momentum=config.optimizer.momentum,
        weight_decay=config.optimizer.weight_decay,
        lr=config.optimizer.lr,
        schedule=config.schedule.name,
        updates=updates,
        seed=config.seed,
        loss_points=config.loss_points,
        view=config.data.view,
        bias=config.model.bias,
        mask=config.mask,
        order=config.data.order,
        augmentation=config.data.augmentation,
        l1=config.optimizer.l1,
        penalised=config.optimizer.penalised,
        clip=config.optimizer.clip,
        procedure=config.procedure,
        probe=config.probe,
    )
    check_run(run)
    return run


def central_rate(optimizer: str, batch_size: int, norm: str) -> float:
    """Where the tuning grid of this optimizer is centred, from `conf/optimizer`."""
    chosen = _optimizer(optimizer)
    factor = chosen.norm_factor if norm != "none" else 1.0
    return chosen.lr * (batch_size / 32) ** chosen.batch_exponent * factor


@cache
def _optimizer(name: str) -> OptimizerConfig:
    """The group's own file; composing the whole configuration for it would take ten times as long."""
    _register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_object(hydra_compose(f"optimizer/{name}").optimizer)


def _check_override(override: str) -> None:
    """UsageError unless this is KEY=VALUE with a key that there is and a value of its type.

    Hydra's own syntax offers more (new keys, removals, sweeps, interpolation); all of it would be ignored or
    misread here.
    """
    key, equals, value = override.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w.]*", key):
        raise UsageError(f"{_line(override)}: not understood; allowed is KEY=VALUE, such as batch_size=32")
    if key in _groups():
        return _level(key, value if key == "profile" else value.partition("-")[0], _choices(key))
    if key not in _leaves():
        known = _keys()
        raise UsageError(
            f"{_line(override)}: no such key; {_suggest(key, known)}allowed are {', '.join(known)}"
        )
    pattern, words = _VALUES[_leaves()[key]]
    _require(key, value, re.fullmatch(pattern, value) is not None, words)


def _without_number(override: str) -> list[str]:
    """`norm=ghost-16` as Hydra can read it: the choice of the group, and its full name."""
    key, _, value = override.partition("=")
    name, dash, _ = value.partition("-")
    return [f"{key}={name}", f"{key}.name={value}"] if dash and key in _groups() else [override]


_WHOLE = r"[+-]?(0|[1-9]\d*)"  # no leading zero: 08 is a slip, or meant as octal
_NUMBER = r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)"
_VALUES = {
    int: (_WHOLE, "a whole number, without leading zeros"),
    int | None: (f"{_WHOLE}|null", "a whole number, or null for no limit"),
    float: (_NUMBER, "a number"),
    bool: ("true|false", "true or false"),
    str: (r"[\w-]+", "a name"),
    str | None: (r"[\w-]+", "a name"),
    list[str]: (r"\[[\w,-]*\]", "a list of names, such as [small-batch-best,six-factor]"),
}


def validate(config: Config) -> None:
    """UsageError unless every number of the budget, the profile and the optimizer's scaling makes sense."""
    _require("batch_size", config.batch_size, config.batch_size >= 1, "1 or more")
    _require("budget.samples", config.budget.samples, config.budget.samples >= 0, "0 or more")
    _require("budget.updates", config.budget.updates, config.budget.updates >= 0, "0 or more")
    enough = max(config.budget.samples // config.batch_size, config.budget.updates) >= 1
    words = f"batch_size = {config.batch_size} or more, or else budget.updates=1 or more"
    _require("budget.samples", config.budget.samples, enough, words)
    _require("seed", config.seed, 0 <= config.seed < 2**31, "0 to 2147483647")
    _require_scaling(config.optimizer)
    _require_profile(config.profile)


def _require_scaling(optimizer: OptimizerConfig) -> None:
    exponent, factor = optimizer.batch_exponent, optimizer.norm_factor
    _require("optimizer.batch_exponent", exponent, abs(exponent) <= 4, "a number from -4 to 4")
    _require("optimizer.norm_factor", factor, 0 < factor < math.inf, "a finite number above 0")


def _require_profile(profile: ProfileConfig) -> None:
    _require("profile.budget", profile.budget, 0 < profile.budget < 1e6, "above 0, below 1000000")
    seconds = profile.job_seconds
    _require("profile.job_seconds", seconds, 0 < seconds < math.inf, "a finite number above 0")
    least = {
        "replicates": 2,
        "half_replicates": 0,
        "tuning_seeds": 1,
        "rates": 1,
        "widen": 0,
    }  # 2: for a spread
    least |= {"n_train": 1, "least_updates": 1, "grid_cells": 0, "placebo_seeds": 10}
    if profile.data is not None:
        _level("profile.data", profile.data, datasets.names())
    for name, fewest in least.items():
        value = getattr(profile, name)
        _require(f"profile.{name}", value, value is None or value >= fewest, f"{fewest} or more")


def check_run(run: Run) -> None:
    """UsageError for a level that does not exist, a number out of range, or a combination that cannot be trained."""
    for factor in (*levels.MODULES, *levels.PACKAGES, "view"):
        _check_level(factor, getattr(run, factor))
    _level("data", run.data, datasets.names())
    _level("optimizer.penalised", run.penalised, ("all", "first", "last"))
    for key, least, most in (
        ("batch_size", 1, 1 << 20),
        ("data.n_train", 1, 1 << 24),
        ("model.depth", 1, 1000),
        ("model.width", 1, 1 << 16),
        ("updates", 1, 1 << 40),
        ("loss_points", 1, 10_000),
    ):
        value = getattr(run, key.rsplit(".", 1)[-1])
        fine = isinstance(value, int) and least <= value <= most
        _require(key, value, fine, f"a whole number from {least} to {most}")
    _require("optimizer.lr", run.lr, math.isfinite(run.lr) and run.lr >= 0, "a finite number above 0")
    _require("dropout", run.dropout, 0 <= run.dropout < 1, "0 up to, but not including, 1")
    _require("optimizer.momentum", run.momentum, 0 <= run.momentum < 1, "0 up to, but not including, 1")
    for name in ("weight_decay", "l1", "clip"):
        value = getattr(run, name)
        _require(f"optimizer.{name}", value, 0 <= value < math.inf, "0 or more")
    _require("model.bias", run.bias, math.isfinite(run.bias), "a finite number")
    _require(
        "batch_size", run.batch_size, run.batch_size <= run.n_train, f"at most data.n_train = {run.n_train}"
    )
    if run.norm == "batch":
        _require(
            "batch_size",
            run.batch_size,
            run.batch_size > 1,
            "2 or more with norm=batch, whose variance needs two rows",
        )


_KEYS = {"view": "data.view", "order": "data.order", "augmentation": "data.augmentation"}


def _check_level(factor: str, value: str) -> None:
    """A level by its name, with a whole number behind a dash where it takes one, and only there."""
    key, allowed = _KEYS.get(factor, factor), levels.names(factor)
    name, dash, amount = value.partition("-")
    _level(key, name, allowed)
    takes = levels.takes_amount(factor, name)
    _require(key, value, takes == bool(dash), f"{name}-NUMBER" if takes else name)
    _require(
        key, value, not dash or re.fullmatch(r"\d+", amount) is not None, f"{name}-NUMBER, a whole number"
    )


def _require(key: str, value: object, fine: bool, allowed: str) -> None:
    if not fine:
        raise UsageError(f"{key}={_line(value)}: allowed is {allowed}")


def _level(key: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        hint = _suggest(str(value), allowed)
        raise UsageError(f"{key}={_line(value)}: no such level; {hint}allowed are {', '.join(allowed)}")


def _line(value: object) -> str:
    """As text on one line, whatever a user has pasted."""
    return "".join(c if c.isprintable() else " " for c in str(value))


def _suggest(value: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(value, allowed, n=1)
    return f"did you mean {close[0]}? " if close else ""


def _one_line(error: Exception, overrides: Sequence[str]) -> str:
    """Hydra's message of several lines as one: what is left for it to find lies in the files of `conf`."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("object_type", "full_key"))]
    found = " ".join(told[:2]) or type(error).__name__
    return _line(f"{' '.join(overrides) or 'conf'}: {found}; see conf/config.yaml for keys and values")


def _choices(group: str) -> list[str]:
    """What a group offers, in files and in the schema's store."""
    files = [path.stem for path in (CONF / group).glob("*.yaml")]
    stored = (
        [name[:-5] for name in ConfigStore.instance().list(group)]
        if group in ConfigStore.instance().repo
        else []
    )
    return sorted({*files, *stored} - {"schema"})


def _keys() -> list[str]:
    """What a person may set, groups first; a group's `name` is set by choosing the group."""
    return [*_groups(), *(key for key in _leaves() if not key.endswith(".name"))]


@cache
def _groups() -> tuple[str, ...]:
    """Keys whose value is a choice: a level or a file of `conf/KEY`."""
    return tuple(key for key in get_type_hints(Config) if _choices(key))


@cache
def _leaves() -> dict[str, type]:
    """Type of every key that holds a value, groups' inner keys with a dot."""
    found = {}
    for key, kind in get_type_hints(Config).items():
        found |= (
            {f"{key}.{k}": t for k, t in get_type_hints(kind).items()} if is_dataclass(kind) else {key: kind}
        )
    return found
