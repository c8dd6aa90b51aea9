"""What LLVM has made of the code of vector functions, kept beside Python's own compiled files: a tenth of a second to make, a millisecond to read.

Jobs are processes of their own, and need the same dozens of functions. Kept they are where code is trusted anyway, not among results, which
people hand on. The name of a file covers the code and the processor, its first bytes what follows them: what is damaged is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

from folklore.files import atomic_write

FOLDER = Path(__file__).parent / "__pycache__"
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
