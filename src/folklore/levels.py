"""Levels of the factors and the identity of the code behind them, found by reading the source, without importing torch.

A level is a public function of a module, or a file of a package; those that say so by a keyword `amount` take a whole number,
`NAME-NUMBER`. The code hash of a run covers the core's shared code and the code of the levels that the run uses, private helpers
beside them included, so editing one initialiser trains again only the runs that use it. Comments, docstrings and `del` do not count.
"""

from __future__ import annotations

import ast
import hashlib
import platform
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

from folklore import device

HERE = Path(__file__).parent
CORE, VIEWS = HERE / "core", HERE / "datasets" / "views"
MODULES = {  # a level a function
    "init": "initializers",
    "activation": "activations",
    "norm": "norms",
    "optimizer": "optimizers",
    "schedule": "schedules",
    "mask": "masks",
    "order": "orders",
    "augmentation": "augmentations",
}
PACKAGES = {"model": "models", "procedure": "procedures", "probe": "probes"}  # a level a file


@cache
def names(factor: str) -> tuple[str, ...]:
    """The levels of a factor, numbers left out."""
    if factor in MODULES:
        found = _definitions(MODULES[factor])
        return tuple(n for n, node in found.items() if isinstance(node, ast.FunctionDef) and n[0] != "_")
    return tuple(sorted(path.stem for path in _folder(factor).glob("*.py") if path.stem[0] != "_"))


@cache
def takes_amount(factor: str, level: str) -> bool:
    """Whether a level has a keyword `amount`."""
    source = _definitions(MODULES[factor])[level] if factor in MODULES else _tree(_file(factor, level))
    functions = [n for n in ast.walk(source) if isinstance(n, ast.FunctionDef)]
    return any(a.arg == "amount" for f in functions for a in [*f.args.args, *f.args.kwonlyargs])


@cache
def code_hash(**levels: str) -> str:
    """Identity of the code that trains a run with these levels (factor=level), 16 hex digits."""
    parts = [_shared()] + [_code(factor, level.partition("-")[0]) for factor, level in sorted(levels.items())]
    return _digest("\n".join(parts))[:16]


@cache
def view_hash(view: str) -> str:
    """Identity of a view of the data, 16 hex digits."""
    return _digest(_package_code("view", view.partition("-")[0]))[:16]


def file_hash(path: Path) -> str:
    """Identity of a file's code, 16 hex digits."""
    return _digest(_canonical(_tree(path)))[:16]


def numerics() -> str:
    """What else the numbers depend on: torch's version, and the widest vector instructions of the processor or the other device."""
    return _numerics(device.chosen())


@cache
def _numerics(kind: str) -> str:
    trained_by = f"{platform.machine()}, {_vector_instructions()}" if kind == "cpu" else kind
    return f"torch {version('torch')}, {trained_by}"


def _vector_instructions() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    return next((name for name in ("avx512f", "avx2") if name in flags), "default")


def _folder(factor: str) -> Path:
    return VIEWS if factor == "view" else CORE / PACKAGES[factor]


def _file(factor: str, level: str) -> Path:
    return _folder(factor) / f"{level}.py"


@cache
def _code(factor: str, level: str) -> str:
    """Digest of a level's code."""
    return _digest(
        _function_code(MODULES[factor], level) if factor in MODULES else _package_code(factor, level)
    )


@cache
def _function_code(module: str, level: str) -> str:
    """Canonical source of a function and of whatever it uses of its module."""
    there, wanted, found = _definitions(module), [level], {}
    while wanted:
        name = wanted.pop()
        found[name] = there[name]
        used = {node.id for node in ast.walk(there[name]) if isinstance(node, ast.Name)}
        wanted += sorted((used & there.keys()) - found.keys() - set(wanted))
    return "\n".join(_canonical(node) for _, node in sorted(found.items()))


@cache
def _package_code(factor: str, level: str) -> str:
    """Canonical source of a file, of the files of its package that it imports, and of other factors' levels that it borrows."""
    there = {path.stem: path for path in _folder(factor).glob("*.py") if path.stem != "__init__"}
    wanted, found, borrowed = [level], {}, set()
    while wanted:
        name = wanted.pop()
        tree = _tree(there[name])
        borrowed |= set(_borrowed(tree))
        found[name] = "\n".join(_canonical(node) for node in tree.body)
        imports = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        used = {module.rpartition(".")[2] for module in imports if f".{_folder(factor).name}." in module}
        wanted += sorted((used & there.keys()) - found.keys() - set(wanted))
    parts = [f"{name}\n{source}" for name, source in sorted(found.items())]
    return "\n".join(parts + [_function_code(MODULES[factor], name) for factor, name in sorted(borrowed)])


def _borrowed(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Levels (factor, name) that a file names: imported, as an attribute of their module, or as `factor="name"`, in a call or a dictionary."""
    factors = {module: factor for factor, module in MODULES.items()}
    named: list[tuple[object, object]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            factor = factors.get((node.module or "").rpartition(".")[2])
            named += [(factor, alias.name) for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            named.append((factors.get(node.value.id), node.attr))
        elif isinstance(node, ast.keyword):
            named.append((node.arg, getattr(node.value, "value", None)))
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            named += [(getattr(k, "value", None), getattr(v, "value", None)) for k, v in pairs]
    yield from ((f, name) for f, name in named if isinstance(f, str) and f in MODULES and name in names(f))


@cache
def _definitions(module: str) -> dict[str, ast.stmt]:
    """What a module of levels defines at its top: name -> statement."""
    found: dict[str, ast.stmt] = {}
    for node in _tree(CORE / f"{module}.py").body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id: node for target in targets if isinstance(target, ast.Name)}
    return found


@cache
def _shared() -> str:
    """Digest of the core's modules that hold no levels: taken once, for they are a megabyte, and there are hundreds of graphs."""
    parts = []
    for path in sorted(CORE.glob("*.py")):
        if path.stem not in MODULES.values():
            parts += [path.stem, *(_canonical(node) for node in _tree(path).body)]
    return _digest("\n".join(parts))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def _canonical(node: ast.AST) -> str:
    for inner in ast.walk(node):
        body = getattr(inner, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]) and len(body) > 1:
            del body[0]
        if isinstance(body, list) and not all(map(_only_frees, body)):
            body[:] = [statement for statement in body if not _only_frees(statement)]
    return "" if _is_docstring(node) else ast.dump(node)


def _only_frees(node: ast.AST) -> bool:
    """`del name` or `del object.name`: memory is given back, and no number moves."""
    return isinstance(node, ast.Delete) and all(isinstance(t, ast.Name | ast.Attribute) for t in node.targets)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
