"""Hydra's side of the project: composition from `conf/`, and the way from there to a run.

`compose` turns overrides into a `Config`; `run_of` turns that into the flat `Run` that the rest of the project speaks of.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from folklore.errors import UsageError
from folklore.grid import Run
from folklore.schema import CONF, Config, OptimizerConfig, groups, offered, register
from folklore.validation import check_override, check_run, one_line, require_scaling, validate

# what Hydra, OmegaConf and PyYAML raise for a file of `conf` that a person has spoiled; AssertionError is Hydra's, for one that is no mapping
_SPOILT = (
    HydraException, OmegaConfBaseException, YAMLError, RecursionError, ValueError, OverflowError, TypeError, AttributeError,
    AssertionError, OSError,
)  # fmt: skip


def compose(overrides: Sequence[str] = (), conf: Path = CONF) -> Config:
    """The configuration of `conf/config.yaml` with overrides. UsageError in one line for whatever is wrong with them."""
    return completed(composed(overrides, conf), said=overrides)


def composed(overrides: Sequence[str] = (), conf: Path = CONF) -> DictConfig:
    """The same as Hydra gives it, its values not yet looked at."""
    register()
    for override in overrides:
        check_override(override)
    plain = [part for override in overrides for part in _without_number(override)]
    with _in_one_line(overrides):
        return _hydra("config", plain, conf)


def completed(
    base: DictConfig, changes: Mapping[str, object] | None = None, said: Sequence[str] = ()
) -> Config:
    """What Hydra composed, with changes as a file of `conf` could make them, validated."""
    with _in_one_line(said):
        config = OmegaConf.to_object(OmegaConf.merge(base, changes) if changes else base)
    validate(config)
    return config


@contextmanager
def _in_one_line(overrides: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except UsageError:
        raise
    except _SPOILT as error:
        raise UsageError(_explained(error, overrides)) from None


def _hydra(name: str, overrides: Sequence[str], conf: Path) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf), version_base="1.3"):
        return hydra_compose(name, list(overrides))


def choices() -> dict[str, list[str]]:
    """The levels that each group offers, numbers left out."""
    register()
    return {group: offered(group) for group in groups()}


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
    rate = chosen.lr * (batch_size / 32) ** chosen.batch_exponent * factor
    if not 0 < rate < math.inf:
        raise UsageError(
            f"optimizer.lr={chosen.lr:g}: allowed is a finite number above 0; see conf/optimizer/{optimizer}.yaml"
        )
    return rate


@cache
def _optimizer(name: str) -> OptimizerConfig:
    """The group's own file; composing the whole configuration for it would take ten times as long."""
    register()
    group = f"optimizer/{name}"
    with _in_one_line([group]):
        config = OmegaConf.to_object(_hydra(group, (), CONF).optimizer)
    require_scaling(config)
    return config


def _without_number(override: str) -> list[str]:
    """`norm=ghost-16` as Hydra can read it: the choice of the group, and its full name."""
    key, _, value = override.partition("=")
    name, dash, _ = value.partition("-")
    return [f"{key}={name}", f"{key}.name={value}"] if dash and key in groups() else [override]


def _explained(error: Exception, overrides: Sequence[str]) -> str:
    """Hydra's message of several lines as one: what is left for it to find lies in the files of `conf`."""
    lines = [line.strip() for line in f"{error}\n{error.__cause__ or ''}".splitlines()]
    key = next((line.partition(":")[2].strip() for line in lines if line.startswith("full_key")), "")
    told = [line for line in lines if line and not line.startswith(("object_type", "full_key"))]
    found = one_line(" ".join(dict.fromkeys(told[:2])) or type(error).__name__, 400)
    place = one_line(" ".join(overrides)) or "conf"
    return f"{place}: {f'{key}: ' if key else ''}{found}; allowed are the keys and kinds of values of conf/config.yaml"
