"""Validation in one line that names the key, the value and what is allowed: of overrides as they are typed, and of whole configurations."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache

from folklore import combinations, datasets, levels
from folklore.errors import UsageError
from folklore.grid import Run
from folklore.schema import Config, OptimizerConfig, ProfileConfig, groups, keys, leaves, offered


def check_override(override: str) -> None:
    """UsageError unless this is KEY=VALUE with a key that there is and a value of its type.

    Hydra's own syntax offers more (new keys, removals, sweeps, interpolation); all of it would be ignored or
    misread here.
    """
    key, equals, value = override.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w.]*", key):
        raise UsageError(f"{one_line(override)}: not understood; allowed is KEY=VALUE, such as batch_size=32")
    if key in groups():
        return _choice(key, value)
    if key not in leaves():
        known = keys()
        raise UsageError(
            f"{one_line(key)}={one_line(value)}: no such key; {suggest(key, known)}allowed are {', '.join(known)}"
        )
    pattern, words = _VALUES[leaves()[key]]
    _require(key, value, re.fullmatch(pattern, value) is not None, words)


def _choice(key: str, value: str) -> None:
    """What a group offers, perhaps with a number behind a dash."""
    name, dash, _ = value.partition("-")
    numbered = bool(dash) and key in (*levels.MODULES, *levels.PACKAGES)
    _level(key, value, offered(key), name if numbered else value)
    if numbered:
        _check_level(key, value)


# Digits of ASCII and not too many of them: Python refuses to read a whole number of over 4,300.
_WHOLE = r"[+-]?(0|[1-9][0-9]{0,17})"  # no leading zero: 08 is a slip, or meant as octal
_DIGITS = "[0-9]{0,60}"
_NUMBER = rf"[+-]?((0|[1-9]{_DIGITS})(\.{_DIGITS})?|\.[0-9]{_DIGITS})([eE][+-]?[0-9]{{1,4}})?|[+-]?(inf|nan)"
_NAME = r"(?!null\b)[A-Za-z_][A-Za-z0-9_-]*"
_VALUES = {
    int: (_WHOLE, "a whole number of at most 18 digits, without leading zeros"),
    int | None: (f"{_WHOLE}|null", "a whole number of at most 18 digits, or null for no limit"),
    float: (_NUMBER, "a number"),
    bool: ("true|false", "true or false"),
    str: (_NAME, "a name"),
    str | None: (f"{_NAME}|null", "a name, or null for none"),
    list[str]: (rf"\[({_NAME}(,{_NAME})*)?\]", "a list of names, such as [small-batch-best,six-factor]"),
}
MOST_UPDATES = 10**8  # the loss of each is kept in memory
MOST_WEIGHTS = 2**28  # a gigabyte a network


def validate(config: Config) -> None:
    """UsageError unless every number of the budget, the profile and the optimizer's scaling makes sense."""
    _require("batch_size", config.batch_size, config.batch_size >= 1, "1 or more")
    _require("budget.samples", config.budget.samples, config.budget.samples >= 0, "0 or more")
    _require("budget.updates", config.budget.updates, config.budget.updates >= 0, "0 or more")
    enough = max(config.budget.samples // config.batch_size, config.budget.updates) >= 1
    words = f"batch_size = {config.batch_size} or more, or else budget.updates=1 or more"
    _require("budget.samples", config.budget.samples, enough, words)
    words = f"at most {MOST_UPDATES:,} updates: {MOST_UPDATES * config.batch_size} with batch_size={config.batch_size}"
    fine = config.budget.samples // config.batch_size <= MOST_UPDATES
    _require("budget.samples", config.budget.samples, fine, words)
    _require(
        "budget.updates",
        config.budget.updates,
        config.budget.updates <= MOST_UPDATES,
        f"at most {MOST_UPDATES}",
    )
    _require("seed", config.seed, 0 <= config.seed < 2**31, "0 to 2147483647")
    require_scaling(config.optimizer)
    _require_profile(config.profile)


def require_scaling(optimizer: OptimizerConfig) -> None:
    exponent, factor = optimizer.batch_exponent, optimizer.norm_factor
    _require("optimizer.batch_exponent", exponent, abs(exponent) <= 4, "a number from -4 to 4")
    _require("optimizer.norm_factor", factor, 0 < factor < math.inf, "a finite number above 0")


def _require_profile(profile: ProfileConfig) -> None:
    _require("profile.budget", profile.budget, 0 < profile.budget < 1e6, "above 0, below 1000000")
    seconds = profile.job_seconds
    _require("profile.job_seconds", seconds, 1 <= seconds <= 1e6, "a number from 1 to 1000000")
    least = {
        "replicates": 2,
        "half_replicates": 0,
        "tuning_seeds": 1,
        "rates": 1,
        "widen": 0,
    }  # 2: for a spread
    least |= {"n_train": 1, "least_updates": 1, "grid_cells": 0, "placebo_seeds": 10}
    _level("profile", profile.name, offered("profile"))
    look = profile.first_look
    _require("profile.first_look", look, look == 0 or look >= 2, "0 for none, or 2 or more")
    most = 100_000  # networks of one kind that are trained for the placebo claims
    _require("profile.placebo_seeds", profile.placebo_seeds, profile.placebo_seeds <= most, f"at most {most}")
    if profile.data is not None:
        _level("profile.data", profile.data, datasets.names())
    for name, fewest in least.items():
        value = getattr(profile, name)
        _require(f"profile.{name}", value, value is None or value >= fewest, f"{fewest} or more")


def check_run(run: Run) -> None:
    """UsageError for a level that does not exist, a number out of range, or a combination that cannot be trained."""
    check_kinds(run)
    for factor in (*levels.MODULES, *levels.PACKAGES, "view"):
        _check_level(factor, getattr(run, factor))
    _level("data", run.data, datasets.names())
    _level("optimizer.penalised", run.penalised, ("all", "first", "last"))
    for key, least, most in (
        ("batch_size", 1, 1 << 20),
        ("data.n_train", 1, 1 << 24),
        ("model.depth", 1, 1000),
        ("model.width", 1, 1 << 16),
        ("updates", 1, MOST_UPDATES),
        ("loss_points", 1, 10_000),
    ):
        value = getattr(run, key.rsplit(".", 1)[-1])
        fine = isinstance(value, int) and least <= value <= most
        _require(key, value, fine, f"a whole number from {least} to {most}")
    _require("optimizer.lr", run.lr, math.isfinite(run.lr) and run.lr >= 0, "a finite number above 0")
    # what is drawn has 16 bits: a rate above this would drop everything
    _require("dropout", run.dropout, 0 <= run.dropout < 1 - 2**-17, "0 up to, but not including, 1")
    _require("optimizer.momentum", run.momentum, 0 <= run.momentum < 1, "0 up to, but not including, 1")
    for name in ("weight_decay", "l1", "clip"):
        value = getattr(run, name)
        _require(f"optimizer.{name}", value, 0 <= value < math.inf, "0 or more")
    _require("model.bias", run.bias, math.isfinite(run.bias), "a finite number")
    _require(
        "batch_size", run.batch_size, run.batch_size <= run.n_train, f"at most data.n_train = {run.n_train}"
    )
    weights = run.depth * run.width**2
    words = f"fewer units or layers: model.depth={run.depth} of them have {weights:,} weights, at most {MOST_WEIGHTS:,}"
    _require("model.width", run.width, weights <= MOST_WEIGHTS, words)
    outputs = run.batch_size * run.width * run.depth
    words = f"at most {MOST_WEIGHTS // (run.width * run.depth):,} with nets of {run.depth:,} x {run.width:,} units"
    _require("batch_size", run.batch_size, outputs <= MOST_WEIGHTS, words)
    for unfit in combinations.unfit(run):
        raise UsageError(unfit)


def wrong_tuning(tune_on: str, target: float | None) -> Iterator[str]:
    """What is wrong with the score that rates are tuned for, found before anything is trained."""
    if tune_on == "steps" and target is None:
        yield "target=None: allowed with tune_on=steps is the training loss to reach"
    if tune_on not in ("val_accuracy", "steps") and tune_on not in measured():
        hint = suggest(tune_on, ["val_accuracy", "steps", *measured()])
        yield (
            f"tune_on={one_line(tune_on)}: nothing measures it; {hint}allowed are val_accuracy, steps, or a measure whose name "
            "stands in quotation marks in a file of core/procedures or core/probes"
        )


@cache
def measured() -> tuple[str, ...]:
    """Words in quotation marks in the files of procedures and probes, names of measures among them: to run the files would take torch."""
    files = [
        file for folder in ("procedures", "probes") for file in sorted((levels.CORE / folder).glob("*.py"))
    ]
    texts = (file.read_text(encoding="utf-8") for file in files)
    return tuple(
        sorted({word for text in texts for word in re.findall(r'(?<![\w"])"([a-z][a-z0-9_]*)"', text)})
    )


# keys of the configuration that are not called like the field of a run
KEYS = {
    "view": "data.view",
    "order": "data.order",
    "augmentation": "data.augmentation",
    "n_train": "data.n_train",
}
KEYS |= {name: f"model.{name}" for name in ("depth", "width", "bias")}
KEYS |= {name: f"optimizer.{name}" for name in ("lr", "momentum", "weight_decay", "l1", "penalised", "clip")}
_KINDS = {key: type(default) for key, default in asdict(Run()).items()}


def check_kinds(run: Run) -> None:
    """UsageError for a value of the wrong kind, which a design that is written in Python may hold."""
    for key, kind in _KINDS.items():
        value = getattr(run, key)
        key = KEYS.get(key, key)
        fine = isinstance(value, int | float if kind is float else kind)
        fine = fine and (kind is bool) == isinstance(value, bool)
        _require(key, value, fine, f"a value of kind {kind.__name__}")
        short = not isinstance(value, int) or abs(value) < 10**18
        _require(key, value, short, "a number of at most 18 digits")
    _require("batch_size", run.batch_size, run.batch_size >= 1, "1 or more")


def _check_level(factor: str, value: str) -> None:
    """A level by its name, with a whole number behind a dash where it takes one, and only there."""
    key, allowed = KEYS.get(factor, factor), levels.names(factor)
    name, dash, amount = value.partition("-")
    _level(key, value, allowed, name)
    takes = levels.takes_amount(factor, name)
    _require(key, value, takes == bool(dash), f"{name}-NUMBER" if takes else name)
    written = re.fullmatch(r"0|[1-9][0-9]{0,5}", amount) is not None
    _require(key, value, not dash or written, f"{name}-NUMBER, a whole number of at most 6 digits")


def _require(key: str, value: object, fine: bool, allowed: str) -> None:
    if not fine:
        raise UsageError(f"{key}={one_line(value)}: allowed is {allowed}")


def _level(key: str, value: object, allowed: Sequence[str], name: object = None) -> None:
    """name: of the level, where the value has a number, too."""
    if (value if name is None else name) not in allowed:
        hint = suggest(str(value), allowed)
        raise UsageError(f"{key}={one_line(value)}: no such level; {hint}allowed are {', '.join(allowed)}")


LONGEST = 200  # characters of a value that a message repeats


def one_line(value: object, longest: int = LONGEST) -> str:
    """As text on one line, whatever a user has pasted, and however much of it."""
    text = str(value)
    text = text if len(text) <= longest else f"{text[:longest]}... ({len(text):,} characters)"
    return "".join(c if c.isprintable() else " " for c in text)


def suggest(value: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(value, allowed, n=1)
    return f"did you mean {close[0]}? " if close else ""
