"""The structured schema of the configuration: groups, keys, their types and what each group offers."""

from __future__ import annotations

from dataclasses import dataclass, field, is_dataclass
from functools import cache
from pathlib import Path
from typing import get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from folklore import datasets, levels

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

    replicates, half_replicates, tuning_seeds, rates: caps. first_look: replicates after which a study of twice as many or more is looked at,
    see `folklore.looks`; 0: never. budget: factor on the updates of every run, at least `least_updates`.
    grid_cells: cells of the six-factor design (0: the full crossing). full_data: all images, not 8,192. further_grounds: every claim
    also at twice the width and twice the budget. data: one set for all runs in the place of their own, with n_train rows at most. toy:
    the report warns that verdicts mean nothing.
    """

    name: str = MISSING
    replicates: int | None = None
    half_replicates: int | None = None
    first_look: int = 32
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
def register() -> None:
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


def offered(group: str) -> list[str]:
    """What a group offers, in files and in the schema's store."""
    files = [path.stem for path in (CONF / group).glob("*.yaml")]
    stored = (
        [name[:-5] for name in ConfigStore.instance().list(group)]
        if group in ConfigStore.instance().repo
        else []
    )
    return sorted({*files, *stored} - {"schema"})


def keys() -> list[str]:
    """What a person may set, groups first; a group's `name` is set by choosing the group."""
    return [*groups(), *(key for key in leaves() if not key.endswith(".name"))]


@cache
def groups() -> tuple[str, ...]:
    """Keys whose value is a choice: a level or a file of `conf/KEY`."""
    return tuple(key for key in get_type_hints(Config) if offered(key))


@cache
def leaves() -> dict[str, type]:
    """Type of every key that holds a value, groups' inner keys with a dot."""
    found = {}
    for key, kind in get_type_hints(Config).items():
        found |= (
            {f"{key}.{k}": t for k, t in get_type_hints(kind).items()} if is_dataclass(kind) else {key: kind}
        )
    return found
