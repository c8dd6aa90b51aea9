"""Levels of the factors and the identity of the code behind them, found by reading the core's source, without importing torch.

A level is a public function of its module in `folklore.core`. The code hash of a run covers the core's shared code and the
functions of the levels that the run uses, so editing one initialiser trains again only the runs that use it. Comments and
docstrings do not count.
"""

from __future__ import annotations

import ast
import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

CORE = Path(__file__).parent / "core"
MODULES = {
    "init": "initializers",
    "activation": "activations",
    "norm": "norms",
    "optimizer": "optimizers",
    "schedule": "schedules",
}
MODELS = ("mlp",)


@cache
def names(factor: str) -> tuple[str, ...]:
    """The levels of a factor that is made of functions."""
    return tuple(name for name in _functions(MODULES[factor]) if not name.startswith("_"))


@cache
def code_hash(**levels: str) -> str:
    """Identity of the code that trains a run with these levels (factor=level), 16 hex digits."""
    parts = [_shared()] + [_functions(MODULES[factor])[level] for factor, level in sorted(levels.items())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@cache
def numerics() -> str:
    """What else the numbers depend on: torch's version and the widest vector instructions of the processor."""
    return f"torch {version('torch')}, {platform.machine()}, {_vector_instructions()}"


def _vector_instructions() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    return next((name for name in ("avx512f", "avx2") if name in flags), "default")


@cache
def _functions(module: str) -> dict[str, str]:
    """Top-level functions of a level module: name -> canonical source."""
    tree = ast.parse((CORE / f"{module}.py").read_text())
    return {node.name: _canonical(node) for node in tree.body if isinstance(node, ast.FunctionDef)}


@cache
def _shared() -> str:
    """Canonical source of everything in the core that is not a public level function."""
    parts = []
    for path in sorted(CORE.glob("*.py")):
        tree = ast.parse(path.read_text())
        is_level_module = path.stem in MODULES.values()
        kept = [
            n
            for n in tree.body
            if not (is_level_module and isinstance(n, ast.FunctionDef) and n.name[0] != "_")
        ]
        parts += [path.stem, *(_canonical(node) for node in kept)]
    return "\n".join(parts)


def _canonical(node: ast.AST) -> str:
    for inner in ast.walk(node):
        body = getattr(inner, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]) and len(body) > 1:
            del body[0]
    return "" if _is_docstring(node) else ast.dump(node)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
