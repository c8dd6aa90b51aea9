"""Levels by name: a function of a module, or the function of a file. `NAME-NUMBER` gives it the whole number as keyword `amount`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from types import ModuleType

SEPARATOR = "-"


def function(home: ModuleType, level: str) -> Callable:
    """The function `level` of a module that holds a level a function."""
    name, amount = split(level)
    return _with(getattr(home, name), amount)


def from_file(package: str, level: str, name: str) -> Callable:
    """The function `name` of the file that is the level, in a package of this one that holds a level a file."""
    file, amount = split(level)
    return _with(getattr(import_module(f"{__package__}.{package}.{file}"), name), amount)


def split(level: str) -> tuple[str, str]:
    """Its name, and its number or nothing."""
    name, _, amount = level.partition(SEPARATOR)
    return name, amount


def _with(found: Callable, amount: str) -> Callable:
    return partial(found, amount=int(amount)) if amount else found
