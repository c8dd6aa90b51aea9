"""The one error that a user's input can cause, and what the machine refuses in one line."""

from __future__ import annotations

import errno

REMEDIES = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room or raise the limit")
REMEDIES |= dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it readable and writable")
REMEDIES |= {errno.EIO: "look after the disk"}


class UsageError(ValueError):
    """Bad input. The message is one line that names the key, the value and the remedy."""


def refused(error: OSError) -> str | None:
    """One line for a full disk, a missing right or a broken disk; None for any other error, which is a fault of ours."""
    if error.errno not in REMEDIES:
        return None
    place = error.filename or "the results folder"
    return f"{place}: {error.strerror}; {REMEDIES[error.errno]}, then start the same command again; what is trained is kept"
