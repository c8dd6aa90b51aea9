"""The data sets, one file each, found by folder.

A data set is a file `NAME.py` beside this one that defines `DATASET` (see `base.Dataset`); none is listed.
Asking for names and code digests stays cheap, because the Snakefile does it while it is parsed: numpy is
imported only when arrays are.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from folklore.errors import UsageError

if TYPE_CHECKING:
    from folklore.datasets.base import Arrays, Dataset

_FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Names of all data sets, sorted. Files that begin with an underscore, and the contract, are none."""
    return _names(_FOLDER)


@cache
def _names(folder: Path) -> tuple[str, ...]:
    """Looked up once: a plan asks for them with every arm."""
    return tuple(sorted(p.stem for p in folder.glob("*.py") if p.stem != "base" and p.stem[0] != "_"))


def get(name: str) -> Dataset:
    """The definition of data set `name`; UsageError for an unknown one."""
    from importlib import import_module

    _check(name)
    return import_module(f"{__name__}.{name}").DATASET


def title(name: str) -> str:
    """The name that people use: what the file's docstring says before its colon."""
    _check(name)
    tree = ast.parse((_FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or name).split(":")[0]


def code_digest(name: str) -> str:
    """sha256 over the code that makes the arrays of `name`; comments and docstrings do not count."""
    _check(name)
    # how bytes are fetched and stored decides nothing: the data set pins their sums
    helpers = sorted(p for p in _FOLDER.glob("_*.py") if p.stem not in ("__init__", "_fetch", "_storage"))
    files = [_FOLDER / f"{name}.py", _FOLDER / "base.py", *helpers]
    return hashlib.sha256("\0".join(map(_bare_source, files)).encode()).hexdigest()


def prepare(name: str, root: Path) -> Path:
    """Make `root/name.npz` and `root/name.json` unless intact ones are there; returns the path of the npz.

    Raises UsageError when the name is unknown or when no source gives the files.
    """
    from folklore.datasets._storage import prepare as prepare_files

    return prepare_files(get(name), code_digest(name), Path(root).absolute())


def load(name: str, root: Path) -> Arrays:
    """The arrays that `prepare` wrote; UsageError when they are missing or damaged."""
    from folklore.datasets._storage import load as load_files

    _check(name)
    return load_files(name, Path(root))


def digest(name: str, root: Path) -> str:
    """sha256 of the arrays as noted by `prepare`, without reading them."""
    from folklore.datasets._storage import read_note

    _check(name)
    return read_note(name, Path(root))["digest"]


def _check(name: str) -> None:
    if name not in names():
        raise UsageError(f"data={name}: no such data set; there are {', '.join(names())}")


def _bare_source(path: Path) -> str:
    """Source text without comments, docstrings and layout."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
