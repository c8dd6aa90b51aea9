"""What LLVM has made of the code of vector functions, kept beside Python's own compiled files: a tenth of a second to make, a millisecond to read.

Jobs are processes of their own, and need the same dozens of functions. Kept they are where code is trusted anyway, not among results, which
people hand on. The name of a file covers the processor and the code, or what writes it; its first bytes what follows them: what is damaged is made
again.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType

from folklore.files import atomic_write

FOLDER = Path(__file__).parent / "__pycache__"
_PACKAGE = __name__.rpartition(".")[0]
_SUM = hashlib.sha256().digest_size


def kept(identity: str, make: Callable[[], bytes]) -> bytes:
    """The object file of this identity, made if there is none. A folder that cannot be written is no error."""
    path = FOLDER / f"{hashlib.sha256(identity.encode()).hexdigest()}.o"
    with contextlib.suppress(OSError):
        content = path.read_bytes()
        if hashlib.sha256(content[_SUM:]).digest() == content[:_SUM]:
            return content[_SUM:]
    made = make()
    if not sys.dont_write_bytecode:
        with contextlib.suppress(OSError):
            atomic_write(path, hashlib.sha256(made).digest() + made)
    return made


def recipe(write: Callable) -> str | None:
    """What the code that a function writes depends on: the function, what it closes over, and all sources of this package; None where that is
    not all, as for what is defined elsewhere.
    """
    try:
        return f"{_sources()} {_described(write)}"
    except TypeError:
        return None


def _described(value: object) -> str:
    """The same text in every process. TypeError for what is not known to have one."""
    if value is None or isinstance(value, bool | int | float | str | Enum):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_described, value))})"
    if is_dataclass(value) and not isinstance(value, type):
        own = (f"{each.name}={_described(getattr(value, each.name))}" for each in fields(value))
        return f"{type(value).__qualname__}({', '.join(own)})"
    if not isinstance(value, FunctionType) or not f"{value.__module__}.".startswith(f"{_PACKAGE}."):
        raise TypeError(f"{type(value)} may be another one in another process")
    closed = [cell.cell_contents for cell in value.__closure__ or ()]
    given = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
    name = f"{value.__module__}.{value.__qualname__}"
    return f"{name} {_bytecode(value.__code__)} {_described(closed)} {_described(given)}"


def _bytecode(code: CodeType) -> str:
    """Of two functions on one line of source, which have the same name, too."""
    constants = (_bytecode(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts)
    return f"{code.co_firstlineno} {code.co_code.hex()} {code.co_names} ({', '.join(constants)})"


@cache
def _sources() -> str:
    found = hashlib.sha256(sys.version.encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()
